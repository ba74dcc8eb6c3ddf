//! The load itself: one thread, many connections, requests at their time, every answer held against the model.
//!
//! Latency counts from the time at which a request should have left, so that a server that stands still is charged for
//! all who would have come meanwhile. A key belongs to one connection. A connection that breaks is opened again: what
//! had gone out has an unknown outcome, what had not gone out goes out then.

use std::collections::VecDeque;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::control::{Control, Orders, Pace};
use super::mix::{Choice, Kind, Mix, Op};
use super::model::{Model, Verdict, Written, slot_of};
use super::outbox::Outbox;
use super::record::Record;
use super::value::{Damage, Values, key, version_of};
use super::wire::{Answer, Step, append, step};
use crate::bench::args::Protocol;
use crate::bench::driver::{is_retry, write_some};
use crate::bench::replies::excerpt;
use crate::bench::sys::{self, Epoll, Event, Ticker};

/// Requests without a reply on one connection; what comes beyond that fails as an error of the client's.
pub const UNDER_WAY_MAX: usize = 100_000;
/// Bytes that wait for one connection to take them; what comes beyond that fails in the same way.
pub const UNSENT_BYTES_MAX: usize = 64 << 20;
/// A request that has no reply for so long breaks its connection, unless earlier ones were answered meanwhile.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// After the end of a load its last replies may take so long.
pub const LAST_REPLIES: Duration = Duration::from_secs(10);
/// Milliseconds by which a value may end early or late over RESP; memcached's clock has steps of a second.
pub const RESP_SLACK_MS: u32 = 100;
pub const MEMCACHED_SLACK_MS: u32 = 1_100;

/// The first and the longest pause before a connection is opened again.
const RECONNECT_FIRST: Duration = Duration::from_millis(10);
const RECONNECT_MAX: Duration = Duration::from_millis(500);
/// A connection must be accepted within this.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// The load looks at its orders and its clock at least so often.
const WAKE_EVERY: Duration = Duration::from_millis(5);
/// Wake-ups for constant arrivals come no closer than this.
const TICK_MIN: Duration = Duration::from_micros(50);
/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;
/// What it has counted is shown so often between the seconds.
const SHOW_EVERY: Duration = Duration::from_millis(200);

/// What stays the same during a load.
#[derive(Debug, Clone)]
pub struct Plan {
    pub address: SocketAddr,
    pub protocol: Protocol,
    pub connections: usize,
    pub sizes: Choice,
    pub lives: Choice,
    pub seed: u64,
}

struct Asked {
    op: Op,
    version: u32,
    due: Instant,
    sent_ms: u32,
    stage: usize,
    /// Where it begins and ends among all bytes of its connection.
    start: u64,
    end: u64,
}

/// One connection, which outlives its streams.
struct Line {
    stream: Option<TcpStream>,
    asked: VecDeque<Asked>,
    unsent: Outbox,
    /// Bytes given to the kernel, and bytes ever queued; the rest is `unsent`.
    sent: u64,
    queued: u64,
    received: Vec<u8>,
    watches_room: bool,
    retry_at: Instant,
    pause: Duration,
    /// The last time at which it was opened, or answered.
    alive_at: Instant,
}

struct Load {
    plan: Plan,
    control: Arc<Control>,
    orders: Orders,
    epoll: Epoll,
    ticker: Option<Ticker>,
    lines: Vec<Line>,
    mix: Mix,
    model: Model,
    values: Values,
    record: Record,
    versions: u32,
    began: Instant,
    next_due: Instant,
    under_way: usize,
    buffer: Vec<u8>,
}

/// Runs until the control says stop; then waits a little for the last replies. `began` is the zero of all times.
///
/// # Errors
/// The system has no epoll set or timer for it, or Ctrl-C. Whatever the server does is counted.
pub fn run(plan: Plan, control: Arc<Control>, began: Instant) -> Result<Record> {
    let mut load = Load::new(plan, control, began)?;
    let mut events = Vec::new();
    let (mut second_at, mut shown_at, mut stop_at) = (1.0, Instant::now(), None);
    loop {
        load.hear()?;
        let stopping = load.orders.stop;
        if stopping {
            let until = *stop_at.get_or_insert_with(|| Instant::now() + LAST_REPLIES);
            if load.under_way == 0 || Instant::now() > until {
                break;
            }
        } else {
            load.issue_due();
        }
        load.flush();
        load.turn(&mut events)?;
        let at_s = load.began.elapsed().as_secs_f64();
        if at_s >= second_at {
            second_at = at_s.floor() + 1.0;
            load.end_second(at_s);
        } else if shown_at.elapsed() > SHOW_EVERY {
            shown_at = Instant::now();
            load.show(None);
        }
    }
    load.give_up();
    let at_s = load.began.elapsed().as_secs_f64();
    load.end_second(at_s);
    Ok(load.record)
}

impl Load {
    fn new(plan: Plan, control: Arc<Control>, began: Instant) -> Result<Load> {
        let now = Instant::now();
        let slack_ms = match plan.protocol {
            Protocol::Resp => RESP_SLACK_MS,
            Protocol::Memcached => MEMCACHED_SLACK_MS,
        };
        let line = || Line {
            stream: None,
            asked: VecDeque::new(),
            unsent: Outbox::default(),
            sent: 0,
            queued: 0,
            received: Vec::new(),
            watches_room: false,
            retry_at: now,
            pause: RECONNECT_FIRST,
            alive_at: now,
        };
        let orders = Orders { pace: Pace::Rest, ..control.orders() };
        Ok(Load {
            epoll: Epoll::new(plan.connections + 1).context("cannot make an epoll set")?,
            ticker: None,
            lines: std::iter::repeat_with(line).take(plan.connections.max(1)).collect(),
            mix: Mix::new(plan.seed, plan.sizes.clone(), plan.lives.clone()),
            model: Model::new(slack_ms),
            values: Values::default(),
            record: Record::default(),
            versions: 0,
            next_due: now,
            under_way: 0,
            buffer: vec![0; READ_BYTES],
            orders,
            plan,
            control,
            began,
        })
    }

    /// Takes new orders, and opens connections whose time has come.
    fn hear(&mut self) -> Result<()> {
        sys::check_interrupt()?;
        let orders = self.control.orders();
        if orders.pace != self.orders.pace {
            self.ticker = None;
            if let Pace::Open(rate) = orders.pace {
                let period = Duration::from_secs_f64(1.0 / rate.max(0.1)).max(TICK_MIN);
                let ticker = Ticker::every(period).context("cannot make a timer")?;
                self.epoll.add(&ticker, self.lines.len())?;
                self.ticker = Some(ticker);
                self.next_due = Instant::now();
            }
        }
        self.orders = orders;
        for killed in self.control.take_killed() {
            self.model.kill(killed);
        }
        let now = Instant::now();
        for at in 0..self.lines.len() {
            if self.lines[at].stream.is_none() && now >= self.lines[at].retry_at {
                self.connect(at);
            }
            if self.lines[at].is_stuck(now) {
                self.break_line(at, "no reply in time");
            }
        }
        Ok(())
    }

    fn issue_due(&mut self) {
        let now = Instant::now();
        match self.orders.pace {
            Pace::Open(rate) => {
                let gap = Duration::from_secs_f64(1.0 / rate.max(0.1));
                while self.next_due <= now {
                    let due = self.next_due;
                    self.next_due += gap;
                    self.issue(due, now);
                }
            }
            Pace::Closed(many) => {
                while self.under_way < many {
                    self.issue(now, now);
                }
            }
            Pace::Rest => {}
        }
    }

    fn issue(&mut self, due: Instant, now: Instant) {
        let now_ms = self.ms(now);
        let op = self.mix.next(&self.orders.aim, u64::from(now_ms));
        let at = (op.id % self.lines.len() as u64) as usize;
        let line = &mut self.lines[at];
        if line.asked.len() >= UNDER_WAY_MAX || line.unsent.rest().len() >= UNSENT_BYTES_MAX {
            self.record.error("too many requests without a reply");
            return;
        }
        let version = match op.kind {
            Kind::Write { .. } => {
                self.versions += 1;
                self.versions
            }
            Kind::Read | Kind::Delete => 0,
        };
        let start = line.queued;
        let (protocol, values) = (self.plan.protocol, &self.values);
        line.queued += line.unsent.append(|out| append(protocol, &op, version, values, out)) as u64;
        let end = line.queued;
        line.asked.push_back(Asked { op, version, due, sent_ms: now_ms, stage: self.orders.stage, start, end });
        self.under_way += 1;
        self.record.left(now.saturating_duration_since(due));
    }

    /// Gives what is queued to the kernel.
    fn flush(&mut self) {
        for at in 0..self.lines.len() {
            if !self.lines[at].unsent.rest().is_empty() && !self.lines[at].watches_room {
                self.send(at);
            }
        }
    }

    fn send(&mut self, at: usize) {
        let line = &mut self.lines[at];
        let Some(stream) = &mut line.stream else { return };
        match write_some(stream, line.unsent.rest()) {
            Ok(sent) => {
                line.unsent.skip(sent);
                line.sent += sent as u64;
                let wants_room = !line.unsent.rest().is_empty();
                if wants_room != line.watches_room {
                    line.watches_room = wants_room;
                    // It cannot fail for a descriptor that is in the set.
                    let _ = self.epoll.watch(stream, at, wants_room);
                }
            }
            Err(error) => self.break_line(at, &format!("connection broke: {error:#}")),
        }
    }

    fn turn(&mut self, events: &mut Vec<Event>) -> Result<()> {
        self.epoll.wait(WAKE_EVERY, events).context("epoll failed")?;
        for event in events.iter() {
            if event.token == self.lines.len() {
                let _ticks = self.ticker.as_ref().map(Ticker::take);
                continue;
            }
            if event.writable {
                self.send(event.token);
            }
            if event.readable {
                self.receive(event.token);
            }
        }
        Ok(())
    }

    fn receive(&mut self, at: usize) {
        let line = &mut self.lines[at];
        let Some(stream) = &mut line.stream else { return };
        match stream.read(&mut self.buffer) {
            Ok(0) => self.break_line(at, "the server closed the connection"),
            Ok(read) => {
                line.received.extend_from_slice(&self.buffer[..read]);
                self.answers(at);
            }
            Err(error) if is_retry(&error) => {}
            Err(error) => self.break_line(at, &format!("connection broke: {error}")),
        }
    }

    /// Takes all whole replies.
    fn answers(&mut self, at: usize) {
        let now = Instant::now();
        let received = std::mem::take(&mut self.lines[at].received);
        let mut rest = received.as_slice();
        while !rest.is_empty() {
            let Some(asked) = self.lines[at].asked.front() else {
                self.record.error("more bytes than were asked for");
                return self.break_line(at, &format!("unasked: {}", excerpt(rest)));
            };
            match step(self.plan.protocol, &asked.op, rest) {
                Step::Reply(answer, length) => {
                    if let Some(asked) = self.lines[at].asked.pop_front() {
                        self.under_way -= 1;
                        self.lines[at].alive_at = now;
                        self.record.answered(asked.stage, now.saturating_duration_since(asked.due));
                        self.judge(&asked, &answer, rest, now);
                    }
                    rest = &rest[length..];
                }
                Step::Partial => break,
                Step::Garbage => {
                    self.record.error("a reply of no known shape");
                    return self.break_line(at, &format!("garbage: {}", excerpt(rest)));
                }
            }
        }
        let left = rest.len();
        let mut received = received;
        received.drain(..received.len() - left);
        self.lines[at].received = received;
        self.lines[at].pause = RECONNECT_FIRST;
    }

    fn judge(&mut self, asked: &Asked, answer: &Answer, bytes: &[u8], now: Instant) {
        let now_ms = self.ms(now);
        let tally = &mut self.record.tally;
        match asked.op.kind {
            Kind::Read => tally.reads += 1,
            Kind::Write { .. } => tally.writes += 1,
            Kind::Delete => tally.deletes += 1,
        }
        let got = match answer {
            Answer::Error(range) => return self.refused(asked, &bytes[range.clone()], now_ms),
            Answer::Done => return self.model.done(asked.op.id, written(asked, now_ms)),
            Answer::Nothing => None,
            Answer::Value(range) => Some(version_of(asked.op.id, &bytes[range.clone()])),
        };
        match self.model.judge(asked.op.id, got, asked.sent_ms, now_ms) {
            Verdict::Hit => self.record.tally.hits += 1,
            Verdict::Miss => self.record.tally.misses += 1,
            Verdict::LostByKill => self.record.tally.lost_by_kill += 1,
            Verdict::Wrong(wrong) => {
                let id = asked.op.id;
                self.record.wrong(wrong, || example(id, wrong.word(), got, asked.sent_ms, now_ms));
            }
        }
    }

    /// An error reply. A write may have been carried out all the same.
    fn refused(&mut self, asked: &Asked, text: &[u8], now_ms: u32) {
        if asked.op.kind != Kind::Read {
            self.model.doubt(asked.op.id, written(asked, now_ms));
        }
        let text = excerpt(text);
        let unknown = text.contains("is unknown");
        match (self.is_killed(asked, now_ms), unknown) {
            (true, true) => self.record.tally.unknown_by_kill += 1,
            (true, false) => self.record.tally.errors_by_kill += 1,
            (false, true) => self.record.tally.unknown_outcomes += 1,
            (false, false) => return self.record.error(&text),
        }
        self.record.note(&text);
    }

    /// Whether a failure of this request, now, is a kill's.
    fn is_killed(&mut self, asked: &Asked, now_ms: u32) -> bool {
        let since = self.model.kill_age_ms(slot_of(&key(asked.op.id)), now_ms);
        let last = &mut self.record.tally.kill_last_error_ms;
        *last = (*last).max(u64::from(since.unwrap_or(0)));
        since.is_some()
    }

    fn connect(&mut self, at: usize) {
        let stream = TcpStream::connect_timeout(&self.plan.address, CONNECT_MAX).and_then(|stream| {
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            self.epoll.add(&stream, at)?;
            Ok(stream)
        });
        let line = &mut self.lines[at];
        match stream {
            Ok(stream) => {
                line.stream = Some(stream);
                line.watches_room = false;
                line.alive_at = Instant::now();
            }
            Err(_) => line.back_off(),
        }
    }

    /// Closes a connection: what had gone out, also in part, has an unknown outcome.
    fn break_line(&mut self, at: usize, why: &str) {
        let now_ms = self.ms(Instant::now());
        self.record.tally.reconnects += 1;
        let line = &mut self.lines[at];
        line.stream = None;
        line.received.clear();
        line.back_off();
        let gone = line.asked.iter().take_while(|asked| asked.start < line.sent).count();
        let unknown: Vec<Asked> = line.asked.drain(..gone).collect();
        if let Some(last) = unknown.last() {
            // The rest of a request that had gone out in part must not be sent.
            let cut = last.end.saturating_sub(line.sent) as usize;
            line.unsent.skip(cut);
            line.sent = line.sent.max(last.end);
        }
        self.under_way -= unknown.len();
        for asked in unknown {
            self.unknown(&asked, now_ms);
        }
        self.record.note(why);
    }

    fn unknown(&mut self, asked: &Asked, now_ms: u32) {
        if asked.op.kind != Kind::Read {
            self.model.doubt(asked.op.id, written(asked, now_ms));
        }
        match self.is_killed(asked, now_ms) {
            true => self.record.tally.unknown_by_kill += 1,
            false => self.record.tally.unknown_outcomes += 1,
        }
    }

    /// At the end: whoever has no reply yet gets none.
    fn give_up(&mut self) {
        for at in 0..self.lines.len() {
            if !self.lines[at].asked.is_empty() {
                self.break_line(at, "no reply before the end");
            }
            for _ in 0..std::mem::take(&mut self.lines[at].asked).len() {
                self.under_way -= 1;
                self.record.error("no connection before the end");
            }
        }
    }

    fn end_second(&mut self, at_s: f64) {
        let second = self.record.end_second(at_s, self.mix.keys());
        self.show(Some(second));
    }

    fn show(&self, second: Option<super::record::Second>) {
        self.control.show(|done| {
            done.seconds.extend(second);
            done.tally.clone_from(&self.record.tally);
            (done.keys, done.under_way) = (self.mix.keys(), self.under_way);
            done.at_s = self.began.elapsed().as_secs_f64();
        });
    }

    /// Milliseconds of the run.
    fn ms(&self, at: Instant) -> u32 {
        at.saturating_duration_since(self.began).as_millis() as u32
    }
}

impl Line {
    /// What has gone out is not answered, and nothing else has been for as long. What has not gone out waits: it would be
    /// no younger on another connection.
    fn is_stuck(&self, now: Instant) -> bool {
        let oldest = self.asked.front().filter(|asked| asked.start < self.sent);
        oldest.is_some_and(|asked| now.saturating_duration_since(asked.due.max(self.alive_at)) > PATIENCE)
    }

    fn back_off(&mut self) {
        self.retry_at = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(RECONNECT_MAX);
    }
}

fn written(asked: &Asked, done_ms: u32) -> Written {
    let ttl_s = match asked.op.kind {
        Kind::Write { ttl_s, .. } => ttl_s,
        Kind::Read | Kind::Delete => 0,
    };
    Written { version: asked.version, sent_ms: asked.sent_ms, done_ms, ttl_s }
}

fn example(id: u64, wrong: &str, got: Option<Result<u32, Damage>>, sent_ms: u32, now_ms: u32) -> String {
    let key = String::from_utf8_lossy(&key(id)).into_owned();
    let got = match got {
        None => "nothing".to_owned(),
        Some(Ok(version)) => format!("write {version}"),
        Some(Err(Damage::Torn)) => "torn bytes".to_owned(),
        Some(Err(Damage::OtherKey)) => "another key's value".to_owned(),
    };
    format!("{wrong}: {key} read {got}, sent at {sent_ms} ms, answered at {now_ms} ms")
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
