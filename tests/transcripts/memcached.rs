//! Runs the memcached transcripts: lines out, lines in, every case on an empty server.

use super::format::{Captured, Case, Expect, Step, What, read};
use super::{Mode, send};
use crate::harness::{Conn, Server, Topology, escape, unescape};

/// Runs every case of a file that holds for the server.
///
/// # Panics
/// Shows each case that went another way.
pub fn run(file: &str, name: &str, mode: Mode, server: &Server) {
    run_cases(file, name, server.topology, |case| play(case, mode, server));
}

/// As [`run`], each case on a new server: what memcached makes of an item without a value depends on what was in its
/// place before.
pub fn run_on_new_ones(file: &str, name: &str, mode: Mode, start: impl Fn() -> Server) {
    run_cases(file, name, Topology::Embedded, |case| play(case, mode, &start()));
}

fn run_cases(file: &str, name: &str, place: Topology, play: impl Fn(&Case) -> Result<(), String>) {
    let cases = read(file);
    let cases: Vec<&Case> = cases.iter().filter(|case| case.holds_for(name, place)).collect();
    let failed: Vec<String> = cases
        .iter()
        .filter_map(|case| play(case).err().map(|why| (case, why)))
        .map(|(case, why)| format!("{file}:{} == {}\n{why}", case.line, case.name))
        .collect();
    assert!(failed.is_empty(), "{} of {} cases differ:\n\n{}\n", failed.len(), cases.len(), failed.join("\n\n"));
}

fn play(case: &Case, mode: Mode, server: &Server) -> Result<(), String> {
    let mut admin = Conn::open(&server.memcached);
    admin.send(b"flush_all\r\n");
    assert_eq!(admin.line().map(|line| escape(&line)), Ok("OK".to_owned()));
    let count = case.steps.iter().map(|step| step.conn).max().unwrap_or(1);
    let mut conns: Vec<Conn> = (0..count).map(|_| Conn::open(&server.memcached)).collect();
    let mut captured = Captured::default();
    let mut closed = false;
    let mut rest = &case.steps[..];
    while !rest.is_empty() {
        let (batch, after) = rest.split_at(batch_len(rest, mode));
        let conn = &mut conns[batch[0].conn - 1];
        let bytes: Vec<u8> = batch.iter().flat_map(|step| request(step, &captured)).collect();
        send(conn, &bytes, mode);
        for step in batch {
            for expect in &step.expect {
                closed |= matches!(expect.what, What::Eof);
                take(conn, expect, &mut captured)
                    .map_err(|got| format!("  line {}, after > {}\n{got}", expect.line, step.text))?;
            }
        }
        rest = after;
    }
    if !closed {
        for conn in &mut conns {
            conn.finish_sending();
            let left = conn.until_closed()?;
            if !left.is_empty() {
                return Err(format!("  unread at the end: {}", escape(&left)));
            }
        }
    }
    Ok(())
}

/// As for RESP: up to the first step whose reply something later depends on.
fn batch_len(steps: &[Step], mode: Mode) -> usize {
    if mode != Mode::Pipelined {
        return 1;
    }
    let waits = |step: &Step| {
        step.expect.iter().any(|expect| match &expect.what {
            What::Eof => true,
            What::Pattern(text) => text.contains("(?"),
            _ => false,
        })
    };
    let same = steps.iter().take_while(|step| step.conn == steps[0].conn).count();
    steps[..same].iter().position(waits).map_or(same, |at| at + 1)
}

fn request(step: &Step, captured: &Captured) -> Vec<u8> {
    let mut bytes = unescape(&captured.fill_in(&step.text));
    if !step.raw {
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Reads what one expected line asks for; the error shows both sides.
fn take(conn: &mut Conn, expect: &Expect, captured: &mut Captured) -> Result<(), String> {
    match &expect.what {
        What::Nothing => Ok(()),
        What::Eof => match conn.until_closed()? {
            left if left.is_empty() => Ok(()),
            left => Err(format!("  expected the end of the connection\n  got {}", escape(&left))),
        },
        What::Line(text) => {
            let wanted = unescape(&captured.fill_in(text));
            // A payload may hold line ends of its own.
            let mut got = conn.line()?;
            while got.len() < wanted.len() && wanted.starts_with(&[&got[..], b"\r\n"].concat()) {
                got.extend_from_slice(b"\r\n");
                got.extend(conn.line()?);
            }
            if got == wanted { Ok(()) } else { Err(differs(&escape(&wanted), &got)) }
        }
        What::Pattern(pattern) => {
            let got = conn.line()?;
            if captured.matches(&expect.what, &got) { Ok(()) } else { Err(differs(&format!("~ {pattern}"), &got)) }
        }
        What::Any => conn.line().map(|_| ()),
        What::AnyOrder { .. } => Err("  memcached knows no arrays".to_owned()),
    }
}

fn differs(wanted: &str, got: &[u8]) -> String {
    format!("  expected {wanted}\n  got      {}", escape(got))
}
