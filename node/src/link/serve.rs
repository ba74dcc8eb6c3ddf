//! The node's end of a Sessions link, without I/O: bytes in, bytes out. Frames of small requests are answered as they
//! come (`grouped`); what is long, runs alone or has to wait goes the long way (`slow`), with its session's state.

mod grouped;
mod news;
mod slow;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use swell_wire::Requests;

use crate::broker::{Peer, Published};
use crate::copies::LinkNumber;
use crate::embedded::{Handle, Node};
use crate::link::body;
use crate::link::frame::{
    BadFrame, FRAME_REQUESTS_MAX, Flags, Frame, Kind, PREFIX_BYTES, ReplyHead, RequestHead, Status,
};
use crate::link::group::Group;
use crate::link::outbox::Outbox;
use crate::link::session::{Ready, SESSIONS_MAX, Slow, Wait};
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
    /// The proxy's worker, once it has subscribed to something.
    peer: Option<Arc<Peer>>,
    /// Names the link to whoever notes its clients' copies.
    link: LinkNumber,
    /// What is stale of these.
    copies: Arc<Peer>,
    /// Messages on their way from `peer` and `copies` to the outbox.
    news: VecDeque<Arc<Published>>,
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
        Sessions::begin(node, view, false)
    }

    /// For a link that ends in this process.
    pub fn here(node: Arc<Node>, view: Arc<View>) -> Sessions {
        Sessions::begin(node, view, true)
    }

    fn begin(node: Arc<Node>, view: Arc<View>, is_here: bool) -> Sessions {
        let (link, copies) = node.copies().join(is_here);
        Sessions {
            link,
            copies,
            node,
            view,
            sessions: Vec::new(),
            group: Group::new(),
            outbox: Outbox::default(),
            counts: Counts::default(),
            peer: None,
            news: VecDeque::new(),
            scratch: Requests::new(),
            ready: Arc::default(),
            task: None,
            again: VecDeque::new(),
            woken: Vec::new(),
            timed: Vec::new(),
            deadline_ms: None,
        }
    }

    /// Its name to whoever notes its clients' copies.
    pub fn link(&self) -> LinkNumber {
        self.link
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

    /// Whether [`Sessions::resume`] has to be called again soon, after others have had their turn: nobody wakes for that
    /// but [`Sessions::go_on_later`].
    pub fn goes_on(&self) -> bool {
        !self.again.is_empty()
    }

    /// Has the calling task woken after others, if a slice of something long is done and more is to come. Those whose
    /// frames wait in their sockets come first: a task that only wakes itself would run dozens of times before any socket
    /// is asked for news. To be called before the task rests.
    pub fn go_on_later(&self, cx: &mut Context<'_>) {
        if self.goes_on() {
            // The first poll tells the runtime whom to wake; the future itself is not needed for that.
            let _ = pin!(tokio::task::yield_now()).poll(cx);
        }
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

    /// Goes on with what was woken, with walks and long replies whose turn it is, and refuses what has waited too long.
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
        self.node.copies().leave(self.link);
        if let Some(peer) = &self.peer {
            self.node.broker().leave(peer);
        }
        self.sessions.iter().flatten().for_each(|slow| self.cancel(slow));
    }
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
