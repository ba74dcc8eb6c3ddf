//! Opening listening sockets: several to an address for this process, and none beside another process.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::config::Config;
use crate::config::layers::Origin;
use crate::config::values::Listen;

/// Connections that the kernel keeps for one socket until they are accepted.
pub const BACKLOG: i32 = 1024;

/// The sockets of one address, one for each worker.
#[derive(Debug)]
pub struct Group {
    /// Where they listen, the port chosen by the kernel included.
    pub address: SocketAddr,
    /// Non-blocking.
    pub sockets: Vec<TcpListener>,
}

/// What is listening; None where a listener is off or its default port was taken.
#[derive(Debug)]
pub struct Listeners {
    pub resp: Option<Group>,
    pub memcached: Option<Group>,
    pub http: Option<Group>,
    /// What a person should know although the process goes on, a sentence each: taken default ports.
    pub warnings: Vec<String>,
}

/// Where the listeners are, as shown to people and programs.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Addresses {
    pub resp: Option<SocketAddr>,
    pub memcached: Option<SocketAddr>,
    pub http: Option<SocketAddr>,
    /// The scaler's, once it listens: `unix:PATH` or `HOST:PORT`.
    pub link: Option<String>,
}

/// Why the process cannot start listening.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("cannot listen on {address}, which {origin} asks for: {why}")]
    Refused { address: SocketAddr, origin: Asked, why: Why },
    #[error("{}", .0.join("; "))]
    NothingLeft(Vec<String>),
}

/// Who asked for an address.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked(String);

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The kernel's reason, in a word where it is the usual one.
#[derive(Debug)]
pub struct Why(io::Error);

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.kind() {
            io::ErrorKind::AddrInUse => f.write_str("the port is taken"),
            io::ErrorKind::AddrNotAvailable => f.write_str("this machine has no such address"),
            io::ErrorKind::PermissionDenied => f.write_str("this user may not open that port"),
            _ => self.0.fmt(f),
        }
    }
}

impl Listeners {
    /// Opens every listener that is wanted: RESP and memcached with a socket for each worker, HTTP with one.
    ///
    /// # Errors
    /// An address that somebody asked for cannot be had, or a default one cannot for another reason than being taken,
    /// or nothing at all is left to listen on. Taken default ports are warnings otherwise.
    pub fn open(config: &Config) -> Result<Self, ListenError> {
        let mut warnings = Vec::new();
        let mut open = |field, listen, count| open(config, field, listen, count, &mut warnings);
        let resp = open("resp", config.resp, config.workers)?;
        let memcached = open("memcached", config.memcached, config.workers)?;
        let http = open("http", config.http, 1)?;
        if resp.is_none() && memcached.is_none() && http.is_none() {
            return Err(ListenError::NothingLeft(warnings));
        }
        Ok(Listeners { resp, memcached, http, warnings })
    }

    /// Opens the HTTP listener only, for a process without clients; it may be left without any.
    ///
    /// # Errors
    /// As [`Listeners::open`].
    pub fn open_http(config: &Config) -> Result<Self, ListenError> {
        let mut warnings = Vec::new();
        let http = open(config, "http", config.http, 1, &mut warnings)?;
        Ok(Listeners { resp: None, memcached: None, http, warnings })
    }

    /// Where everything listens.
    pub fn addresses(&self) -> Addresses {
        let address = |group: &Option<Group>| group.as_ref().map(|group| group.address);
        Addresses {
            resp: address(&self.resp),
            memcached: address(&self.memcached),
            http: address(&self.http),
            link: None,
        }
    }
}

/// None: it is off, or its default port is taken, which is a warning.
fn open(
    config: &Config,
    field: &'static str,
    listen: Listen,
    count: usize,
    warnings: &mut Vec<String>,
) -> Result<Option<Group>, ListenError> {
    let Some(address) = listen.address() else { return Ok(None) };
    match (Group::bind(address, count), config.origin(field)) {
        (Ok(group), _) => Ok(Some(group)),
        (Err(error), Origin::Default) if error.kind() == io::ErrorKind::AddrInUse => {
            warnings.push(format!("port {} is taken: pass --{field} ADDR or --{field} off", address.port()));
            Ok(None)
        }
        (Err(error), origin) => Err(ListenError::Refused { address, origin: asked(field, origin), why: Why(error) }),
    }
}

impl Group {
    /// Binds `count` (at least one) sockets to `address` and listens on all. With port 0 the first one gets a port from
    /// the kernel and the others share it.
    ///
    /// # Errors
    /// The kernel's own; `AddrInUse` when any other process listens there, another Swell included.
    pub fn bind(address: SocketAddr, count: usize) -> io::Result<Self> {
        // The first socket is bound without SO_REUSEPORT: were it set, a second Swell of the same user would quietly
        // get half of the connections. It is set right after, since the kernel asks it of all sockets that share a
        // port, and puts those into one group which have it by the time they listen.
        let first = socket(address)?;
        first.bind(&address.into())?;
        first.set_reuse_port(true)?;
        first.listen(BACKLOG)?;
        let first = TcpListener::from(first);
        let address = first.local_addr()?;
        let others = (1..count).map(|_| {
            let socket = socket(address)?;
            socket.set_reuse_port(true)?;
            socket.bind(&address.into())?;
            socket.listen(BACKLOG)?;
            Ok(TcpListener::from(socket))
        });
        let others: io::Result<Vec<_>> = others.collect();
        let mut sockets = vec![first];
        sockets.extend(others?);
        Ok(Group { address, sockets })
    }
}

fn asked(field: &str, origin: &Origin) -> Asked {
    Asked(match origin {
        Origin::Default => format!("the default of --{field}"),
        Origin::File(path) => format!("{field} in {}", path.display()),
        other => other.to_string(),
    })
}

/// A socket that may take a port over from connections which are still closing, as servers do that restart.
fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;
    use crate::testing::config;

    fn any_port() -> SocketAddr {
        "127.0.0.1:0".parse().expect("an address")
    }

    #[test]
    fn the_sockets_of_a_group_share_one_port_and_all_get_connections() {
        let group = Group::bind(any_port(), 4).expect("a port is free");
        assert_eq!(group.sockets.len(), 4);
        let ports: Vec<_> = group.sockets.iter().map(|socket| socket.local_addr().expect("it is bound")).collect();
        assert_eq!(ports, vec![group.address; 4]);
        assert_ne!(group.address.port(), 0);

        let clients: Vec<_> = (0..200).map(|_| TcpStream::connect(group.address).expect("it listens")).collect();
        let accepted = |socket: &TcpListener| std::iter::from_fn(|| socket.accept().ok()).count();
        let accepted: Vec<_> = group.sockets.iter().map(accepted).collect();
        assert_eq!(accepted.iter().sum::<usize>(), clients.len());
        assert!(accepted.iter().filter(|count| **count > 0).count() > 1, "{accepted:?}");
    }

    #[test]
    fn a_second_group_finds_the_port_taken_even_though_the_first_one_shares_it() {
        let first = Group::bind(any_port(), 3).expect("a port is free");
        let second = Group::bind(first.address, 3).expect_err("the port is taken");
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_port_that_somebody_asked_for_is_fatal_when_it_is_taken() {
        let taken = Group::bind(any_port(), 1).expect("a port is free").sockets.remove(0);
        let address = taken.local_addr().expect("it is bound").to_string();
        let config = config(&[("resp", address.as_str()), ("memcached", "off"), ("http", "127.0.0.1:0")]);
        let error = Listeners::open(&config).expect_err("the port is taken");
        assert_eq!(error.to_string(), format!("cannot listen on {address}, which --resp asks for: the port is taken"));
    }

    #[test]
    fn what_is_off_does_not_listen() {
        let config = config(&[("resp", "127.0.0.1:0"), ("memcached", "off"), ("http", "off")]);
        let listeners = Listeners::open(&config).expect("a port is free");
        let addresses = listeners.addresses();
        assert_eq!(listeners.resp.expect("it is on").sockets.len(), config.workers);
        assert_eq!((addresses.memcached, addresses.http), (None, None));
        assert_eq!(listeners.warnings, Vec::<String>::new());
    }

    #[test]
    fn a_taken_default_port_is_a_warning_that_names_the_flag() {
        let taken = Group::bind(any_port(), 1).expect("a port is free");
        let mut config = config(&[("resp", "127.0.0.1:0"), ("http", "off")]);
        // Nobody has said anything about it, so it counts as the default; the real one may be in use by others.
        config.memcached = Listen::At(taken.address);
        let listeners = Listeners::open(&config).expect("RESP is left");
        assert!(listeners.resp.is_some() && listeners.memcached.is_none());
        let port = taken.address.port();
        let expected = format!("port {port} is taken: pass --memcached ADDR or --memcached off");
        assert_eq!(listeners.warnings, [expected.as_str()]);

        config.resp = Listen::Off;
        let error = Listeners::open(&config).expect_err("nothing is left");
        assert_eq!(error.to_string(), expected);
    }
}
