//! One client's requests under way: what was sent to which node, what was refused and goes again, and the replies in the
//! order of the requests.

use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;
use std::time::{Duration, Instant};

use swell_engine::commands::table::Command;
use swell_engine::spec::{Flags as SpecFlags, Merge, Spread};
use swell_meter::{Payer, Prefix};
use swell_node::link::frame::{BadFrame, Entry, Flags, ReplyHead, RequestHead, Status};
use swell_ring::{Epoch, NodeId, Slot};
use swell_wire::{Out, Proto};

use crate::core::Core;
use crate::error::ProxyError;
use crate::upstream::link::Link;
use crate::upstream::retry::{Fate, Unanswered, after_lost_link};
use crate::upstream::shot::Shot;
use crate::upstream::{Lines, merge, reply};

/// Requests of one client that may be under way.
pub const FLIGHTS_MAX: usize = 4096;
/// Bytes of requests of one client that may be under way.
pub const FLIGHT_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of answers of one client that cannot leave yet, over which nothing more is sent.
pub const STASH_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of answers that have left and are not forgotten yet.
const STASH_SLACK_BYTES: usize = 64 * 1024;
/// How long a request waits for its slot to be served before its client reads an error.
pub const WAIT_MAX: Duration = Duration::from_secs(2);
/// Buffers of a client with nothing under way keep no more than this.
const KEPT_BYTES: usize = 4096;

/// What every frame of a client says, from its session and the proxy's view.
#[derive(Clone, Copy, Debug, Default)]
pub struct Framing {
    pub db: u8,
    pub flags: Flags,
    pub epoch: u64,
    pub state: u64,
}

/// What a request will be charged by, besides its answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bill {
    /// Bytes of the values in it.
    pub value_bytes: u64,
    pub prefix: Prefix,
}

/// One client's requests under way.
pub struct Flights {
    session: u32,
    /// Who is charged for what is under way: nothing that changes it runs beside other requests.
    payer: Option<Payer>,
    next_frame: u32,
    /// Number of the first request in the queue.
    first: u64,
    requests: VecDeque<Request>,
    frames: Vec<Frame>,
    /// The requests' bytes, for going again.
    kept: Vec<u8>,
    /// Answers that cannot leave yet.
    stash: Stash,
    /// Replies in order, ready to be sent.
    ready: Out,
    under_way: usize,
    refused: usize,
    /// Before refused requests go again.
    need: Need,
    refused_since: Option<Instant>,
    /// The slot map that what is under way was routed by.
    epoch: Epoch,
    /// Nodes that have refused something: the next frame to them is flagged.
    restart: Vec<NodeId>,
    /// Chunks that were taken and not acknowledged, by link.
    owed: Vec<(Rc<Link>, u32)>,
    /// Frames of the job that this client waits for.
    pub shots: Vec<Shot>,
    /// A reply broke off in the middle.
    torn: bool,
    waker: Option<Waker>,
}

/// Answers that cannot leave yet, and those that have left since it was tidied.
#[derive(Default)]
struct Stash {
    bytes: Vec<u8>,
    /// Bytes of those that have not left.
    live: usize,
}

impl Stash {
    /// Keeps an answer; returns where.
    #[inline]
    fn push(&mut self, answer: &[u8]) -> usize {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(answer);
        self.live += answer.len();
        at
    }

    #[inline]
    fn get(&self, at: usize, len: usize) -> &[u8] {
        &self.bytes[at..at + len]
    }
}

/// A request on its way.
#[derive(Debug)]
struct Request {
    command: Command,
    bill: Bill,
    noreply: bool,
    slot: Slot,
    role: Role,
    /// Its bytes in `kept`.
    kept: (usize, usize),
    state: State,
}

impl Request {
    #[inline]
    fn charge(&self, core: &mut Core, data_bytes: u64, work: u64, failed: bool) -> u64 {
        let Bill { value_bytes, prefix } = self.bill;
        core.charge_on(prefix, self.command, value_bytes, data_bytes, work, failed)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Plain,
    /// Stands before so many parts, whose replies are merged.
    Join(usize, Merge),
    Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the frame with this number.
    Sent(u32),
    Refused,
    /// Its reply, in `stash`.
    Answered {
        at: usize,
        len: usize,
        entry: Answer,
    },
    /// A join has nothing of its own.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Answer {
    /// Whose it is.
    node: NodeId,
    data_bytes: u64,
    work: u64,
    failed: bool,
}

/// A frame that is not answered yet.
struct Frame {
    id: u32,
    link: Rc<Link>,
    incarnation: u64,
    /// Where it ends in the link's stream of bytes.
    end_at: u64,
    /// Its requests lie between these numbers, both included.
    requests: (u64, u64),
    count: usize,
    /// It is one of the job's.
    is_shot: bool,
    /// A long reply that is still coming.
    partial: Option<Partial>,
}

struct Partial {
    head: ReplyHead,
    /// What has come of the body, or (if it is passed on as it comes) nothing.
    body: Vec<u8>,
    passing: bool,
    /// Chunks that were taken and not acknowledged, because earlier requests come first.
    owed: u32,
}

/// What must be seen before something goes again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    pub epoch: Epoch,
    pub state: u64,
}

impl Flights {
    /// Nothing under way. `session`: the client's number on this worker's links, `next_frame` where its last user left
    /// off, so that a late answer is never taken for another's.
    pub fn new(session: u32, next_frame: u32) -> Flights {
        Flights {
            session,
            payer: None,
            next_frame,
            first: 0,
            requests: VecDeque::new(),
            frames: Vec::new(),
            kept: Vec::new(),
            stash: Stash::default(),
            ready: Out::new(Proto::Resp2),
            under_way: 0,
            refused: 0,
            need: Need::default(),
            refused_since: None,
            epoch: Epoch(0),
            restart: Vec::new(),
            owed: Vec::new(),
            shots: Vec::new(),
            torn: false,
            waker: None,
        }
    }

    /// The client's number on this worker's links.
    pub fn session(&self) -> u32 {
        self.session
    }

    /// The number of the next frame.
    pub fn next_frame(&self) -> u32 {
        self.next_frame
    }

    /// Whether no request is under way.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Whether another request may be sent now.
    #[inline]
    pub fn has_room(&self) -> bool {
        self.requests.len() < FLIGHTS_MAX
            && self.kept.len() < FLIGHT_BYTES_MAX
            && self.stash.live < STASH_BYTES_MAX
            && self.refused == 0
    }

    /// Whether a request may go by this map: while something is under way by an older one, a slot that has moved since
    /// might see a later request first.
    #[inline]
    pub fn may_follow(&mut self, epoch: Epoch) -> bool {
        if self.requests.is_empty() {
            self.epoch = epoch;
        }
        self.epoch == epoch
    }

    /// Since when something refused has been waiting, if nothing else is under way: it may go again.
    pub fn stuck_since(&self) -> Option<Instant> {
        if self.under_way == 0 && self.refused > 0 { self.refused_since } else { None }
    }

    /// What must be seen before it goes again.
    pub fn need(&self) -> Need {
        self.need
    }

    /// Replies in order, ready to be sent.
    #[inline]
    pub fn ready(&mut self) -> &mut Out {
        &mut self.ready
    }

    /// Moves them to the end of `out`. Long ones take their buffer with them, so that no client keeps a large one.
    #[inline]
    pub fn take_ready(&mut self, out: &mut Out) {
        if out.is_empty() && self.ready.len() > KEPT_BYTES {
            let proto = self.ready.proto();
            *out = std::mem::replace(&mut self.ready, Out::new(proto));
        } else {
            out.append(&mut self.ready);
        }
    }

    /// Wakes the client when something has come.
    #[inline]
    pub fn set_waker(&mut self, waker: &Waker) {
        match &mut self.waker {
            Some(old) if old.will_wake(waker) => {}
            other => *other = Some(waker.clone()),
        }
    }

    #[inline]
    pub fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    // === sending ===

    /// Sends a request whose keys lie in one slot; or keeps it until its slot is served.
    #[inline]
    pub fn submit(
        &mut self,
        lines: &Lines,
        framing: &Framing,
        command: Command,
        bill: Bill,
        noreply: bool,
        slot: Slot,
        bytes: impl FnOnce(&mut Vec<u8>),
    ) {
        self.push(
            lines,
            framing,
            Request { command, bill, noreply, slot, role: Role::Plain, kept: (0, 0), state: State::None },
            bytes,
        );
    }

    /// Begins a request that is sent in parts; exactly `parts` calls of [`Flights::submit_part`] follow.
    pub fn submit_join(&mut self, command: Command, bill: Bill, noreply: bool, parts: usize, slot: Slot) {
        let merge = match command.spec.spread {
            Spread::Split(merge) => merge,
            _ => Merge::Any,
        };
        self.requests.push_back(Request {
            command,
            bill,
            noreply,
            slot,
            role: Role::Join(parts, merge),
            kept: (0, 0),
            state: State::None,
        });
    }

    /// Sends one part of a request.
    pub fn submit_part(
        &mut self,
        lines: &Lines,
        framing: &Framing,
        command: Command,
        slot: Slot,
        bytes: impl FnOnce(&mut Vec<u8>),
    ) {
        let (role, kept, state) = (Role::Part, (0, 0), State::None);
        self.push(
            lines,
            framing,
            Request { command, bill: Bill::default(), noreply: false, slot, role, kept, state },
            bytes,
        );
    }

    #[inline]
    fn push(&mut self, lines: &Lines, framing: &Framing, mut request: Request, bytes: impl FnOnce(&mut Vec<u8>)) {
        let from = self.kept.len();
        bytes(&mut self.kept);
        request.kept = (from, self.kept.len());
        self.requests.push_back(request);
        self.send(lines, framing, self.requests.len() - 1);
    }

    /// Sends the request at this index of the queue, if its slot's owner can be reached; else it is refused.
    #[inline]
    fn send(&mut self, lines: &Lines, framing: &Framing, index: usize) {
        let number = self.first + index as u64;
        let request = &mut self.requests[index];
        let Some(link) = lines.link_of(request.slot) else {
            request.state = State::Refused;
            self.refused += 1;
            self.refused_since.get_or_insert_with(Instant::now);
            return;
        };
        let bytes = &self.kept[request.kept.0..request.kept.1];
        let id = match link.open_frame() {
            Some(id) if link.has_room_in_frame(bytes.len()) => id,
            other => {
                if other.is_some() {
                    lines.close_frame(link);
                    Self::note_closed(&mut self.frames, link);
                }
                let id = self.next_frame;
                self.next_frame = id.wrapping_add(1);
                let restarts = self.restart.iter().position(|node| *node == link.node());
                if let Some(at) = restarts {
                    self.restart.swap_remove(at);
                }
                let flags = framing.flags.and(Flags::RESTART.when(restarts.is_some()));
                let (session, count) = (self.session, 0);
                let Framing { db, epoch, state, .. } = *framing;
                link.begin_frame(RequestHead { flags, db, cache: 0, session, id, count, epoch, state });
                self.frames.push(Frame {
                    id,
                    link: link.clone(),
                    incarnation: link.incarnation(),
                    end_at: u64::MAX,
                    requests: (number, number),
                    count: 0,
                    is_shot: false,
                    partial: None,
                });
                lines.note_open(link);
                id
            }
        };
        link.append(bytes);
        request.state = State::Sent(id);
        self.under_way += 1;
        if let Some(frame) = self.frames.iter_mut().rev().find(|frame| frame.id == id) {
            frame.count += 1;
            frame.requests.1 = number;
        }
    }

    /// Ends the frames that were begun for this client: they go out with the link's next write.
    #[inline]
    pub fn close_frames(&mut self, lines: &Lines) {
        lines.close_frames(|link| Self::note_closed(&mut self.frames, link));
    }

    fn note_closed(frames: &mut [Frame], link: &Rc<Link>) {
        let end_at = link.enqueued();
        let last = frames.iter_mut().rev().find(|frame| !frame.is_shot && Rc::ptr_eq(&frame.link, link));
        if let Some(frame) = last {
            frame.end_at = end_at;
        }
    }

    /// Sends what was refused again, in the order of the requests.
    pub fn send_again(&mut self, lines: &Lines, framing: &Framing) {
        self.refused = 0;
        self.epoch = lines.map().epoch();
        let since = self.refused_since;
        for index in 0..self.requests.len() {
            if self.requests[index].state == State::Refused {
                self.send(lines, framing, index);
            }
        }
        // What is refused at once has waited for as long as before.
        self.refused_since = if self.refused > 0 { since.or(self.refused_since) } else { since };
        self.close_frames(lines);
    }

    /// Notes that this frame of the job goes out; returns its number.
    pub fn begin_shot(&mut self, link: &Rc<Link>) -> (u32, bool) {
        let id = self.next_frame;
        self.next_frame = id.wrapping_add(1);
        let restarts = self.restart.iter().position(|node| *node == link.node());
        if let Some(at) = restarts {
            self.restart.swap_remove(at);
        }
        self.frames.push(Frame {
            id,
            link: link.clone(),
            incarnation: link.incarnation(),
            end_at: u64::MAX,
            requests: (0, 0),
            count: 0,
            is_shot: true,
            partial: None,
        });
        (id, restarts.is_some())
    }

    /// The frame of the job that was begun last ends here in its link's stream of bytes.
    pub fn end_shot(&mut self, id: u32, end_at: u64) {
        if let Some(frame) = self.frames.iter_mut().rev().find(|frame| frame.id == id) {
            frame.end_at = end_at;
        }
    }

    /// Forgets the job's frames: answers that still come are dropped.
    pub fn drop_shots(&mut self) {
        self.shots.clear();
        self.frames.retain(|frame| !frame.is_shot);
    }

    // === answers ===

    /// Who is charged for what is sent from now on. Nothing may be under way for another.
    #[inline]
    pub fn set_payer(&mut self, payer: &Payer) {
        if !self.payer.as_ref().is_some_and(|known| known.has_row_of(payer)) {
            self.payer = Some(payer.clone());
        }
    }

    /// Charges this client for what follows.
    #[inline]
    fn pays(&mut self, core: &mut Core) {
        if let Some(payer) = &mut self.payer {
            core.meter.set_payer(payer);
        }
    }

    /// A reply frame has come.
    ///
    /// # Errors
    /// A body that is not what its head says.
    #[inline]
    pub fn on_reply(&mut self, core: &mut Core, link: &Rc<Link>, head: ReplyHead, body: &[u8]) -> Result<(), BadFrame> {
        let Some(at) = self.frames.iter().position(|frame| frame.id == head.id && Rc::ptr_eq(&frame.link, link)) else {
            return Ok(());
        };
        self.pays(core);
        if head.flags.has(Flags::MORE) {
            let passing = self.passes(at, &head);
            if passing {
                let table = head.done as usize * Entry::BYTES;
                self.charge_frame(core, at, &head, body)?;
                self.ready.raw(body.get(table..).ok_or(BadFrame::TooShort)?);
            }
            let body = if passing { Vec::new() } else { body.to_vec() };
            self.frames[at].partial = Some(Partial { head, body, passing, owed: 0 });
            return Ok(());
        }
        self.take_reply(core, at, head, body)
    }

    /// The next piece of a long reply has come.
    ///
    /// # Errors
    /// A piece that nobody waits for is dropped; a body that is not what its head says is an error.
    pub fn on_chunk(
        &mut self,
        core: &mut Core,
        link: &Rc<Link>,
        id: u32,
        last: bool,
        piece: &[u8],
    ) -> Result<(), BadFrame> {
        let Some(at) = self.frames.iter().position(|frame| frame.id == id && Rc::ptr_eq(&frame.link, link)) else {
            return Ok(());
        };
        self.pays(core);
        let is_first = self.is_first(at);
        let Some(partial) = &mut self.frames[at].partial else {
            return Err(BadFrame::OutOfPlace("a chunk without a beginning"));
        };
        if partial.passing {
            self.ready.raw(piece);
            self.owe(link, piece.len() as u32);
        } else {
            partial.body.extend_from_slice(piece);
            // What the client waits for is kept whole; anything behind it gets room when its turn has come.
            match is_first || last {
                true => link.credit(self.session, std::mem::take(&mut partial.owed).saturating_add(piece.len() as u32)),
                false => partial.owed = partial.owed.saturating_add(piece.len() as u32),
            }
        }
        if !last {
            return Ok(());
        }
        let Some(partial) = self.frames[at].partial.take() else { return Ok(()) };
        if partial.passing {
            let count = self.frames[at].count;
            self.frames.remove(at);
            self.pop_sent(count);
            self.advance(core);
            return Ok(());
        }
        self.take_reply(core, at, partial.head, &partial.body)
    }

    /// Whether the client's next reply needs this frame's.
    fn is_first(&self, at: usize) -> bool {
        let parts = match self.requests.front() {
            Some(Request { role: Role::Join(parts, _), .. }) => *parts as u64,
            _ => 0,
        };
        self.frames[at].is_shot || self.frames[at].requests.0 <= self.first + parts
    }

    /// Gives long replies whose turn has come the room that they have been waiting for.
    fn grant_first(&mut self) {
        for at in 0..self.frames.len() {
            if !self.is_first(at) {
                continue;
            }
            let Frame { link, partial: Some(partial), .. } = &mut self.frames[at] else { continue };
            if partial.owed > 0 {
                link.credit(self.session, std::mem::take(&mut partial.owed));
            }
        }
    }

    /// Whether a frame's replies may go to the client as they come: all its requests ran, stand first in the queue, and
    /// want plain replies.
    #[inline]
    fn passes(&self, at: usize, head: &ReplyHead) -> bool {
        let frame = &self.frames[at];
        let (first, last) = frame.requests;
        !frame.is_shot
            && head.status == Status::Done
            && first == self.first
            && (last - first) as usize + 1 == frame.count
            && head.done as usize == frame.count
            && self.requests.iter().take(frame.count).all(|request| request.role == Role::Plain && !request.noreply)
    }

    #[inline]
    fn charge_frame(&mut self, core: &mut Core, at: usize, head: &ReplyHead, body: &[u8]) -> Result<u64, BadFrame> {
        let count = head.done as usize;
        let mut from = (count * Entry::BYTES) as u64;
        let table = from;
        let mut ecpu_milli = 0;
        for index in 0..count {
            let entry = Entry::read(body, index)?;
            let request = &self.requests[(self.frames[at].requests.0 - self.first) as usize + index];
            ecpu_milli += request.charge(core, entry.data_bytes, entry.work, entry.failed);
            core.counts.commands += 1;
            if entry.failed {
                core.counts.error(reply::error_code(body.get(from as usize..).unwrap_or_default()));
            }
            from = from.saturating_add(entry.reply_bytes);
        }
        core.charged_for(self.frames[at].link.node(), ecpu_milli);
        Ok(from - table)
    }

    #[inline]
    fn take_reply(&mut self, core: &mut Core, at: usize, head: ReplyHead, body: &[u8]) -> Result<(), BadFrame> {
        if self.frames[at].is_shot {
            return self.take_shot(at, head, body);
        }
        if self.passes(at, &head) {
            let bytes = self.charge_frame(core, at, &head, body)?;
            let replies = body.get(head.done as usize * Entry::BYTES..).filter(|replies| replies.len() as u64 == bytes);
            self.ready.raw(replies.ok_or(BadFrame::TooShort)?);
            let frame = self.frames.remove(at);
            self.pop_sent(frame.count);
            self.advance(core);
            return Ok(());
        }
        check_body(&head, body)?;
        self.scatter(core, at, head, body)?;
        self.advance(core);
        Ok(())
    }

    /// The first `count` requests of the queue are answered and gone.
    #[inline]
    fn pop_sent(&mut self, count: usize) {
        self.requests.drain(..count.min(self.requests.len()));
        self.first += count as u64;
        self.under_way -= count;
    }

    /// Gives each request of a frame its answer; those that did not run are refused.
    fn scatter(&mut self, core: &mut Core, at: usize, head: ReplyHead, body: &[u8]) -> Result<(), BadFrame> {
        let frame = self.frames.remove(at);
        let mut from = head.done as usize * Entry::BYTES;
        let (mut index, mut refused, mut ecpu_milli) = (0, 0, 0);
        let node = frame.link.node();
        for number in frame.requests.0..=frame.requests.1 {
            let Some(request) = self.requests.get_mut((number - self.first) as usize) else { break };
            if request.state != State::Sent(frame.id) {
                continue;
            }
            self.under_way -= 1;
            if index >= head.done as usize {
                request.state = State::Refused;
                refused += 1;
                continue;
            }
            let entry = Entry::read(body, index)?;
            index += 1;
            let to = from.saturating_add(entry.reply_bytes as usize);
            let bytes = body.get(from..to).ok_or(BadFrame::TooShort)?;
            from = to;
            let at = self.stash.push(bytes);
            let answer = Answer { node, data_bytes: entry.data_bytes, work: entry.work, failed: entry.failed };
            request.state = State::Answered { at, len: bytes.len(), entry: answer };
            if request.role == Role::Plain {
                ecpu_milli += request.charge(core, entry.data_bytes, entry.work, entry.failed);
                core.counts.commands += 1;
                if entry.failed {
                    core.counts.error(reply::error_code(bytes));
                }
            }
        }
        if ecpu_milli > 0 {
            core.charged_for(node, ecpu_milli);
        }
        if head.status != Status::Done {
            self.note_refusal(&frame.link, &head);
        }
        if refused > 0 && head.status == Status::Paused {
            // It has waited at the node for as long as anything may.
            self.refused_since = Instant::now().checked_sub(WAIT_MAX);
        }
        if refused > 0 {
            self.refused += refused;
            self.refused_since.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    fn note_refusal(&mut self, link: &Rc<Link>, head: &ReplyHead) {
        if !self.restart.contains(&link.node()) {
            self.restart.push(link.node());
        }
        if head.status == Status::Moved {
            self.need.epoch = self.need.epoch.max(Epoch(head.epoch));
            self.need.state = self.need.state.max(head.state);
        }
    }

    fn take_shot(&mut self, at: usize, head: ReplyHead, body: &[u8]) -> Result<(), BadFrame> {
        let id = self.frames[at].id;
        if let Some(shot) = self.shots.iter_mut().find(|shot| shot.is_frame(id)) {
            shot.answer(&head, body)?;
        }
        let frame = self.frames.remove(at);
        if !matches!(head.status, Status::Done | Status::Full) {
            frame.link.stop_upload(self.session, id);
            self.note_refusal(&frame.link, &head);
        }
        Ok(())
    }

    /// Moves replies whose turn it is to `ready`.
    #[inline]
    fn advance(&mut self, core: &mut Core) {
        self.pop_answered(core);
        if self.frames.iter().any(|frame| frame.partial.is_some()) {
            self.grant_first();
        }
        if self.requests.is_empty() {
            self.rest();
        } else if self.stash.bytes.len() > 2 * self.stash.live + STASH_SLACK_BYTES {
            self.tidy_stash();
        }
        if self.refused == 0 {
            self.refused_since = None;
        }
    }

    fn pop_answered(&mut self, core: &mut Core) {
        while let Some(front) = self.requests.front() {
            match (front.role, front.state) {
                (Role::Join(parts, merge), _) => {
                    if !self.join(core, parts, merge) {
                        break;
                    }
                }
                (_, State::Answered { at, len, .. }) => {
                    if !front.noreply {
                        self.ready.raw(self.stash.get(at, len));
                    }
                    self.stash.live -= len;
                    self.requests.pop_front();
                    self.first += 1;
                }
                _ => break,
            }
        }
    }

    /// Merges the parts of the request at the front, if all have come.
    fn join(&mut self, core: &mut Core, parts: usize, merge: Merge) -> bool {
        let answers = self.requests.iter().skip(1).take(parts).map(|part| match part.state {
            State::Answered { at, len, entry } => Some((at, len, entry)),
            _ => None,
        });
        let Some(answers) = answers.collect::<Option<Vec<_>>>() else { return false };
        let replies = answers.iter().map(|(at, len, entry)| (self.stash.get(*at, *len), entry.failed));
        let mut out = Out::new(self.ready.proto());
        let failed = merge::parts(merge, replies, &mut out);
        let request = &self.requests[0];
        let (data, work) =
            answers.iter().fold((0, 0), |(data, work), (.., entry)| (data + entry.data_bytes, work + entry.work));
        let ecpu_milli = request.charge(core, data, work, failed);
        // The price is of the whole, which is rounded once: each part's node has an equal share of it.
        let share = ecpu_milli / answers.len().max(1) as u64;
        answers.iter().for_each(|(.., entry)| core.charged_for(entry.node, share));
        core.counts.commands += 1;
        if failed {
            core.counts.error(reply::error_code(out.as_contiguous().unwrap_or_default()));
        }
        if !request.noreply {
            self.ready.append(&mut out);
        }
        self.stash.live -= answers.iter().map(|(_, len, _)| len).sum::<usize>();
        self.requests.drain(..=parts);
        self.first += 1 + parts as u64;
        true
    }

    /// Forgets the answers that have left: a client that always has something under way would gather all it ever read.
    #[cold]
    fn tidy_stash(&mut self) {
        let old = std::mem::take(&mut self.stash);
        for request in &mut self.requests {
            if let State::Answered { at, len, .. } = &mut request.state {
                *at = self.stash.push(old.get(*at, *len));
            }
        }
    }

    /// Nothing is under way: buffers are forgotten, and given back where they have grown.
    #[inline]
    fn rest(&mut self) {
        self.kept.clear();
        self.stash.bytes.clear();
        if self.kept.capacity() > KEPT_BYTES {
            self.kept.shrink_to(KEPT_BYTES);
        }
        if self.stash.bytes.capacity() > KEPT_BYTES {
            self.stash.bytes.shrink_to(KEPT_BYTES);
        }
        self.need = Need::default();
    }

    /// Everything refused has waited too long: its clients read why.
    pub fn give_up(&mut self, core: &mut Core, lines: &Lines) {
        self.pays(core);
        for request in &mut self.requests {
            if request.state != State::Refused {
                continue;
            }
            let error = match lines.link_of(request.slot) {
                Some(_) => ProxyError::GateTimeout,
                None => ProxyError::SlotNotServed,
            };
            answer_with(request, &mut self.stash, core, &error);
        }
        self.refused = 0;
        self.advance(core);
    }

    /// A link was lost: what had not gone out goes again, and what makes no difference; the rest may have run.
    pub fn on_lost(&mut self, core: &mut Core, link: &Rc<Link>, incarnation: u64, written: u64) {
        self.pays(core);
        let is_lost = |frame: &Frame| Rc::ptr_eq(&frame.link, link) && frame.incarnation == incarnation;
        let (lost, kept): (Vec<Frame>, Vec<Frame>) = self.frames.drain(..).partition(is_lost);
        self.frames = kept;
        self.restart.retain(|node| *node != link.node());
        let frame_of = |id: u32| lost.iter().find(|frame| frame.id == id && !frame.is_shot);
        let concerned: Vec<(usize, Unanswered)> = self
            .requests
            .iter()
            .enumerate()
            .filter_map(|(index, request)| {
                let State::Sent(id) = request.state else { return None };
                let sent = frame_of(id)?.end_at <= written;
                let read_only = request.command.spec.flags.has(SpecFlags::READONLY);
                Some((index, Unanswered { sent, read_only }))
            })
            .collect();
        let unanswered: Vec<Unanswered> = concerned.iter().map(|(_, request)| *request).collect();
        // A reply that was being passed on cannot be taken back: the connection is of no use any more.
        let torn = lost.iter().any(|frame| frame.partial.as_ref().is_some_and(|partial| partial.passing));
        for ((index, _), fate) in concerned.into_iter().zip(after_lost_link(&unanswered)) {
            let request = &mut self.requests[index];
            self.under_way -= 1;
            match fate {
                Fate::Again if !torn => {
                    request.state = State::Refused;
                    self.refused += 1;
                    self.refused_since.get_or_insert_with(Instant::now);
                }
                _ => {
                    core.counts.unknown_outcomes += 1;
                    answer_with(request, &mut self.stash, core, &ProxyError::OutcomeUnknown);
                }
            }
        }
        for frame in lost.iter().filter(|frame| frame.is_shot) {
            if let Some(shot) = self.shots.iter_mut().find(|shot| shot.is_frame(frame.id)) {
                shot.lost(frame.end_at <= written);
            }
        }
        self.torn |= torn;
        self.advance(core);
        self.wake();
    }

    /// Whether a reply broke off in the middle: the client's connection must end.
    pub fn is_torn(&self) -> bool {
        self.torn
    }

    fn owe(&mut self, link: &Rc<Link>, bytes: u32) {
        match self.owed.iter_mut().find(|(other, _)| Rc::ptr_eq(other, link)) {
            Some((_, owed)) => *owed = owed.saturating_add(bytes),
            None => self.owed.push((link.clone(), bytes)),
        }
    }

    /// The client has taken what came: more may come.
    pub fn grant(&mut self) {
        for (link, bytes) in self.owed.drain(..) {
            link.credit(self.session, bytes);
        }
    }

    /// The dialect of merged replies.
    pub fn set_proto(&mut self, proto: Proto) {
        self.ready.set_proto(proto);
    }
}

/// Checks that a body is what its head says, before anything is done by it: what is wrong ends the link, and the
/// requests are lost with it.
fn check_body(head: &ReplyHead, body: &[u8]) -> Result<(), BadFrame> {
    let count = head.done as usize;
    let mut bytes = (count * Entry::BYTES) as u64;
    for index in 0..count {
        bytes = bytes.saturating_add(Entry::read(body, index)?.reply_bytes);
    }
    if bytes == body.len() as u64 { Ok(()) } else { Err(BadFrame::TooShort) }
}

/// Answers a request with an error of the proxy.
fn answer_with(request: &mut Request, stash: &mut Stash, core: &mut Core, error: &ProxyError) {
    let mut out = Out::new(Proto::Resp2);
    error.write(request.command.spec, &mut out);
    let bytes = out.to_vec();
    core.counts.error(reply::error_code(&bytes));
    if request.role == Role::Plain {
        request.charge(core, 0, 1, true);
        core.counts.commands += 1;
    }
    let at = stash.push(&bytes);
    let entry = Answer { node: NodeId(0), data_bytes: 0, work: 1, failed: true };
    request.state = State::Answered { at, len: bytes.len(), entry };
}

#[cfg(test)]
mod tests;
