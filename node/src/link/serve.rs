//! The node's end of a Sessions link, without I/O: bytes in, bytes out. Frames of small requests are run straight from the
//! read buffer into the output, their memory asked for across frames; whatever has to wait goes on in `session`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use swell_engine::Outcome;
use swell_engine::admit::Admitted;
use swell_engine::stripe::Ticket;
use swell_wire::requests::Kind as ItemKind;
use swell_wire::{Out, Requests, memcached, resp};

use crate::embedded::{Handle, Node};
use crate::link::body::{self, Job, Ran};
use crate::link::frame::{
    self, BadFrame, CHUNK_BYTES, CREDIT_BYTES, ChunkHead, CreditHead, Entry, FRAME_REQUESTS_MAX, Flags, Frame, Kind,
    PREFIX_BYTES, ReplyHead, RequestHead, Status,
};
use crate::link::group::{GROUP, Group, Open};
use crate::link::outbox::Outbox;
use crate::link::session::{
    GATE_WAIT_MS, Incoming, PARKED_BYTES_MAX, Ready, SESSIONS_MAX, Slow, UNSENT_BYTES_MAX, Wait,
};
use crate::link::stats::Counts;
use crate::view::View;

/// All sessions of one link.
pub struct Sessions {
    node: Arc<Node>,
    view: Arc<View>,
    /// By number; nothing for one whose frames are answered as they come.
    sessions: Vec<Option<Box<Slow>>>,
    group: Group,
    outbox: Outbox,
    counts: Counts,
    /// Bodies of frames that wait are read with this.
    scratch: Requests,
    ready: Arc<Ready>,
    /// The waker that `ready` has.
    task: Option<Waker>,
    /// Sessions to go on with at the next turn.
    again: VecDeque<u32>,
    woken: Vec<u32>,
    /// Sessions that have a deadline, or had one.
    timed: Vec<u32>,
    /// The first of these deadlines, or one before it, unix milliseconds.
    deadline_ms: Option<u64>,
}

/// What a call works with.
struct Cx<'a> {
    handle: &'a mut Handle,
    now_ms: u64,
}

impl Sessions {
    /// For a new link.
    pub fn new(node: Arc<Node>, view: Arc<View>) -> Sessions {
        Sessions {
            node,
            view,
            sessions: Vec::new(),
            group: Group::new(),
            outbox: Outbox::default(),
            counts: Counts::default(),
            scratch: Requests::new(),
            ready: Arc::default(),
            task: None,
            again: VecDeque::new(),
            woken: Vec::new(),
            timed: Vec::new(),
            deadline_ms: None,
        }
    }

    /// What there is to send.
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// What was counted; see [`crate::link::stats::Totals::add`].
    pub fn counts(&mut self) -> &mut Counts {
        self.counts.behind_bytes_max = self.counts.behind_bytes_max.max(self.outbox.behind_bytes_max());
        &mut self.counts
    }

    /// Counts into another place from now on; a worker lends its own to the link that runs.
    pub fn swap_counts(&mut self, counts: &mut Counts) {
        std::mem::swap(self.counts(), counts);
    }

    /// When [`Sessions::resume`] must be called even if nobody wakes, unix milliseconds.
    pub fn deadline_ms(&self) -> Option<u64> {
        self.deadline_ms
    }

    /// Serves all complete frames at the front of `bytes`; returns how many bytes they took. `waker` is woken when
    /// [`Sessions::resume`] has something to do.
    ///
    /// # Errors
    /// Bytes that are no proxy's: the link ends.
    pub fn take(&mut self, handle: &mut Handle, bytes: &[u8], now_ms: u64, waker: &Waker) -> Result<usize, BadFrame> {
        self.set_task(waker);
        self.outbox.note_behind();
        let mut cx = Cx { handle, now_ms };
        let (epoch, state) = (self.view.epoch(), self.view.state());
        let mut at = 0;
        while let Some(frame) = Frame::first(&bytes[at..])? {
            let end = at + frame.bytes;
            if frame.kind == Kind::Request {
                let (head, _) = RequestHead::read(frame.rest)?;
                body::check(&head, SESSIONS_MAX)?;
                if head.count as usize > FRAME_REQUESTS_MAX {
                    return Err(BadFrame::OutOfPlace("too many requests"));
                }
                let is_plain = head.epoch <= epoch
                    && head.state == state
                    && !head.flags.has(Flags::MORE)
                    && !is_slow(&self.sessions, &self.outbox, head.session);
                if !is_plain || !self.plan(&mut cx, head, bytes, at + PREFIX_BYTES + RequestHead::BYTES, end)? {
                    self.run_group(&mut cx, bytes)?;
                    self.accept(&mut cx, frame)?;
                }
            } else {
                self.run_group(&mut cx, bytes)?;
                self.accept(&mut cx, frame)?;
            }
            at = end;
        }
        self.run_group(&mut cx, bytes)?;
        self.counts.bytes_in += at as u64;
        Ok(at)
    }

    /// Goes on with what was woken, with walks whose turn it is, and refuses what has waited too long.
    ///
    /// # Errors
    /// As [`Sessions::take`].
    pub fn resume(&mut self, handle: &mut Handle, now_ms: u64, waker: &Waker) -> Result<(), BadFrame> {
        self.set_task(waker);
        let mut cx = Cx { handle, now_ms };
        let mut woken = std::mem::take(&mut self.woken);
        self.ready.take(&mut woken);
        for session in woken.drain(..) {
            self.drive(&mut cx, session);
        }
        self.woken = woken;
        for _ in 0..self.again.len() {
            if let Some(session) = self.again.pop_front() {
                self.drive(&mut cx, session);
            }
        }
        if self.deadline_ms.is_some_and(|deadline| deadline <= now_ms) {
            self.expire(&mut cx);
        }
        Ok(())
    }

    fn set_task(&mut self, waker: &Waker) {
        if self.task.as_ref().is_none_or(|task| !task.will_wake(waker)) {
            self.task = Some(waker.clone());
            self.ready.set_task(waker);
        }
    }

    // === frames answered as they come ===

    /// Adds a frame to the group. False: it has to go the long way, after the group.
    #[inline]
    fn plan(
        &mut self,
        cx: &mut Cx<'_>,
        head: RequestHead,
        bytes: &[u8],
        from: usize,
        to: usize,
    ) -> Result<bool, BadFrame> {
        let count = head.count as usize;
        if count > GROUP {
            self.run_group(cx, bytes)?;
        }
        let body = &bytes[from..to];
        let Group { limits, requests, frames, .. } = &mut self.group;
        let first = requests.len();
        let consumed = match head.flags.has(Flags::TEXT) {
            true => memcached::Decoder::new().decode(body, limits, requests),
            false => resp::Decoder::new().decode(body, limits, requests),
        };
        let items = &requests.items()[first..];
        let is_plain = items.iter().all(|item| matches!(item.kind, ItemKind::Plain { .. }));
        if consumed != body.len() || items.len() != count || count == 0 || !is_plain {
            return Ok(false);
        }
        let frame = frames.len();
        frames.push(Open { head, from, to, first, done: 0, reply: None, is_kept: false });
        for item in first..first + count {
            self.group.plan(cx.handle, frame, item, body, head.flags)?;
            if self.group.planned.len() == GROUP {
                self.run_planned(cx, bytes)?;
            }
        }
        if count > GROUP {
            self.run_group(cx, bytes)?;
        }
        Ok(true)
    }

    /// Runs what is planned; all frames of the group are whole.
    #[inline]
    fn run_group(&mut self, cx: &mut Cx<'_>, bytes: &[u8]) -> Result<(), BadFrame> {
        self.run_planned(cx, bytes)?;
        self.group.frames.clear();
        self.group.requests.clear();
        Ok(())
    }

    /// Runs what is planned.
    fn run_planned(&mut self, cx: &mut Cx<'_>, bytes: &[u8]) -> Result<(), BadFrame> {
        self.group.prefetch(cx.handle);
        for at in 0..self.group.planned.len() {
            self.run_one(cx, bytes, at)?;
        }
        self.group.planned.clear();
        self.group.keys.clear();
        Ok(())
    }

    #[inline]
    fn run_one(&mut self, cx: &mut Cx<'_>, bytes: &[u8], at: usize) -> Result<(), BadFrame> {
        let Group { requests, frames, planned, keys, .. } = &mut self.group;
        let planned = planned[at];
        let frame = &mut frames[planned.frame as usize];
        if frame.is_kept {
            return Ok(());
        }
        let context = body::context(&frame.head, cx.now_ms);
        let reply = match frame.reply {
            Some(reply) => reply,
            // An earlier frame of this session has to wait, hence this one too.
            None if is_slow(&self.sessions, &self.outbox, frame.head.session) => {
                return self.keep(cx, bytes, planned.frame as usize);
            }
            None => {
                self.outbox.tail.set_proto(context.proto);
                *frame.reply.insert(self.outbox.open(frame.head.count as usize))
            }
        };
        let tail = &mut self.outbox.tail;
        let buf = &bytes[frame.from..frame.to];
        let Some(args) = requests.get(planned.item as usize, buf) else { return Ok(()) };
        let keys = &keys[planned.keys_from as usize..planned.keys_to as usize];
        let (mark, data_before) = (tail.mark(), tail.data_bytes());
        let len_before = tail.len();
        let call = Admitted::from_link(planned.spec, args).call(keys, context);
        let outcome = cx.handle.execute(&call, None, tail);
        let Outcome::Done { work, failed } = outcome else { return self.keep(cx, bytes, planned.frame as usize) };
        let data_bytes = tail.data_bytes() - data_before;
        if requests.item(planned.item as usize).noreply {
            tail.truncate(mark);
        }
        let entry = Entry { reply_bytes: (tail.len() - len_before) as u64, data_bytes, work, failed };
        reply.set_entry(frame.done, &entry, tail);
        frame.done += 1;
        self.counts.request(keys, work);
        if frame.done == frame.head.count as usize {
            self.outbox.finish(reply, &reply_head(&frame.head, Status::Done, frame.done));
        }
        Ok(())
    }

    /// Gives a frame of the group to its session, because it or an earlier one has to wait.
    #[cold]
    fn keep(&mut self, cx: &mut Cx<'_>, bytes: &[u8], frame: usize) -> Result<(), BadFrame> {
        let open = &mut self.group.frames[frame];
        open.is_kept = true;
        let buf = &bytes[open.from..open.to];
        let mut job = Job::new(Kind::Request, open.head, buf.len());
        if let Some(reply) = open.reply.take() {
            (job.entries, job.out) = self.outbox.take_back(reply, open.done);
            job.out.set_proto(body::context(&open.head, 0).proto);
        }
        for item in open.first + open.done..open.first + open.head.count as usize {
            let Some(args) = self.group.requests.get(item, buf) else { continue };
            let spec = body::command(open.head.flags, args)?;
            job.push(spec, args.to_owned(false), self.group.requests.item(item).noreply);
        }
        let session = open.head.session;
        self.enqueue(cx, session, job)
    }

    // === frames that go the long way ===

    /// A frame that is not answered in the group.
    #[cold]
    fn accept(&mut self, cx: &mut Cx<'_>, frame: Frame<'_>) -> Result<(), BadFrame> {
        match frame.kind {
            Kind::Request | Kind::Exec | Kind::Walk | Kind::Stats => self.accept_request(cx, frame.kind, frame.rest),
            Kind::Chunk => self.accept_chunk(cx, frame.rest),
            Kind::Credit => {
                let credit = CreditHead::read(frame.rest)?;
                self.outbox.take_credit(credit.session, credit.bytes as usize);
                if self.slow(credit.session).is_some_and(|slow| matches!(slow.wait, Wait::Room)) {
                    self.drive(cx, credit.session);
                }
                Ok(())
            }
            Kind::Close => {
                self.close(frame::closed(frame.rest)?);
                Ok(())
            }
            Kind::Hello | Kind::Control | Kind::Reply | Kind::Stream => {
                Err(BadFrame::OutOfPlace("a kind of frame that proxies do not send"))
            }
        }
    }

    fn accept_request(&mut self, cx: &mut Cx<'_>, kind: Kind, rest: &[u8]) -> Result<(), BadFrame> {
        let (head, body) = RequestHead::read(rest)?;
        body::check(&head, SESSIONS_MAX)?;
        let slow = slow_mut(&mut self.sessions, head.session);
        if slow.incoming != Incoming::Nothing {
            return Err(BadFrame::OutOfPlace("a frame inside another one's chunks"));
        }
        if slow.refused && !head.flags.has(Flags::RESTART) {
            let has_more = head.flags.has(Flags::MORE);
            slow.incoming = if has_more { Incoming::Skipped(head.id) } else { Incoming::Nothing };
            self.outbox.push(reply_head(&head, Status::Behind, 0), Vec::new(), Out::default());
            return Ok(());
        }
        let job = Job::read(kind, head, body, &mut self.scratch)?;
        slow.incoming = if job.is_arriving() { Incoming::Job } else { Incoming::Nothing };
        self.enqueue(cx, head.session, job)
    }

    fn enqueue(&mut self, cx: &mut Cx<'_>, session: u32, job: Job) -> Result<(), BadFrame> {
        let slow = slow_mut(&mut self.sessions, session);
        if slow.refused && !job.head.flags.has(Flags::RESTART) {
            self.outbox.push(reply_head(&job.head, Status::Behind, 0), Vec::new(), Out::default());
            return Ok(());
        }
        slow.refused = false;
        slow.bytes += job.bytes;
        slow.jobs.push_back(job);
        if slow.bytes > PARKED_BYTES_MAX && slow.jobs.len() > 1 {
            return Err(BadFrame::OutOfPlace("more bytes than a session may have waiting"));
        }
        if slow.jobs.len() == 1 {
            self.drive(cx, session);
        }
        Ok(())
    }

    fn accept_chunk(&mut self, cx: &mut Cx<'_>, rest: &[u8]) -> Result<(), BadFrame> {
        let (head, piece) = ChunkHead::read(rest)?;
        let Some(slow) = self.sessions.get_mut(head.session as usize).and_then(Option::as_mut) else {
            return Err(BadFrame::OutOfPlace("a chunk of no frame"));
        };
        let is_job = slow.incoming == Incoming::Job;
        match (slow.incoming, slow.jobs.back_mut()) {
            (Incoming::Job, Some(job)) if job.head.id == head.id => job.feed(piece, head.last, &mut self.scratch)?,
            (Incoming::Skipped(id), _) if id == head.id => {}
            _ => return Err(BadFrame::OutOfPlace("a chunk of another frame")),
        }
        slow.owed += piece.len();
        // Credit for a session's chunks may still reach the next client that has its number.
        if slow.owed > 2 * CREDIT_BYTES + CHUNK_BYTES {
            return Err(BadFrame::OutOfPlace("more chunks than there was credit for"));
        }
        if head.last {
            slow.incoming = Incoming::Nothing;
        }
        if is_job && slow.jobs.len() == 1 && matches!(slow.wait, Wait::Nothing) {
            self.drive(cx, head.session);
        } else {
            self.settle(head.session);
        }
        Ok(())
    }

    /// Runs a session's frames as far as they go.
    fn drive(&mut self, cx: &mut Cx<'_>, session: u32) {
        let Some(mut slow) = self.sessions.get_mut(session as usize).and_then(Option::take) else { return };
        let mut ticket = match std::mem::take(&mut slow.wait) {
            Wait::Ticket(ticket) => Some(ticket),
            _ => None,
        };
        // What it waits for is registered before it is tried again, lest a change in between be missed.
        let (mut gate, mut view) = (None, false);
        while let Some(job) = slow.jobs.front_mut() {
            let done_before = job.entries.len();
            let (epoch, state) = (self.view.epoch(), self.view.state());
            let ran = if job.head.epoch > epoch || job.head.state > state {
                Stop::View
            } else if job.head.state < state && !job.is_walking() {
                Stop::Refused(Status::Moved, job.head.epoch, state)
            } else if self.outbox.streaming_bytes(session) > UNSENT_BYTES_MAX {
                Stop::Room
            } else {
                match job.run(cx.handle, &mut ticket, cx.now_ms, &mut self.counts) {
                    Ran::Done => Stop::Answer(Status::Done),
                    Ran::Full => Stop::Answer(Status::Full),
                    Ran::Arriving => Stop::Arriving,
                    Ran::Busy(stripe) => Stop::Busy(stripe),
                    Ran::Closed(stripe) => Stop::Closed(stripe),
                    Ran::More => Stop::More,
                    Ran::Moved => Stop::Refused(Status::Moved, moved_epoch(epoch, job.head.epoch), state),
                }
            };
            if job.entries.len() > done_before {
                slow.deadline_ms = None;
            }
            ticket = self.keep_ticket(ticket, &ran);
            match ran {
                Stop::Answer(status) => {
                    self.answer(&mut slow, status, 0, 0);
                    continue;
                }
                Stop::Refused(status, epoch, state) => {
                    self.refuse(&mut slow, status, epoch, state);
                    continue;
                }
                Stop::Closed(stripe) if gate != Some(stripe) => {
                    gate = Some(stripe);
                    let waker = slow.waker(session, &self.ready);
                    self.node.engine().stripe(stripe).wait_for_gate(&waker);
                    continue;
                }
                Stop::View if !view => {
                    view = true;
                    let waker = slow.waker(session, &self.ready);
                    self.view.wait(&waker);
                    continue;
                }
                Stop::Arriving => slow.wait = Wait::Nothing,
                Stop::Busy(stripe) => {
                    let waker = slow.waker(session, &self.ready);
                    let drawn = ticket.take().unwrap_or_else(|| {
                        self.counts.parked += 1;
                        self.node.engine().stripe(stripe).draw(stripe, &waker)
                    });
                    slow.wait = Wait::Ticket(drawn);
                }
                Stop::Closed(_) => self.wait_until(cx, &mut slow, session, Wait::Gate),
                Stop::View => self.wait_until(cx, &mut slow, session, Wait::View),
                Stop::Room => slow.wait = Wait::Room,
                Stop::More => {
                    slow.wait = Wait::Turn;
                    self.again.push_back(session);
                    if let Some(task) = &self.task {
                        task.wake_by_ref();
                    }
                }
            }
            break;
        }
        if let Some(place) = self.sessions.get_mut(session as usize) {
            *place = Some(slow);
        }
        self.settle(session);
    }

    /// A ticket that is still good for what it waits for; any other is given back, and the turn passes on.
    fn keep_ticket(&self, ticket: Option<Ticket>, stop: &Stop) -> Option<Ticket> {
        let ticket = ticket?;
        if matches!(stop, Stop::Busy(stripe) if *stripe == ticket.stripe()) {
            return Some(ticket);
        }
        self.node.engine().stripe(ticket.stripe()).cancel(ticket);
        None
    }

    fn wait_until(&mut self, cx: &Cx<'_>, slow: &mut Slow, session: u32, wait: Wait) {
        slow.wait = wait;
        if slow.deadline_ms.is_none() {
            let deadline = cx.now_ms + GATE_WAIT_MS;
            slow.deadline_ms = Some(deadline);
            self.counts.parked += 1;
            self.timed.push(session);
            self.deadline_ms = Some(self.deadline_ms.map_or(deadline, |first| first.min(deadline)));
        }
    }

    /// Answers the first frame of a session.
    fn answer(&mut self, slow: &mut Slow, status: Status, epoch: u64, state: u64) {
        let Some(job) = slow.jobs.pop_front() else { return };
        slow.bytes -= job.bytes;
        slow.deadline_ms = None;
        if job.is_arriving() {
            slow.incoming = Incoming::Skipped(job.head.id);
        }
        let head = ReplyHead { epoch, state, ..reply_head(&job.head, status, job.entries.len()) };
        self.outbox.push(head, job.entries, job.out);
    }

    /// Refuses the first frame of a session, and the later ones until one goes on with what was refused.
    fn refuse(&mut self, slow: &mut Slow, status: Status, epoch: u64, state: u64) {
        self.answer(slow, status, epoch, state);
        slow.refused = true;
        while let Some(job) = slow.jobs.front() {
            if job.head.flags.has(Flags::RESTART) {
                slow.refused = false;
                return;
            }
            self.answer(slow, Status::Behind, 0, 0);
        }
    }

    /// Refuses what has waited too long.
    fn expire(&mut self, cx: &mut Cx<'_>) {
        let mut timed = std::mem::take(&mut self.timed);
        timed.sort_unstable();
        timed.dedup();
        for session in timed {
            let Some(slow) = self.slow(session) else { continue };
            match slow.deadline_ms {
                Some(deadline) if deadline <= cx.now_ms && matches!(slow.wait, Wait::Gate | Wait::View) => {
                    self.give_up(cx, session);
                }
                Some(_) => self.timed.push(session),
                None => {}
            }
        }
        self.deadline_ms = self.timed.iter().filter_map(|session| self.slow(*session)?.deadline_ms).min();
    }

    fn give_up(&mut self, cx: &mut Cx<'_>, session: u32) {
        let Some(mut slow) = self.sessions.get_mut(session as usize).and_then(Option::take) else { return };
        slow.wait = Wait::Nothing;
        self.refuse(&mut slow, Status::Paused, 0, 0);
        if let Some(place) = self.sessions.get_mut(session as usize) {
            *place = Some(slow);
        }
        self.drive(cx, session);
    }

    /// Gives credit that is due, and forgets a session that is idle again.
    fn settle(&mut self, session: u32) {
        let Some(slow) = self.sessions.get_mut(session as usize).and_then(Option::as_mut) else { return };
        if slow.owes_credit() {
            self.outbox.give_credit(session, std::mem::take(&mut slow.owed));
        }
        if slow.is_idle() {
            self.sessions[session as usize] = None;
        }
    }

    fn close(&mut self, session: u32) {
        if let Some(slow) = self.sessions.get_mut(session as usize).and_then(Option::take) {
            self.cancel(&slow);
        }
        self.outbox.close(session);
    }

    fn cancel(&self, slow: &Slow) {
        if let Wait::Ticket(ticket) = slow.wait {
            self.node.engine().stripe(ticket.stripe()).cancel(ticket);
        }
    }

    fn slow(&self, session: u32) -> Option<&Slow> {
        self.sessions.get(session as usize)?.as_deref()
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        self.sessions.iter().flatten().for_each(|slow| self.cancel(slow));
    }
}

/// Why a session does not go on with its first frame.
enum Stop {
    /// It has an answer.
    Answer(Status),
    Arriving,
    Busy(usize),
    Closed(usize),
    View,
    Room,
    More,
    /// With the epoch and state to wait for.
    Refused(Status, u64, u64),
}

/// The lowest epoch that can help a request for a slot that is not served here.
fn moved_epoch(view: u64, frame: u64) -> u64 {
    if view > frame { view } else { view + 1 }
}

#[inline]
fn reply_head(head: &RequestHead, status: Status, done: usize) -> ReplyHead {
    let flags = Flags::default();
    ReplyHead { status, flags, session: head.session, id: head.id, done: done as u16, epoch: 0, state: 0 }
}

/// Whether a session's frames have to go behind something.
#[inline]
fn is_slow(sessions: &[Option<Box<Slow>>], outbox: &Outbox, session: u32) -> bool {
    sessions.get(session as usize).is_some_and(Option::is_some) || outbox.is_streaming(session)
}

/// A session's state, made if need be.
fn slow_mut(sessions: &mut Vec<Option<Box<Slow>>>, session: u32) -> &mut Slow {
    let at = session as usize;
    if sessions.len() <= at {
        sessions.resize_with(at + 1, || None);
    }
    sessions[at].get_or_insert_default()
}
