//! One worker's connection to one node: frames of all its clients go out with one write per wake-up, replies come back
//! to whoever waits for them.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::task::Waker;

use swell_node::link::frame::{
    self, CHUNK_BYTES, CREDIT_BYTES, ChunkHead, CreditHead, Flags, Kind, RequestHead, UnblockHead,
};
use swell_ring::NodeId;

use crate::upstream::encode::Piece;

/// Bytes waiting to be written above which long requests wait: others' frames stand behind one chunk at most.
const UPLOAD_ABOVE_MAX: usize = CHUNK_BYTES;
/// Of a long request so much goes with its head: the slots of a walk.
const FIRST_BYTES: usize = swell_ring::SLOTS / 8;

/// How a node is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// It is in this process: frames are handed over as function calls.
    Embedded,
    /// Over a socket.
    Link,
}

/// One worker's way to one node.
pub struct Link {
    node: NodeId,
    address: String,
    upstream: Upstream,
    /// Bytes that the system has not taken yet.
    out: RefCell<Vec<u8>>,
    /// Bytes that it has taken, of all connections.
    written: Cell<u64>,
    /// Rises when the connection is lost.
    incarnation: Cell<u64>,
    is_up: Cell<bool>,
    is_retired: Cell<bool>,
    open: Cell<Option<Open>>,
    uploads: RefCell<VecDeque<Upload>>,
    /// Bytes of chunks that a session may send before the node says that it has taken some; all, if it is not here.
    credits: RefCell<HashMap<u32, usize>>,
    waker: RefCell<Option<Waker>>,
}

/// A frame that is being filled.
#[derive(Clone, Copy)]
struct Open {
    id: u32,
    at: usize,
    count: u16,
}

/// A long request that goes out in chunks.
struct Upload {
    session: u32,
    id: u32,
    pieces: VecDeque<Piece>,
    /// Bytes of the first piece that are out.
    at: usize,
}

impl Link {
    /// A way to a node; nothing is connected yet.
    pub fn new(node: NodeId, address: String, upstream: Upstream) -> Link {
        Link {
            node,
            address,
            upstream,
            out: RefCell::default(),
            written: Cell::new(0),
            incarnation: Cell::new(0),
            is_up: Cell::new(upstream == Upstream::Embedded),
            is_retired: Cell::new(false),
            open: Cell::new(None),
            uploads: RefCell::default(),
            credits: RefCell::default(),
            waker: RefCell::default(),
        }
    }

    /// The node's number.
    #[inline]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Where its link server listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// How it is reached.
    pub fn upstream(&self) -> Upstream {
        self.upstream
    }

    /// Whether frames reach the node now.
    #[inline]
    pub fn is_up(&self) -> bool {
        self.is_up.get()
    }

    /// Which connection it is: frames of another are lost.
    #[inline]
    pub fn incarnation(&self) -> u64 {
        self.incarnation.get()
    }

    /// Where the next byte stands in the link's stream of bytes.
    #[inline]
    pub fn enqueued(&self) -> u64 {
        self.written.get() + self.out.borrow().len() as u64
    }

    /// It is not needed any more.
    pub fn retire(&self) {
        self.is_retired.set(true);
        self.schedule();
    }

    /// Whether it is needed no more.
    pub fn is_retired(&self) -> bool {
        self.is_retired.get()
    }

    // === filling ===

    /// The frame that is being filled.
    #[inline]
    pub fn open_frame(&self) -> Option<u32> {
        self.open.get().map(|open| open.id)
    }

    /// Whether the open frame may take a request of so many bytes.
    #[inline]
    pub fn has_room_in_frame(&self, bytes: usize) -> bool {
        let Some(open) = self.open.get() else { return false };
        let filled = self.out.borrow().len() - open.at;
        (open.count as usize) < frame::FRAME_REQUESTS_MAX && filled + bytes <= CHUNK_BYTES
    }

    /// Begins a frame of requests.
    #[inline]
    pub fn begin_frame(&self, head: RequestHead) {
        let mut out = self.out.borrow_mut();
        let at = frame::begin(Kind::Request, &mut out);
        head.write(&mut out);
        self.open.set(Some(Open { id: head.id, at, count: 0 }));
    }

    /// Adds a request to the open frame.
    #[inline]
    pub fn append(&self, bytes: &[u8]) {
        self.out.borrow_mut().extend_from_slice(bytes);
        if let Some(open) = self.open.get() {
            self.open.set(Some(Open { count: open.count + 1, ..open }));
        }
    }

    /// Ends the open frame and sees to it that it goes out.
    #[inline]
    pub fn end_frame(&self) {
        let Some(open) = self.open.take() else { return };
        let mut out = self.out.borrow_mut();
        RequestHead::set_count(open.at + frame::PREFIX_BYTES, open.count, &mut out);
        frame::end(open.at, &mut out);
        drop(out);
        self.schedule();
    }

    /// Sends a whole frame; returns where it ends.
    pub fn send(&self, kind: Kind, head: RequestHead, body: &[u8]) -> u64 {
        let mut out = self.out.borrow_mut();
        let at = frame::begin(kind, &mut out);
        head.write(&mut out);
        out.extend_from_slice(body);
        frame::end(at, &mut out);
        drop(out);
        self.schedule();
        self.enqueued()
    }

    /// Sends a frame of no session, ready as it is.
    pub fn send_frame(&self, frame: &[u8]) {
        // An open frame is being filled at the end: it ends within one call of whoever fills it.
        debug_assert!(self.open.get().is_none(), "a frame inside another");
        self.out.borrow_mut().extend_from_slice(frame);
        self.schedule();
    }

    /// Sends a request in chunks, between other frames. It counts as sent from its first byte on.
    pub fn upload(&self, kind: Kind, head: RequestHead, pieces: Vec<Piece>) -> u64 {
        let first = pieces.first().map_or(&[][..], Piece::bytes);
        let at = first.len().min(FIRST_BYTES);
        let end_at = self.send(kind, RequestHead { flags: head.flags.and(Flags::MORE), ..head }, &first[..at]);
        let (session, id) = (head.session, head.id);
        self.uploads.borrow_mut().push_back(Upload { session, id, pieces: pieces.into(), at });
        end_at
    }

    /// The node has refused a long request: what is left of it does not go out, and its chunks end here, so that
    /// another frame of the session may follow.
    pub fn stop_upload(&self, session: u32, id: u32) {
        let mut uploads = self.uploads.borrow_mut();
        let Some(at) = uploads.iter().position(|upload| upload.session == session && upload.id == id) else { return };
        uploads.remove(at);
        let mut out = self.out.borrow_mut();
        let at = frame::begin(Kind::Chunk, &mut out);
        ChunkHead { session, id, last: true }.write(&mut out);
        frame::end(at, &mut out);
        drop(out);
        self.schedule();
    }

    /// The node may send so many more bytes of long replies to this session.
    pub fn credit(&self, session: u32, bytes: u32) {
        CreditHead { session, bytes }.frame(&mut self.out.borrow_mut());
        self.schedule();
    }

    /// A request of a session shall wait no longer.
    pub fn unblock(&self, head: UnblockHead) {
        if self.is_up() {
            head.frame(&mut self.out.borrow_mut());
            self.schedule();
        }
    }

    /// The session has ended.
    pub fn close_session(&self, session: u32) {
        self.uploads.borrow_mut().retain(|upload| upload.session != session);
        self.credits.borrow_mut().remove(&session);
        if self.is_up() {
            frame::close(session, &mut self.out.borrow_mut());
            self.schedule();
        }
    }

    /// The node has room for more of a session's long request.
    pub fn on_credit(&self, head: CreditHead) {
        let mut credits = self.credits.borrow_mut();
        let Some(credit) = credits.get_mut(&head.session) else { return };
        *credit = credit.saturating_add(head.bytes as usize);
        if *credit >= CREDIT_BYTES {
            credits.remove(&head.session);
        }
    }

    // === the task's side ===

    /// Wakes the link's task.
    #[inline]
    pub fn schedule(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// The task's waker.
    pub fn set_waker(&self, waker: &Waker) {
        let mut slot = self.waker.borrow_mut();
        if slot.as_ref().is_none_or(|old| !old.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    /// Writes with `write` (which returns how many bytes were taken) until everything is out or it takes no more.
    ///
    /// # Errors
    /// What `write` says; `WouldBlock` is none.
    pub fn write_with(&self, mut write: impl FnMut(&[u8]) -> std::io::Result<usize>) -> std::io::Result<bool> {
        loop {
            self.fill_from_uploads();
            let mut out = self.out.borrow_mut();
            if out.is_empty() {
                return Ok(true);
            }
            match write(&out) {
                Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
                Ok(taken) => {
                    self.written.set(self.written.get() + taken as u64);
                    if taken == out.len() {
                        out.clear();
                        if out.capacity() > 4 * CHUNK_BYTES {
                            out.shrink_to(CHUNK_BYTES);
                        }
                    } else {
                        out.drain(..taken);
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    /// Puts the next chunk of each long request behind what is waiting, while that is little.
    fn fill_from_uploads(&self) {
        let (mut uploads, mut credits) = (self.uploads.borrow_mut(), self.credits.borrow_mut());
        let mut out = self.out.borrow_mut();
        for _ in 0..uploads.len() {
            if out.len() > UPLOAD_ABOVE_MAX {
                return;
            }
            let Some(mut upload) = uploads.pop_front() else { return };
            let credit = credits.get(&upload.session).copied().unwrap_or(CREDIT_BYTES);
            if credit > 0 {
                let sent = upload.chunk(credit, &mut out);
                credits.insert(upload.session, credit - sent);
            }
            if !upload.pieces.is_empty() {
                uploads.push_back(upload);
            }
        }
    }

    /// The connection stands.
    pub fn came_up(&self) {
        self.is_up.set(true);
    }

    /// The connection is lost: returns which it was, and how many bytes of its stream the system had taken. What was
    /// not taken is forgotten.
    pub fn went_down(&self) -> (u64, u64) {
        let lost = (self.incarnation.get(), self.written.get());
        self.is_up.set(false);
        self.open.set(None);
        self.uploads.borrow_mut().clear();
        self.credits.borrow_mut().clear();
        let mut out = self.out.borrow_mut();
        // Frames of the next connection lie behind all that were lost.
        self.written.set(lost.1 + out.len() as u64);
        out.clear();
        self.incarnation.set(lost.0 + 1);
        lost
    }
}

impl Upload {
    /// Writes one chunk frame; returns the bytes of the request in it.
    fn chunk(&mut self, credit: usize, out: &mut Vec<u8>) -> usize {
        let at = frame::begin(Kind::Chunk, out);
        let head_at = out.len();
        ChunkHead { session: self.session, id: self.id, last: false }.write(out);
        let most = CHUNK_BYTES.min(credit);
        let mut room = most;
        while room > 0 {
            let Some(piece) = self.pieces.front() else { break };
            let left = &piece.bytes()[self.at..];
            let now = left.len().min(room);
            out.extend_from_slice(&left[..now]);
            room -= now;
            self.at += now;
            if self.at == piece.bytes().len() {
                self.pieces.pop_front();
                self.at = 0;
            }
        }
        if self.pieces.is_empty() {
            out[head_at + ChunkHead::BYTES - 1] = 1;
        }
        frame::end(at, out);
        most - room
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swell_node::link::frame::Frame;

    fn link() -> Link {
        Link::new(NodeId(1), "unix:/n".to_owned(), Upstream::Link)
    }

    fn drained(link: &Link) -> Vec<u8> {
        let mut written = Vec::new();
        link.write_with(|bytes| {
            written.extend_from_slice(bytes);
            Ok(bytes.len())
        })
        .unwrap();
        written
    }

    #[test]
    fn a_frame_is_filled_and_goes_out_whole() {
        let link = link();
        link.begin_frame(RequestHead { session: 5, id: 9, ..RequestHead::default() });
        link.append(b"PING\r\n");
        link.append(b"PING\r\n");
        assert_eq!(link.open_frame(), Some(9));
        link.end_frame();
        let end_at = link.enqueued();
        let bytes = drained(&link);
        assert_eq!(bytes.len() as u64, end_at);
        let frame = Frame::first(&bytes).unwrap().unwrap();
        let (head, body) = RequestHead::read(frame.rest).unwrap();
        assert_eq!((head.session, head.count, body), (5, 2, &b"PING\r\nPING\r\n"[..]));
    }

    #[test]
    fn what_was_taken_before_the_loss_is_known() {
        let link = link();
        link.came_up();
        let first = link.send(Kind::Request, RequestHead::default(), b"a");
        let second = link.send(Kind::Request, RequestHead::default(), b"b");
        let mut calls = 0;
        let all = link.write_with(|_| {
            calls += 1;
            if calls == 1 { Ok(first as usize + 3) } else { Err(std::io::ErrorKind::WouldBlock.into()) }
        });
        assert!(!all.unwrap());
        let (incarnation, written) = link.went_down();
        assert!(incarnation == 0 && first <= written && second > written && !link.is_up());
        assert!(link.send(Kind::Request, RequestHead::default(), b"c") > second);
    }

    #[test]
    fn a_long_request_goes_in_chunks_and_stops_without_credit() {
        let link = link();
        let value = || vec![Piece::Bytes(vec![1; FIRST_BYTES + CREDIT_BYTES + 10])];
        link.upload(Kind::Request, RequestHead { session: 3, ..RequestHead::default() }, value());
        let chunks = |bytes: &[u8]| {
            let (mut at, mut sum, mut last) = (0, 0, false);
            while let Some(frame) = Frame::first(&bytes[at..]).unwrap() {
                if frame.kind == Kind::Chunk {
                    let (head, piece) = ChunkHead::read(frame.rest).unwrap();
                    assert!(piece.len() <= CHUNK_BYTES);
                    sum += piece.len();
                    last = head.last;
                }
                at += frame.bytes;
            }
            (sum, last)
        };
        assert_eq!(chunks(&drained(&link)), (CREDIT_BYTES, false));
        link.on_credit(CreditHead { session: 3, bytes: 100 });
        assert_eq!(chunks(&drained(&link)), (10, true));
        assert!(drained(&link).is_empty());
        // The next one has what the node has room for, no more.
        link.upload(Kind::Request, RequestHead { session: 3, id: 1, ..RequestHead::default() }, value());
        assert_eq!(chunks(&drained(&link)), (90, false));
        // It was refused: its chunks end before another frame of the session begins.
        link.stop_upload(3, 1);
        link.send(Kind::Request, RequestHead { session: 3, id: 2, ..RequestHead::default() }, b"");
        link.on_credit(CreditHead { session: 3, bytes: 1000 });
        let bytes = drained(&link);
        assert_eq!(chunks(&bytes), (0, true));
        let end = Frame::first(&bytes).unwrap().unwrap();
        assert_eq!((end.kind, ChunkHead::read(end.rest).unwrap().0.id), (Kind::Chunk, 1));
    }
}
