//! The load loop: one thread, many non-blocking connections, each with one batch of requests under way.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;

use super::dialect::{Batch, RequestShape};
use super::replies::{Counts, ReplyShape, Step, excerpt};
use super::sys::{self, Epoll, Event};
use crate::workload::KeySource;

/// A server that answers nothing for so long has failed the run.
pub const STALL_MAX: Duration = Duration::from_secs(10);

/// The load loop looks at its stop condition at least this often.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// What to send, to whom, and for how long.
pub struct LoadPlan {
    pub address: SocketAddr,
    pub request: RequestShape,
    pub reply: ReplyShape,
    pub connections: usize,
    /// Requests sent at once on a connection; the next batch leaves when all of them are answered.
    pub pipeline: usize,
    pub keys: KeySource,
    /// Sent but not measured, first.
    pub warmup: Duration,
    pub stop: Stop,
    /// Poll for replies instead of sleeping until there are some.
    pub spin: bool,
}

/// When a run is over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Stop {
    After(Duration),
    Requests(u64),
    /// When the keys are used up; needs a source that ends.
    Exhausted,
}

/// What a run saw in its measured window.
#[derive(Debug)]
pub struct Outcome<T> {
    pub window: Duration,
    pub requests: u64,
    /// Nanoseconds from sending a batch to its last reply.
    pub latency: Histogram<u64>,
    /// Of the whole run, warm-up included: a wrong reply is wrong at any time.
    pub counts: Counts,
    /// CPU time of the load generator's own thread.
    pub loader_cpu: Duration,
    /// What the caller sampled at both ends of the window.
    pub before: T,
    pub after: T,
}

struct Connection {
    stream: TcpStream,
    /// Key numbers of the batch under way, in the order of the replies.
    asked: Vec<u64>,
    answered: usize,
    sent_at: Instant,
    /// What the socket did not take yet.
    unsent: Vec<u8>,
    /// The beginning of a reply whose end has not arrived.
    partial: Vec<u8>,
}

struct Driver {
    epoll: Epoll,
    connections: Vec<Connection>,
    batch: Batch,
    reply: ReplyShape,
    pipeline: usize,
    /// How long one wait for replies may take.
    wait: Duration,
    keys: KeySource,
    /// One buffer for what any connection reads: it stays in the cache.
    received: Vec<u8>,
    latency: Histogram<u64>,
    counts: Counts,
    completed: u64,
    /// Connections with a batch under way.
    busy: usize,
    issuing: bool,
    progress_at: Instant,
}

/// Runs a plan; `sample` is called when the measured window opens and when it closes.
///
/// Errors when a connection fails, when the server stalls for [`STALL_MAX`] or closes, when its replies cannot be told
/// apart any more, and on an interrupt. Misses, wrong values and error replies are counted, not errors.
pub fn drive<T>(plan: LoadPlan, mut sample: impl FnMut() -> Result<T>) -> Result<Outcome<T>> {
    let (warmup, stop) = (plan.warmup, plan.stop);
    let mut driver = Driver::connect(plan)?;
    driver.issue_all()?;
    let mut events = Vec::with_capacity(driver.connections.len());
    let started = Instant::now();
    while driver.busy > 0 && started.elapsed() < warmup {
        driver.turn(&mut events)?;
    }
    let base = driver.completed;
    driver.latency.reset();
    let before = sample()?;
    let (opened, loader_before) = (Instant::now(), sys::thread_cpu()?);
    while driver.busy > 0 && !stop.reached(opened, driver.completed - base) {
        driver.turn(&mut events)?;
    }
    let (window, loader_after) = (opened.elapsed(), sys::thread_cpu()?);
    let after = sample()?;
    let requests = driver.completed - base;
    let latency = driver.latency.clone();
    driver.issuing = false;
    while driver.busy > 0 {
        driver.turn(&mut events)?;
    }
    let loader_cpu = loader_after.saturating_sub(loader_before);
    Ok(Outcome { window, requests, latency, counts: driver.counts, loader_cpu, before, after })
}

/// An empty latency histogram: nanoseconds, three significant digits, up to ten minutes.
pub fn latency_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(100, 600_000_000_000, 3).expect("valid bounds")
}

impl Stop {
    fn reached(self, opened: Instant, requests: u64) -> bool {
        match self {
            Stop::After(duration) => opened.elapsed() >= duration,
            Stop::Requests(count) => requests >= count,
            Stop::Exhausted => false,
        }
    }
}

impl Driver {
    fn connect(plan: LoadPlan) -> Result<Driver> {
        let epoll = Epoll::new(plan.connections).context("cannot make an epoll set")?;
        let mut connections = Vec::with_capacity(plan.connections);
        for token in 0..plan.connections {
            let connection = Connection::open(plan.address)
                .with_context(|| format!("cannot open connection {} to {}", token + 1, plan.address))?;
            epoll.add(&connection.stream, token)?;
            connections.push(connection);
        }
        let room = plan.reply.partial_bytes_max() + (plan.reply.bytes() * plan.pipeline).clamp(16 << 10, 1 << 20);
        Ok(Driver {
            epoll,
            connections,
            batch: plan.request.batch(plan.pipeline),
            reply: plan.reply,
            pipeline: plan.pipeline,
            wait: if plan.spin { Duration::ZERO } else { WAIT_MAX },
            keys: plan.keys,
            received: vec![0; room],
            latency: latency_histogram(),
            counts: Counts::default(),
            completed: 0,
            busy: 0,
            issuing: true,
            progress_at: Instant::now(),
        })
    }

    fn issue_all(&mut self) -> Result<()> {
        for token in 0..self.connections.len() {
            self.busy += 1;
            self.issue(token, Instant::now())?;
        }
        Ok(())
    }

    /// Waits once and serves every connection that is ready.
    fn turn(&mut self, events: &mut Vec<Event>) -> Result<()> {
        sys::check_interrupt()?;
        self.epoll.wait(self.wait, events).context("epoll failed")?;
        if events.is_empty() && self.progress_at.elapsed() > STALL_MAX {
            bail!("no reply for {} s with {} batches under way", STALL_MAX.as_secs(), self.busy);
        }
        for event in events.iter() {
            if event.writable {
                self.send_rest(event.token)?;
            }
            if event.readable {
                self.receive(event.token)?;
            }
        }
        Ok(())
    }

    /// Reads what has arrived on a connection; when its batch is complete, sends the next one.
    fn receive(&mut self, token: usize) -> Result<()> {
        let connection = &mut self.connections[token];
        let carried = connection.partial.len();
        self.received[..carried].copy_from_slice(&connection.partial);
        let filled = match connection.stream.read(&mut self.received[carried..]) {
            Ok(0) => bail!("the server closed a connection after {} replies", self.counts.good),
            Ok(read) => carried + read,
            Err(error) if is_retry(&error) => return Ok(()),
            Err(error) => return Err(error).context("a connection broke"),
        };
        let mut rest = &self.received[..filled];
        while connection.answered < connection.asked.len() {
            let id = connection.asked[connection.answered];
            match self.reply.step(rest, id, self.completed + connection.answered as u64) {
                Step::Reply(reply, len) => {
                    self.counts.add(reply, &rest[..len]);
                    rest = &rest[len..];
                    connection.answered += 1;
                }
                Step::Partial => break,
                Step::Garbage => bail!("a reply is of no known shape: {}", excerpt(rest)),
            }
        }
        connection.partial.clear();
        if connection.answered < connection.asked.len() {
            connection.partial.extend_from_slice(rest);
            return Ok(());
        }
        if !rest.is_empty() {
            bail!("more bytes arrived than were asked for: {}", excerpt(rest));
        }
        let now = Instant::now();
        self.latency.saturating_record((now - connection.sent_at).as_nanos() as u64);
        self.completed += connection.asked.len() as u64;
        self.progress_at = now;
        self.issue(token, now)
    }

    /// Sends a connection's next batch, or counts the connection out when there is nothing more to send.
    fn issue(&mut self, token: usize, now: Instant) -> Result<()> {
        let connection = &mut self.connections[token];
        connection.asked.clear();
        connection.answered = 0;
        connection.sent_at = now;
        while self.issuing && connection.asked.len() < self.pipeline {
            let Some(id) = self.keys.draw() else { break };
            self.batch.aim(connection.asked.len(), id);
            connection.asked.push(id);
        }
        if connection.asked.is_empty() {
            self.busy -= 1;
            return Ok(());
        }
        let bytes = self.batch.first(connection.asked.len());
        let sent = write_some(&mut connection.stream, bytes)?;
        if sent < bytes.len() {
            connection.unsent.extend_from_slice(&bytes[sent..]);
            self.epoll.watch(&connection.stream, token, true)?;
        }
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

/// Connects a stream that never blocks and sends at once.
pub fn open_stream(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, STALL_MAX)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

impl Connection {
    fn open(address: SocketAddr) -> io::Result<Connection> {
        Ok(Connection {
            stream: open_stream(address)?,
            asked: Vec::new(),
            answered: 0,
            sent_at: Instant::now(),
            unsent: Vec::new(),
            partial: Vec::new(),
        })
    }
}

/// Writes what the socket takes now.
pub fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> Result<usize> {
    match stream.write(bytes) {
        Ok(sent) => Ok(sent),
        Err(error) if is_retry(&error) => Ok(0),
        Err(error) => Err(error).context("a connection broke"),
    }
}

/// Whether the same call may succeed later.
pub fn is_retry(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::args::Protocol;
    use crate::bench::dialect::Operation;
    use crate::workload::{fill_value, stamp_value};
    use std::net::TcpListener;

    const GET_BYTES: usize = 36;
    const VALUE_BYTES: usize = 50;

    /// A server that answers each GET with what `answer` makes of the key's number and its turn, `chunk` bytes a write.
    fn fake(chunk: usize, answer: impl Fn(u64, u64) -> Vec<u8> + Clone + Send + 'static) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let answer = answer.clone();
                std::thread::spawn(move || serve(stream, chunk, answer));
            }
        });
        address
    }

    fn serve(mut stream: TcpStream, chunk: usize, answer: impl Fn(u64, u64) -> Vec<u8>) {
        stream.set_nodelay(true).expect("a socket option");
        let mut request = [0; GET_BYTES];
        let mut turn = 0;
        while stream.read_exact(&mut request).is_ok() {
            let digits = std::str::from_utf8(&request[22..34]).expect("digits");
            for part in answer(digits.parse().expect("digits"), turn).chunks(chunk) {
                if stream.write_all(part).is_err() {
                    return;
                }
            }
            turn += 1;
        }
    }

    fn reply_of(id: u64) -> Vec<u8> {
        let mut value = vec![0; VALUE_BYTES];
        fill_value(&mut value);
        stamp_value(id, &mut value);
        [b"$50\r\n".as_slice(), &value, b"\r\n"].concat()
    }

    fn plan(address: SocketAddr, keys: KeySource, stop: Stop) -> LoadPlan {
        LoadPlan {
            address,
            request: Operation::Get.request(Protocol::Resp, VALUE_BYTES),
            reply: Operation::Get.reply(Protocol::Resp, VALUE_BYTES),
            connections: 3,
            pipeline: 4,
            keys,
            warmup: Duration::ZERO,
            stop,
            spin: false,
        }
    }

    #[test]
    fn a_sequential_load_asks_for_every_key_once_over_torn_replies() {
        let address = fake(7, |id, _| reply_of(id));
        let outcome = drive(plan(address, KeySource::sequential(101), Stop::Exhausted), || Ok(())).expect("a good run");
        assert_eq!((outcome.requests, outcome.counts.good, outcome.counts.bad()), (101, 101, 0));
        let batches = outcome.latency.len();
        assert!((26..=29).contains(&batches), "101 requests over three connections in fours: {batches} batches");
    }

    #[test]
    fn a_run_ends_after_its_requests_and_drains_what_is_under_way() {
        let address = fake(4_096, |id, _| reply_of(id));
        let mut samples = 0;
        let plan = plan(address, KeySource::uniform(1_000, 1), Stop::Requests(500));
        let count = || {
            samples += 1;
            Ok(())
        };
        let outcome = drive(plan, count).expect("a good run");
        assert!((500..512).contains(&outcome.requests), "{}", outcome.requests);
        assert!(outcome.counts.good >= outcome.requests && outcome.counts.bad() == 0);
        assert_eq!(samples, 2);
    }

    #[test]
    fn wrong_values_misses_and_errors_are_counted() {
        let address = fake(4_096, |id, _| match id % 10 {
            0 => reply_of(id + 1),
            1 => b"$-1\r\n".to_vec(),
            2 => b"-ERR no\r\n".to_vec(),
            _ => reply_of(id),
        });
        let outcome = drive(plan(address, KeySource::sequential(100), Stop::Exhausted), || Ok(())).expect("a run");
        let expected =
            Counts { good: 70, misses: 10, wrong: 10, errors: 10, first_error: Some("-ERR no\\r\\n".to_owned()) };
        assert_eq!(outcome.counts, expected);
    }

    #[test]
    fn garbage_and_surplus_and_a_closed_connection_end_the_run() {
        let failure = |answer: fn(u64, u64) -> Vec<u8>| {
            let plan = plan(fake(4_096, answer), KeySource::uniform(100, 1), Stop::Requests(1_000));
            drive(plan, || Ok(())).expect_err("a bad server").to_string()
        };
        assert!(failure(|_, _| b"hello\r\n".to_vec()).contains("no known shape: hello"));
        assert!(
            failure(|id, turn| if turn == 3 { [reply_of(id), reply_of(id)].concat() } else { reply_of(id) })
                .contains("more bytes arrived")
        );
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        std::thread::spawn(move || listener.incoming().take(3).for_each(drop));
        let closed = drive(plan(address, KeySource::uniform(100, 1), Stop::Requests(1_000)), || Ok(()));
        let error = closed.expect_err("closed").to_string();
        assert!(error.contains("closed a connection") || error.contains("broke"), "{error}");
    }
}
