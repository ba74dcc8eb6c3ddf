//! Clients that listen to one channel while a load publishes to it, on a thread of their own.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::args::Protocol;
use super::client::Client;
use super::driver::{STALL_MAX, is_retry};
use super::sys::Epoll;

/// The listening thread looks at what it was told at least this often.
const WAIT_MAX: Duration = Duration::from_millis(20);
/// Bytes that one read takes.
const READ_BYTES: usize = 256 << 10;
/// What [`Subscribers::close`] publishes, to hear how many are left.
const LAST: &str = "the last message";

/// Subscribers of one channel. None of them may miss a message, and none may get one twice.
pub struct Subscribers {
    /// None where nobody listens.
    listening: Option<Listening>,
}

struct Listening {
    address: SocketAddr,
    channel: String,
    clients: usize,
    /// How many messages each must have got in the end; 0 until that is known.
    expected: Arc<AtomicU64>,
    thread: JoinHandle<Result<()>>,
}

struct Subscriber {
    stream: TcpStream,
    /// That have arrived: [`LINES`] for each message.
    lines: u64,
}

/// Lines of one message over RESP2: the array's, and two for each of `message`, the channel and the payload.
const LINES: u64 = 7;

impl Subscribers {
    /// Subscribes `clients` connections, none at all if that is 0, and waits until all are.
    ///
    /// # Errors
    /// A connection cannot be opened, or SUBSCRIBE is not answered.
    pub fn open(address: SocketAddr, channel: &str, clients: usize) -> Result<Subscribers> {
        if clients == 0 {
            return Ok(Subscribers { listening: None });
        }
        let epoll = Epoll::new(clients).context("cannot make an epoll set")?;
        let subscribers = (0..clients).map(|token| subscribe(address, channel, &epoll, token));
        let subscribers = subscribers.collect::<Result<Vec<_>>>().context("cannot subscribe")?;
        let expected = Arc::new(AtomicU64::new(0));
        let thread = std::thread::Builder::new().name("subscribers".to_owned()).spawn({
            let expected = Arc::clone(&expected);
            move || listen(epoll, subscribers, &expected)
        })?;
        let channel = channel.to_owned();
        Ok(Subscribers { listening: Some(Listening { address, channel, clients, expected, thread }) })
    }

    /// Waits until every subscriber has got `messages` messages, and not one more.
    ///
    /// # Errors
    /// A message is missing for [`STALL_MAX`], one came twice, or a connection broke.
    pub fn close(self, messages: u64) -> Result<()> {
        let Some(Listening { address, channel, clients, expected, thread }) = self.listening else { return Ok(()) };
        let mut client = Client::connect(address, Protocol::Resp)?;
        let receivers = client.publish(&channel, LAST)?;
        if receivers != clients as u64 {
            bail!("{receivers} of {clients} subscribers are left");
        }
        expected.store(messages + 1, Ordering::Release);
        thread.join().map_err(|_| anyhow!("the subscribers' thread has panicked"))?
    }
}

fn subscribe(address: SocketAddr, channel: &str, epoll: &Epoll, token: usize) -> Result<Subscriber> {
    let mut client = Client::connect(address, Protocol::Resp)?;
    client.send(format!("*2\r\n$9\r\nSUBSCRIBE\r\n${}\r\n{channel}\r\n", channel.len()).as_bytes())?;
    let confirmed = format!("*3\r\n$9\r\nsubscribe\r\n${}\r\n{channel}\r\n:1\r\n", channel.len());
    let answer = client.receive(|bytes| (bytes.len() >= confirmed.len()).then_some(confirmed.len()))?;
    if answer != confirmed.as_bytes() {
        bail!("SUBSCRIBE was answered by {}", super::replies::excerpt(&answer));
    }
    let stream = client.into_stream()?;
    epoll.add(&stream, token)?;
    Ok(Subscriber { stream, lines: 0 })
}

/// Reads what arrives until each has as much as is expected.
fn listen(mut epoll: Epoll, mut subscribers: Vec<Subscriber>, expected: &AtomicU64) -> Result<()> {
    let (mut events, mut bytes) = (Vec::with_capacity(subscribers.len()), vec![0; READ_BYTES]);
    let mut moved_at = Instant::now();
    loop {
        let lines = expected.load(Ordering::Acquire) * LINES;
        if lines > 0 && subscribers.iter().all(|subscriber| subscriber.lines == lines) {
            return Ok(());
        }
        if lines > 0 && subscribers.iter().any(|subscriber| subscriber.lines > lines) {
            bail!("a subscriber got a message twice");
        }
        if lines > 0 && moved_at.elapsed() > STALL_MAX {
            bail!("a subscriber has missed messages");
        }
        epoll.wait(WAIT_MAX, &mut events).context("epoll failed")?;
        for event in &events {
            moved_at = Instant::now();
            subscribers[event.token].read(&mut bytes)?;
        }
    }
}

impl Subscriber {
    fn read(&mut self, bytes: &mut [u8]) -> Result<()> {
        match self.stream.read(bytes) {
            Ok(0) => bail!("the server closed a subscriber's connection"),
            Ok(read) => {
                self.lines += bytes[..read].iter().filter(|&&byte| byte == b'\n').count() as u64;
                Ok(())
            }
            Err(error) if is_retry(&error) => Ok(()),
            Err(error) => Err(error).context("a subscriber's connection broke"),
        }
    }
}
