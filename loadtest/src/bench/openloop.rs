//! Open-loop load: requests leave at a constant rate whatever becomes of the earlier ones, as those of many users do.

use std::collections::VecDeque;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::args::Protocol;
use super::dialect::{Batch, Operation};
use super::driver::{STALL_MAX, is_retry, latency_histogram, open_stream, write_some};
use super::replies::{Counts, ReplyShape, Step, excerpt};
use super::stats::quantile_us;
use super::sys::{self, Epoll, Event, Ticker};
use crate::workload::{KeySource, Rng};

/// Requests under way on one connection; a server that is so far behind has failed the run.
pub const UNDER_WAY_MAX: usize = 100_000;

/// What to send, how often, and to whom: reads and writes in equal parts, in a random order.
pub struct OpenPlan {
    pub address: SocketAddr,
    pub protocol: Protocol,
    pub value_bytes: usize,
    pub connections: usize,
    /// Requests per second, evenly spaced.
    pub rate: u32,
    /// Must not end.
    pub keys: KeySource,
    pub seed: u64,
}

/// One request that was answered, rightly or not.
#[derive(Debug, Clone, Copy)]
pub struct Answered {
    /// When it should have left.
    pub due: Instant,
    /// From then to its whole reply.
    pub latency: Duration,
    /// Of it, what the load generator was late.
    pub late: Duration,
}

/// Everything that was asked for, in the order of the replies.
#[derive(Debug, Default)]
pub struct OpenOutcome {
    pub answered: Vec<Answered>,
    pub counts: Counts,
}

/// How long the requests of a window took, from their intended time.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Latencies {
    pub requests: u64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub worst_us: f64,
    /// The most that the load generator itself was late.
    pub generator_late_us: f64,
}

struct Asked {
    id: u64,
    operation: Operation,
    due: Instant,
    late: Duration,
}

struct Connection {
    stream: TcpStream,
    asked: VecDeque<Asked>,
    unsent: Vec<u8>,
    partial: Vec<u8>,
}

struct Load {
    epoll: Epoll,
    ticker: Ticker,
    connections: Vec<Connection>,
    reading: (Batch, ReplyShape),
    writing: (Batch, ReplyShape),
    keys: KeySource,
    mix: Rng,
    began: Instant,
    rate: u32,
    issued: u64,
    under_way: usize,
    received: Vec<u8>,
    outcome: OpenOutcome,
    progress_at: Instant,
}

/// Holds the rate for as long as `going_on` says so, which is asked at every wake-up; then waits for the last replies.
///
/// Errors as the closed loop does: a broken connection, a server that stalls, replies that cannot be told apart, an
/// interrupt. Misses, wrong values and error replies are counted.
pub fn hold(plan: OpenPlan, mut going_on: impl FnMut() -> bool) -> Result<OpenOutcome> {
    let mut load = Load::connect(plan)?;
    let mut events = Vec::with_capacity(load.connections.len() + 1);
    loop {
        let going_on = going_on();
        if going_on {
            load.issue_due()?;
        } else if load.under_way == 0 {
            return Ok(load.outcome);
        }
        load.turn(&mut events)?;
    }
}

impl OpenOutcome {
    /// What the requests due from `from` until `to` saw.
    pub fn window(&self, from: Instant, to: Instant) -> Latencies {
        let mut latency = latency_histogram();
        let mut late = Duration::ZERO;
        let mut worst = Duration::ZERO;
        for answered in self.answered.iter().filter(|answered| (from..to).contains(&answered.due)) {
            latency.saturating_record(answered.latency.as_nanos() as u64);
            worst = worst.max(answered.latency);
            late = late.max(answered.late);
        }
        Latencies {
            requests: latency.len(),
            p50_us: quantile_us(&latency, 0.5),
            p99_us: quantile_us(&latency, 0.99),
            p999_us: quantile_us(&latency, 0.999),
            worst_us: worst.as_secs_f64() * 1e6,
            generator_late_us: late.as_secs_f64() * 1e6,
        }
    }
}

impl Load {
    fn connect(plan: OpenPlan) -> Result<Load> {
        let epoll = Epoll::new(plan.connections + 1).context("cannot make an epoll set")?;
        let mut connections = Vec::with_capacity(plan.connections);
        for token in 0..plan.connections {
            let stream = open_stream(plan.address)
                .with_context(|| format!("cannot open connection {} to {}", token + 1, plan.address))?;
            epoll.add(&stream, token)?;
            connections.push(Connection { stream, asked: VecDeque::new(), unsent: Vec::new(), partial: Vec::new() });
        }
        let ticker = Ticker::every(Duration::from_secs(1) / plan.rate.max(1)).context("cannot make a timer")?;
        epoll.add(&ticker, plan.connections)?;
        let shapes = |operation: Operation| {
            let reply = operation.reply(plan.protocol, plan.value_bytes);
            (operation.request(plan.protocol, plan.value_bytes).batch(1), reply)
        };
        let (reading, writing) = (shapes(Operation::Get), shapes(Operation::Set));
        let room = reading.1.partial_bytes_max().max(writing.1.partial_bytes_max()) + RECEIVED_BYTES;
        Ok(Load {
            epoll,
            ticker,
            connections,
            reading,
            writing,
            keys: plan.keys,
            mix: Rng::new(plan.seed),
            began: Instant::now(),
            rate: plan.rate.max(1),
            issued: 0,
            under_way: 0,
            received: vec![0; room],
            outcome: OpenOutcome::default(),
            progress_at: Instant::now(),
        })
    }

    /// Sends every request whose time has come.
    fn issue_due(&mut self) -> Result<()> {
        let now = Instant::now();
        loop {
            let due = self.began + due_after(self.issued, self.rate);
            if due > now {
                return Ok(());
            }
            let token = (self.issued % self.connections.len() as u64) as usize;
            self.issued += 1;
            self.issue(token, due, now.saturating_duration_since(due))?;
        }
    }

    fn issue(&mut self, token: usize, due: Instant, late: Duration) -> Result<()> {
        let id = self.keys.draw().context("an open loop needs keys without end")?;
        let operation = if self.mix.below(2) == 0 { Operation::Get } else { Operation::Set };
        let batch = match operation {
            Operation::Get => &mut self.reading.0,
            Operation::Set => &mut self.writing.0,
        };
        batch.aim(0, id);
        let bytes = batch.first(1);
        let connection = &mut self.connections[token];
        if connection.asked.len() >= UNDER_WAY_MAX {
            bail!("a connection has {UNDER_WAY_MAX} requests without a reply");
        }
        if self.under_way == 0 {
            // Silence before anything was asked is no stall.
            self.progress_at = Instant::now();
        }
        connection.asked.push_back(Asked { id, operation, due, late });
        self.under_way += 1;
        let held = !connection.unsent.is_empty();
        let sent = if held { 0 } else { write_some(&mut connection.stream, bytes)? };
        if sent < bytes.len() {
            connection.unsent.extend_from_slice(&bytes[sent..]);
            if !held {
                self.epoll.watch(&connection.stream, token, true)?;
            }
        }
        Ok(())
    }

    /// Waits for the next request's time or a reply, and serves every connection that is ready.
    fn turn(&mut self, events: &mut Vec<Event>) -> Result<()> {
        sys::check_interrupt()?;
        self.epoll.wait(STALL_MAX, events).context("epoll failed")?;
        if self.under_way > 0 && self.progress_at.elapsed() > STALL_MAX {
            bail!("no reply for {} s with {} requests under way", STALL_MAX.as_secs(), self.under_way);
        }
        for event in events.iter() {
            if event.token == self.connections.len() {
                self.ticker.take();
                continue;
            }
            if event.writable {
                self.send_rest(event.token)?;
            }
            if event.readable {
                self.receive(event.token)?;
            }
        }
        Ok(())
    }

    fn receive(&mut self, token: usize) -> Result<()> {
        let connection = &mut self.connections[token];
        let carried = connection.partial.len();
        self.received[..carried].copy_from_slice(&connection.partial);
        let filled = match connection.stream.read(&mut self.received[carried..]) {
            Ok(0) => bail!("the server closed a connection after {} replies", self.outcome.counts.good),
            Ok(read) => carried + read,
            Err(error) if is_retry(&error) => return Ok(()),
            Err(error) => return Err(error).context("a connection broke"),
        };
        let now = Instant::now();
        let mut rest = &self.received[..filled];
        while let Some(Asked { id, operation, due, late }) = connection.asked.front() {
            let shape = match operation {
                Operation::Get => &self.reading.1,
                Operation::Set => &self.writing.1,
            };
            match shape.step(rest, *id, self.outcome.answered.len() as u64) {
                Step::Reply(reply, len) => {
                    self.outcome.counts.add(reply, &rest[..len]);
                    let latency = now.saturating_duration_since(*due);
                    self.outcome.answered.push(Answered { due: *due, latency, late: *late });
                    rest = &rest[len..];
                }
                Step::Partial => break,
                Step::Garbage => bail!("a reply is of no known shape: {}", excerpt(rest)),
            }
            connection.asked.pop_front();
            self.under_way -= 1;
            self.progress_at = now;
        }
        if connection.asked.is_empty() && !rest.is_empty() {
            bail!("more bytes arrived than were asked for: {}", excerpt(rest));
        }
        connection.partial.clear();
        connection.partial.extend_from_slice(rest);
        Ok(())
    }

    fn send_rest(&mut self, token: usize) -> Result<()> {
        let connection = &mut self.connections[token];
        let sent = write_some(&mut connection.stream, &connection.unsent)?;
        connection.unsent.drain(..sent);
        if connection.unsent.is_empty() {
            self.epoll.watch(&connection.stream, token, false)?;
        }
        Ok(())
    }
}

/// Bytes read at once beyond an unfinished reply.
const RECEIVED_BYTES: usize = 64 << 10;

/// When request number `nth`, from 0, is due, from the beginning.
fn due_after(nth: u64, rate: u32) -> Duration {
    let rate = u64::from(rate);
    Duration::from_secs(nth / rate) + Duration::from_nanos(nth % rate * 1_000_000_000 / rate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    /// Answers every request line by line with `+OK`; the connection's request with this number is held up first.
    fn fake(stall: (u64, Duration)) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || answer(&stream, stall));
            }
        });
        address
    }

    fn answer(stream: &TcpStream, (at, pause): (u64, Duration)) {
        let (mut lines, mut asked) = (BufReader::new(stream).lines(), 0);
        while let Some(Ok(line)) = lines.next() {
            let reply = match line.split(' ').next() {
                Some("get") => "END\r\n",
                Some("set") => {
                    lines.next();
                    "STORED\r\n"
                }
                other => panic!("{other:?}"),
            };
            if asked == at {
                std::thread::sleep(pause);
            }
            asked += 1;
            let mut stream = stream;
            if stream.write_all(reply.as_bytes()).is_err() {
                return;
            }
        }
    }

    fn plan(address: SocketAddr, connections: usize, rate: u32) -> OpenPlan {
        let keys = KeySource::uniform(100, 1);
        OpenPlan { address, protocol: Protocol::Memcached, value_bytes: 20, connections, rate, keys, seed: 3 }
    }

    #[test]
    fn requests_are_due_evenly_and_exactly() {
        assert_eq!(due_after(0, 10_000), Duration::ZERO);
        assert_eq!(due_after(1, 10_000), Duration::from_micros(100));
        assert_eq!(due_after(30_001, 10_000), Duration::from_micros(3_000_100));
        assert_eq!(due_after(7, 3), Duration::from_nanos(2_333_333_333));
    }

    #[test]
    fn those_behind_a_pause_count_from_when_they_were_due() {
        let (pause, at) = (Duration::from_millis(60), 20);
        let mut left = 600;
        let outcome = hold(plan(fake((at as u64, pause)), 1, 1_000), || {
            left -= 1;
            left > 0
        });
        let outcome = outcome.expect("a good run");
        let answered = &outcome.answered;
        assert!(answered.len() > 100, "{}", answered.len());
        let even = answered.windows(2).all(|pair| pair[1].due - pair[0].due == Duration::from_millis(1));
        assert!(even, "one a millisecond, whatever became of the others");
        // Nothing that came later was answered before the one that was held up.
        for (behind, request) in answered[at..at + 50].iter().enumerate() {
            let least = pause - Duration::from_millis(behind as u64);
            assert!(request.latency >= least, "{behind} behind: {request:?}");
        }
        let (first, last) = (answered[0].due, answered[answered.len() - 1].due);
        let all = outcome.window(first, last + Duration::from_millis(1));
        assert!(all.requests == answered.len() as u64 && all.worst_us >= 60_000.0, "{all:?}");
        let (reads, writes) = (outcome.counts.misses, outcome.counts.good);
        assert!(reads > 20 && writes > 20 && reads + writes == all.requests, "{:?}", outcome.counts);
        let none = outcome.window(first - Duration::from_secs(2), first);
        assert_eq!((none.requests, none.worst_us), (0, 0.0));
    }

    #[test]
    fn a_closed_connection_ends_the_run() {
        let mut left = 40;
        let outcome = hold(plan(fake((u64::MAX, Duration::ZERO)), 4, 2_000), || {
            left -= 1;
            left > 0
        });
        assert!(outcome.expect("a good run").counts.errors == 0);
        let closed = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = closed.local_addr().expect("bound");
        std::thread::spawn(move || closed.incoming().take(2).for_each(drop));
        let error = hold(plan(address, 2, 1_000), || true).expect_err("closed").to_string();
        assert!(error.contains("closed a connection") || error.contains("broke"), "{error}");
    }
}
