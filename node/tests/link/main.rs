//! The node's end of a link: what a proxy sends in frames is answered as the engine itself answers, in each session's
//! order, whatever stands in the way.

mod bulk;
mod hostile;
mod long;
mod peer;
mod slices;
mod walks;

use swell_engine::admit::Admitted;
use swell_engine::commands::table::{Found, tables};
use swell_engine::gate::Gate;
use swell_engine::{Context, Db, Outcome};
use swell_node::link::frame::{Entry, Flags, Kind, RequestHead, Status};
use swell_node::link::serve::Sessions;
use swell_node::link::stats::NodeReport;
use swell_node::link::{GATE_WAIT_MS, frame};
use swell_node::{Handle, Node};
use swell_ring::slot_of;
use swell_wire::{Limits, Out, Proto, Requests, memcached, resp};

use peer::*;

/// One request of a random kind.
fn any_request(random: &mut Random) -> Vec<u8> {
    let key = format!("key:{}", random.below(50));
    let other = format!("key:{}", random.below(50));
    let value = "v".repeat([1, 10, 300, 5_000][random.below(4)]);
    let words: Vec<&str> = match random.below(14) {
        0..=3 => vec!["GET", &key],
        4..=5 => vec!["set", &key, &value],
        6 => vec!["INCR", &key],
        7 => vec!["DEL", &key, &other],
        8 => vec!["APPEND", &key, "more"],
        9 => vec!["MSET", &key, "1", &other, "2"],
        10 => vec!["MGET", &key, &other, "none"],
        11 => vec!["GETRANGE", &key, "0", "2"],
        12 => vec!["SET", &key, &value, "NX", "bad"],
        _ => vec!["DBSIZE"],
    };
    resp_of(&words)
}

/// What the engine itself answers to these requests.
fn executed(handle: &mut Handle, requests: &[u8], flags: Flags, db: u8) -> (Vec<Entry>, Vec<u8>) {
    let (mut items, limits) = (Requests::new(), Limits::default());
    let is_text = flags.has(Flags::TEXT);
    let consumed = match is_text {
        true => memcached::Decoder::new().decode(requests, &limits, &mut items),
        false => resp::Decoder::new().decode(requests, &limits, &mut items),
    };
    assert_eq!(consumed, requests.len());
    let table = if flags.has(Flags::MEMCACHED) { &tables().memcached } else { &tables().resp };
    let proto = if flags.has(Flags::RESP3) { Proto::Resp3 } else { Proto::Resp2 };
    let mut out = Out::new(proto);
    let mut entries = Vec::new();
    for index in 0..items.len() {
        let args = items.get(index, requests).unwrap();
        let Found::Command(command) = table.find(args) else { panic!("a known command") };
        let mut keys = Vec::new();
        command.spec.hash_keys(handle.engine(), args, &mut keys);
        let context = Context { db: Db::new(db.into()).unwrap(), proto, now_ms: NOW_MS, ..Context::default() };
        let call = Admitted::from_link(command.spec, args).call(&keys, context);
        let (mark, before) = (out.mark(), (out.len(), out.data_bytes()));
        let Outcome::Done { work, failed } = handle.execute(&call, None, &mut out) else {
            panic!("nothing in its way")
        };
        let data_bytes = out.data_bytes() - before.1;
        if items.item(index).noreply {
            out.truncate(mark);
        }
        entries.push(Entry { reply_bytes: (out.len() - before.0) as u64, data_bytes, work, failed });
    }
    (entries, out.to_vec())
}

#[test]
fn answers_are_those_of_the_engine() {
    let (mut peer, twin) = (Peer::new(), Node::new(7));
    let mut twin = twin.handle(3);
    let mut random = Random(42);
    for round in 0..300u32 {
        let (mut sent, mut expected) = (Vec::new(), Vec::new());
        for number in 0..1 + random.below(40) as u32 {
            let count = [1, 1, 1, 2, 16, 32, 33, 70][random.below(8)];
            let body: Vec<u8> = (0..count).flat_map(|_| any_request(&mut random)).collect();
            let flags = Flags::RESP3.when(random.below(3) == 0);
            let db = random.below(2) as u8;
            let session = random.below(5) as u32;
            let head = RequestHead { flags, db, ..head(session, round * 100 + number, count) };
            sent.extend(framed(Kind::Request, head, &body));
            expected.push((head, executed(&mut twin, &body, flags, db)));
        }
        // In pieces, as sockets give them.
        let mut unread = Vec::new();
        for piece in sent.chunks(1 + random.below(sent.len())) {
            unread.extend_from_slice(piece);
            let consumed = peer.try_send(&unread).unwrap();
            unread.drain(..consumed);
            peer.collect();
        }
        let got = peer.got.drain(..).collect();
        let answers = join(got);
        assert_eq!(answers.len(), expected.len());
        for ((head, (entries, replies)), answer) in expected.into_iter().zip(answers) {
            assert_eq!((answer.head.session, answer.head.id), (head.session, head.id));
            assert_eq!((answer.head.status, answer.head.done), (Status::Done, head.count));
            assert_eq!(answer.entries, entries);
            assert!(answer.replies == replies, "round {round}");
        }
    }
    assert!(peer.sessions.counts().requests > 10_000 && peer.sessions.counts().work > 10_000);
}

#[test]
fn memcached_verbs_come_as_text_or_as_resp() {
    let mut peer = Peer::new();
    let body = b"set a 5 0 3\r\nabc\r\nset b 0 0 1 noreply\r\nx\r\nget a b c\r\ngets nothing\r\nincr b 1\r\n";
    let flags = Flags::MEMCACHED.and(Flags::TEXT);
    let twin = Node::new(7);
    let expected = executed(&mut twin.handle(3), body, flags, 0);
    peer.send(&framed(Kind::Request, RequestHead { flags, ..head(0, 1, 5) }, body));
    let answer = peer.answer();
    assert_eq!((answer.entries, answer.replies), expected);
    assert!(text(&expected.1).starts_with("STORED\r\nVALUE a 5 3\r\nabc\r\nVALUE b 0 1\r\n"));
    let flags = Flags::MEMCACHED;
    peer.send(&framed(Kind::Request, RequestHead { flags, ..head(0, 2, 1) }, &resp_of(&["get", "a"])));
    assert_eq!(text(&peer.answer().replies), "VALUE a 5 3\r\nabc\r\nEND\r\n");
}

#[test]
fn a_taken_stripe_holds_its_session_only_and_the_unlocker_wakes_it() {
    let mut peer = Peer::new();
    let node = peer.node.clone();
    let held = node.engine().stripe(stripe_index("a")).hold_patiently();
    let free = (0..).map(|n| format!("f{n}")).find(|key| stripe_index(key) != stripe_index("a")).unwrap();
    let requests = [
        request(1, 1, &[&["SET", &free, "1"], &["SET", "a", "1"], &["GET", &free]]),
        request(1, 2, &[&["GET", "a"]]),
        request(2, 1, &[&["GET", &free]]),
    ];
    peer.send(&requests.concat());
    assert_eq!(text(&peer.answer().replies), "$1\r\n1\r\n", "session 2 is not held up");
    peer.send(&request(1, 3, &[&["INCR", &free]]));
    peer.resume();
    assert_eq!(peer.answers(), []);
    let wakes = peer.wakes();
    drop(held);
    assert_eq!(peer.wakes(), wakes + 1);
    peer.resume();
    let answers = peer.answers();
    assert_eq!(answers.iter().map(|answer| answer.head.id).collect::<Vec<_>>(), [1, 2, 3]);
    let replies: Vec<String> = answers.iter().map(|answer| text(&answer.replies)).collect();
    assert_eq!(replies, ["+OK\r\n+OK\r\n$1\r\n1\r\n", "$1\r\n1\r\n", ":2\r\n"]);
    assert!(node.engine().stripe(stripe_index("a")).try_lock(), "no ticket is left");
    node.engine().stripe(stripe_index("a")).unlock();
}

#[test]
fn two_keys_of_a_taken_stripe_are_watched() {
    let mut peer = Peer::new();
    let node = peer.node.clone();
    let held = node.engine().stripe(stripe_index("a")).hold_patiently();
    peer.send(&framed(Kind::Exec, head(1, 1, 1), &bodies(&[&["WATCH", "1", "{a}1", "{a}2"]])));
    assert_eq!(peer.answers(), []);
    drop(held);
    // The first key uses the ticket up; the second one draws another.
    let mut wakes = 0;
    while peer.wakes() > wakes {
        wakes = peer.wakes();
        peer.resume();
    }
    assert_eq!(text(&peer.answer().replies), "+OK\r\n");
}

#[test]
fn a_session_that_ends_gives_its_ticket_back() {
    let mut peer = Peer::new();
    let node = peer.node.clone();
    let stripe = node.engine().stripe(stripe_index("a"));
    let held = stripe.hold_patiently();
    peer.send(&[request(1, 1, &[&["SET", "a", "1"]]), request(2, 1, &[&["SET", "a", "2"]])].concat());
    let mut close = Vec::new();
    frame::close(1, &mut close);
    peer.send(&close);
    drop(held);
    peer.resume();
    assert_eq!(peer.answer().head.session, 2);
    let held = stripe.hold_patiently();
    peer.send(&request(3, 1, &[&["SET", "a", "3"]]));
    drop(std::mem::replace(&mut peer.sessions, Sessions::new(node.clone(), peer.view.clone())));
    drop(held);
    assert_eq!(peer.call(0, &["GET", "a"]), "$1\r\n2\r\n");
}

#[test]
fn a_sealed_slot_takes_reads_and_keeps_writes_until_it_opens_or_time_is_up() {
    let mut peer = Peer::new();
    assert_eq!(peer.call(1, &["SET", "a", "1"]), "+OK\r\n");
    set_gate(&peer.node, slot_of(b"a"), Gate::Sealed);
    peer.send(&request(1, 1, &[&["GET", "a"], &["INCR", "a"]]));
    assert_eq!(peer.answers(), []);
    set_gate(&peer.node, slot_of(b"a"), Gate::Serving);
    assert_eq!(peer.wakes(), 1);
    peer.resume();
    assert_eq!(text(&peer.answer().replies), "$1\r\n1\r\n:2\r\n");

    set_gate(&peer.node, slot_of(b"a"), Gate::Sealed);
    let requests = [request(1, 2, &[&["GET", "a"], &["INCR", "a"], &["GET", "a"]]), request(1, 3, &[&["GET", "a"]])];
    peer.send(&requests.concat());
    assert_eq!(peer.sessions.deadline_ms(), Some(NOW_MS + GATE_WAIT_MS));
    peer.now_ms += GATE_WAIT_MS - 1;
    peer.resume();
    assert_eq!(peer.answers(), []);
    peer.now_ms += 1;
    peer.resume();
    let answers = peer.answers();
    let outcome: Vec<_> = answers.iter().map(|answer| (answer.head.id, answer.head.status, answer.head.done)).collect();
    assert_eq!(outcome, [(2, Status::Paused, 1), (3, Status::Behind, 0)]);
    assert_eq!((text(&answers[0].replies), peer.sessions.deadline_ms()), ("$1\r\n2\r\n".to_owned(), None));
}

#[test]
fn after_a_refusal_everything_is_behind_until_a_restart() {
    let mut peer = Peer::new();
    peer.view.set_epoch(5);
    set_gate(&peer.node, slot_of(b"gone"), Gate::Released);
    let at = |epoch, flags, id, requests: &[&[&str]]| {
        let head = RequestHead { epoch, flags, ..head(9, id, requests.len()) };
        framed(Kind::Request, head, &bodies(requests))
    };
    let none = Flags::default();
    let frames = [
        at(5, none, 1, &[&["SET", "here", "1"], &["GET", "gone"], &["INCR", "here"]]),
        at(5, none, 2, &[&["INCR", "here"]]),
        at(5, none, 3, &[&["INCR", "here"]]),
    ];
    peer.send(&frames.concat());
    let heads: Vec<_> = peer.answers().into_iter().map(|answer| answer.head).collect();
    let outcome: Vec<_> = heads.iter().map(|head| (head.id, head.status, head.done, head.epoch)).collect();
    assert_eq!(outcome, [(1, Status::Moved, 1, 6), (2, Status::Behind, 0, 0), (3, Status::Behind, 0, 0)]);
    peer.send(&at(5, none, 4, &[&["INCR", "here"]]));
    assert_eq!(peer.answer().head.status, Status::Behind);
    peer.send(&[at(5, Flags::RESTART, 5, &[&["INCR", "here"]]), at(5, none, 6, &[&["INCR", "here"]])].concat());
    let replies: Vec<String> = peer.answers().iter().map(|answer| text(&answer.replies)).collect();
    assert_eq!(replies, [":2\r\n", ":3\r\n"]);
    // Routed by an older map: that one will do.
    peer.send(&at(3, none, 7, &[&["GET", "gone"]]));
    assert_eq!((peer.answers()[0].head.epoch, peer.call(8, &["GET", "here"])), (5, "$1\r\n3\r\n".to_owned()));
}

#[test]
fn a_frame_from_the_future_waits_for_its_map_and_state_and_one_from_the_past_is_refused() {
    let mut peer = Peer::new();
    let at = |epoch, state, id| {
        let head = RequestHead { epoch, state, flags: Flags::RESTART, ..head(0, id, 1) };
        framed(Kind::Request, head, &resp_of(&["INCR", "n"]))
    };
    peer.send(&at(2, 1, 1));
    peer.view.set_epoch(2);
    assert_eq!(peer.wakes(), 1);
    peer.resume();
    assert_eq!(peer.answers(), []);
    peer.view.set_state(1);
    assert_eq!(peer.wakes(), 2);
    peer.resume();
    assert_eq!(text(&peer.answer().replies), ":1\r\n");
    peer.send(&at(2, 0, 2));
    let head = peer.answer().head;
    assert_eq!((head.status, head.epoch, head.state, head.done), (Status::Moved, 2, 1, 0));
    peer.send(&at(9, 1, 3));
    peer.now_ms += GATE_WAIT_MS;
    peer.resume();
    assert_eq!(peer.answer().head.status, Status::Paused);
}

#[test]
fn exec_runs_as_one_unit_and_waits_as_one() {
    let mut peer = Peer::new();
    let node = peer.node.clone();
    let unit = bodies(&[
        &["SET", "a", "1"],
        &["SELECT", "3"],
        &["SET", "a", "x"],
        &["INCR", "a"],
        &["SELECT", "16"],
        &["DBSIZE"],
        &["SELECT", "0"],
        &["INCR", "a"],
    ]);
    let held = node.engine().stripe(stripe_index("a")).hold_patiently();
    peer.send(&framed(Kind::Exec, head(4, 1, 8), &unit));
    peer.send(&request(4, 2, &[&["INCR", "a"]]));
    assert_eq!(peer.answers(), []);
    drop(held);
    peer.resume();
    let answers = peer.answers();
    let not_integer = "-ERR value is not an integer or out of range\r\n";
    let expected = format!("+OK\r\n+OK\r\n+OK\r\n{not_integer}-ERR DB index is out of range\r\n:1\r\n+OK\r\n:2\r\n");
    assert_eq!(text(&answers[0].replies), expected);
    let failed: Vec<bool> = answers[0].entries.iter().map(|entry| entry.failed).collect();
    assert_eq!(failed, [false, false, false, true, true, false, false, false]);
    assert_eq!(text(&answers[1].replies), ":3\r\n");

    // A slot of it that is served elsewhere: none of it runs.
    set_gate(&node, slot_of(b"gone"), Gate::Released);
    let unit = bodies(&[&["INCR", "a"], &["GET", "gone"]]);
    peer.send(&framed(Kind::Exec, head(4, 3, 2), &unit));
    let answer = peer.answer();
    assert_eq!((answer.head.status, answer.head.done, answer.head.epoch), (Status::Moved, 0, 2));
    assert_eq!(peer.call(5, &["GET", "a"]), "$1\r\n3\r\n");
}

#[test]
fn exec_without_memory_is_refused_as_a_whole_and_the_session_goes_on() {
    let mut peer = Peer::new();
    peer.call(4, &["SET", "a", "1"]);
    peer.node.engine().settings().set_maxmemory_total_bytes(1);
    let unit = bodies(&[&["DEL", "a"], &["SET", "b", "2"]]);
    peer.send(&framed(Kind::Exec, head(4, 1, 2), &unit));
    let answer = peer.answer();
    assert_eq!((answer.head.status, answer.head.done, answer.replies.len()), (Status::Full, 0, 0));
    assert_eq!(peer.call(4, &["GET", "a"]), "$1\r\n1\r\n", "nothing ran, and nobody has to begin again");
    // What needs no memory runs.
    peer.send(&framed(Kind::Exec, head(4, 3, 2), &bodies(&[&["GET", "a"], &["DEL", "a"]])));
    let answer = peer.answer();
    assert_eq!((answer.head.status, text(&answer.replies)), (Status::Done, "$1\r\n1\r\n:1\r\n".to_owned()));
}

#[test]
fn stats_are_json() {
    let mut peer = Peer::new();
    peer.call(0, &["SET", "a", "v"]);
    peer.call(0, &["GET", "a"]);
    peer.send(&framed(Kind::Stats, head(7, 1, 0), b""));
    let report: NodeReport = serde_json::from_slice(&peer.answer().replies).unwrap();
    assert_eq!((report.stats.keys, report.keyspace.hits, report.databases[0].keys), (1, 1, 1));
}
