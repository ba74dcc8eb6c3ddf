//! Who is let in: without a password only this machine, with one whoever has it, at every listener.

use std::net::{SocketAddr, UdpSocket};

use crate::harness::{Conn, Reply, Server, Swell, get, request};

const PASSWORD: &str = "secret";

/// "any:secret" in base64.
const BASIC: &str = "Basic YW55OnNlY3JldA==";

fn locked() -> Server {
    Swell::start(&["--requirepass", PASSWORD])
}

fn error(reply: &Reply) -> String {
    match reply {
        Reply::Error(text) => text.clone(),
        other => panic!("an error was expected, not {other:?}"),
    }
}

#[test]
fn memcached_is_closed_or_asks_for_the_password() {
    let swell = locked();
    if swell.memcached.is_empty() {
        return;
    }
    let mut conn = Conn::open(&swell.memcached);
    conn.send(b"get k\r\n");
    assert_eq!(conn.line(), Ok(b"CLIENT_ERROR unauthenticated".to_vec()));
    conn.send(b"set auth 0 0 10\r\nany secret\r\n");
    assert_eq!(conn.line(), Ok(b"STORED".to_vec()));
    conn.send(b"get k\r\n");
    assert_eq!(conn.line(), Ok(b"END".to_vec()));
}

#[test]
fn http_asks_for_the_password_but_for_health() {
    let swell = locked();
    for path in ["/healthz", "/readyz"] {
        assert_eq!(get(&swell.http, path).status, 200, "{path}");
    }
    for path in ["/metrics", "/usage", "/"] {
        let refused = get(&swell.http, path);
        assert_eq!(refused.status, 401, "{path}");
        assert!(refused.fields.contains_key("www-authenticate"));
        assert_eq!(request(&swell.http, "GET", path, &[("Authorization", BASIC)]).status, 200, "{path}");
        assert_eq!(request(&swell.http, "GET", path, &[("Authorization", "Bearer secret")]).status, 200, "{path}");
        assert_eq!(request(&swell.http, "GET", path, &[("Authorization", "Bearer secre")]).status, 401, "{path}");
    }
}

#[test]
fn resp_names_no_version_to_strangers() {
    let swell = locked();
    let mut conn = swell.conn();
    for words in [&["PING"][..], &["INFO"], &["CLIENT", "LIST"], &["CONFIG", "GET", "requirepass"], &["COMMAND"]] {
        assert_eq!(error(&conn.cmd(words)), "NOAUTH Authentication required.", "{words:?}");
    }
    assert_eq!(conn.cmd(&["AUTH", PASSWORD]).text(), "OK");
    assert_eq!(conn.cmd(&["PING"]).text(), "PONG");
}

/// Needs an address of this machine that is not the loopback one, as every machine with a network has.
#[test]
fn strangers_are_refused_while_there_is_no_password() {
    let everywhere = ["--resp", "0.0.0.0:0", "--memcached", "0.0.0.0:0", "--http", "0.0.0.0:0"];
    let swell = Swell::start(&everywhere);
    let at = |address: &str| {
        let port = address.parse::<SocketAddr>().expect("an address and a port").port();
        format!("{}:{port}", outer_address())
    };
    let mut resp = Conn::open(&at(&swell.resp));
    let said = resp.until_closed().expect("the connection is closed");
    assert!(said.starts_with(b"-DENIED "), "{}", crate::harness::escape(&said));
    let mut memcached = Conn::open(&at(&swell.memcached));
    memcached.send(b"version\r\n");
    let said = memcached.until_closed().expect("the connection is closed");
    assert!(!said.starts_with(b"VERSION"), "{}", crate::harness::escape(&said));
    assert_eq!(get(&at(&swell.http), "/metrics").status, 403);

    let locked = Swell::start(&[&everywhere[..], &["--requirepass", PASSWORD]].concat());
    let mut conn = Conn::open(&at(&locked.resp));
    assert_eq!(conn.cmd(&["AUTH", PASSWORD]).text(), "OK");
    assert_eq!(conn.cmd(&["PING"]).text(), "PONG");
}

/// The address that packets to the world would leave from; nothing is sent.
fn outer_address() -> String {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("203.0.113.1:9").expect("this machine has a network");
    socket.local_addr().unwrap().ip().to_string()
}
