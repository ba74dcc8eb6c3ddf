//! A link's socket with what is left over of frames: greets, reads whole frames, writes.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::link::frame::{self, BadFrame, Frame, Kind, PREFIX_BYTES};
use crate::link::hello::{Answer, Hello, Refused};
use crate::link::socket::{Address, Socket};

/// How long connecting and greeting may take together, at either end.
pub const GREETING_WAIT: Duration = Duration::from_secs(5);
/// How long a peer may take nothing of what is to be written before it is given up.
pub const STALL_WAIT: Duration = Duration::from_secs(5);
/// Longest greeting that is accepted.
const HELLO_BYTES_MAX: usize = 4096;
/// What a link reads at once.
const READ_BYTES: usize = 64 * 1024;

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Frame(#[from] BadFrame),
    #[error("a message that cannot be read: {0}")]
    Message(#[from] serde_json::Error),
    #[error("the other side refused: {0}")]
    Refused(Refused),
    #[error("the caller was refused: {0}")]
    Unwelcome(Refused),
    #[error("the other side did not answer within {0:?}")]
    Silent(Duration),
    #[error("the other side takes too little: more than {0} bytes wait")]
    Behind(usize),
    #[error("the other side has closed")]
    Closed,
}

/// A greeted link: its reading end, and its socket.
#[derive(Debug)]
pub struct Wire {
    writer: Writer,
    inbox: Vec<u8>,
    /// Bytes at the front of `inbox` that belong to the frame handed out last.
    taken: usize,
}

/// A link's writing end.
#[derive(Clone, Debug)]
pub struct Writer(Rc<Socket>);

impl Wire {
    /// For a socket whose greeting is over.
    pub fn new(socket: Socket) -> Wire {
        Wire { writer: Writer(Rc::new(socket)), inbox: Vec::new(), taken: 0 }
    }

    /// Its writing end: both may be used side by side.
    pub fn writer(&self) -> Writer {
        self.writer.clone()
    }

    /// Connects and greets.
    ///
    /// # Errors
    /// Nobody listens there, refuses, or does not answer within [`GREETING_WAIT`].
    pub async fn call(address: &Address, hello: &Hello) -> Result<Wire, LinkError> {
        timeout(GREETING_WAIT, greet(address, hello)).await.map_err(|_| LinkError::Silent(GREETING_WAIT))?
    }

    /// The next frame. May be dropped while it waits: nothing is lost.
    ///
    /// # Errors
    /// The link is lost, or what comes is no frame.
    pub async fn next(&mut self) -> Result<Frame<'_>, LinkError> {
        self.inbox.drain(..std::mem::take(&mut self.taken));
        while Frame::first(&self.inbox)?.is_none() {
            self.readable().await?;
            self.fill()?;
        }
        let frame = Frame::first(&self.inbox)?.ok_or(BadFrame::TooShort)?;
        self.taken = frame.bytes;
        Ok(frame)
    }

    /// Waits for the peer to close a link on which it says nothing.
    pub async fn closed(&mut self) -> LinkError {
        loop {
            self.inbox.clear();
            self.taken = 0;
            let read = match self.readable().await {
                Ok(()) => self.fill(),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = read {
                return error;
            }
        }
    }

    async fn readable(&self) -> io::Result<()> {
        poll_fn(|cx| self.writer.0.poll_read_ready(cx)).await
    }

    /// Reads what there is.
    fn fill(&mut self) -> Result<(), LinkError> {
        let had = self.inbox.len();
        self.inbox.resize(had + READ_BYTES, 0);
        let read = self.writer.0.try_read(&mut self.inbox[had..]);
        self.inbox.truncate(had + read.as_ref().copied().unwrap_or(0));
        match read {
            Ok(0) => Err(LinkError::Closed),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Writer {
    /// Writes all of it.
    ///
    /// # Errors
    /// The link is lost, or takes nothing for [`STALL_WAIT`].
    pub async fn write(&self, mut bytes: &[u8]) -> Result<(), LinkError> {
        while !bytes.is_empty() {
            let written = self.write_some(bytes).await?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Writes what fits, at least a byte.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub async fn write_some(&self, bytes: &[u8]) -> Result<usize, LinkError> {
        loop {
            let ready = poll_fn(|cx| self.0.poll_write_ready(cx));
            timeout(STALL_WAIT, ready).await.map_err(|_| LinkError::Silent(STALL_WAIT))??;
            match self.0.try_write(bytes) {
                Ok(0) => return Err(LinkError::Closed),
                Ok(written) => return Ok(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Reads the greeting of a peer that has called, and not a byte more: what follows is read by whoever gets the socket.
///
/// # Errors
/// The link is lost, or this is no greeting.
pub async fn read_hello(socket: &mut Socket) -> Result<Hello, LinkError> {
    Ok(serde_json::from_slice(&read_one(socket).await?)?)
}

/// Answers a greeting.
///
/// # Errors
/// The link is lost.
pub async fn answer(socket: &mut Socket, answer: &Answer) -> Result<(), LinkError> {
    let mut bytes = Vec::new();
    frame::json(Kind::Hello, answer, &mut bytes);
    Ok(socket.write_all(&bytes).await?)
}

async fn greet(address: &Address, hello: &Hello) -> Result<Wire, LinkError> {
    let mut socket = Socket::connect(address).await?;
    notice_death(&socket)?;
    let mut bytes = Vec::new();
    frame::json(Kind::Hello, hello, &mut bytes);
    socket.write_all(&bytes).await?;
    match serde_json::from_slice(&read_one(&mut socket).await?)? {
        Answer::Welcome { .. } => Ok(Wire::new(socket)),
        Answer::Refused { why } => Err(LinkError::Refused(why)),
    }
}

async fn read_one(socket: &mut Socket) -> Result<Vec<u8>, LinkError> {
    let mut prefix = [0; PREFIX_BYTES];
    socket.read_exact(&mut prefix).await?;
    let len = frame::wanted(&prefix).unwrap_or_default() - PREFIX_BYTES;
    if prefix[4] != Kind::Hello as u8 || len > HELLO_BYTES_MAX {
        return Err(BadFrame::OutOfPlace("this is no greeting").into());
    }
    let mut body = vec![0; len];
    socket.read_exact(&mut body).await?;
    Ok(body)
}

/// A host that vanished without a word is noticed: by what is unacknowledged, or by probes.
pub fn notice_death(socket: &Socket) -> io::Result<()> {
    let Socket::Tcp(stream) = socket else { return Ok(()) };
    let options = socket2::SockRef::from(stream);
    options.set_tcp_user_timeout(Some(STALL_WAIT))?;
    let probes = socket2::TcpKeepalive::new().with_time(Duration::from_secs(2)).with_interval(Duration::from_secs(1));
    options.set_tcp_keepalive(&probes)
}
