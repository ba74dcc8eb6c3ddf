//! A proxy's end of a link without a socket: what it sends, and what it makes of what comes back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Wake, Waker};
use swell_engine::gate::Gate;
use swell_engine::stripe::stripe_of;
use swell_node::link::frame;
use swell_node::link::frame::{BadFrame, ChunkHead, CreditHead, Entry, Flags, Frame, Kind, ReplyHead, RequestHead};
use swell_node::link::serve::Sessions;
use swell_node::view::View;
use swell_node::{Handle, Node};
use swell_ring::{Slot, SlotSet, slot_of};

pub const NOW_MS: u64 = 1_700_000_000_000;

/// Counts how often the link's task was woken.
#[derive(Default)]
pub struct Task(AtomicUsize);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// A node with one link, and what came back over it.
pub struct Peer {
    pub node: Arc<Node>,
    pub view: Arc<View>,
    pub handle: Handle,
    pub sessions: Sessions,
    pub task: Arc<Task>,
    pub now_ms: u64,
    /// Chunk frames of each session so far, so that credit can be given.
    pub got: VecDeque<Got>,
}

#[derive(Debug, PartialEq)]
pub enum Got {
    Reply(ReplyHead, Vec<u8>),
    Chunk(ChunkHead, Vec<u8>),
    Credit(u32, u32),
}

/// A reply with its entries taken apart.
#[derive(Debug, PartialEq)]
pub struct Answer {
    pub head: ReplyHead,
    pub entries: Vec<Entry>,
    pub replies: Vec<u8>,
}

impl Peer {
    pub fn new() -> Peer {
        let (node, view) = (Node::new(7), Arc::<View>::default());
        view.set_epoch(1);
        let sessions = Sessions::new(node.clone(), view.clone());
        let handle = node.handle(3);
        Peer { node, view, handle, sessions, task: Arc::default(), now_ms: NOW_MS, got: VecDeque::new() }
    }

    pub fn try_send(&mut self, bytes: &[u8]) -> Result<usize, BadFrame> {
        let waker = Waker::from(self.task.clone());
        let taken = self.sessions.take(&mut self.handle, bytes, self.now_ms, &waker)?;
        Ok(taken)
    }

    pub fn send(&mut self, bytes: &[u8]) {
        assert_eq!(self.try_send(bytes).expect("good frames"), bytes.len());
        self.collect();
    }

    pub fn resume(&mut self) {
        let waker = Waker::from(self.task.clone());
        self.sessions.resume(&mut self.handle, self.now_ms, &waker).expect("good frames");
        self.collect();
    }

    pub fn resume_quietly(&mut self) {
        let waker = Waker::from(self.task.clone());
        let _ = self.sessions.resume(&mut self.handle, self.now_ms, &waker);
        while let Some(part) = self.sessions.outbox().chunk() {
            let len = part.len();
            self.sessions.outbox().advance(len);
        }
    }

    pub fn wakes(&self) -> usize {
        self.task.0.load(SeqCst)
    }

    /// What the node wants to send now.
    pub fn collect(&mut self) {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.sessions.outbox().chunk() {
            bytes.extend_from_slice(chunk);
            let len = chunk.len();
            self.sessions.outbox().advance(len);
        }
        self.got.extend(parse(&bytes));
    }

    pub fn answers(&mut self) -> Vec<Answer> {
        self.got.drain(..).map(answer).collect()
    }

    pub fn answer(&mut self) -> Answer {
        let mut answers = self.answers();
        assert_eq!(answers.len(), 1, "{answers:?}");
        answers.remove(0)
    }

    /// Runs one command through the link.
    pub fn call(&mut self, session: u32, words: &[&str]) -> String {
        self.send(&request(session, 0, &[words]));
        text(&self.answer().replies)
    }
}

pub fn parse(bytes: &[u8]) -> Vec<Got> {
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

pub fn answer(got: Got) -> Answer {
    let Got::Reply(head, body) = got else { panic!("a reply, not {got:?}") };
    assert!(!head.flags.has(Flags::MORE), "it is whole");
    take_apart(head, &body)
}

pub fn take_apart(head: ReplyHead, body: &[u8]) -> Answer {
    let entries: Vec<Entry> = (0..head.done as usize).map(|index| Entry::read(body, index).unwrap()).collect();
    let replies = body[entries.len() * Entry::BYTES..].to_vec();
    // What stats are answered with is no request's reply.
    assert!(entries.is_empty() || entries.iter().map(|entry| entry.reply_bytes).sum::<u64>() as usize == replies.len());
    Answer { head, entries, replies }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn resp_of(words: &[&str]) -> Vec<u8> {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    resp_bytes(&words)
}

pub fn resp_bytes(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

pub fn head(session: u32, id: u32, count: usize) -> RequestHead {
    RequestHead { session, id, count: count as u16, epoch: 1, ..RequestHead::default() }
}

pub fn framed(kind: Kind, head: RequestHead, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let at = frame::begin(kind, &mut bytes);
    head.write(&mut bytes);
    bytes.extend_from_slice(body);
    frame::end(at, &mut bytes);
    bytes
}

pub fn bodies(requests: &[&[&str]]) -> Vec<u8> {
    requests.iter().flat_map(|words| resp_of(words)).collect()
}

pub fn request(session: u32, id: u32, requests: &[&[&str]]) -> Vec<u8> {
    framed(Kind::Request, head(session, id, requests.len()), &bodies(requests))
}

pub fn walk(session: u32, id: u32, slots: &SlotSet, words: &[&str]) -> Vec<u8> {
    let mut body: Vec<u8> = slots.words().iter().flat_map(|word| word.to_le_bytes()).collect();
    body.extend(resp_of(words));
    framed(Kind::Walk, head(session, id, 1), &body)
}

pub fn walked(answer: &Answer) -> (SlotSet, String) {
    let (set, reply) = answer.replies.split_at(2048);
    let mut words = [0; 256];
    for (word, bytes) in words.iter_mut().zip(set.chunks(8)) {
        *word = u64::from_le_bytes(bytes.try_into().unwrap());
    }
    assert_eq!(answer.entries[0].reply_bytes as usize, answer.replies.len());
    (SlotSet::from_words(words), text(reply))
}

pub fn chunk(session: u32, id: u32, last: bool, piece: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let at = frame::begin(Kind::Chunk, &mut bytes);
    ChunkHead { session, id, last }.write(&mut bytes);
    bytes.extend_from_slice(piece);
    frame::end(at, &mut bytes);
    bytes
}

pub fn credit(session: u32, bytes: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    CreditHead { session, bytes: bytes as u32 }.frame(&mut frame);
    frame
}

pub fn stripe_index(key: &str) -> usize {
    stripe_of(slot_of(key.as_bytes()))
}

pub fn set_gate(node: &Node, slot: Slot, gate: Gate) {
    node.engine().stripe(stripe_of(slot)).set_gate(slot, gate);
}

/// xorshift64*.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }
}

/// Puts replies that went in pieces together, in the order in which they began.
pub fn join(got: Vec<Got>) -> Vec<Answer> {
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
