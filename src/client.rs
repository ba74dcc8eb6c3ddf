//! A small HTTP client for asking a running Swell, as `swell bill` and `swell health` do.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::http::doors;

/// Longest reply that is read, in bytes.
pub const REPLY_BYTES_MAX: u64 = 16 << 20;
/// Time to connect, and to wait for each piece of the reply.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// A page as it came.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    pub status: u16,
    pub body: String,
}

/// Why no page came.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("no Swell answers at http://{address}: {why}")]
    Unreachable { address: SocketAddr, why: io::Error },
    #[error("http://{address} broke off: {why}")]
    BrokenOff { address: SocketAddr, why: io::Error },
    #[error("http://{address} does not answer in HTTP")]
    NotHttp { address: SocketAddr },
    #[error("http://{address} answers with more than {REPLY_BYTES_MAX} bytes")]
    TooLong { address: SocketAddr },
}

/// Asks for `path`, with the password where there is one. Any status is a page.
///
/// # Errors
/// Nothing listens there, or what does is no HTTP server.
pub fn get(address: SocketAddr, path: &str, password: Option<&str>) -> Result<Page, ClientError> {
    let mut stream =
        TcpStream::connect_timeout(&address, PATIENCE).map_err(|why| ClientError::Unreachable { address, why })?;
    let broken_off = |why| ClientError::BrokenOff { address, why };
    stream.set_read_timeout(Some(PATIENCE)).map_err(broken_off)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(broken_off)?;
    stream.write_all(request(address, path, password).as_bytes()).map_err(broken_off)?;
    let mut reply = Vec::new();
    let read = stream.take(REPLY_BYTES_MAX + 1).read_to_end(&mut reply).map_err(broken_off)?;
    if read as u64 > REPLY_BYTES_MAX {
        return Err(ClientError::TooLong { address });
    }
    parse(&reply).ok_or(ClientError::NotHttp { address })
}

/// Where to reach a listener from its own machine: the wildcard address is not one to connect to.
pub fn reachable(listening: SocketAddr) -> SocketAddr {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listening.port())
}

/// HTTP/1.0, so that the body ends with the connection and is never chunked.
fn request(address: SocketAddr, path: &str, password: Option<&str>) -> String {
    let header = |password| format!("Authorization: {}\r\n", doors::authorization(password));
    let authorization = password.map(header).unwrap_or_default();
    format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n{authorization}\r\n")
}

fn parse(reply: &[u8]) -> Option<Page> {
    let reply = std::str::from_utf8(reply).ok()?;
    let (head, body) = reply.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    Some(Page { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn serve_once(reply: &'static [u8]) -> (SocketAddr, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("somebody connects");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("the request ends");
                request.push(byte[0]);
            }
            stream.write_all(reply).expect("the client reads");
            String::from_utf8(request).expect("the request is text")
        });
        (address, thread)
    }

    #[test]
    fn a_page_is_its_status_and_its_body() {
        let (address, request) = serve_once(b"HTTP/1.1 503 Service Unavailable\r\nX: y\r\n\r\nnot ready\n");
        let page = get(address, "/readyz", Some("secret")).expect("a page");
        assert_eq!(page, Page { status: 503, body: "not ready\n".to_owned() });
        let request = request.join().expect("the server ends");
        assert!(request.starts_with("GET /readyz HTTP/1.0\r\n"), "{request}");
        assert!(request.contains("Authorization: Basic OnNlY3JldA==\r\n"), "{request}");
    }

    #[test]
    fn something_else_is_said_to_be_no_http() {
        for reply in [&b"-ERR unknown command\r\n"[..], b"HTTP/1.1 2\xff0 OK\r\n\r\n", b""] {
            let (address, request) = serve_once(reply);
            let error = get(address, "/", None).expect_err("no page").to_string();
            assert_eq!(error, format!("http://{address} does not answer in HTTP"));
            request.join().expect("the server ends");
        }
    }

    #[test]
    fn nobody_there_is_said() {
        // No test listens on a port of the system's own.
        let address = "127.0.0.1:1".parse().expect("an address");
        let error = get(address, "/", None).expect_err("no page").to_string();
        assert!(error.starts_with(&format!("no Swell answers at http://{address}: ")), "{error}");
    }

    #[test]
    fn a_wildcard_is_reached_over_loopback() {
        for (listening, reached) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("192.0.2.1:1", "192.0.2.1:1")]
        {
            let listening = listening.parse().expect("an address");
            assert_eq!(reachable(listening).to_string(), reached);
        }
    }
}
