//! One blocking connection for what surrounds a load: is the server there, what is it, how many keys does it hold.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::types::OwnedFrame;

use super::args::Protocol;
use super::replies::excerpt;
use super::sys;

/// A control reply (INFO, stats) larger than this is refused.
const REPLY_BYTES_MAX: usize = 1 << 20;
/// How long one control request may take.
pub const REPLY_WAIT_MAX: Duration = Duration::from_secs(10);

/// A connection that sends one request at a time.
pub struct Client {
    stream: TcpStream,
    protocol: Protocol,
    received: Vec<u8>,
}

impl Client {
    pub fn connect(address: SocketAddr, protocol: Protocol) -> io::Result<Client> {
        let stream = TcpStream::connect_timeout(&address, REPLY_WAIT_MAX)?;
        // A loopback connection to a port where nobody listens can meet itself: TCP's simultaneous open.
        if stream.local_addr()? == address {
            return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
        }
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_WAIT_MAX))?;
        stream.set_write_timeout(Some(REPLY_WAIT_MAX))?;
        Ok(Client { stream, protocol, received: Vec::new() })
    }

    /// Limits how long this client waits for each read; the default is ten seconds.
    pub fn set_wait(&mut self, wait: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(wait.max(Duration::from_millis(1))))
    }

    /// The cheapest question there is: PING, or memcached's `version`. Errors unless it is answered rightly.
    pub fn ping(&mut self) -> Result<()> {
        match self.protocol {
            Protocol::Resp => match self.ask(&["PING"])? {
                OwnedFrame::SimpleString(text) if text == b"PONG" => Ok(()),
                other => bail!("PING was answered by {}", words(&other)),
            },
            Protocol::Memcached => self.memcached_version().map(drop),
        }
    }

    /// Name and version, as the server tells them.
    pub fn version(&mut self) -> Result<String> {
        if self.protocol == Protocol::Memcached {
            return self.memcached_version();
        }
        let info = match self.ask(&["INFO", "server"])? {
            OwnedFrame::BulkString(text) => String::from_utf8_lossy(&text).into_owned(),
            other => bail!("INFO was answered by {}", words(&other)),
        };
        let fields = ["swell_version", "valkey_version", "redis_version"];
        let found = fields.iter().find_map(|name| {
            let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            Some(format!("{} {}", name.trim_end_matches("_version"), value.trim()))
        });
        found.context("INFO names no version")
    }

    /// Empties a RESP server. Errors unless that is answered by OK.
    pub fn empty(&mut self) -> Result<()> {
        match self.ask(&["FLUSHALL"])? {
            OwnedFrame::SimpleString(text) if text == b"OK" => Ok(()),
            other => bail!("FLUSHALL was answered by {}", words(&other)),
        }
    }

    /// How many keys the server holds.
    pub fn keys(&mut self) -> Result<u64> {
        match self.protocol {
            Protocol::Resp => self.number(&["DBSIZE"]),
            Protocol::Memcached => {
                self.send(b"stats\r\n")?;
                let text = self.receive(|bytes| bytes.ends_with(b"END\r\n").then_some(bytes.len()))?;
                let text = String::from_utf8_lossy(&text);
                let items = text.lines().find_map(|line| line.strip_prefix("STAT curr_items "));
                items.and_then(|count| count.trim().parse().ok()).context("stats names no curr_items")
            }
        }
    }

    /// CONFIG SET of one parameter; RESP only.
    pub fn configure(&mut self, name: &str, value: &str) -> Result<()> {
        match self.ask(&["CONFIG", "SET", name, value])? {
            OwnedFrame::SimpleString(text) if text == b"OK" => Ok(()),
            other => bail!("CONFIG SET {name} {value} was answered by {}", words(&other)),
        }
    }

    /// The slot of a key; RESP only.
    pub fn slot_of(&mut self, key: &str) -> Result<u64> {
        self.number(&["CLUSTER", "KEYSLOT", key])
    }

    /// Adds one to a counter and says what it is then; RESP only.
    pub fn increment(&mut self, key: &str) -> Result<u64> {
        self.number(&["INCR", key])
    }

    /// Publishes to a channel and says how many got it; RESP only.
    pub fn publish(&mut self, channel: &str, message: &str) -> Result<u64> {
        self.number(&["PUBLISH", channel, message])
    }

    /// The connection itself, which never blocks from now on. Errors if something has arrived that nobody took.
    pub fn into_stream(self) -> Result<TcpStream> {
        if !self.received.is_empty() {
            bail!("more arrived than was asked for: {}", excerpt(&self.received));
        }
        self.stream.set_nonblocking(true)?;
        Ok(self.stream)
    }

    fn number(&mut self, argv: &[&str]) -> Result<u64> {
        match self.ask(argv)? {
            OwnedFrame::Integer(number) if number >= 0 => Ok(number as u64),
            other => bail!("{} was answered by {}", argv.join(" "), words(&other)),
        }
    }

    /// Sends bytes as they are; for loads that encode their own requests.
    pub fn send(&mut self, request: &[u8]) -> Result<()> {
        self.stream.write_all(request).context("cannot send a request")
    }

    /// Reads until `whole` finds that the bytes so far begin with a whole reply, says how long it is, and takes it.
    pub fn receive(&mut self, mut whole: impl FnMut(&[u8]) -> Option<usize>) -> Result<Vec<u8>> {
        loop {
            if let Some(len) = whole(&self.received) {
                return Ok(self.received.drain(..len).collect());
            }
            self.fill(REPLY_BYTES_MAX)?;
        }
    }

    /// The bytes that have arrived and are not taken yet.
    pub fn arrived(&self) -> &[u8] {
        &self.received
    }

    /// Drops the first `len` arrived bytes.
    pub fn take(&mut self, len: usize) {
        self.received.drain(..len);
    }

    /// Waits for more bytes. Errors when the server closes or keeps silent, or when `bytes_max` have arrived already.
    pub fn fill(&mut self, bytes_max: usize) -> Result<()> {
        if self.received.len() >= bytes_max {
            bail!("a reply has no end: {}", excerpt(&self.received));
        }
        sys::check_interrupt()?;
        let start = self.received.len();
        self.received.resize(start + FILL_BYTES, 0);
        let read = self.stream.read(&mut self.received[start..]);
        self.received.truncate(start + read.as_ref().map_or(0, |&read| read));
        match read {
            Ok(0) => bail!("the server closed the connection"),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                bail!("the server did not answer in time")
            }
            Err(error) => Err(error).context("cannot read a reply"),
        }
    }

    fn ask(&mut self, argv: &[&str]) -> Result<OwnedFrame> {
        let mut request = format!("*{}\r\n", argv.len());
        for argument in argv {
            request.push_str(&format!("${}\r\n{argument}\r\n", argument.len()));
        }
        self.send(request.as_bytes())?;
        loop {
            match decode(&self.received) {
                Ok(Some((frame, len))) => {
                    self.take(len);
                    return Ok(frame);
                }
                Ok(None) => self.fill(REPLY_BYTES_MAX)?,
                Err(_) => bail!("{} was answered by {}", argv[0], excerpt(&self.received)),
            }
        }
    }

    fn memcached_version(&mut self) -> Result<String> {
        self.send(b"version\r\n")?;
        let line = self.receive(|bytes| bytes.iter().position(|&byte| byte == b'\n').map(|end| end + 1))?;
        match std::str::from_utf8(&line).ok().and_then(|line| line.strip_prefix("VERSION ")) {
            Some(version) => Ok(format!("memcached {}", version.trim())),
            None => bail!("version was answered by {}", excerpt(&line)),
        }
    }
}

const FILL_BYTES: usize = 64 << 10;

/// A reply as a person would read it.
fn words(frame: &OwnedFrame) -> String {
    match frame {
        OwnedFrame::Error(text) => text.clone(),
        OwnedFrame::SimpleString(text) | OwnedFrame::BulkString(text) => excerpt(text),
        OwnedFrame::Integer(number) => number.to_string(),
        OwnedFrame::Null => "null".to_owned(),
        OwnedFrame::Array(items) => format!("an array of {}", items.len()),
    }
}
