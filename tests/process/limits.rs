//! Limits by name: what is too long, too many or too much is refused in Redis's words, and what is just allowed works.

use crate::harness::{Conn, DEADLINE, Swell, Topology, encode, everywhere, wait_for};

/// Longest inline request and longest line of a request's lengths.
const INLINE_LEN_MAX: usize = 64 * 1024;

everywhere! {
    long_values_go_both_ways
    many_arguments_work
    a_client_that_does_not_read_is_not_read
}

fn last_words(addr: &str, bytes: &[u8]) -> String {
    let mut conn = Conn::open(addr);
    conn.send(bytes);
    String::from_utf8_lossy(&conn.until_closed().expect("the connection is closed")).into_owned()
}

#[test]
fn lines_that_never_end_are_refused() {
    let swell = Swell::start(&[]);
    let endless = |start: &str| [start.as_bytes(), &vec![b'1'; 2 * INLINE_LEN_MAX]].concat();
    let cases = [
        ("GET ", "too big inline request"),
        ("*", "too big mbulk count string"),
        ("*1\r\n$", "too big bulk count string"),
    ];
    for (start, words) in cases {
        let said = last_words(&swell.resp, &endless(start));
        assert_eq!(said, format!("-ERR Protocol error: {words}\r\n"), "after {start:?}");
    }
}

fn long_values_go_both_ways(place: Topology) {
    let swell = place.start(&[]);
    let mut conn = swell.conn();
    for length in [65_535, 65_536, 65_537, 131_072, 1 << 20, (32 << 20) + 1] {
        let value: Vec<u8> = (0..length).map(|at: usize| (at % 251) as u8).collect();
        conn.send(&encode(&[b"SET", &b"k"[..], &value]));
        assert_eq!(conn.reply().text(), "OK");
        assert_eq!(conn.cmd(&["STRLEN", "k"]).int(), i64::try_from(length).unwrap());
        conn.send(b"GET k\r\n");
        let frame = conn.frame().unwrap();
        assert!(frame.ends_with(&[&value[..], b"\r\n"].concat()), "{length} bytes came back otherwise");
    }
}

fn many_arguments_work(place: Topology) {
    let swell = place.start(&[]);
    let mut conn = swell.conn();
    // MSET is atomic: with several nodes its keys have to share a slot.
    let tag = if place.is_several() { "{t}" } else { "" };
    let keys: Vec<String> = (0..100_000).map(|n| format!("{tag}key:{n}")).collect();
    let mut words = vec!["MSET"];
    keys.iter().for_each(|key| words.extend([key.as_str(), "v"]));
    assert_eq!(conn.cmd(&words).text(), "OK");
    words = vec!["EXISTS"];
    words.extend(keys.iter().map(String::as_str));
    assert_eq!(conn.cmd(&words).int(), 100_000);
    // In as many slots as there are.
    let spread: Vec<String> = (0..100_000).map(|n| format!("nosuch:{n}")).collect();
    words.truncate(2);
    words.extend(spread.iter().map(String::as_str));
    assert_eq!(conn.cmd(&words).int(), 1);
}

#[test]
fn more_clients_than_allowed_are_told() {
    let swell = Swell::start(&["--maxclients", "3"]);
    let mut conns: Vec<Conn> = (0..3).map(|_| swell.conn()).collect();
    for conn in &mut conns {
        assert_eq!(conn.cmd(&["PING"]).text(), "PONG");
    }
    let said = last_words(&swell.resp, b"");
    assert_eq!(said, "-ERR max number of clients reached\r\n");
    conns.pop();
    wait_for("the place to be free again", DEADLINE, || {
        let mut conn = swell.conn();
        conn.send(b"PING\r\n");
        (conn.line() == Ok(b"+PONG".to_vec())).then_some(())
    });
}

/// Replies that nobody takes must not fill the memory: the client is not read on until it reads.
fn a_client_that_does_not_read_is_not_read(place: Topology) {
    let swell = place.start(&[]);
    let mut greedy = swell.conn();
    assert_eq!(greedy.cmd(&["SET", "k", &"v".repeat(1 << 20)]).text(), "OK");
    let before = swell.proc_status("VmRSS");
    let count = 2000;
    greedy.send(&b"GET k\r\n".repeat(count));
    let mut other = swell.conn();
    for _ in 0..1000 {
        assert_eq!(other.cmd(&["PING"]).text(), "PONG");
    }
    let grown_kb = swell.proc_status("VmRSS").saturating_sub(before);
    assert!(grown_kb < 512 * 1024, "{count} replies of 1 MiB hold {grown_kb} KiB");
    for _ in 0..count {
        assert_eq!(greedy.frame().unwrap().len(), (1 << 20) + 12);
    }
}

#[test]
fn http_on_the_resp_port_is_shown_the_door() {
    let swell = Swell::start(&[]);
    for text in ["POST / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\nSET k v\r\n"] {
        last_words(&swell.resp, text.as_bytes());
    }
    assert_eq!(swell.conn().cmd(&["DBSIZE"]).int(), 0);
}
