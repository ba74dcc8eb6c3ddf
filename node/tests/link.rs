//! The node's end of a link: what a proxy sends in frames is answered as the engine itself answers, in each session's
//! order, whatever stands in the way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Wake, Waker};

use swell_engine::admit::Admitted;
use swell_engine::commands::table::{Found, tables};
use swell_engine::gate::Gate;
use swell_engine::stripe::stripe_of;
use swell_engine::{Context, Db, Outcome};
use swell_node::link::frame::{
    self, BadFrame, CHUNK_BYTES, CREDIT_BYTES, ChunkHead, CreditHead, Entry, Flags, Frame, Kind, ReplyHead,
    RequestHead, Status,
};
use swell_node::link::serve::Sessions;
use swell_node::link::stats::NodeReport;
use swell_node::link::{GATE_WAIT_MS, PARKED_BYTES_MAX};
use swell_node::view::View;
use swell_node::{Handle, Node};
use swell_ring::{Slot, SlotSet, slot_of};
use swell_wire::{Limits, Out, Proto, Requests, memcached, resp};

const NOW_MS: u64 = 1_700_000_000_000;

/// Counts how often the link's task was woken.
#[derive(Default)]
struct Task(AtomicUsize);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// A node with one link, and what came back over it.
struct Peer {
    node: Arc<Node>,
    view: Arc<View>,
    handle: Handle,
    sessions: Sessions,
    task: Arc<Task>,
    now_ms: u64,
    /// Chunk frames of each session so far, so that credit can be given.
    got: VecDeque<Got>,
}

#[derive(Debug, PartialEq)]
enum Got {
    Reply(ReplyHead, Vec<u8>),
    Chunk(ChunkHead, Vec<u8>),
    Credit(u32, u32),
}

/// A reply with its entries taken apart.
#[derive(Debug, PartialEq)]
struct Answer {
    head: ReplyHead,
    entries: Vec<Entry>,
    replies: Vec<u8>,
}

impl Peer {
    fn new() -> Peer {
        let (node, view) = (Node::new(7), Arc::<View>::default());
        view.set_epoch(1);
        let sessions = Sessions::new(node.clone(), view.clone());
        let handle = node.handle(3);
        Peer { node, view, handle, sessions, task: Arc::default(), now_ms: NOW_MS, got: VecDeque::new() }
    }

    fn try_send(&mut self, bytes: &[u8]) -> Result<usize, BadFrame> {
        let waker = Waker::from(self.task.clone());
        let taken = self.sessions.take(&mut self.handle, bytes, self.now_ms, &waker)?;
        Ok(taken)
    }

    fn send(&mut self, bytes: &[u8]) {
        assert_eq!(self.try_send(bytes).expect("good frames"), bytes.len());
        self.collect();
    }

    fn resume(&mut self) {
        let waker = Waker::from(self.task.clone());
        self.sessions.resume(&mut self.handle, self.now_ms, &waker).expect("good frames");
        self.collect();
    }

    fn wakes(&self) -> usize {
        self.task.0.load(SeqCst)
    }

    /// What the node wants to send now.
    fn collect(&mut self) {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.sessions.outbox().chunk() {
            bytes.extend_from_slice(chunk);
            let len = chunk.len();
            self.sessions.outbox().advance(len);
        }
        self.got.extend(parse(&bytes));
    }

    fn answers(&mut self) -> Vec<Answer> {
        self.got.drain(..).map(answer).collect()
    }

    fn answer(&mut self) -> Answer {
        let mut answers = self.answers();
        assert_eq!(answers.len(), 1, "{answers:?}");
        answers.remove(0)
    }

    /// Runs one command through the link.
    fn call(&mut self, session: u32, words: &[&str]) -> String {
        self.send(&request(session, 0, &[words]));
        text(&self.answer().replies)
    }
}

fn parse(bytes: &[u8]) -> Vec<Got> {
    let (mut at, mut got) = (0, Vec::new());
    while let Some(frame) = Frame::first(&bytes[at..]).expect("frames") {
        at += frame.bytes;
        got.push(match frame.kind {
            Kind::Reply => {
                let (head, body) = ReplyHead::read(frame.rest).unwrap();
                Got::Reply(head, body.to_vec())
            }
            Kind::Chunk => {
                let (head, piece) = ChunkHead::read(frame.rest).unwrap();
                Got::Chunk(head, piece.to_vec())
            }
            Kind::Credit => {
                let credit = CreditHead::read(frame.rest).unwrap();
                Got::Credit(credit.session, credit.bytes)
            }
            other => panic!("a node does not send {other:?}"),
        });
    }
    assert_eq!(at, bytes.len(), "whole frames only");
    got
}

fn answer(got: Got) -> Answer {
    let Got::Reply(head, body) = got else { panic!("a reply, not {got:?}") };
    assert!(!head.flags.has(Flags::MORE), "it is whole");
    take_apart(head, &body)
}

fn take_apart(head: ReplyHead, body: &[u8]) -> Answer {
    let entries: Vec<Entry> = (0..head.done as usize).map(|index| Entry::read(body, index).unwrap()).collect();
    let replies = body[entries.len() * Entry::BYTES..].to_vec();
    // What stats are answered with is no request's reply.
    assert!(entries.is_empty() || entries.iter().map(|entry| entry.reply_bytes).sum::<u64>() as usize == replies.len());
    Answer { head, entries, replies }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn resp_of(words: &[&str]) -> Vec<u8> {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    resp_bytes(&words)
}

fn resp_bytes(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn head(session: u32, id: u32, count: usize) -> RequestHead {
    RequestHead { session, id, count: count as u16, epoch: 1, ..RequestHead::default() }
}

fn framed(kind: Kind, head: RequestHead, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let at = frame::begin(kind, &mut bytes);
    head.write(&mut bytes);
    bytes.extend_from_slice(body);
    frame::end(at, &mut bytes);
    bytes
}

fn bodies(requests: &[&[&str]]) -> Vec<u8> {
    requests.iter().flat_map(|words| resp_of(words)).collect()
}

fn request(session: u32, id: u32, requests: &[&[&str]]) -> Vec<u8> {
    framed(Kind::Request, head(session, id, requests.len()), &bodies(requests))
}

fn walk(session: u32, id: u32, slots: &SlotSet, words: &[&str]) -> Vec<u8> {
    let mut body: Vec<u8> = slots.words().iter().flat_map(|word| word.to_le_bytes()).collect();
    body.extend(resp_of(words));
    framed(Kind::Walk, head(session, id, 1), &body)
}

fn walked(answer: &Answer) -> (SlotSet, String) {
    let (set, reply) = answer.replies.split_at(2048);
    let mut words = [0; 256];
    for (word, bytes) in words.iter_mut().zip(set.chunks(8)) {
        *word = u64::from_le_bytes(bytes.try_into().unwrap());
    }
    assert_eq!(answer.entries[0].reply_bytes as usize, answer.replies.len());
    (SlotSet::from_words(words), text(reply))
}

fn chunk(session: u32, id: u32, last: bool, piece: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let at = frame::begin(Kind::Chunk, &mut bytes);
    ChunkHead { session, id, last }.write(&mut bytes);
    bytes.extend_from_slice(piece);
    frame::end(at, &mut bytes);
    bytes
}

fn credit(session: u32, bytes: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    CreditHead { session, bytes: bytes as u32 }.frame(&mut frame);
    frame
}

fn stripe_index(key: &str) -> usize {
    stripe_of(slot_of(key.as_bytes()))
}

fn set_gate(node: &Node, slot: Slot, gate: Gate) {
    node.engine().stripe(stripe_of(slot)).set_gate(slot, gate);
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }
}

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
        command.spec.hash_keys(handle.engine(), args, &mut keys).unwrap();
        let context = Context { db: Db::new(db.into()).unwrap(), proto, no_touch: false, now_ms: NOW_MS };
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

/// Puts replies that went in pieces together, in the order in which they began.
fn join(got: Vec<Got>) -> Vec<Answer> {
    let mut replies: Vec<(ReplyHead, Vec<u8>)> = Vec::new();
    for got in got {
        match got {
            Got::Reply(head, body) => replies.push((head, body)),
            Got::Chunk(chunk, piece) => {
                let is_it = |reply: &&mut (ReplyHead, Vec<u8>)| {
                    (reply.0.session, reply.0.id) == (chunk.session, chunk.id) && reply.0.flags.has(Flags::MORE)
                };
                let reply = replies.iter_mut().find(is_it).expect("a chunk belongs to a reply");
                reply.1.extend(piece);
                if chunk.last {
                    reply.0.flags = Flags::default();
                }
            }
            Got::Credit(..) => {}
        }
    }
    assert!(replies.iter().all(|(head, _)| !head.flags.has(Flags::MORE)), "all are whole");
    replies.into_iter().map(|(head, body)| take_apart(head, &body)).collect()
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
fn a_long_value_goes_both_ways_in_chunks_and_others_overtake_it() {
    let mut peer = Peer::new();
    let value: Vec<u8> = (0..5 * 1024 * 1024u32).map(|at| (at % 251) as u8).collect();
    let body = [resp_of(&["SET", "small", "1"]), resp_bytes(&[b"SET", b"big", &value]), resp_of(&["GET", "small"])];
    let body = body.concat();
    let mut pieces = body.chunks(CHUNK_BYTES);
    let long_head = RequestHead { flags: Flags::MORE, ..head(1, 1, 3) };
    peer.send(&framed(Kind::Request, long_head, pieces.next().unwrap()));
    let (mut given, count) = (CREDIT_BYTES, pieces.len());
    for (index, piece) in pieces.enumerate() {
        assert!(given >= piece.len(), "credit comes back as bytes are taken");
        given -= piece.len();
        peer.send(&chunk(1, 1, index + 1 == count, piece));
        peer.got.retain(|got| match got {
            Got::Credit(1, bytes) => {
                given += *bytes as usize;
                false
            }
            _ => true,
        });
    }
    assert_eq!(given, CREDIT_BYTES);
    assert_eq!(text(&peer.answer().replies), "+OK\r\n+OK\r\n$1\r\n1\r\n");

    // Back: at most the credit, a piece at a time; others overtake; the session's own next reply stays behind.
    peer.send(&[request(1, 2, &[&["GET", "big"]]), request(1, 3, &[&["GET", "small"]])].concat());
    peer.send(&request(2, 1, &[&["GET", "small"]]));
    let got: Vec<Got> = peer.got.drain(..).collect();
    let chunk_bytes = |got: &[Got]| -> usize {
        got.iter().map(|got| if let Got::Chunk(_, piece) = got { piece.len() } else { 0 }).sum()
    };
    assert_eq!(chunk_bytes(&got), CREDIT_BYTES, "as much as there is credit for");
    assert!(got.iter().any(|got| matches!(got, Got::Reply(head, _) if head.session == 2)), "it has overtaken");
    let mut all = got;
    for _ in 0..200 {
        peer.send(&credit(1, 3 * CHUNK_BYTES / 2));
        all.extend(peer.got.drain(..));
    }
    for got in &all {
        if let Got::Chunk(_, piece) = got {
            assert!(piece.len() <= CHUNK_BYTES);
        }
    }
    let answers = join(all);
    let order: Vec<_> = answers.iter().map(|answer| (answer.head.session, answer.head.id)).collect();
    assert_eq!(order, [(1, 2), (2, 1), (1, 3)]);
    let expected = [format!("${}\r\n", value.len()).into_bytes(), value, b"\r\n".to_vec()].concat();
    assert!(answers[0].replies == expected);
    assert_eq!(answers[0].entries[0].data_bytes, 5 * 1024 * 1024);
}

#[test]
fn a_short_reply_stands_behind_one_chunk_at_most() {
    let mut peer = Peer::new();
    let value = vec![b'x'; 900_000];
    for key in ["a", "b", "c"] {
        peer.send(&framed(Kind::Request, head(0, 1, 1), &resp_bytes(&[b"SET", key.as_bytes(), &value])));
    }
    peer.got.clear();
    let long: Vec<u8> =
        ["a", "b", "c"].iter().zip(1..).flat_map(|(key, session)| request(session, 1, &[&["GET", key]])).collect();
    assert!(peer.try_send(&long).is_ok());
    // The socket takes a little at a time; a short reply is asked for in between.
    let (mut bytes, mut asked) = (Vec::new(), 0);
    while let Some(part) = peer.sessions.outbox().chunk() {
        let now = part.len().min(10_000);
        bytes.extend_from_slice(&part[..now]);
        peer.sessions.outbox().advance(now);
        if asked < 20 {
            asked += 1;
            peer.try_send(&request(9, asked, &[&["STRLEN", "a"]])).unwrap();
        }
    }
    let behind = peer.sessions.counts().behind_bytes_max;
    assert!(behind > 0 && behind as usize <= CHUNK_BYTES + 64, "{behind}");
    // Between two short replies lies at most one piece.
    let mut since = 0;
    for got in parse(&bytes) {
        match got {
            Got::Reply(head, _) if head.session == 9 => since = 0,
            Got::Reply(..) | Got::Chunk(..) if asked > 0 => since += 1,
            _ => {}
        }
    }
    assert!(since > 20, "the long ones went on afterwards");
    let answers = join(parse(&bytes));
    assert_eq!(answers.iter().filter(|answer| answer.head.session == 9).count(), 20);
    assert!(answers.iter().filter(|answer| answer.replies.len() > value.len()).count() == 3);
}

#[test]
fn a_refused_long_frame_is_swallowed_and_credited() {
    let mut peer = Peer::new();
    set_gate(&peer.node, slot_of(b"gone"), Gate::Released);
    let body = [resp_of(&["GET", "gone"]), resp_bytes(&[b"SET", b"k", &vec![b'x'; 300_000]])].concat();
    let mut pieces = body.chunks(CHUNK_BYTES);
    peer.send(&framed(Kind::Request, RequestHead { flags: Flags::MORE, ..head(1, 1, 2) }, pieces.next().unwrap()));
    assert_eq!(peer.answer().head.status, Status::Moved);
    let (count, mut sent, mut credited) = (pieces.len(), 0, 0);
    for (index, piece) in pieces.enumerate() {
        sent += piece.len();
        peer.send(&chunk(1, 1, index + 1 == count, piece));
    }
    for got in peer.got.drain(..) {
        let Got::Credit(1, bytes) = got else { panic!("{got:?}") };
        credited += bytes as usize;
    }
    assert_eq!(credited, sent);
    let restart = RequestHead { flags: Flags::RESTART, ..head(1, 2, 1) };
    peer.send(&framed(Kind::Request, restart, &resp_of(&["EXISTS", "k"])));
    assert_eq!(text(&peer.answer().replies), ":0\r\n");
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
fn walks_cover_the_wanted_slots_that_are_served() {
    let mut peer = Peer::new();
    let keys: Vec<String> = (0..3_000).map(|n| format!("key:{n}")).collect();
    for key in &keys {
        assert_eq!(peer.call(0, &["SET", key, "v"]), "+OK\r\n");
    }
    let released: SlotSet = "100-199,8000-9000".parse().unwrap();
    released.iter().for_each(|slot| set_gate(&peer.node, slot, Gate::Released));
    let wanted: SlotSet = "0-12000".parse().unwrap();
    let mut covered = wanted.clone();
    covered.subtract(&released);
    let inside: BTreeSet<&String> = keys.iter().filter(|key| covered.contains(slot_of(key.as_bytes()))).collect();

    let mut run = |words: &[&str], wanted: &SlotSet| {
        peer.send(&walk(3, 1, wanted, words));
        // Others run between two slices.
        let mut turns = 0;
        while peer.got.is_empty() {
            turns += 1;
            peer.resume();
        }
        (walked(&peer.answer()), turns)
    };
    let ((set, reply), turns) = run(&["KEYS", "*"], &wanted);
    assert!(set == covered && turns > 1, "{turns}");
    let listed: BTreeSet<String> =
        reply.split("\r\n").filter(|line| line.starts_with("key:")).map(str::to_owned).collect();
    assert_eq!(listed.iter().collect::<BTreeSet<_>>(), inside);
    assert_eq!(run(&["DBSIZE"], &wanted).0, (covered.clone(), format!(":{}\r\n", inside.len())));
    let picked: BTreeSet<String> = (0..50)
        .map(|_| {
            let (set, reply) = run(&["RANDOMKEY"], &wanted).0;
            assert!(set == covered);
            reply.split("\r\n").nth(1).unwrap().to_owned()
        })
        .collect();
    assert!(picked.len() > 20 && picked.iter().all(|key| inside.contains(key)));
    let empty: SlotSet = "100-199".parse().unwrap();
    assert_eq!(run(&["RANDOMKEY"], &empty).0, (SlotSet::new(), "$-1\r\n".to_owned()));
}

#[test]
fn scan_ends_where_the_next_slot_is_served_elsewhere() {
    let mut peer = Peer::new();
    let keys: Vec<String> = (0..2_000).map(|n| format!("key:{n}")).collect();
    keys.iter().for_each(|key| assert_eq!(peer.call(0, &["SET", key, "v"]), "+OK\r\n"));
    let released: SlotSet = "5000-5999".parse().unwrap();
    released.iter().for_each(|slot| set_gate(&peer.node, slot, Gate::Released));
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let (mut cursor, mut stopped) = ("0".to_owned(), false);
    loop {
        peer.send(&walk(3, 1, &SlotSet::all(), &["SCAN", &cursor, "COUNT", "37"]));
        while peer.got.is_empty() {
            peer.resume();
        }
        let (_, reply) = walked(&peer.answer());
        let mut lines = reply.split("\r\n").filter(|line| !line.starts_with(['*', '$']) && !line.is_empty());
        cursor = lines.next().unwrap().to_owned();
        lines.for_each(|key| *seen.entry(key.to_owned()).or_default() += 1);
        if cursor == (5000u64 << 32).to_string() {
            stopped = true;
            cursor = (6000u64 << 32).to_string();
        }
        if cursor == "0" {
            break;
        }
    }
    assert!(stopped);
    let expected: BTreeMap<String, usize> =
        keys.into_iter().filter(|key| !released.contains(slot_of(key.as_bytes()))).map(|key| (key, 1)).collect();
    assert_eq!(seen, expected);
    // Not wanted is as good as not served.
    peer.send(&walk(3, 1, &"0-9".parse().unwrap(), &["SCAN", "0", "COUNT", "100000"]));
    assert!(walked(&peer.answer()).1.contains(&(10u64 << 32).to_string()));
}

#[test]
fn flush_waits_for_a_sealed_slot_and_passes_by_what_is_served_elsewhere() {
    let mut peer = Peer::new();
    for key in ["sealed", "gone", "here"] {
        peer.call(0, &["SET", key, "v"]);
    }
    set_gate(&peer.node, slot_of(b"sealed"), Gate::Sealed);
    set_gate(&peer.node, slot_of(b"gone"), Gate::Released);
    peer.send(&walk(3, 1, &SlotSet::all(), &["FLUSHALL"]));
    for _ in 0..40 {
        peer.resume();
    }
    assert_eq!(peer.answers(), []);
    set_gate(&peer.node, slot_of(b"sealed"), Gate::Serving);
    while peer.got.is_empty() {
        peer.resume();
    }
    let (covered, reply) = walked(&peer.answer());
    let mut expected = SlotSet::all();
    expected.remove(slot_of(b"gone"));
    assert!(covered == expected && reply == "+OK\r\n");
    set_gate(&peer.node, slot_of(b"gone"), Gate::Serving);
    assert_eq!(peer.call(0, &["EXISTS", "sealed", "here", "gone"]), ":1\r\n");
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

#[test]
fn a_session_that_sends_too_much_while_it_waits_ends_the_link() {
    let mut peer = Peer::new();
    set_gate(&peer.node, slot_of(b"a"), Gate::Sealed);
    peer.send(&request(1, 1, &[&["SET", "a", "1"]]));
    let value = vec![b'x'; 60_000];
    let frame = framed(Kind::Request, head(1, 2, 1), &resp_bytes(&[b"SET", b"a", &value]));
    let mut sent = 0;
    while peer.try_send(&frame).is_ok() {
        sent += frame.len();
        assert!(sent <= PARKED_BYTES_MAX + frame.len());
    }
    assert!(sent > PARKED_BYTES_MAX - 2 * frame.len(), "{sent}");
}

#[test]
fn bytes_that_no_proxy_sends_end_the_link_and_never_panic() {
    let good = [
        request(1, 1, &[&["SET", "a", "1"], &["GET", "a"]]),
        framed(Kind::Exec, head(2, 1, 2), &bodies(&[&["SELECT", "1"], &["GET", "a"]])),
        walk(3, 1, &"0-99".parse().unwrap(), &["KEYS", "*"]),
        framed(Kind::Request, RequestHead { flags: Flags::MORE, ..head(4, 1, 1) }, b"*2\r\n$3\r\nGET\r\n"),
        chunk(4, 1, true, b"$1\r\na\r\n"),
        credit(1, 100),
        framed(Kind::Request, RequestHead { flags: Flags::MEMCACHED.and(Flags::TEXT), ..head(5, 1, 1) }, b"get a\r\n"),
        framed(Kind::Stats, head(6, 1, 0), b""),
    ]
    .concat();
    Peer::new().send(&good);
    for bad in [
        framed(Kind::Request, head(1, 1, 2), &resp_of(&["GET", "a"])),
        framed(Kind::Request, head(1, 1, 1), &bodies(&[&["GET", "a"], &["GET", "a"]])),
        request(1, 1, &[&["GET"]]),
        request(1, 1, &[&["NOSUCH", "a"]]),
        request(1, 1, &[&["PING"]]),
        request(1, 1, &[&["KEYS", "*"]]),
        request(1 << 20, 1, &[&["GET", "a"]]),
        framed(Kind::Request, RequestHead { db: 16, ..head(1, 1, 1) }, &resp_of(&["GET", "a"])),
        framed(Kind::Request, head(1, 1, 1), b"*1\r\n$x\r\n"),
        framed(Kind::Reply, head(1, 1, 0), b""),
        chunk(1, 1, true, b"x"),
        vec![0, 0, 0, 0, 99],
    ] {
        assert!(Peer::new().try_send(&bad).is_err(), "{bad:?}");
    }
    let mut random = Random(99);
    let mut refused = 0;
    for _ in 0..4_000 {
        let mut bytes = good.clone();
        for _ in 0..1 + random.below(4) {
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] = random.below(256) as u8,
                1 => bytes[at] ^= 1 << random.below(8),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"\r\n*$019"[random.below(7)]),
            }
        }
        let mut peer = Peer::new();
        refused += usize::from(peer.try_send(&bytes).is_err());
        peer.now_ms += 3 * GATE_WAIT_MS;
        peer.resume_quietly();
    }
    assert!(refused > 500, "{refused}");
}

impl Peer {
    fn resume_quietly(&mut self) {
        let waker = Waker::from(self.task.clone());
        let _ = self.sessions.resume(&mut self.handle, self.now_ms, &waker);
        while let Some(part) = self.sessions.outbox().chunk() {
            let len = part.len();
            self.sessions.outbox().advance(len);
        }
    }
}
