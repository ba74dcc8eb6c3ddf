//! Clients that wait, several at a time: who is served, in which order, and how else a wait ends. Against Swell with its
//! data here and on three nodes, and against valkey-server itself.

use std::time::Instant;

use swell::nodes::asking::Asking;
use swell_node::control::{Answer, Ask};
use swell_node::link::socket::Address;
use swell_ring::{NodeId, SlotSet, slot_of};

use crate::harness::{Conn, DEADLINE, Real, Reply, Server, Swell, Topology, encode, nodes, wait_for};

/// Clients on one key, where there are many.
const MANY: usize = 500;

/// A client, and who it is to others.
struct Waiting {
    conn: Conn,
    id: String,
}

impl Waiting {
    fn new(server: &Server) -> Waiting {
        let mut conn = server.conn();
        let id = conn.cmd(&["CLIENT", "ID"]).int().to_string();
        Waiting { conn, id }
    }

    /// Sends a request and returns once it waits.
    fn begin(&mut self, admin: &mut Conn, request: &str) {
        self.send(request);
        wait_for("the client to wait", DEADLINE, || self.waits(admin).then_some(()));
    }

    fn send(&mut self, request: &str) {
        let words: Vec<&str> = request.split(' ').collect();
        self.conn.send(&crate::harness::encode(&words));
    }

    fn waits(&self, admin: &mut Conn) -> bool {
        let list = admin.cmd(&["CLIENT", "LIST", "ID", &self.id]).text();
        list.split(' ').any(|field| field.strip_prefix("flags=").is_some_and(|flags| flags.contains('b')))
    }
}

fn cmd(conn: &mut Conn, request: &str) -> Reply {
    conn.cmd(&request.split(' ').collect::<Vec<_>>())
}

fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.as_bytes().to_vec())
}

fn array(texts: &[&str]) -> Reply {
    Reply::Array(texts.iter().map(|text| bulk(text)).collect())
}

/// Runs a test on a server of each kind.
fn on_each(test: fn(&Server)) {
    // Over links one worker, whose requests reach a node in the order in which they were sent.
    for (topology, workers) in [(Topology::Embedded, "2"), (Topology::Remote3, "1")] {
        eprintln!("{topology:?}");
        test(&topology.start(&["--workers", workers]));
    }
    eprintln!("valkey");
    test(&Real::valkey(&[]));
}

#[test]
fn who_came_first_is_served_first() {
    on_each(|server| {
        let mut admin = server.conn();
        let mut clients: Vec<_> = (0..8).map(|_| Waiting::new(server)).collect();
        for client in &mut clients {
            client.begin(&mut admin, "BLPOP {w}other {w}k 0");
        }
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(cmd(&mut admin, &format!("RPUSH {{w}}k {number}")).int(), 1);
            assert_eq!(client.conn.reply(), array(&["{w}k", &number.to_string()]));
            assert_eq!(cmd(&mut admin, "LLEN {w}k").int(), 0, "it was taken before the next request");
        }
    });
}

#[test]
fn one_push_serves_as_many_as_it_can() {
    on_each(|server| {
        let mut admin = server.conn();
        let mut clients: Vec<_> = (0..4).map(|_| Waiting::new(server)).collect();
        for client in &mut clients {
            client.begin(&mut admin, "BLPOP {w}k 0");
        }
        assert_eq!(cmd(&mut admin, "RPUSH {w}k a b c").int(), 3);
        for (client, expected) in clients.iter_mut().zip(["a", "b", "c"]) {
            assert_eq!(client.conn.reply(), array(&["{w}k", expected]));
        }
        assert!(clients[3].waits(&mut admin));
        assert_eq!(cmd(&mut admin, "RPUSH {w}k d").int(), 1);
        assert_eq!(clients[3].conn.reply(), array(&["{w}k", "d"]));
    });
}

#[test]
fn a_transaction_serves_when_it_is_over() {
    on_each(|server| {
        let mut admin = server.conn();
        let (mut one, mut other) = (Waiting::new(server), Waiting::new(server));
        one.begin(&mut admin, "BLPOP {w}a {w}b 0");
        other.begin(&mut admin, "BLPOP {w}b {w}a 0");
        for request in ["MULTI", "RPUSH {w}b 2", "RPUSH {w}a x y", "LPOP {w}a", "EXEC"] {
            cmd(&mut admin, request);
        }
        // The key that became ready first is served first, and he looks at his keys in his own order.
        assert_eq!(one.conn.reply(), array(&["{w}a", "y"]));
        assert_eq!(other.conn.reply(), array(&["{w}b", "2"]));
        one.begin(&mut admin, "BLPOP {w}a 0");
        for request in ["MULTI", "RPUSH {w}a 1", "DEL {w}a", "EXEC"] {
            cmd(&mut admin, request);
        }
        assert!(one.waits(&mut admin));
    });
}

#[test]
fn one_served_serves_the_next() {
    on_each(|server| {
        let mut admin = server.conn();
        let mut clients: Vec<_> = (0..4).map(|_| Waiting::new(server)).collect();
        clients[0].begin(&mut admin, "BLMOVE {w}a {w}b LEFT RIGHT 0");
        clients[1].begin(&mut admin, "BRPOPLPUSH {w}b {w}c 0");
        clients[2].begin(&mut admin, "BLMOVE {w}c {w}a LEFT LEFT 0");
        clients[3].begin(&mut admin, "BLPOP {w}a 0");
        assert_eq!(cmd(&mut admin, "RPUSH {w}a 1").int(), 1);
        for client in &mut clients[..3] {
            assert_eq!(client.conn.reply(), bulk("1"));
        }
        assert_eq!(clients[3].conn.reply(), array(&["{w}a", "1"]));
        clients[0].begin(&mut admin, "BLMOVE {w}a {w}text LEFT LEFT 0");
        cmd(&mut admin, "SET {w}text x");
        cmd(&mut admin, "RPUSH {w}a 1");
        assert!(clients[0].conn.reply().is_error(), "it is told that it cannot be done");
        assert_eq!(cmd(&mut admin, "LRANGE {w}a 0 -1"), array(&["1"]));
    });
}

#[test]
fn every_way_to_make_a_key_serves() {
    on_each(|server| {
        let mut admin = server.conn();
        let mut client = Waiting::new(server);
        for request in ["RENAME {w}from {w}k", "COPY {w}from {w}k", "SORT {w}from BY nosort STORE {w}k"] {
            cmd(&mut admin, "FLUSHALL");
            cmd(&mut admin, "RPUSH {w}from 1");
            client.begin(&mut admin, "BRPOP {w}k 0");
            cmd(&mut admin, request);
            assert_eq!(client.conn.reply(), array(&["{w}k", "1"]), "{request}");
        }
        client.begin(&mut admin, "BLPOP {w}k 0");
        for request in ["SET {w}k x", "DEL {w}k", "ZADD {w}k 1 m"] {
            cmd(&mut admin, request);
            assert!(client.waits(&mut admin), "{request} is nothing for it");
        }
        cmd(&mut admin, "DEL {w}k");
        cmd(&mut admin, "LPUSH {w}k 2");
        assert_eq!(client.conn.reply(), array(&["{w}k", "2"]));
        client.begin(&mut admin, "BZMPOP 0 2 {w}y {w}z MAX COUNT 2");
        cmd(&mut admin, "ZADD {w}z 1 a 2 b 3 c");
        let members = Reply::Array(vec![array(&["c", "3"]), array(&["b", "2"])]);
        assert_eq!(client.conn.reply(), Reply::Array(vec![bulk("{w}z"), members]));
    });
}

#[test]
fn readers_of_streams_wait() {
    on_each(|server| {
        let mut admin = server.conn();
        let mut clients: Vec<_> = (0..3).map(|_| Waiting::new(server)).collect();
        cmd(&mut admin, "XADD {w}s 1-0 f v");
        cmd(&mut admin, "XGROUP CREATE {w}s g $");
        clients[0].begin(&mut admin, "XREAD BLOCK 0 STREAMS {w}s $");
        clients[1].begin(&mut admin, "XREADGROUP GROUP g one BLOCK 0 STREAMS {w}s >");
        clients[2].begin(&mut admin, "XREADGROUP GROUP g two BLOCK 0 STREAMS {w}s >");
        cmd(&mut admin, "XADD {w}s 2-0 f v");
        let entry = Reply::Array(vec![bulk("2-0"), array(&["f", "v"])]);
        let told = Reply::Array(vec![Reply::Array(vec![bulk("{w}s"), Reply::Array(vec![entry])])]);
        for client in &mut clients[..2] {
            assert_eq!(client.conn.reply(), told);
        }
        assert!(clients[2].waits(&mut admin), "the group has nothing for the second");
        cmd(&mut admin, "XGROUP SETID {w}s g 0");
        assert!(clients[2].waits(&mut admin), "nothing has come");
        cmd(&mut admin, "DEL {w}s");
        assert!(clients[2].conn.reply().error().starts_with("NOGROUP"));
    });
}

#[test]
fn a_wait_ends_with_its_time() {
    on_each(|server| {
        let mut client = Waiting::new(server);
        for request in
            ["BLPOP {w}k 0.05", "XREAD BLOCK 50 STREAMS {w}s $", "WAIT 1 50", "BLMOVE {w}k {w}l LEFT LEFT 0.05"]
        {
            let begun = Instant::now();
            client.send(request);
            let reply = client.conn.reply();
            let expected = if request.starts_with("WAIT") { Reply::Int(0) } else { Reply::NullArray };
            assert_eq!(reply, expected, "{request}");
            // Both servers count whole milliseconds: the one in which it begins is one of them.
            assert!(begun.elapsed().as_millis() >= 49, "{request} has waited {:?}", begun.elapsed());
        }
        // Nothing is left of it.
        let mut admin = server.conn();
        cmd(&mut admin, "RPUSH {w}k 1");
        assert_eq!(cmd(&mut admin, "LLEN {w}k").int(), 1);
    });
}

#[test]
fn unblock_ends_a_wait() {
    on_each(|server| {
        let mut admin = server.conn();
        let mut client = Waiting::new(server);
        for request in ["BLPOP {w}k 0", "BZPOPMIN {w}z 0", "WAIT 1 0"] {
            client.begin(&mut admin, request);
            assert_eq!(admin.cmd(&["CLIENT", "UNBLOCK", &client.id]).int(), 1);
            assert!(matches!(client.conn.reply(), Reply::NullArray | Reply::Int(0)), "{request}");
            client.begin(&mut admin, request);
            assert_eq!(admin.cmd(&["CLIENT", "UNBLOCK", &client.id, "ERROR"]).int(), 1);
            assert_eq!(client.conn.reply().error(), "UNBLOCKED client unblocked via CLIENT UNBLOCK", "{request}");
            assert_eq!(admin.cmd(&["CLIENT", "UNBLOCK", &client.id]).int(), 0);
        }
        assert_eq!(client.conn.cmd(&["PING"]).text(), "PONG");
    });
}

#[test]
fn who_has_left_gets_nothing() {
    on_each(|server| {
        let mut admin = server.conn();
        let (mut gone, mut killed, mut stays) = (Waiting::new(server), Waiting::new(server), Waiting::new(server));
        gone.begin(&mut admin, "BLPOP {w}k 0");
        // What is sent behind must not hide the end.
        gone.conn.send(b"PING\r\nPING\r\n");
        killed.begin(&mut admin, "BLPOP {w}k 0");
        stays.begin(&mut admin, "BLPOP {w}k 0");
        drop(gone);
        assert_eq!(admin.cmd(&["CLIENT", "KILL", "ID", &killed.id]).int(), 1);
        let blocked = |admin: &mut Conn| admin.cmd(&["INFO", "clients"]).text().contains("blocked_clients:1\r");
        wait_for("the others to be gone", DEADLINE, || blocked(&mut admin).then_some(()));
        assert_eq!(cmd(&mut admin, "RPUSH {w}k 1").int(), 1);
        assert_eq!(stays.conn.reply(), array(&["{w}k", "1"]));
    });
}

#[test]
fn many_on_one_key_are_served_one_by_one() {
    on_each(|server| {
        let mut admin = server.conn();
        let mut clients: Vec<_> = (0..MANY).map(|_| Waiting::new(server)).collect();
        clients.iter_mut().for_each(|client| client.send("BLPOP {w}k 0"));
        let all = format!("blocked_clients:{MANY}\r");
        wait_for("all to wait", DEADLINE, || admin.cmd(&["INFO", "clients"]).text().contains(&all).then_some(()));
        for number in 0..MANY {
            cmd(&mut admin, &format!("RPUSH {{w}}k {number}"));
        }
        let mut got: Vec<i64> = clients
            .iter_mut()
            .map(|client| client.conn.reply().items()[1].text().parse().expect("it is a number"))
            .collect();
        got.sort_unstable();
        assert_eq!(got, (0..MANY as i64).collect::<Vec<_>>(), "each element went to one client");
    });
}

#[test]
fn a_key_that_comes_in_the_transaction_that_swaps_its_database_leaves_its_queue_awake() {
    let server = Swell::start(&["--workers", "1"]);
    let mut admin = server.conn();
    let mut clients: Vec<_> = (0..2).map(|_| Waiting::new(&server)).collect();
    clients[0].begin(&mut admin, "BZPOPMIN {w}k 0");
    for request in ["MULTI", "ZADD {w}k 1 m", "SWAPDB 0 1", "EXEC"] {
        cmd(&mut admin, request);
    }
    // The first waits for a sorted set in database 0, whose keys are those of database 1 now.
    assert!(clients[0].waits(&mut admin));
    clients[1].begin(&mut admin, "BLPOP {w}k 0");
    cmd(&mut admin, "RPUSH {w}k 1");
    assert_eq!(clients[1].conn.reply(), array(&["{w}k", "1"]));
    cmd(&mut admin, "SWAPDB 0 1");
    assert_eq!(clients[0].conn.reply(), array(&["{w}k", "m", "1"]));
}

#[test]
fn who_waits_moves_with_the_slot() {
    let server = Topology::Remote3.start(&["--workers", "1"]);
    let mut admin = server.conn();
    let mut clients: Vec<_> = (0..3).map(|_| Waiting::new(&server)).collect();
    cmd(&mut admin, "XADD {w}s 1-0 f v");
    clients[0].begin(&mut admin, "BLPOP {w}k 0");
    clients[1].begin(&mut admin, "BLPOP {w}k 0");
    clients[2].begin(&mut admin, "XREAD BLOCK 0 STREAMS {w}s $");
    let address: Address = server.link.parse().expect("the ready file tells the link");
    let mut asking = Asking::begin(&address, "").expect("the scaler answers");
    for (round, node) in nodes(&server.link).into_iter().enumerate() {
        move_slots(&mut asking, one_slot(), node.id);
        assert!(clients.iter().all(|client| client.waits(&mut admin)), "round {round}");
    }
    cmd(&mut admin, "RPUSH {w}k 1 2");
    cmd(&mut admin, "XADD {w}s 2-0 f v");
    assert_eq!(clients[0].conn.reply(), array(&["{w}k", "1"]), "who came first is first there too");
    assert_eq!(clients[1].conn.reply(), array(&["{w}k", "2"]));
    let told = clients[2].conn.reply();
    assert!(matches!(told, Reply::Array(_)), "{told:?}");
}

#[test]
fn who_waits_here_goes_on_waiting_where_the_slot_has_gone() {
    let server = Swell::start(&["--workers", "1", "--nodes-min", "2", "--nodes-max", "2"]);
    let (mut admin, mut client) = (server.conn(), Waiting::new(&server));
    let address: Address = server.link.parse().expect("the ready file tells the link");
    let mut asking = Asking::begin(&address, "").expect("the scaler answers");
    let all = nodes(&server.link);
    let (here, there) = all.iter().partition::<Vec<_>, _>(|node| node.pid == server.pid());
    // The proxy calls the node in its own process as a function, while that has all slots.
    move_slots(&mut asking, SlotSet::all(), here[0].id);
    client.begin(&mut admin, "BLPOP {w}k 0");
    for (round, node) in [there[0], here[0]].into_iter().enumerate() {
        move_slots(&mut asking, one_slot(), node.id);
        assert!(client.waits(&mut admin), "round {round}");
    }
    cmd(&mut admin, "RPUSH {w}k 1");
    assert_eq!(client.conn.reply(), array(&["{w}k", "1"]));
}

/// That of the keys here.
fn one_slot() -> SlotSet {
    let mut slots = SlotSet::new();
    slots.insert(slot_of(b"{w}k"));
    slots
}

fn move_slots(asking: &mut Asking, slots: SlotSet, to: NodeId) {
    let done = asking.ask(Ask::Move { slots, to }).expect("slots can be moved");
    let Answer::Done(_) = done else { panic!("not an end: {done:?}") };
}

/// A transaction that takes several slices, beside a client that watches several of its keys.
#[test]
fn keys_are_watched_behind_a_transaction_that_runs() {
    const REQUESTS: usize = 5_000;
    let server = Swell::start(&["--workers", "2"]);
    let (mut long, mut other) = (server.conn(), server.conn());
    let requests = [encode(&["MULTI"]), encode(&["INCR", "{t}n"]).repeat(REQUESTS), encode(&["EXEC"])];
    for _ in 0..20 {
        long.send(&requests.concat());
        for _ in 0..40 {
            assert_eq!(other.cmd(&["WATCH", "{t}1", "{t}2"]).text(), "OK");
            assert_eq!(other.cmd(&["UNWATCH"]).text(), "OK");
        }
        for _ in 0..=REQUESTS {
            long.reply();
        }
        assert_eq!(long.reply().items().len(), REQUESTS);
    }
}
