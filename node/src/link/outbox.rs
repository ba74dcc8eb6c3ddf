//! What a node's end of a link has to say and the socket has not taken yet: short replies one behind the other, long ones
//! a chunk at a time, session by session in turn, so that nobody's short reply stands behind more than one chunk.

use std::collections::{HashMap, VecDeque};

use swell_wire::Out;
use swell_wire::out::{Mark, Place};

use crate::link::frame::{
    self, CHUNK_BYTES, CREDIT_BYTES, ChunkHead, CreditHead, Entry, Flags, Kind, PREFIX_BYTES, ReplyHead,
};

/// A buffer that has grown over this is given back when it is empty.
const BUFFER_KEPT_BYTES: usize = 1024 * 1024;

/// Replies on their way out.
#[derive(Debug, Default)]
pub struct Outbox {
    /// What the socket is taking; short replies first, then at most one chunk.
    front: Vec<u8>,
    /// Bytes of it that are sent.
    sent: usize,
    /// Bytes of the chunk at its end.
    chunk: usize,
    /// What comes after it. Nothing is spliced in between two calls.
    pub(super) tail: Out,
    /// Sessions with long replies, or whose credit is not whole.
    streams: HashMap<u32, Stream>,
    /// Those of them that may send a chunk, in turn.
    turn: VecDeque<u32>,
    behind_bytes_max: u64,
}

/// A frame that is being written at the end of the buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenReply {
    at: usize,
    body: Mark,
    count: usize,
}

/// One session's long replies, and what waits behind them.
#[derive(Debug)]
struct Stream {
    /// Bytes of chunks that the reader still has room for.
    credit: usize,
    replies: VecDeque<Long>,
    /// Bytes of all replies.
    bytes: usize,
    in_turn: bool,
}

/// A reply that goes out in pieces.
#[derive(Debug)]
struct Long {
    head: ReplyHead,
    entries: Vec<Entry>,
    out: Out,
    place: Place,
    /// Bytes of `out` that are not sent.
    left: usize,
    begun: bool,
}

impl Stream {
    fn new() -> Stream {
        Stream { credit: CREDIT_BYTES, replies: VecDeque::new(), bytes: 0, in_turn: false }
    }

    fn may_send(&self) -> bool {
        self.replies.front().is_some_and(|reply| !reply.begun || self.credit > 0)
    }
}

impl OpenReply {
    /// Notes what the request at this index came to.
    #[inline]
    pub(super) fn set_entry(&self, index: usize, entry: &Entry, tail: &mut Out) {
        let at = self.at + PREFIX_BYTES + ReplyHead::BYTES + index * Entry::BYTES;
        entry.overwrite(at, tail.contiguous_mut());
    }
}

impl Outbox {
    /// The bytes to be sent next, for one write; nothing when all is sent or waits for credit.
    pub fn chunk(&mut self) -> Option<&[u8]> {
        if self.sent == self.front.len() {
            self.front.clear();
            if self.front.capacity() > BUFFER_KEPT_BYTES {
                self.front.shrink_to(CHUNK_BYTES);
            }
            (self.sent, self.chunk) = (0, self.add_piece());
            self.tail.swap_contiguous(&mut self.front);
        }
        (self.sent < self.front.len()).then(|| &self.front[self.sent..])
    }

    /// The socket has taken `bytes` of what [`Outbox::chunk`] gave.
    pub fn advance(&mut self, bytes: usize) {
        self.sent = (self.sent + bytes).min(self.front.len());
    }

    /// Whether there is nothing to send now.
    pub fn is_empty(&self) -> bool {
        self.sent == self.front.len() && self.tail.is_empty() && self.turn.is_empty()
    }

    /// Bytes that wait for the socket; long replies beyond their next chunk are not counted.
    pub fn unsent_bytes(&self) -> usize {
        self.front.len() - self.sent + self.tail.len()
    }

    /// The most bytes of another session's chunk that a short reply has stood behind.
    pub fn behind_bytes_max(&self) -> u64 {
        self.behind_bytes_max
    }

    /// Notes how much of a chunk those stand behind who write now.
    #[inline]
    pub(super) fn note_behind(&mut self) {
        if self.chunk > 0 {
            let behind = self.chunk.min(self.front.len() - self.sent) as u64;
            self.behind_bytes_max = self.behind_bytes_max.max(behind);
        }
    }

    /// Begins a reply of up to `count` requests at the end of the buffer.
    #[inline]
    pub(super) fn open(&mut self, count: usize) -> OpenReply {
        let at = self.tail.gap(PREFIX_BYTES + ReplyHead::BYTES + count * Entry::BYTES);
        OpenReply { at, body: self.tail.mark(), count }
    }

    /// Ends it: all its requests ran. A long one is taken out again, to go in pieces.
    #[inline]
    pub(super) fn finish(&mut self, open: OpenReply, head: &ReplyHead) {
        let body = self.tail.len() - open.at - PREFIX_BYTES - ReplyHead::BYTES;
        if body > CHUNK_BYTES || self.tail.as_contiguous().is_none() {
            let (entries, out) = self.take_back(open, open.count);
            return self.push(*head, entries, out);
        }
        let bytes = self.tail.contiguous_mut();
        bytes[open.at + 4] = Kind::Reply as u8;
        head.overwrite(open.at + PREFIX_BYTES, bytes);
        frame::end(open.at, bytes);
    }

    /// Takes it out of the buffer: the entries of the `done` requests that ran, and their replies.
    #[cold]
    pub(super) fn take_back(&mut self, open: OpenReply, done: usize) -> (Vec<Entry>, Out) {
        let out = self.tail.split_off(open.body);
        let table = self.tail.contiguous_mut()[open.at + PREFIX_BYTES + ReplyHead::BYTES..].to_vec();
        let entries = (0..done).filter_map(|index| Entry::read(&table, index).ok()).collect();
        self.tail.shorten(open.at);
        (entries, out)
    }

    /// Adds a reply: at once if it is short and its session has nothing long under way, else in its turn.
    pub(super) fn push(&mut self, head: ReplyHead, entries: Vec<Entry>, out: Out) {
        let bytes = entries.len() * Entry::BYTES + out.len();
        let reply = Long { head, entries, left: out.len(), out, place: Place::default(), begun: false };
        let stream = match self.streams.get_mut(&head.session) {
            Some(stream) if bytes > CHUNK_BYTES || !stream.replies.is_empty() => stream,
            None if bytes > CHUNK_BYTES => self.streams.entry(head.session).or_insert_with(Stream::new),
            _ => {
                first_piece(&mut self.tail, reply);
                return;
            }
        };
        stream.bytes += bytes;
        stream.replies.push_back(reply);
        if !stream.in_turn && stream.may_send() {
            stream.in_turn = true;
            self.turn.push_back(head.session);
        }
    }

    /// Tells the other side that there is room for so many more bytes of this session's chunks.
    pub(super) fn give_credit(&mut self, session: u32, bytes: usize) {
        let mut frame = Vec::with_capacity(PREFIX_BYTES + 8);
        CreditHead { session, bytes: bytes as u32 }.frame(&mut frame);
        self.tail.raw(&frame);
    }

    /// The other side has room for so many more bytes of this session's chunks.
    pub(super) fn take_credit(&mut self, session: u32, bytes: usize) {
        let Some(stream) = self.streams.get_mut(&session) else { return };
        stream.credit = stream.credit.saturating_add(bytes).min(CREDIT_BYTES);
        if !stream.in_turn && stream.may_send() {
            stream.in_turn = true;
            self.turn.push_back(session);
        }
        self.forget_if_done(session);
    }

    /// Whether a reply of this session is going out in pieces: later ones wait behind it.
    #[inline]
    pub(super) fn is_streaming(&self, session: u32) -> bool {
        !self.streams.is_empty() && self.streams.get(&session).is_some_and(|stream| !stream.replies.is_empty())
    }

    /// Bytes of this session's replies that have not gone out, if one of them goes in pieces.
    pub(super) fn streaming_bytes(&self, session: u32) -> usize {
        self.streams.get(&session).map_or(0, |stream| stream.bytes)
    }

    /// The session has ended: what it has not read is dropped.
    pub(super) fn close(&mut self, session: u32) {
        self.streams.remove(&session);
    }

    /// Adds the next piece of a long reply to the tail; returns its bytes.
    fn add_piece(&mut self) -> usize {
        while let Some(session) = self.turn.pop_front() {
            let Some(stream) = self.streams.get_mut(&session) else { continue };
            stream.in_turn = false;
            if !stream.may_send() {
                continue;
            }
            let Some(mut reply) = stream.replies.pop_front() else { continue };
            let before = self.tail.len();
            let left_before = reply.left + if reply.begun { 0 } else { reply.entries.len() * Entry::BYTES };
            let rest = if reply.begun {
                let sent = next_piece(&mut self.tail, &mut reply, stream.credit);
                stream.credit -= sent;
                (reply.left > 0).then_some(reply)
            } else {
                first_piece(&mut self.tail, reply)
            };
            stream.bytes -= left_before - rest.as_ref().map_or(0, |rest| rest.left);
            if let Some(rest) = rest {
                stream.replies.push_front(rest);
            }
            if stream.may_send() {
                stream.in_turn = true;
                self.turn.push_back(session);
            }
            self.forget_if_done(session);
            return self.tail.len() - before;
        }
        0
    }

    /// A session with nothing under way and all its credit needs no place here.
    fn forget_if_done(&mut self, session: u32) {
        let is_done = |stream: &Stream| stream.replies.is_empty() && stream.credit == CREDIT_BYTES;
        if self.streams.get(&session).is_some_and(is_done) {
            self.streams.remove(&session);
        }
    }
}

/// Writes a reply's frame with as much of its body as a chunk holds; returns what is left, if anything is.
fn first_piece(tail: &mut Out, mut reply: Long) -> Option<Long> {
    let table = reply.entries.len() * Entry::BYTES;
    let now = reply.left.min(CHUNK_BYTES.saturating_sub(PREFIX_BYTES + ReplyHead::BYTES + table));
    let at = tail.gap(PREFIX_BYTES + ReplyHead::BYTES + table);
    tail.copy_from(&reply.out, &mut reply.place, now);
    reply.left -= now;
    reply.begun = true;
    let head = ReplyHead { flags: Flags::MORE.when(reply.left > 0), ..reply.head };
    let bytes = tail.contiguous_mut();
    bytes[at + 4] = Kind::Reply as u8;
    head.overwrite(at + PREFIX_BYTES, bytes);
    for (index, entry) in reply.entries.iter().enumerate() {
        entry.overwrite(at + PREFIX_BYTES + ReplyHead::BYTES + index * Entry::BYTES, bytes);
    }
    frame::end(at, bytes);
    (reply.left > 0).then_some(reply)
}

/// Writes a chunk, with its head [`CHUNK_BYTES`] at most; returns the bytes that count against the credit.
fn next_piece(tail: &mut Out, reply: &mut Long, credit: usize) -> usize {
    let now = reply.left.min(CHUNK_BYTES - PREFIX_BYTES - ChunkHead::BYTES).min(credit);
    reply.left -= now;
    let mut head = Vec::with_capacity(PREFIX_BYTES + ChunkHead::BYTES);
    frame::begin(Kind::Chunk, &mut head);
    ChunkHead { session: reply.head.session, id: reply.head.id, last: reply.left == 0 }.write(&mut head);
    let at = tail.len();
    tail.raw(&head);
    tail.copy_from(&reply.out, &mut reply.place, now);
    frame::end(at, tail.contiguous_mut());
    now
}
