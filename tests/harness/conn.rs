//! A raw connection: bytes out, replies or lines in, torn reads put together, with a deadline on every wait.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::{DEADLINE, Reply, frame_len};

/// Bytes asked of the socket at once.
const READ_LEN: usize = 64 * 1024;

/// One client connection, RESP or memcached.
pub struct Conn {
    stream: TcpStream,
    got: Vec<u8>,
    piece: Box<[u8]>,
    /// What the socket waits for bytes at most.
    patience: Duration,
}

/// What listening came to.
pub enum Heard {
    Reply(Reply),
    /// Nothing that is whole, in time.
    Nothing,
    Closed,
}

impl Conn {
    /// Connects to `addr` ("host:port").
    ///
    /// # Panics
    /// When nobody answers there.
    pub fn open(addr: &str) -> Conn {
        Conn::try_open(addr).unwrap_or_else(|why| panic!("cannot connect to {addr}: {why}"))
    }

    /// As [`Conn::open`].
    ///
    /// # Errors
    /// Nobody answers there.
    pub fn try_open(addr: &str) -> io::Result<Conn> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        Ok(Conn { stream, got: Vec::new(), piece: vec![0; READ_LEN].into(), patience: DEADLINE })
    }

    /// Sends bytes as they are. A peer that has closed already is not an error here: the next read will say so.
    pub fn send(&mut self, bytes: &[u8]) {
        match self.stream.write_all(bytes) {
            Err(why) if !matches!(why.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
                panic!("cannot send {} bytes: {why}", bytes.len())
            }
            _ => {}
        }
    }

    /// Sends one request and reads its reply.
    pub fn cmd(&mut self, words: &[&str]) -> Reply {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.cmd_bytes(&words)
    }

    /// As [`Conn::cmd`], with arguments that need not be text.
    pub fn cmd_bytes(&mut self, words: &[impl AsRef<[u8]>]) -> Reply {
        self.send(&encode(words));
        self.reply()
    }

    /// Reads one reply.
    ///
    /// # Panics
    /// When none comes in time, the connection ends, or it is malformed.
    pub fn reply(&mut self) -> Reply {
        let frame = self.frame().unwrap_or_else(|why| panic!("{why}"));
        Reply::parse(&frame).unwrap_or_else(|why| panic!("{why}"))
    }

    /// Reads one reply's bytes.
    ///
    /// # Errors
    /// Says why there is none.
    pub fn frame(&mut self) -> Result<Vec<u8>, String> {
        loop {
            if let Some(length) = frame_len(&self.got)? {
                return Ok(self.got.drain(..length).collect());
            }
            self.fill()?;
        }
    }

    /// Listens for a reply; without any time it only looks at what has arrived.
    ///
    /// # Errors
    /// Says what is malformed.
    pub fn hear(&mut self, limit: Duration) -> Result<Heard, String> {
        let until = Instant::now() + limit;
        loop {
            if let Some(length) = frame_len(&self.got)? {
                let frame: Vec<u8> = self.got.drain(..length).collect();
                return Reply::parse(&frame).map(Heard::Reply);
            }
            match self.read_until(until, limit.is_zero()) {
                Ok(0) if self.got.is_empty() => return Ok(Heard::Closed),
                Ok(0) => return Err(format!("the connection was closed after {:?}", super::escape(&self.got))),
                Ok(_) => {}
                Err(why) if why.kind() == io::ErrorKind::ConnectionReset => return Ok(Heard::Closed),
                Err(why) if [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut].contains(&why.kind()) => {
                    return Ok(Heard::Nothing);
                }
                Err(why) => return Err(format!("no reply: {why}")),
            }
        }
    }

    /// Ends the connection without the farewell that would keep its port for a minute.
    ///
    /// # Panics
    /// When the system does not know how.
    pub fn abort(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("a socket can be told to reset");
    }

    /// Reads up to and without the next CRLF, for memcached.
    ///
    /// # Errors
    /// Says why there is none.
    pub fn line(&mut self) -> Result<Vec<u8>, String> {
        loop {
            if let Some(end) = self.got.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.got[..end].to_vec();
                self.got.drain(..end + 2);
                return Ok(line);
            }
            self.fill()?;
        }
    }

    /// Reads until the peer closes; what came before is returned.
    ///
    /// # Errors
    /// When the connection stays open.
    pub fn until_closed(&mut self) -> Result<Vec<u8>, String> {
        loop {
            match self.read_until(Instant::now() + DEADLINE, false) {
                Ok(0) => return Ok(std::mem::take(&mut self.got)),
                Ok(_) => {}
                Err(why) if why.kind() == io::ErrorKind::ConnectionReset => return Ok(std::mem::take(&mut self.got)),
                Err(why) => return Err(format!("the connection was not closed: {why}")),
            }
        }
    }

    /// Says that nothing more will be sent; replies still arrive.
    pub fn finish_sending(&mut self) {
        // The peer may be gone already; then there is nothing left to say to it.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    fn fill(&mut self) -> Result<(), String> {
        match self.read_until(Instant::now() + DEADLINE, false) {
            Ok(0) => Err(format!("the connection was closed after {:?}", super::escape(&self.got))),
            Ok(_) => Ok(()),
            Err(why) => Err(format!("no reply: {why}; so far {:?}", super::escape(&self.got))),
        }
    }

    fn read_until(&mut self, until: Instant, only_look: bool) -> io::Result<usize> {
        if only_look {
            self.stream.set_nonblocking(true)?;
            let read = self.read_some();
            self.stream.set_nonblocking(false)?;
            return read;
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // Setting it anew for each read would double the calls to the system.
        if self.patience > left + left / 8 || self.patience < left / 2 {
            self.patience = left;
            self.stream.set_read_timeout(Some(left))?;
        }
        self.read_some()
    }

    fn read_some(&mut self) -> io::Result<usize> {
        let length = self.stream.read(&mut self.piece)?;
        self.got.extend_from_slice(&self.piece[..length]);
        Ok(length)
    }
}

/// A request as an array of bulk strings.
pub fn encode(words: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
