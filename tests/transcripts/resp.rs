//! Runs the RESP transcripts.

use std::collections::BTreeMap;

use super::format::{Captured, Case, Expect, Step, What, read};
use super::reply::take_reply;
use super::{Mode, send};
use crate::harness::{Conn, Reply, Server, encode, escape, protocol_lines, split_words};

/// Runs every case of a file that holds for the server.
///
/// # Panics
/// Shows each case that went another way.
pub fn run(file: &str, name: &str, mode: Mode, server: &Server) {
    run_with_password(file, name, mode, server, None);
}

/// As [`run`], where the server is emptied with a password that the cases have yet to give.
pub fn run_with_password(file: &str, name: &str, mode: Mode, server: &Server, password: Option<&str>) {
    let cases = read(file);
    let holds = |case: &&Case| {
        let is_apart = mode == Mode::Pipelined && case.not.iter().any(|tag| tag == "pipelined");
        case.holds_for(name, server.topology) && !is_apart
    };
    let cases: Vec<&Case> = cases.iter().filter(holds).collect();
    let failed: Vec<String> = cases
        .iter()
        .filter_map(|case| Run::new(server, case, mode, password).play(case).err().map(|why| (case, why)))
        .map(|(case, why)| format!("{file}:{} == {}\n{why}", case.line, case.name))
        .collect();
    assert!(failed.is_empty(), "{} of {} cases differ:\n\n{}\n", failed.len(), cases.len(), failed.join("\n\n"));
}

/// What keys that have to share a slot begin with.
const SAME_SLOT: &str = "{s}";

struct Run<'a> {
    addr: &'a str,
    mode: Mode,
    /// Keys that have to share a slot.
    same_slot: &'a [String],
    conns: BTreeMap<usize, Conn>,
    captured: Captured,
    closed: Vec<usize>,
}

impl<'a> Run<'a> {
    /// A run on an empty server.
    fn new(server: &'a Server, case: &'a Case, mode: Mode, password: Option<&str>) -> Run<'a> {
        let mut admin = server.conn();
        if let Some(password) = password {
            assert_eq!(admin.cmd(&["AUTH", password]).text(), "OK");
        }
        let flushed = admin.cmd(&["FLUSHALL"]);
        assert_eq!(flushed, Reply::Simple("OK".to_owned()), "left by what came before {}", case.name);
        let mut conns = BTreeMap::new();
        for step in &case.steps {
            conns.entry(step.conn).or_insert_with(|| {
                let mut conn = server.conn();
                if case.resp3 {
                    conn.cmd(&["HELLO", "3"]);
                }
                conn
            });
        }
        let same_slot = if server.topology.is_several() { &case.same_slot[..] } else { &[] };
        Run { addr: &server.resp, mode, same_slot, conns, captured: Captured::default(), closed: Vec::new() }
    }

    fn play(mut self, case: &Case) -> Result<(), String> {
        let mut rest = &case.steps[..];
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(self.batch_len(rest));
            let mut bytes = Vec::new();
            for step in batch {
                bytes.extend(self.request(step)?);
            }
            let conn = batch[0].conn;
            let mode = self.mode;
            send(self.conn(conn), &bytes, mode);
            batch.iter().try_for_each(|step| self.expect(step))?;
            rest = after;
        }
        self.nothing_left()
    }

    /// How many steps go out in one write: in pipelined mode as many as one connection's do not wait for anything.
    fn batch_len(&self, steps: &[Step]) -> usize {
        if self.mode != Mode::Pipelined {
            return 1;
        }
        let waits = |step: &Step| step.expect.iter().any(|expect| matches!(expect.what, What::Eof));
        let captures = |step: &Step| {
            step.expect.iter().any(|expect| matches!(&expect.what, What::Pattern(text) if text.contains("(?")))
        };
        let same = steps.iter().take_while(|step| step.conn == steps[0].conn).count();
        steps[..same].iter().position(|step| waits(step) || captures(step)).map_or(same, |at| at + 1)
    }

    fn request(&self, step: &Step) -> Result<Vec<u8>, String> {
        let text = self.captured.fill_in(&step.text);
        if step.raw {
            return Ok(crate::harness::unescape(&text));
        }
        let mut words = split_words(&text).map_err(|why| format!("  line {}: {why}", step.line))?;
        for word in words.iter_mut().filter(|word| self.same_slot.iter().any(|key| key.as_bytes() == &word[..])) {
            *word = [SAME_SLOT.as_bytes(), word].concat();
        }
        Ok(encode(&words))
    }

    fn expect(&mut self, step: &Step) -> Result<(), String> {
        let mut expect = &step.expect[..];
        while let Some(first) = expect.first() {
            let taken = match first.what {
                What::Nothing => Ok(1),
                What::Eof => self.expect_closed(step.conn).map(|()| 1),
                _ => self.expect_reply(step.conn, expect),
            };
            let taken = taken.map_err(|got| mismatch(step, expect, &got))?;
            expect = &expect[taken..];
        }
        Ok(())
    }

    fn expect_reply(&mut self, conn: usize, expect: &[Expect]) -> Result<usize, String> {
        let lines = protocol_lines(&self.conn(conn).frame()?);
        take_reply(expect, &lines, &mut self.captured)
            .ok_or_else(|| lines.iter().map(|line| format!("    {}", escape(line))).collect::<Vec<_>>().join("\n"))
    }

    fn expect_closed(&mut self, conn: usize) -> Result<(), String> {
        let before = self.conn(conn).until_closed()?;
        self.closed.push(conn);
        if before.is_empty() { Ok(()) } else { Err(format!("    {} before the end", escape(&before))) }
    }

    /// Whatever a server still has to say, it says before it answers the end of the requests with its own.
    fn nothing_left(mut self) -> Result<(), String> {
        for (number, conn) in &mut self.conns {
            if self.closed.contains(number) {
                continue;
            }
            conn.finish_sending();
            let left = conn.until_closed()?;
            if !left.is_empty() {
                return Err(format!("  unread at the end on connection {number}: {}", escape(&left)));
            }
        }
        Ok(())
    }

    fn conn(&mut self, number: usize) -> &mut Conn {
        let addr = self.addr;
        self.conns.entry(number).or_insert_with(|| Conn::open(addr))
    }
}

fn mismatch(step: &Step, expect: &[Expect], got: &str) -> String {
    let wanted: Vec<String> = expect
        .iter()
        .map(|expect| match &expect.what {
            What::Line(text) => format!("    {text}"),
            What::Pattern(text) => format!("    ~ {text}"),
            What::AnyOrder { count, map: false } => format!("    {count} in any order:"),
            What::AnyOrder { count, map: true } => format!("    {count} pairs in any order:"),
            What::Any => "    any reply".to_owned(),
            What::Eof => "    end of the connection".to_owned(),
            What::Nothing => "    nothing".to_owned(),
        })
        .collect();
    let line = expect.first().map_or(step.line, |first| first.line);
    format!("  line {line}, after > {}\n  expected\n{}\n  got\n{got}", step.text, wanted.join("\n"))
}
