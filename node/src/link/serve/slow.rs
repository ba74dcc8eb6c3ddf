//! Frames that go the long way: what comes in chunks, runs alone, or has to wait for a stripe, a gate, a newer map or room.
//! A session is a FIFO: its first frame runs, the later ones stand behind it.

use swell_engine::stripe::Ticket;
use swell_engine::waiters::GaveUp;
use swell_wire::Out;

use super::{Cx, Sessions, reply_head, slow_mut};
use crate::link::body::{self, Job, Ran};
use crate::link::frame::{
    self, BadFrame, CHUNK_BYTES, CREDIT_BYTES, ChunkHead, CreditHead, Flags, Frame, Kind, ReplyHead, RequestHead,
    Status, UnblockHead,
};
use crate::link::session::{GATE_WAIT_MS, Incoming, PARKED_BYTES_MAX, SESSIONS_MAX, Slow, UNSENT_BYTES_MAX, Wait};

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
    Elsewhere,
    /// With the epoch and state to wait for.
    Refused(Status, u64, u64),
}

impl Sessions {
    /// A frame that is not answered in the group.
    #[cold]
    pub(super) fn accept(&mut self, cx: &mut Cx<'_>, frame: Frame<'_>) -> Result<(), BadFrame> {
        match frame.kind {
            Kind::Request | Kind::Exec | Kind::Walk | Kind::Stats | Kind::Block => {
                self.accept_request(cx, frame.kind, frame.rest)
            }
            Kind::Unblock => {
                self.unblock(cx, UnblockHead::read(frame.rest)?);
                Ok(())
            }
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
            Kind::Subscribe => self.subscribe(frame.rest),
            Kind::Hello | Kind::Control | Kind::Reply | Kind::Stream | Kind::Subscribed | Kind::Push => {
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
        let job = Job::read(kind, head, self.link, body, &mut self.scratch)?;
        slow.incoming = if job.is_arriving() { Incoming::Job } else { Incoming::Nothing };
        self.enqueue(cx, head.session, job)
    }

    pub(super) fn enqueue(&mut self, cx: &mut Cx<'_>, session: u32, job: Job) -> Result<(), BadFrame> {
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

    /// A session's request waits no longer, if it still does: the frame may have crossed its answer.
    fn unblock(&mut self, cx: &mut Cx<'_>, head: UnblockHead) {
        let slow = self.sessions.get_mut(head.session as usize).and_then(Option::as_mut);
        let Some(job) = slow.and_then(|slow| slow.jobs.iter_mut().find(|job| job.head.id == head.id)) else { return };
        job.give_up(if head.error { GaveUp::Error } else { GaveUp::Timeout });
        self.drive(cx, head.session);
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
    pub(super) fn drive(&mut self, cx: &mut Cx<'_>, session: u32) {
        let Some(mut slow) = self.sessions.get_mut(session as usize).and_then(Option::take) else { return };
        let mut ticket = match std::mem::take(&mut slow.wait) {
            Wait::Ticket(ticket) => Some(ticket),
            _ => None,
        };
        // What it waits for is registered before it is tried again, lest a change in between be missed.
        let (mut gate, mut view) = (None, false);
        let mut watch = slow.watch.take();
        while let Some(job) = slow.jobs.front_mut() {
            let done_before = job.entries.len();
            let (epoch, state) = (self.view.epoch(), self.view.state());
            let ran = if job.head.epoch > epoch || job.head.state > state {
                Stop::View
            } else if job.head.state < state && !job.is_under_way() {
                Stop::Refused(Status::Moved, job.head.epoch, state)
            } else if self.outbox.streaming_bytes(session) > UNSENT_BYTES_MAX && !job.holds_locks() {
                Stop::Room
            } else {
                match job.run(cx.handle, &mut ticket, &mut watch, cx.now_ms, &mut self.counts) {
                    Ran::Done => Stop::Answer(Status::Done),
                    Ran::Full => Stop::Answer(Status::Full),
                    Ran::Stale => Stop::Answer(Status::Stale),
                    Ran::Arriving => Stop::Arriving,
                    Ran::Busy(stripe) => Stop::Busy(stripe),
                    Ran::Closed(stripe) => Stop::Closed(stripe),
                    Ran::More => Stop::More,
                    Ran::Elsewhere => Stop::Elsewhere,
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
                Stop::Elsewhere => {
                    let waker = slow.waker(session, &self.ready);
                    if slow.jobs.front_mut().is_some_and(|job| job.wait(&waker)) {
                        continue;
                    }
                    slow.wait = Wait::Elsewhere;
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
                }
            }
            break;
        }
        slow.watch = watch;
        if let Some(place) = self.sessions.get_mut(session as usize) {
            *place = Some(slow);
        }
        self.settle(session);
    }

    /// A ticket that is still good for what it waits for; any other is given back, and the turn passes on.
    fn keep_ticket(&self, ticket: Option<Ticket>, stop: &Stop) -> Option<Ticket> {
        let ticket = ticket?;
        let stripe = self.node.engine().stripe(ticket.stripe());
        // WATCH may have used it up for its first key.
        if matches!(stop, Stop::Busy(taken) if *taken == ticket.stripe()) && stripe.is_queued(ticket) {
            return Some(ticket);
        }
        stripe.cancel(ticket);
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
        slow.jobs.iter_mut().take(1).for_each(Job::hand_back);
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
    pub(super) fn expire(&mut self, cx: &mut Cx<'_>) {
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
}

/// The lowest epoch that can help a request for a slot that is not served here.
fn moved_epoch(view: u64, frame: u64) -> u64 {
    if view > frame { view } else { view + 1 }
}
