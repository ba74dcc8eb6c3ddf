//! DUMP and RESTORE beside valkey-server 9.1: values of every type and encoding go there and come back equal, whoever
//! made them; payloads of older servers are read; hostile ones are refused.

use crate::harness::{Conn, Real, Reply, Rng, Server, Subject};

/// Payloads that were cut, turned or filled at random.
const HOSTILE: usize = 400;

/// A value: its name, the encoding that it has, the requests that make it at key `k`.
type Sample = (&'static str, &'static str, Vec<Vec<String>>);

#[test]
fn values_made_by_valkey_come_back_equal() {
    let (subject, oracle) = both();
    let (mut ours, mut theirs) = (subject.conn(), oracle.conn());
    for (name, encoding, requests) in samples() {
        make(&mut theirs, &requests);
        let payload = dump(&mut theirs, "k");
        assert_eq!(restore(&mut ours, "k", &payload).text(), "OK", "{name}");
        assert_eq!(ours.cmd(&["OBJECT", "ENCODING", "k"]).text(), encoding, "{name}");
        let back = dump(&mut ours, "k");
        assert_eq!(restore(&mut theirs, "back", &back).text(), "OK", "{name}");
        assert_eq!(digest(&mut theirs, "back"), digest(&mut theirs, "k"), "{name}");
        assert_eq!(theirs.cmd(&["OBJECT", "ENCODING", "back"]).text(), encoding, "{name}");
        assert_eq!(ours.cmd(&["DEL", "k"]).int(), 1);
        theirs.cmd(&["FLUSHALL"]);
    }
}

#[test]
fn values_made_here_are_valkeys() {
    let (subject, oracle) = both();
    let (mut ours, mut theirs) = (subject.conn(), oracle.conn());
    for (name, encoding, requests) in samples() {
        make(&mut ours, &requests);
        make(&mut theirs, &requests);
        assert_eq!(ours.cmd(&["OBJECT", "ENCODING", "k"]).text(), encoding, "{name}");
        assert_eq!(theirs.cmd(&["OBJECT", "ENCODING", "k"]).text(), encoding, "{name}");
        let payload = dump(&mut ours, "k");
        assert_eq!(restore(&mut theirs, "back", &payload).text(), "OK", "{name}");
        assert_eq!(digest(&mut theirs, "back"), digest(&mut theirs, "k"), "{name}");
        ours.cmd(&["DEL", "k"]);
        theirs.cmd(&["FLUSHALL"]);
    }
}

/// What redis-server 7.0 writes is another version of the format, with strings compressed.
#[test]
fn values_of_redis_7_are_read() {
    let (subject, oracle) = both();
    let redis = Real::redis(&[]);
    let (mut ours, mut old, mut theirs) = (subject.conn(), redis.conn(), oracle.conn());
    for (name, _, requests) in samples().into_iter().filter(|(name, ..)| !name.contains("expire")) {
        make(&mut old, &requests);
        let payload = dump(&mut old, "k");
        assert_eq!(restore(&mut ours, "k", &payload).text(), "OK", "{name}");
        assert_eq!(restore(&mut theirs, "k", &payload).text(), "OK", "{name}");
        let back = dump(&mut ours, "k");
        assert_eq!(restore(&mut theirs, "back", &back).text(), "OK", "{name}");
        assert_eq!(digest(&mut theirs, "back"), digest(&mut theirs, "k"), "{name}");
        assert_eq!(ours.cmd(&["DEL", "k"]).int(), 1);
        for conn in [&mut old, &mut theirs] {
            conn.cmd(&["FLUSHALL"]);
        }
    }
}

/// Whatever is sent, the answer is OK or an error, and what was restored can be read.
#[test]
fn hostile_payloads_do_no_harm() {
    let (subject, oracle) = both();
    let (mut ours, mut theirs) = (subject.conn(), oracle.conn());
    let mut rng = Rng::new(7);
    let mut refused = 0;
    let samples = samples();
    for _ in 0..HOSTILE {
        let (_, _, requests) = &samples[rng.below(samples.len())];
        make(&mut theirs, requests);
        let mut payload = dump(&mut theirs, "k");
        theirs.cmd(&["FLUSHALL"]);
        spoil(&mut payload, &mut rng);
        let reply = restore(&mut ours, "k", &payload);
        if reply.is_error() {
            refused += 1;
        } else {
            assert!(!ours.cmd(&["DUMP", "k"]).is_error());
            ours.cmd(&["DEL", "k"]);
        }
    }
    assert_eq!(ours.cmd(&["PING"]).text(), "PONG");
    // A turned bit without its checksum is always refused.
    assert_eq!(refused, HOSTILE);
}

fn both() -> (Server, Server) {
    (Subject::resp(), Real::valkey(&["--enable-debug-command", "yes"]))
}

fn make(conn: &mut Conn, requests: &[Vec<String>]) {
    for request in requests {
        let reply = conn.cmd_bytes(request);
        assert!(!reply.is_error(), "{}: {}", request[0], reply.text());
    }
}

fn dump(conn: &mut Conn, key: &str) -> Vec<u8> {
    match conn.cmd(&["DUMP", key]) {
        Reply::Bulk(payload) => payload,
        other => panic!("no payload but {other:?}"),
    }
}

fn restore(conn: &mut Conn, key: &str, payload: &[u8]) -> Reply {
    conn.cmd_bytes(&[b"RESTORE", key.as_bytes(), b"0", payload])
}

fn digest(conn: &mut Conn, key: &str) -> String {
    conn.cmd(&["DEBUG", "DIGEST-VALUE", key]).items()[0].text()
}

fn spoil(payload: &mut Vec<u8>, rng: &mut Rng) {
    let at = rng.below(payload.len());
    match rng.below(3) {
        0 => payload.truncate(at),
        1 => payload[at] ^= 1 << rng.below(8),
        _ => payload.insert(at, b'x'),
    }
}

fn samples() -> Vec<Sample> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let many = |name: &str, count: usize, words: &dyn Fn(usize) -> Vec<String>| {
        let arguments = (0..count).flat_map(words);
        vec![[name.to_owned(), "k".to_owned()].into_iter().chain(arguments).collect::<Vec<_>>()]
    };
    let long = "x".repeat(70_000);
    let member = |n: usize| vec![format!("member:{n}")];
    let field = |n: usize| vec![format!("field:{n}"), format!("value {n}")];
    let scored = |n: usize| vec![format!("{}.5", n * 7919 % 1000), format!("member:{n}")];
    vec![
        ("a small number", "int", vec![words(&["SET", "k", "12"])]),
        ("a large number", "int", vec![words(&["SET", "k", "-9000000000"])]),
        ("a short string", "embstr", vec![words(&["SET", "k", "hello"])]),
        ("a string that compresses", "raw", vec![words(&["SET", "k", &"abc".repeat(1000)])]),
        ("a string in segments", "raw", vec![words(&["SET", "k", &long])]),
        ("a short list", "listpack", many("RPUSH", 20, &|n| vec![format!("{n}"), format!("element {n}")])),
        (
            "a list of numbers",
            "listpack",
            vec![words(&["RPUSH", "k", "0", "-1", "127", "4095", "-70000", "9999999999"])],
        ),
        ("a long list", "quicklist", many("RPUSH", 3000, &member)),
        ("a list with a long element", "quicklist", vec![words(&["RPUSH", "k", "a", &long, "b", &"y".repeat(9000)])]),
        ("small integers", "intset", many("SADD", 100, &|n| vec![n.to_string()])),
        ("large integers", "intset", vec![words(&["SADD", "k", "1", "-70000", "9999999999"])]),
        ("a small set", "listpack", many("SADD", 50, &member)),
        ("a large set", "hashtable", many("SADD", 500, &member)),
        ("a set with a long member", "hashtable", vec![words(&["SADD", "k", "a", &long])]),
        ("a small hash", "listpack", many("HSET", 20, &field)),
        ("a large hash", "hashtable", many("HSET", 600, &field)),
        ("a hash with a long value", "hashtable", vec![words(&["HSET", "k", "f", &long, "g", "short"])]),
        (
            "a hash whose fields expire",
            "hashtable",
            vec![
                words(&["HSET", "k", "a", "1", "b", "two", "c", ""]),
                words(&["HPEXPIREAT", "k", "9999999999999", "FIELDS", "1", "b"]),
            ],
        ),
        ("a small sorted set", "listpack", many("ZADD", 50, &scored)),
        ("a large sorted set", "skiplist", many("ZADD", 500, &scored)),
        (
            "extreme scores",
            "listpack",
            vec![words(&["ZADD", "k", "inf", "a", "-inf", "b", "1e300", "c", "-0.0", "d", "3", "e"])],
        ),
        (
            "extreme scores, large",
            "skiplist",
            vec![words(&["ZADD", "k", "inf", &"a".repeat(70), "-inf", "b", "1e-300", "c"])],
        ),
        ("a stream", "stream", stream(&words)),
        ("an emptied stream", "stream", vec![words(&["XADD", "k", "5-1", "f", "v"]), words(&["XDEL", "k", "5-1"])]),
        ("a HyperLogLog", "raw", many("PFADD", 1000, &member)),
    ]
}

/// Several nodes, deleted entries, groups with consumers and pending entries.
fn stream(words: &dyn Fn(&[&str]) -> Vec<String>) -> Vec<Vec<String>> {
    let mut requests = Vec::new();
    for n in 1..=250 {
        requests.push(words(&["XADD", "k", &format!("{n}-1"), "field", &format!("value {n}"), "n", &n.to_string()]));
    }
    requests.push(words(&["XDEL", "k", "3-1", "120-1", "250-1"]));
    requests.push(words(&["XGROUP", "CREATE", "k", "empty", "$"]));
    requests.push(words(&["XGROUP", "CREATE", "k", "group", "0", "ENTRIESREAD", "0"]));
    for consumer in ["alice", "bob"] {
        requests.push(words(&["XREADGROUP", "GROUP", "group", consumer, "COUNT", "10", "STREAMS", "k", ">"]));
    }
    requests.push(words(&["XACK", "k", "group", "1-1", "12-1"]));
    requests.push(words(&["XGROUP", "CREATECONSUMER", "k", "group", "idle"]));
    requests
}
