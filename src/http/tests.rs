//! The HTTP side over raw sockets: pages, doors, bounds, leaving.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[derive(Default)]
struct Fake {
    ready: AtomicBool,
    password: Option<&'static str>,
}

impl Admin for Fake {
    fn metrics(&self) -> String {
        "# TYPE swell_up gauge\nswell_up 1\n".to_owned()
    }

    fn ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    fn usage(&self) -> serde_json::Value {
        serde_json::json!({ "ecpu_thousandths": 1500 })
    }

    fn period(&self, period: &Period) -> Result<serde_json::Value, String> {
        match period.from_ms {
            Some(from_ms) => Ok(serde_json::json!({ "from_ms": from_ms, "by": period.by })),
            None => Err(NO_LEDGER.to_owned()),
        }
    }

    fn status(&self) -> Option<serde_json::Value> {
        Some(serde_json::json!({ "epoch": 7 }))
    }

    fn events(&self, after: u64) -> Option<serde_json::Value> {
        (after < 100).then(|| serde_json::json!({ "after": after }))
    }

    fn authorised(&self, authorization: Option<&str>) -> bool {
        self.password.is_none_or(|password| doors::password_matches(authorization, password))
    }

    fn local_only(&self) -> bool {
        self.password.is_none()
    }
}

fn start(fake: Fake, bounds: Bounds) -> Server {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    Server::start(listener, Arc::new(fake), bounds).expect("a thread can be had")
}

/// Sends bytes and reads until the server closes.
fn exchange(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).expect("it listens");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut reply = Vec::new();
    // A server that refuses bytes may close hard after its reply; what came until then counts.
    let _ = stream.read_to_end(&mut reply);
    String::from_utf8(reply).expect("pages are UTF-8")
}

fn get(server: &Server, path: &str, headers: &str) -> String {
    exchange(server, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n"))
}

fn status(reply: &str) -> &str {
    reply.get(9..12).unwrap_or(reply)
}

fn body(reply: &str) -> &str {
    reply.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

#[test]
fn every_page_answers() {
    let server = start(Fake::default(), Bounds::default());
    let metrics = get(&server, "/metrics", "");
    assert_eq!((status(&metrics), body(&metrics)), ("200", "# TYPE swell_up gauge\nswell_up 1\n"));
    assert!(metrics.contains("content-type: text/plain; version=0.0.4"), "{metrics}");
    assert_eq!(body(&get(&server, "/usage", "")), "{\"ecpu_thousandths\":1500}\n");
    assert_eq!(body(&get(&server, "/status", "")), "{\"epoch\":7}\n");
    assert_eq!(body(&get(&server, "/events", "")), "{\"after\":0}\n");
    assert_eq!(body(&get(&server, "/events?after=7", "")), "{\"after\":7}\n");
    assert_eq!(status(&get(&server, "/events?after=100", "")), "503");
    for wrong in ["/events?after=x", "/events?before=1", "/events?after"] {
        assert_eq!(status(&get(&server, wrong, "")), "400", "{wrong}");
    }
    assert_eq!(body(&get(&server, "/healthz", "")), "ok\n");
    assert!(body(&get(&server, "/", "")).contains("/metrics"));
}

#[test]
fn readyz_follows_the_admin() {
    let waiting = start(Fake::default(), Bounds::default());
    assert_eq!(status(&get(&waiting, "/readyz", "")), "503");
    let serving = start(Fake { ready: AtomicBool::new(true), password: None }, Bounds::default());
    assert_eq!(status(&get(&serving, "/readyz", "")), "200");
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    let server = start(Fake::default(), Bounds::default());
    let reply = exchange(&server, "HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(reply.to_ascii_lowercase().contains("content-length: 3\r\n"), "{reply}");
    assert_eq!(body(&reply), "");
}

#[test]
fn unknown_paths_and_methods_are_refused_in_words() {
    let server = start(Fake::default(), Bounds::default());
    let missing = get(&server, "/nothing", "");
    assert_eq!((status(&missing), body(&missing)), ("404", "no such page: / lists those that are here\n"));
    let posted = exchange(&server, "POST /usage HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(status(&posted), "405");
    assert!(posted.contains("allow: GET, HEAD"), "{posted}");
}

#[test]
fn without_a_password_other_machines_are_refused_whatever_they_ask() {
    let ask = |fake: &Fake, peer: &str, path: &str| {
        let request = Request::get(path).body(Full::<Bytes>::default()).expect("a request");
        pages::answer(fake, peer.parse().expect("an address"), 0, &request).status().as_u16()
    };
    for path in ["/", "/metrics", "/usage", "/status", "/events", "/healthz", "/readyz", "/nothing"] {
        assert_eq!(ask(&Fake::default(), "192.0.2.7", path), 403, "{path}");
        assert_ne!(ask(&Fake::default(), "::1", path), 403, "{path}");
    }
    let guarded = Fake { password: Some("secret"), ..Fake::default() };
    assert_eq!(ask(&guarded, "192.0.2.7", "/healthz"), 200);
    assert_eq!(ask(&guarded, "192.0.2.7", "/metrics"), 401);
}

#[test]
fn with_a_password_only_health_is_open() {
    let server = start(Fake { ready: AtomicBool::new(true), password: Some("secret") }, Bounds::default());
    for path in ["/", "/metrics", "/usage", "/status", "/events", "/nothing"] {
        assert_eq!(status(&get(&server, path, "")), "401", "{path}");
        assert_eq!(status(&get(&server, path, "Authorization: Bearer wrong\r\n")), "401", "{path}");
        assert_ne!(status(&get(&server, path, "Authorization: Bearer secret\r\n")), "401", "{path}");
    }
    // user:secret
    assert_eq!(status(&get(&server, "/usage", "Authorization: Basic dXNlcjpzZWNyZXQ=\r\n")), "200");
    assert_eq!(status(&get(&server, "/healthz", "")), "200");
    assert_eq!(status(&get(&server, "/readyz", "")), "200");
}

#[test]
fn too_much_of_anything_is_refused() {
    let bounds = Bounds { body_bytes: 10, ..Bounds::default() };
    let server = start(Fake::default(), bounds);
    let long = "x".repeat(bounds.head_bytes + 1);
    assert_eq!(status(&get(&server, "/", &format!("X-Long: {long}\r\n"))), "431");
    let many: String = (0..=bounds.headers).map(|n| format!("X-{n}: 1\r\n")).collect();
    assert_eq!(status(&get(&server, "/", &many)), "431");
    assert_eq!(status(&exchange(&server, "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n")), "413");
    assert_eq!(status(&exchange(&server, "SET a b\r\n\r\n")), "400");
}

#[test]
fn one_connection_too_many_reads_503() {
    let server = start(Fake::default(), Bounds { connections: 1, ..Bounds::default() });
    let mut first = TcpStream::connect(server.address()).expect("it listens");
    first.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").expect("it reads");
    let mut reply = [0; 12];
    first.read_exact(&mut reply).expect("the first connection is served");
    assert_eq!(&reply, b"HTTP/1.1 200");
    let second = exchange(&server, "");
    assert_eq!((status(&second), body(&second)), ("503", "too many connections\n"));
}

#[test]
fn a_client_that_says_nothing_is_closed() {
    let server = start(Fake::default(), Bounds { head_timeout: Duration::from_millis(20), ..Bounds::default() });
    let silent = exchange(&server, "");
    assert!(matches!(status(&silent), "" | "408"), "{silent}");
    let slow = exchange(&server, "GET / HTTP/1.1\r\nHost:");
    assert!(matches!(status(&slow), "" | "408"), "{slow}");
}

#[test]
fn a_client_that_stays_without_asking_again_is_closed() {
    for bounds in [
        Bounds { head_timeout: Duration::from_millis(20), ..Bounds::default() },
        Bounds { lifetime: Duration::from_millis(20), ..Bounds::default() },
    ] {
        let server = start(Fake::default(), bounds);
        let reply = exchange(&server, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!((status(&reply), body(&reply)), ("200", "ok\n"));
    }
}

#[test]
fn a_client_that_never_sends_its_body_is_closed() {
    let bounds = Bounds { lifetime: Duration::from_millis(20), drain: Duration::from_millis(20), ..Bounds::default() };
    let server = start(Fake::default(), bounds);
    let reply = exchange(&server, "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(status(&reply), "200");
}

#[test]
fn stopping_closes_idle_connections_and_the_port() {
    let server = start(Fake::default(), Bounds::default());
    let address = server.address();
    let mut idle = TcpStream::connect(address).expect("it listens");
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").expect("it reads");
    let mut reply = [0; 12];
    idle.read_exact(&mut reply).expect("it is served");
    server.stop();
    idle.read_to_end(&mut Vec::new()).expect("it is closed in order");
    TcpStream::connect(address).expect_err("nobody listens any more");
}

#[test]
fn a_period_is_asked_for_with_a_query() {
    let server = start(Fake::default(), Bounds::default());
    let reply = get(&server, "/usage?from=1970-01-01T00:00:01Z&by=hour", "");
    assert_eq!((status(&reply), body(&reply)), ("200", "{\"by\":\"hour\",\"from_ms\":1000}\n"));
    let period = Period { from_ms: Some(1234), to_ms: Some(5678), by: By::Minute };
    assert_eq!(Period::of_query(period.path().split_once('?').expect("a query").1, 0), Ok(period));
    for (query, code, words) in [
        ("by=hour", "503", NO_LEDGER),
        ("by=key", "400", "nothing is counted by 'key': it is one of command, family, hour, minute"),
        ("from=x", "400", "'x' is not a time like"),
        ("from=-1h&to=-2h", "400", "the period ends before it begins"),
        ("since=1", "400", "'since=1' is not from=TIME"),
    ] {
        let reply = get(&server, &format!("/usage?{query}"), "");
        assert_eq!(status(&reply), code, "{query}");
        assert!(body(&reply).starts_with(words), "{reply}");
    }
}
