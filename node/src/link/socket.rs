//! A link's socket: a Unix socket on one host, TCP between hosts. Both are used in the same way.

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// How long a TCP link may be silent before the system asks whether the other host is still there, ...
const PROBE_AFTER: Duration = Duration::from_secs(10);
/// ... again after so long, ...
const PROBE_INTERVAL: Duration = Duration::from_secs(3);
/// ... and how often without an answer until the link is lost: 19 seconds after a host has vanished.
const UNANSWERED_PROBES_MAX: u32 = 3;

/// Where a link server listens: `unix:PATH` or `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Unix(PathBuf),
    Tcp(String),
}

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no link address: write unix:PATH or HOST:PORT")]
pub struct BadAddress(String);

/// A connected socket. TCP without `Nagle` (links batch their writes themselves), and with keepalive: a host that has
/// vanished says no goodbye.
#[derive(Debug)]
pub enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// A listening socket. A Unix socket's file goes with it.
#[derive(Debug)]
pub enum Listener {
    Unix(UnixListener, PathBuf),
    Tcp(TcpListener),
}

impl Address {
    /// Whether only this host reaches it.
    pub fn is_local(&self) -> bool {
        matches!(self, Address::Unix(_))
    }
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Address, BadAddress> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Address::Unix(PathBuf::from(path)));
        }
        let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
        match port.and_then(|port| port.parse::<u16>().ok()) {
            Some(_) => Ok(Address::Tcp(text.to_owned())),
            None => Err(BadAddress(text.to_owned())),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Tcp(text) => f.write_str(text),
        }
    }
}

impl Socket {
    /// Connects.
    ///
    /// # Errors
    /// As the system says.
    pub async fn connect(address: &Address) -> io::Result<Socket> {
        match address {
            Address::Unix(path) => Ok(Socket::Unix(UnixStream::connect(path).await?)),
            Address::Tcp(text) => prepared(TcpStream::connect(text).await?),
        }
    }

    /// Reads what there is.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing; else the link is lost. 0 bytes: the peer has closed.
    #[inline]
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Unix(stream) => stream.try_read(buf),
            Socket::Tcp(stream) => stream.try_read(buf),
        }
    }

    /// Writes what fits.
    ///
    /// # Errors
    /// `WouldBlock` when nothing fits; else the link is lost.
    #[inline]
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Unix(stream) => stream.try_write(buf),
            Socket::Tcp(stream) => stream.try_write(buf),
        }
    }

    /// Ready when there may be something to read.
    #[inline]
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Unix(stream) => stream.poll_read_ready(cx),
            Socket::Tcp(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Ready when something may fit.
    #[inline]
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Unix(stream) => stream.poll_write_ready(cx),
            Socket::Tcp(stream) => stream.poll_write_ready(cx),
        }
    }

    /// Takes the socket off its runtime, to be given to another thread.
    ///
    /// # Errors
    /// As the system says.
    pub fn detach(self) -> io::Result<Detached> {
        match self {
            Socket::Unix(stream) => stream.into_std().map(Detached::Unix),
            Socket::Tcp(stream) => stream.into_std().map(Detached::Tcp),
        }
    }
}

/// A socket between two runtimes.
#[derive(Debug)]
pub enum Detached {
    Unix(std::os::unix::net::UnixStream),
    Tcp(std::net::TcpStream),
}

impl Detached {
    /// Puts it onto the runtime of this thread.
    ///
    /// # Errors
    /// As the system says.
    pub fn attach(self) -> io::Result<Socket> {
        match self {
            Detached::Unix(stream) => UnixStream::from_std(stream).map(Socket::Unix),
            Detached::Tcp(stream) => TcpStream::from_std(stream).map(Socket::Tcp),
        }
    }
}

impl Listener {
    /// Listens. A Unix socket is this user's alone. Its file is replaced where nobody listens at it any more; its folder
    /// must exist.
    ///
    /// # Errors
    /// As the system says; `AddrInUse` where somebody listens already.
    pub async fn bind(address: &Address) -> io::Result<Listener> {
        match address {
            Address::Unix(path) => {
                if path.exists() && UnixStream::connect(path).await.is_err() {
                    std::fs::remove_file(path)?;
                }
                let listener = Listener::Unix(UnixListener::bind(path)?, path.clone());
                // Whatever the umask: the socket stands in for a secret where there is none.
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
                Ok(listener)
            }
            Address::Tcp(text) => Ok(Listener::Tcp(TcpListener::bind(text).await?)),
        }
    }

    /// Where it listens: with the port that was chosen.
    pub fn address(&self) -> Address {
        match self {
            Listener::Unix(_, path) => Address::Unix(path.clone()),
            Listener::Tcp(listener) => {
                Address::Tcp(listener.local_addr().map(|address| address.to_string()).unwrap_or_default())
            }
        }
    }

    /// The next connection.
    ///
    /// # Errors
    /// As the system says; most pass.
    pub async fn accept(&self) -> io::Result<Socket> {
        match self {
            Listener::Unix(listener, _) => Ok(Socket::Unix(listener.accept().await?.0)),
            Listener::Tcp(listener) => prepared(listener.accept().await?.0),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix(_, path) = self {
            remove(path);
        }
    }
}

/// A TCP socket as links want it.
fn prepared(stream: TcpStream) -> io::Result<Socket> {
    stream.set_nodelay(true)?;
    let probes =
        TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_INTERVAL).with_retries(UNANSWERED_PROBES_MAX);
    let options = SockRef::from(&stream);
    options.set_tcp_keepalive(&probes)?;
    // There are no probes while something sent is not acknowledged.
    options.set_tcp_user_timeout(Some(PROBE_AFTER + PROBE_INTERVAL * UNANSWERED_PROBES_MAX))?;
    Ok(Socket::Tcp(stream))
}

/// Removes a socket's file; one that is gone already is no matter.
fn remove(path: &Path) {
    let _ = std::fs::remove_file(path);
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Socket::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Socket::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for text in ["unix:/run/swell/node.sock", "127.0.0.1:7000", "[::1]:7000", "node-1.example:7000"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for bad in ["", "unix:", "host", ":7000", "host:port", "host:70000"] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }
}
