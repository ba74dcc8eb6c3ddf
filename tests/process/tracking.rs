//! Client-side caching with several connections: in one process, on several nodes, behind two proxies, while slots move, and
//! when a node dies.

use std::collections::{BTreeSet, HashMap};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::{Conn, Reply, Rng, Server, Subject, Swell, Topology, encode, everywhere, nodes};

/// Keys that are read and written.
const KEYS: usize = 60;
/// Every so many of them has a long value, whose reply comes over a link in pieces.
const LONG_EVERY: usize = 20;
const LONG_BYTES: usize = 300_000;
/// Reads and writes of each client.
const ROUNDS: usize = 400;
/// Readers, and writers.
const CLIENTS: usize = 3;
/// Keys by which a reader sees that all it was to be told has come: some of them on every node.
const LAST_KEYS: usize = 64;
const SEED: u64 = 11;

everywhere! {
    no_copy_stays_stale
    no_copy_with_a_prefix_stays_stale
    a_flush_is_told
}

/// A client with its copies: what it reads it keeps, and what it is told to be stale it drops.
struct Reader {
    conn: Conn,
    copies: HashMap<String, Reply>,
    flushes: usize,
    /// Keys that it was told of.
    told: BTreeSet<String>,
}

impl Reader {
    fn new(server: &Server, options: &[&str]) -> Reader {
        let mut conn = server.conn();
        conn.cmd(&["HELLO", "3"]);
        let request = [&["CLIENT", "TRACKING", "ON"], options].concat();
        assert_eq!(conn.cmd(&request).text(), "OK");
        Reader { conn, copies: HashMap::new(), flushes: 0, told: BTreeSet::new() }
    }

    /// The next reply; what it is told on the way it does.
    fn reply(&mut self) -> Reply {
        loop {
            match self.conn.reply() {
                Reply::Push(parts) => self.drop_copies(&parts),
                reply => return reply,
            }
        }
    }

    fn drop_copies(&mut self, parts: &[Reply]) {
        assert_eq!(parts[0].text(), "invalidate");
        match &parts[1] {
            Reply::Null => {
                self.flushes += 1;
                self.copies.clear();
            }
            keys => {
                for key in keys.items() {
                    self.copies.remove(&key.text());
                    self.told.insert(key.text());
                }
            }
        }
    }

    /// Reads keys of which it has no copy, in one write.
    fn read(&mut self, keys: &[String]) {
        let wanted: Vec<&String> = keys.iter().filter(|key| !self.copies.contains_key(*key)).collect();
        let bytes: Vec<u8> = wanted.iter().flat_map(|key| encode(&["GET", key])).collect();
        self.conn.send(&bytes);
        for key in wanted {
            let reply = self.reply();
            assert!(!reply.is_error(), "{key}: {reply:?}");
            self.copies.insert(key.clone(), reply);
        }
    }

    /// Waits until it was told of all these keys.
    fn await_told(&mut self, keys: &[String]) {
        let all: BTreeSet<&String> = keys.iter().collect();
        while !all.iter().all(|key| self.told.contains(*key)) {
            match self.conn.reply() {
                Reply::Push(parts) => self.drop_copies(&parts),
                other => panic!("no reply was due: {other:?}"),
            }
        }
    }
}

fn names(kind: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{kind}:{n}")).collect()
}

fn write(server: &Server, seed: u64) {
    let (mut conn, mut rng) = (server.conn(), Rng::new(seed));
    for round in 0..ROUNDS {
        let n = rng.below(KEYS);
        let (key, mut value) = (format!("k:{n}"), format!("{seed}.{round}"));
        if n % LONG_EVERY == 0 {
            value = value.repeat(LONG_BYTES / value.len());
        }
        match rng.below(10) {
            0 => drop(conn.cmd(&["DEL", &key])),
            1 => drop(conn.cmd(&["SET", &key, &value, "PX", "5"])),
            _ => assert_eq!(conn.cmd(&["SET", &key, &value]).text(), "OK"),
        }
    }
}

fn read(reader: &mut Reader, seed: u64, writing: &AtomicUsize) {
    let mut rng = Rng::new(seed);
    while writing.load(Ordering::Relaxed) > 0 {
        let keys: Vec<String> = (0..1 + rng.below(12)).map(|_| format!("k:{}", rng.below(KEYS))).collect();
        let keys: Vec<String> = keys.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        reader.read(&keys);
        // What others have changed meanwhile comes before this.
        reader.conn.send(&encode(&["PING"]));
        assert_eq!(reader.reply().text(), "PONG");
    }
}

/// Readers read while writers write; once the writers have ended and all news have come, every copy is what is stored.
fn check(topology: Topology, options: &[&str]) {
    let first = Subject::resp_in(topology);
    let second = (Subject::is_swell() && topology != Topology::Embedded).then(|| Swell::join(&first, &[]));
    let doors = [&first, second.as_ref().unwrap_or(&first)];
    eprintln!("seed {SEED}");
    let mut readers: Vec<Reader> = (0..CLIENTS).map(|n| Reader::new(doors[n % 2], options)).collect();
    let (writing, last) = (AtomicUsize::new(CLIENTS), names("k:last", LAST_KEYS));
    std::thread::scope(|scope| {
        for n in 0..CLIENTS {
            let (door, writing) = (doors[n % 2], &writing);
            scope.spawn(move || {
                // Also when it panics, lest readers go on for ever.
                let _ends = Ends(writing);
                write(door, SEED + n as u64);
            });
        }
        for (n, reader) in readers.iter_mut().enumerate() {
            let (seed, writing) = (SEED * 100 + n as u64, &writing);
            scope.spawn(move || read(reader, seed, writing));
        }
    });
    // From here on nothing expires.
    let mut conn = first.conn();
    names("k", KEYS).iter().for_each(|key| drop(conn.cmd(&["PERSIST", key])));
    for reader in &mut readers {
        reader.read(&names("k", KEYS));
        reader.told.clear();
        reader.read(&last);
    }
    last.iter().for_each(|key| assert_eq!(conn.cmd(&["SET", key, "1"]).text(), "OK"));
    let mut copies = 0;
    for reader in &mut readers {
        reader.await_told(&last);
        for (key, copy) in &reader.copies {
            assert_eq!(*copy, conn_get(&mut conn, key), "{key}");
            copies += 1;
        }
    }
    assert!(copies > 0, "nobody has a copy of anything");
}

/// As a RESP3 client reads it.
fn conn_get(conn: &mut Conn, key: &str) -> Reply {
    match conn.cmd(&["GET", key]) {
        Reply::NullBulk => Reply::Null,
        other => other,
    }
}

struct Ends<'a>(&'a AtomicUsize);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn no_copy_stays_stale(topology: Topology) {
    check(topology, &[]);
}

fn no_copy_with_a_prefix_stays_stale(topology: Topology) {
    check(topology, &["BCAST", "PREFIX", "k:"]);
}

/// Everybody who keeps copies is told of a flush, and where slots stand still once.
fn a_flush_is_told(topology: Topology) {
    let server = Subject::resp_in(topology);
    let (mut reader, mut conn, last) = (Reader::new(&server, &[]), server.conn(), names("last", LAST_KEYS));
    reader.read(&last);
    assert_eq!(conn.cmd(&["FLUSHALL"]).text(), "OK");
    while reader.flushes == 0 {
        let Reply::Push(parts) = reader.conn.reply() else { panic!("no reply was due") };
        reader.drop_copies(&parts);
    }
    // Nothing is read between: the other nodes' words are the same news. All nodes are through after another flush.
    let before = reader.flushes;
    assert_eq!(conn.cmd(&["FLUSHALL"]).text(), "OK");
    while reader.flushes == before {
        let Reply::Push(parts) = reader.conn.reply() else { panic!("no reply was due") };
        reader.drop_copies(&parts);
    }
    reader.conn.send(&encode(&["PING"]));
    assert_eq!(reader.reply().text(), "PONG");
    if topology != Topology::Moving3 {
        assert_eq!(reader.flushes, 2);
    }
}

#[test]
fn a_node_that_dies_leaves_no_copies() {
    let server = Topology::Remote3.start(&[]);
    let mut reader = Reader::new(&server, &[]);
    reader.read(&names("k", KEYS));
    let before = reader.flushes;
    let pid = nodes(&server.link)[0].pid.to_string();
    assert!(Command::new("kill").args(["-KILL", &pid]).status().expect("kill can be run").success());
    while reader.flushes == before {
        let Reply::Push(parts) = reader.conn.reply() else { panic!("no reply was due") };
        reader.drop_copies(&parts);
    }
    assert!(reader.copies.is_empty());
}

#[test]
fn clients_are_redirected_within_one_proxy_only() {
    let first = Topology::Remote1.start(&[]);
    let second = Swell::join(&first, &[]);
    let (mut reader, mut hearer, mut writer) = (second.conn(), second.conn(), first.conn());
    let id = hearer.cmd(&["CLIENT", "ID"]).int().to_string();
    hearer.send(&encode(&["SUBSCRIBE", "__redis__:invalidate"]));
    hearer.reply();
    assert_eq!(reader.cmd(&["CLIENT", "TRACKING", "ON", "REDIRECT", &id]).text(), "OK");
    reader.cmd(&["GET", "k"]);
    assert_eq!(writer.cmd(&["SET", "k", "1"]).text(), "OK");
    let told = hearer.reply();
    assert_eq!(told.items()[1].text(), "__redis__:invalidate");
    assert_eq!(told.items()[2].items()[0].text(), "k");
    let error = reader.cmd(&["CLIENT", "TRACKING", "ON", "REDIRECT", "99999"]);
    assert_eq!(error.error(), "ERR The client ID you want redirect to does not exist");
}
