//! Several processes for one cache: nodes that join by hand over TCP, and several proxies in front of the same nodes.

use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use swell::nodes::asking::Asking;
use swell_node::control::{Answer, Ask, NodeLine};
use swell_node::link::socket::Address;
use swell_ring::{NodeId, SlotSet};

use crate::harness::{Conn, DEADLINE, Reply, Server, Swell, Topology, wait_for};

/// The cluster's secret.
const TOKEN: &str = "geheim";

/// Keys that are spread over the slots.
const KEYS: usize = 500;

/// Keys with a large value of each type.
const COLLECTIONS: [&str; 5] = ["list", "set", "zset", "hash", "stream"];

/// How often databases are swapped.
const SWAPS: usize = 50;

/// A process that ends with its value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself: then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server whose link is a port, with one node of its own.
fn start_over_tcp() -> Server {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("one is free").port();
    let link = format!("127.0.0.1:{port}");
    Swell::start(&["--first-node", "process", "--nodes-max", "2", "--link", &link, "--token", TOKEN])
}

/// A node that joins from outside.
fn guest(server: &Server, token: &str) -> Running {
    let mut node = Swell::command();
    node.args(["node", "--join", &server.link, "--advertise", "127.0.0.1:0", "--workers", "1"]);
    node.env("SWELL_TOKEN", token).stdout(Stdio::null()).stderr(Stdio::null());
    Running(node.spawn().expect("the binary runs"))
}

fn asking(server: &Server, token: &str) -> Asking {
    let address: Address = server.link.parse().expect("the ready file tells the link");
    Asking::begin(&address, token).expect("the scaler listens")
}

fn nodes(asking: &mut Asking) -> Vec<NodeLine> {
    match asking.ask(Ask::Nodes).expect("the scaler answers") {
        Answer::Nodes(nodes) => nodes,
        other => panic!("not what was asked: {other:?}"),
    }
}

fn move_all(asking: &mut Asking, to: NodeId) {
    let done = asking.ask(Ask::Move { slots: SlotSet::all(), to }).expect("slots can be moved");
    let Answer::Done(progress) = done else { panic!("not an end: {done:?}") };
    assert_eq!(progress.slots_done, progress.slots_total, "{progress:?}");
}

fn write_all(conn: &mut Conn, value: &str) {
    for key in 0..KEYS {
        assert_eq!(conn.cmd(&["SET", &format!("key:{key}"), value]), Reply::Simple("OK".to_owned()));
    }
}

fn read_all(conn: &mut Conn, value: &str) {
    for key in 0..KEYS {
        assert_eq!(conn.cmd(&["GET", &format!("key:{key}")]), Reply::Bulk(value.as_bytes().to_vec()));
    }
}

/// A large value of every type, with elements that are longer than a link's frame may be.
fn write_collections(conn: &mut Conn) {
    let mut write = |begin: &[&str], elements: &mut dyn Iterator<Item = String>| {
        let elements: Vec<String> = elements.collect();
        let words = begin.iter().copied().chain(elements.iter().flat_map(|words| words.split(' ')));
        let reply = conn.cmd(&words.collect::<Vec<_>>());
        assert!(!matches!(reply, Reply::Error(_)), "{begin:?}: {reply:?}");
    };
    let long = "l".repeat(6 << 20);
    for first in (0..20_000).step_by(1_000) {
        let mut numbers = first..first + 1_000;
        write(&["RPUSH", "list"], &mut numbers.clone().map(|n| format!("element:{n}")));
        write(&["SADD", "set"], &mut numbers.clone().map(|n| format!("member:{n}")));
        write(&["ZADD", "zset"], &mut numbers.clone().map(|n| format!("{} member:{n}", n % 777)));
        write(&["HSET", "hash"], &mut numbers.clone().map(|n| format!("field:{n} value:{n}")));
        let expiring = ["HPEXPIRE", "hash", "90000000", "FIELDS", "1000"];
        write(&expiring, &mut numbers.clone().map(|n| format!("field:{n}")));
        numbers
            .by_ref()
            .take(200)
            .for_each(|n| write(&["XADD", "stream", "*", "field"], &mut [n.to_string()].into_iter()));
    }
    for begin in [&["RPUSH", "list"][..], &["SADD", "set"], &["HSET", "hash", "long"], &["ZADD", "zset", "7"]] {
        write(begin, &mut [long.clone()].into_iter());
    }
    write(&["XADD", "stream", "*", "field"], &mut [long].into_iter());
    write(&["XGROUP", "CREATE", "stream", "group", "0"], &mut std::iter::empty());
    let read = ["XREADGROUP", "GROUP", "group", "consumer", "COUNT", "1500", "STREAMS", "stream", ">"];
    write(&read, &mut std::iter::empty());
}

/// What is at a key, as far as its order means something.
fn shown(conn: &mut Conn, key: &str) -> Vec<Vec<Reply>> {
    let (request, together) = match key {
        "set" => (["SMEMBERS", key], 1),
        "hash" => (["HGETALL", key], 2),
        _ => return vec![vec![conn.cmd(&["DUMP", key])]],
    };
    let mut elements: Vec<Vec<Reply>> = conn.cmd(&request).items().chunks(together).map(<[_]>::to_vec).collect();
    elements.sort();
    elements
}

#[test]
fn a_node_that_joins_over_tcp_takes_everything_over() {
    let server = start_over_tcp();
    let mut asking = asking(&server, TOKEN);
    let own = nodes(&mut asking)[0].id;
    let mut conn = server.conn();
    write_all(&mut conn, "before");
    let _guest = guest(&server, TOKEN);
    let joined =
        wait_for("the guest to be a node", DEADLINE, || nodes(&mut asking).into_iter().find(|node| node.id != own));
    assert!(joined.address.starts_with("127.0.0.1:"), "{joined:?}");
    move_all(&mut asking, joined.id);
    read_all(&mut conn, "before");
    write_all(&mut conn, "there");
    let large = "v".repeat(3 << 20);
    assert_eq!(conn.cmd(&["SET", "large", &large]).text(), "OK");
    write_collections(&mut conn);
    let before = COLLECTIONS.map(|key| shown(&mut conn, key));
    move_all(&mut asking, own);
    read_all(&mut conn, "there");
    assert_eq!(conn.cmd(&["GET", "large"]).text().len(), large.len());
    for (key, before) in COLLECTIONS.iter().zip(before) {
        assert!(shown(&mut conn, key) == before, "the {key} has changed");
    }
    assert_eq!(conn.cmd(&["DBSIZE"]).int(), (KEYS + 1 + COLLECTIONS.len()) as i64);
}

#[test]
fn who_does_not_know_the_secret_is_turned_away() {
    let server = start_over_tcp();
    let address: Address = server.link.parse().expect("the ready file tells the link");
    for wrong in ["", "geheimer", "Geheim"] {
        assert!(Asking::begin(&address, wrong).is_err(), "the secret is not {wrong:?}");
        let mut stranger = guest(&server, wrong);
        let status = wait_for("the node to give up", DEADLINE, || stranger.0.try_wait().expect("it is ours"));
        assert_eq!(status.code(), Some(1), "{wrong:?}");
    }
    let mut asking = asking(&server, TOKEN);
    let own = nodes(&mut asking);
    assert_eq!(own.len(), 1, "{own:?}");
    // The node itself asks for it as well.
    let node: Address = own[0].address.parse().expect("it is an address");
    assert!(Asking::begin(&node, "").is_err());
    assert_eq!(server.conn().cmd(&["PING"]).text(), "PONG");
}

#[test]
fn two_proxies_show_one_cache() {
    let first = Topology::Remote3.start(&[]);
    let second = Swell::join(&first, &[]);
    write_all(&mut first.conn(), "first");
    read_all(&mut second.conn(), "first");
    write_all(&mut second.conn(), "second");
    read_all(&mut first.conn(), "second");
    for proxy in [&first, &second] {
        assert_eq!(proxy.conn().cmd(&["DBSIZE"]).int(), KEYS as i64);
        assert_eq!(proxy.conn().cmd(&["KEYS", "key:1?"]).items().len(), 10);
    }
    let mut memcached = Conn::open(&second.memcached);
    memcached.send(b"set mc 0 0 1\r\nv\r\n");
    assert_eq!(memcached.line(), Ok(b"STORED".to_vec()));
    assert_eq!(first.conn().cmd(&["GET", "mc"]).text(), "v");
    assert_eq!(second.conn().cmd(&["FLUSHALL"]).text(), "OK");
    assert_eq!(first.conn().cmd(&["DBSIZE"]).int(), 0);
}

#[test]
fn settings_hold_for_all_proxies_once_they_are_acknowledged() {
    let first = Topology::Remote3.start(&[]);
    let second = Swell::join(&first, &[]);
    let (mut one, mut other) = (first.conn(), second.conn());
    for round in 1..=20 {
        let (setter, reader) = if round % 2 == 0 { (&mut one, &mut other) } else { (&mut other, &mut one) };
        let megabytes = format!("{}", (100 + round) << 20);
        assert_eq!(setter.cmd(&["CONFIG", "SET", "maxmemory", &megabytes]).text(), "OK");
        assert_eq!(reader.cmd(&["CONFIG", "GET", "maxmemory"]).items()[1].text(), megabytes);
        assert_eq!(setter.cmd(&["CONFIG", "GET", "maxmemory"]).items()[1].text(), megabytes);
    }
    // And on the nodes.
    assert_eq!(one.cmd(&["CONFIG", "SET", "proto-max-bulk-len", "1mb"]).text(), "OK");
    let refused = Reply::Error("ERR string exceeds maximum allowed size (proto-max-bulk-len)".to_owned());
    assert_eq!(other.cmd(&["SETRANGE", "k", "2000000", "x"]), refused);
}

/// Whoever looks sees the databases as they were or as they are: never one of both, and never the old ones after the OK.
#[test]
fn databases_are_swapped_at_once_for_all_proxies() {
    let first = Topology::Remote3.start(&[]);
    let second = Swell::join(&first, &[]);
    let mut one = first.conn();
    assert_eq!(one.cmd(&["SET", "k", "a"]).text(), "OK");
    assert_eq!(one.cmd(&["SELECT", "1"]).text(), "OK");
    assert_eq!(one.cmd(&["SET", "k", "b"]).text(), "OK");
    assert_eq!(one.cmd(&["SELECT", "0"]).text(), "OK");
    let (done, looks) = (AtomicBool::new(false), std::sync::atomic::AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for proxy in [&first, &second] {
            let mut watcher = proxy.conn();
            let (done, looks) = (&done, &looks);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let seen = both_databases(&mut watcher);
                    if !["ab", "ba"].contains(&seen.as_str()) {
                        done.store(true, Ordering::Relaxed);
                        panic!("databases 0 and 1 hold {seen}");
                    }
                    looks.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut other = second.conn();
        for swap in 1..=SWAPS {
            if done.load(Ordering::Relaxed) {
                break;
            }
            let (swapper, reader) = if swap % 2 == 0 { (&mut one, &mut other) } else { (&mut other, &mut one) };
            let swapped = swapper.cmd(&["SWAPDB", "0", "1"]);
            let seen = reader.cmd(&["GET", "k"]);
            if swapped.text() != "OK" || seen.text() != if swap % 2 == 0 { "a" } else { "b" } {
                done.store(true, Ordering::Relaxed);
                panic!("swap {swap}: {swapped:?}, then {seen:?}");
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(looks.load(Ordering::Relaxed) > 0, "somebody looked");
}

/// What `k` is in databases 0 and 1, in one transaction.
fn both_databases(conn: &mut Conn) -> String {
    for words in [&["MULTI"][..], &["SELECT", "0"], &["GET", "k"], &["SELECT", "1"], &["GET", "k"]] {
        assert!(!conn.cmd(words).is_error(), "{words:?}");
    }
    let answers = conn.cmd(&["EXEC"]);
    assert_eq!(conn.cmd(&["SELECT", "0"]).text(), "OK");
    format!("{}{}", answers.items()[1].text(), answers.items()[3].text())
}
