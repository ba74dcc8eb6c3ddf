//! Clients that keep book of what they ask and what they are told, and come back when their connection breaks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::checks::TOKEN_END;
use super::history::{Answer, Event, Key, Kind, Op, Outcome};
use crate::harness::{Conn, DEADLINE, Reply, Rng, encode, wait_for};

/// Requests of one pipeline.
const PIPELINE_MAX: usize = 16;

/// Pipelines of one request, in percent.
const ALONE_PERCENT: usize = 40;

/// GETs among a client's requests for a key of its own, in percent.
const GET_PERCENT: usize = 60;

/// One client.
pub struct Client<'a> {
    id: usize,
    keys: &'a [Key],
    /// Proxies that it may talk to: when one fails it turns to the next.
    doors: Vec<String>,
    turn: usize,
    conn: Option<Conn>,
    rng: Rng,
    /// Tokens and values that it has made so far.
    made: u64,
    last: Instant,
    done: &'a AtomicU64,
    /// What it did, in its order.
    pub events: Vec<Event>,
}

impl<'a> Client<'a> {
    /// `done` counts what it has finished, for others to see.
    pub fn new(id: usize, seed: u64, keys: &'a [Key], doors: &[String], done: &'a AtomicU64) -> Client<'a> {
        let rng = Rng::new(seed.wrapping_mul(1_000_003).wrapping_add(id as u64));
        let (doors, last) = (doors.to_vec(), Instant::now());
        Client { id, keys, doors, turn: id, conn: None, rng, made: 0, last, done, events: Vec::new() }
    }

    /// A pipeline of RESP requests for some of these keys.
    pub fn resp(&mut self, choice: &[usize]) {
        let asked: Vec<(usize, Op)> = (0..self.depth())
            .map(|_| {
                let key = self.rng.pick(choice);
                (key, self.op(key))
            })
            .collect();
        self.ask(asked);
    }

    /// One GET, SET or INCR of this key.
    pub fn cell(&mut self, key: usize) {
        let op = match self.rng.below(3) {
            0 => Op::Get,
            1 => Op::Set(self.number()),
            _ => Op::Add,
        };
        self.ask(vec![(key, op)]);
    }

    /// Some memcached requests for some of these keys.
    pub fn memcached(&mut self, choice: &[usize]) {
        let key = self.rng.pick(choice);
        match self.keys[key].kind {
            Kind::Cas => self.compare_and_set(key),
            _ => self.increase(key),
        }
    }

    fn depth(&mut self) -> usize {
        if self.rng.chance(ALONE_PERCENT) { 1 } else { 2 + self.rng.below(PIPELINE_MAX - 1) }
    }

    fn op(&mut self, key: usize) -> Op {
        match self.keys[key].kind {
            Kind::Log => Op::Append(self.token()),
            Kind::Once => Op::SetOnce(self.token()),
            Kind::Own(_) if self.rng.chance(GET_PERCENT) => Op::Get,
            Kind::Own(_) => Op::Set(self.number()),
            Kind::Counter | Kind::MemcachedCounter | Kind::Cas => Op::Add,
        }
    }

    /// Never the same, of any client.
    fn number(&mut self) -> u64 {
        self.made += 1;
        self.id as u64 * 1_000_000_000 + self.made
    }

    fn token(&mut self) -> String {
        self.made += 1;
        format!("{}.{}{TOKEN_END}", self.id, self.made)
    }

    /// Sends requests and reads their replies.
    fn ask(&mut self, asked: Vec<(usize, Op)>) {
        let bytes: Vec<u8> = asked.iter().flat_map(|(key, op)| request(&self.keys[*key].name, op)).collect();
        let invoked = self.begin(&bytes);
        for (key, op) in asked {
            let outcome = match self.read(Conn::frame) {
                Ok(frame) => resp_outcome(&op, &frame),
                Err(why) => Outcome::Unknown(why),
            };
            self.note(key, op, outcome, invoked);
        }
    }

    fn increase(&mut self, key: usize) {
        let name = &self.keys[key].name;
        let depth = self.depth();
        let name = name.clone();
        let invoked = self.begin(format!("incr {name} 1\r\n").repeat(depth).as_bytes());
        let mut is_missing = false;
        for _ in 0..depth {
            match self.read(Conn::line) {
                Ok(line) if line == b"NOT_FOUND" => is_missing = true,
                Ok(line) => {
                    let outcome = match text(&line).parse() {
                        Ok(number) => Outcome::Done(Answer::Number(number)),
                        Err(_) => failure(&text(&line)),
                    };
                    self.note(key, Op::Add, outcome, invoked);
                }
                Err(why) => self.note(key, Op::Add, Outcome::Unknown(why), invoked),
            }
        }
        if is_missing {
            self.add(key);
        }
    }

    fn compare_and_set(&mut self, key: usize) {
        let name = self.keys[key].name.clone();
        let invoked = self.begin(format!("gets {name}\r\n").as_bytes());
        let found = match self.read(Conn::line) {
            Ok(line) if line == b"END" => return self.add(key),
            Ok(line) if line.starts_with(b"VALUE ") => text(&line),
            Ok(line) => return self.note(key, Op::Get, failure(&text(&line)), invoked),
            Err(why) => return self.note(key, Op::Get, Outcome::Unknown(why), invoked),
        };
        let (Ok(value), Ok(_end)) = (self.read(Conn::line), self.read(Conn::line)) else {
            return self.note(key, Op::Get, Outcome::Unknown("cut short".to_owned()), invoked);
        };
        let unique = found.rsplit(' ').next().unwrap_or_default();
        let value: u64 = text(&value).parse().unwrap_or_else(|_| panic!("{name} holds {value:?}"));
        let next = (value + 1).to_string();
        let invoked = self.begin(format!("cas {name} 0 0 {} {unique}\r\n{next}\r\n", next.len()).as_bytes());
        match self.read(Conn::line) {
            // Another was first, or the key is gone: nothing was done.
            Ok(line) if [&b"EXISTS"[..], b"NOT_FOUND"].contains(&&line[..]) => self.count(),
            Ok(line) if line == b"STORED" => {
                self.note(key, Op::Add, Outcome::Done(Answer::Number(value + 1)), invoked);
            }
            Ok(line) => self.note(key, Op::Add, failure(&text(&line)), invoked),
            Err(why) => self.note(key, Op::Add, Outcome::Unknown(why), invoked),
        }
    }

    /// Makes a memcached counter that is not there. However often and late it comes, it adds nothing.
    fn add(&mut self, key: usize) {
        let name = &self.keys[key].name;
        let invoked = self.begin(format!("add {name} 0 0 1\r\n0\r\n").as_bytes());
        let outcome = match self.read(Conn::line) {
            Ok(line) if [&b"STORED"[..], b"NOT_STORED"].contains(&&line[..]) => return self.count(),
            Ok(line) => failure(&text(&line)),
            Err(why) => Outcome::Unknown(why),
        };
        self.note(key, Op::Get, outcome, invoked);
    }

    /// Connects if need be, and sends. Returns the time before.
    fn begin(&mut self, bytes: &[u8]) -> Instant {
        if self.conn.is_none() {
            let (doors, turn) = (&self.doors, &mut self.turn);
            self.conn = Some(wait_for("a proxy that lets clients in", DEADLINE, || {
                *turn += 1;
                Conn::try_open(&doors[*turn % doors.len()]).ok()
            }));
        }
        // Whoever checks must be able to tell this request's beginning from the last one's end.
        let mut now = Instant::now();
        while now <= self.last {
            now = Instant::now();
        }
        self.conn.as_mut().expect("it is connected").send(bytes);
        now
    }

    /// Reads something from the connection, and gives it up if that fails.
    ///
    /// # Panics
    /// When nothing comes: every request has to be answered.
    fn read(&mut self, read: impl FnOnce(&mut Conn) -> Result<Vec<u8>, String>) -> Result<Vec<u8>, String> {
        let Some(conn) = &mut self.conn else { return Err("the connection broke before".to_owned()) };
        let began = Instant::now();
        let got = read(conn);
        if let Err(why) = &got {
            assert!(began.elapsed() < DEADLINE, "client {} was left without an answer: {why}", self.id);
            self.conn = None;
        }
        got
    }

    fn note(&mut self, key: usize, op: Op, outcome: Outcome, invoked: Instant) {
        let returned = Instant::now();
        self.last = returned;
        self.events.push(Event { key, client: self.id, op, outcome, invoked, returned });
        self.count();
    }

    fn count(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }
}

/// The longest that any of these took.
pub fn slowest<'a>(events: impl Iterator<Item = &'a Event>) -> Duration {
    events.map(|event| event.returned - event.invoked).max().unwrap_or_default()
}

fn request(name: &str, op: &Op) -> Vec<u8> {
    match op {
        Op::Add => encode(&["INCR", name]),
        Op::Append(token) => encode(&["APPEND", name, token]),
        Op::SetOnce(token) => encode(&["SETNX", name, token]),
        Op::Set(value) => encode(&["SET", name, &value.to_string()]),
        Op::Get => encode(&["GET", name]),
    }
}

fn resp_outcome(op: &Op, frame: &[u8]) -> Outcome {
    let reply = Reply::parse(frame).unwrap_or_else(|why| panic!("{why}"));
    let answer = match (op, &reply) {
        (_, Reply::Error(words)) => return failure(words),
        (Op::Get, Reply::NullBulk) => Answer::Value(None),
        (Op::Get, Reply::Bulk(bytes)) => Answer::Value(text(bytes).parse().ok()),
        (Op::Set(_), Reply::Simple(_)) => Answer::Ok,
        (Op::Add | Op::Append(_) | Op::SetOnce(_), Reply::Int(number)) => Answer::Number(*number as u64),
        _ => panic!("no answer to {op:?}: {reply:?}"),
    };
    Outcome::Done(answer)
}

/// What an error line says of a request.
///
/// # Panics
/// On any that no trouble with nodes can bring about.
fn failure(line: &str) -> Outcome {
    let words = line.strip_prefix("SERVER_ERROR ").unwrap_or(line);
    match words {
        _ if words.contains("whether the command ran is unknown") => Outcome::Unknown(words.to_owned()),
        _ if words.starts_with("TRYAGAIN ") || words.starts_with("CLUSTERDOWN ") => Outcome::Refused(words.to_owned()),
        _ => panic!("an error that should not be: {line}"),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
