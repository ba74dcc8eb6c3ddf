//! A link to a running scaler: says hello as a person's command, asks, and hears the answers.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use swell_node::control::{Account, Answer, Ask, FromMember, Join, Progress, Role, ToMember, Welcome};
use swell_node::link::frame::{self, BadFrame, Frame, Kind};
use swell_node::link::hello::{self, Hello, Purpose, Refused};
use swell_node::link::socket::Address;

use crate::client::reachable;

/// Time to connect, and to wait for what should come at once.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// How long the ledger may take to store a charge.
const CHARGE_WAIT: Duration = Duration::from_millis(600);
/// Bytes that are read at a time.
const READ_BYTES: usize = 16 * 1024;

/// A link on which one question at a time is asked.
#[derive(Debug)]
pub struct Asking {
    link: Link,
    asked: u64,
    welcome: Box<Welcome>,
}

#[derive(Debug)]
struct Link {
    address: Address,
    stream: Stream,
    received: Vec<u8>,
}

#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// Why there is no answer, for a person.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("no Swell answers at {0}: {1}")]
    Unreachable(Address, Why),
    #[error("{0} broke off: {1}")]
    BrokenOff(Address, Why),
    #[error("{0} does not speak Swell's link protocol")]
    NotALink(Address),
    #[error("{0} wants the cluster secret: set SWELL_TOKEN or pass --token")]
    Secret(Address),
    #[error("{0} refuses: {1}")]
    NotWelcome(Address, String),
    #[error("{0}")]
    Refused(String),
}

/// The system's reason, in words where it is a usual one.
#[derive(Debug)]
pub struct Why(io::Error);

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.kind() {
            io::ErrorKind::NotFound => f.write_str("there is no such socket"),
            io::ErrorKind::ConnectionRefused => f.write_str("nobody listens there"),
            io::ErrorKind::PermissionDenied => f.write_str("this user may not use that socket"),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => write!(f, "nothing came for {PATIENCE:?}"),
            io::ErrorKind::UnexpectedEof => f.write_str("the link was closed"),
            _ => self.0.fmt(f),
        }
    }
}

impl Asking {
    /// Connects, says hello and joins as a person's command.
    ///
    /// # Errors
    /// Nobody listens there, or it refuses.
    pub fn begin(address: &Address, secret: &str) -> Result<Asking, AskError> {
        let stream = Stream::connect(address).map_err(|why| AskError::Unreachable(address.clone(), Why(why)))?;
        let mut link = Link { address: address.clone(), stream, received: Vec::new() };
        link.send(Kind::Hello, &Hello::new(Purpose::Control, secret, None))?;
        match link.receive(Kind::Hello)? {
            hello::Answer::Welcome { .. } => {}
            hello::Answer::Refused { why: Refused::Secret } => return Err(AskError::Secret(link.address)),
            hello::Answer::Refused { why } => return Err(AskError::NotWelcome(link.address, why.to_string())),
        }
        link.send(Kind::Control, &FromMember::Join(person()))?;
        loop {
            match link.receive(Kind::Control)? {
                ToMember::Welcome(welcome) => return Ok(Asking { link, asked: 0, welcome }),
                ToMember::Refused { why } => return Err(AskError::NotWelcome(link.address, why)),
                // Maps and states may be pushed at any time.
                _ => {}
            }
        }
    }

    /// What the scaler said of its cache when the link began. Ends the link.
    pub fn into_welcome(self) -> Welcome {
        *self.welcome
    }

    /// Asks, and waits for the last answer.
    ///
    /// # Errors
    /// The link breaks off, or the scaler refuses: then in its words.
    pub fn ask(&mut self, ask: Ask) -> Result<Answer, AskError> {
        self.follow(ask, |_| {})
    }

    /// Asks for something that takes its time, and passes on how far it is. Waits for as long as the link holds.
    ///
    /// # Errors
    /// As [`Asking::ask`].
    pub fn follow(&mut self, ask: Ask, mut each: impl FnMut(&Progress)) -> Result<Answer, AskError> {
        let takes_time = matches!(ask, Ask::Move { .. } | Ask::Drain { .. });
        let patience = (!takes_time).then_some(PATIENCE);
        self.link.stream.wait_at_most(patience).map_err(|why| self.link.broken_off(why))?;
        self.asked += 1;
        self.link.send(Kind::Control, &FromMember::Ask { id: self.asked, ask })?;
        loop {
            match self.link.receive(Kind::Control)? {
                ToMember::Answer { id, answer } if id == self.asked => match answer {
                    Answer::Progress(progress) => each(&progress),
                    Answer::Refused { why } => return Err(AskError::Refused(why)),
                    answer => return Ok(answer),
                },
                _ => {}
            }
        }
    }

    /// Tells what a proxy has charged, and waits until it is in the ledger.
    ///
    /// # Errors
    /// The link breaks off, or nobody keeps a ledger there.
    pub fn charge(&mut self, charged: Account) -> Result<(), AskError> {
        let (boot, sequence) = (charged.boot.clone(), charged.sequence);
        self.link.stream.wait_at_most(Some(CHARGE_WAIT)).map_err(|why| self.link.broken_off(why))?;
        self.link.send(Kind::Control, &FromMember::Account(Box::new(charged)))?;
        let ack = ToMember::AccountStored { boot, sequence };
        while self.link.receive::<ToMember>(Kind::Control)? != ack {}
        Ok(())
    }

    /// What to say when an answer is none to what was asked.
    pub fn confused(&self) -> AskError {
        AskError::NotALink(self.link.address.clone())
    }
}

impl Link {
    fn send(&mut self, kind: Kind, message: &impl serde::Serialize) -> Result<(), AskError> {
        let mut bytes = Vec::new();
        frame::json(kind, message, &mut bytes);
        self.stream.write_all(&bytes).map_err(|why| self.broken_off(why))
    }

    /// The next frame, which must be of this kind.
    fn receive<M: serde::de::DeserializeOwned>(&mut self, kind: Kind) -> Result<M, AskError> {
        loop {
            let not_a_link = |_: BadFrame| AskError::NotALink(self.address.clone());
            if let Some(frame) = Frame::first(&self.received).map_err(not_a_link)? {
                let message = (frame.kind == kind).then(|| serde_json::from_slice(frame.rest).ok()).flatten();
                let used = frame.bytes;
                self.received.drain(..used);
                return message.ok_or_else(|| AskError::NotALink(self.address.clone()));
            }
            let mut piece = [0; READ_BYTES];
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(self.broken_off(io::ErrorKind::UnexpectedEof.into())),
                Ok(bytes) => self.received.extend_from_slice(&piece[..bytes]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken_off(error)),
            }
        }
    }

    fn broken_off(&self, why: io::Error) -> AskError {
        AskError::BrokenOff(self.address.clone(), Why(why))
    }
}

impl Stream {
    fn connect(address: &Address) -> io::Result<Stream> {
        let stream = match address {
            Address::Unix(path) => Stream::Unix(UnixStream::connect(path)?),
            Address::Tcp(text) => {
                let mut last = io::ErrorKind::NotFound.into();
                let connected = text.to_socket_addrs()?.find_map(|to| {
                    TcpStream::connect_timeout(&reachable(to), PATIENCE).map_err(|error| last = error).ok()
                });
                let stream = connected.ok_or(last)?;
                stream.set_nodelay(true)?;
                Stream::Tcp(stream)
            }
        };
        stream.wait_at_most(Some(PATIENCE))?;
        Ok(stream)
    }

    fn wait_at_most(&self, time: Option<Duration>) -> io::Result<()> {
        match self {
            Stream::Unix(stream) => stream.set_read_timeout(time),
            Stream::Tcp(stream) => stream.set_read_timeout(time),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.read(buffer),
            Stream::Tcp(stream) => stream.read(buffer),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Unix(stream) => stream.write_all(bytes),
            Stream::Tcp(stream) => stream.write_all(bytes),
        }
    }
}

fn person() -> Join {
    let pid = std::process::id();
    Join { role: Role::Person, advertise: String::new(), zone: String::new(), pid, boot: String::new(), id: None }
}
