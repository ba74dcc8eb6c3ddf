//! A client whose request waits for what is not there: until it comes, its time is over, CLIENT UNBLOCK ends it, or the
//! client leaves.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use swell_engine::waiters::{GaveUp, UNBLOCKED};
use swell_wire::Out;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Sleep;

use super::Client;
use super::late::LateState;
use crate::session::slices::Answering;
use crate::session::{Flow, Wait};
use crate::shared::unix_ms;

/// The end of a wait; there may be none.
pub(crate) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    is_over: bool,
}

/// What has become of a request that waits.
pub(super) enum Blocked {
    Waits,
    /// It has to run anew, and may have to wait at this stripe's gates.
    Refused(usize),
    Answered,
}

impl Timer {
    /// Until then, unix milliseconds.
    pub fn until(deadline_ms: Option<u64>) -> Timer {
        let left = |at_ms: u64| Duration::from_millis(at_ms.saturating_sub(unix_ms()));
        Timer { sleep: deadline_ms.map(|at_ms| Box::pin(tokio::time::sleep(left(at_ms)))), is_over: false }
    }

    /// Whether it is over, now or before; the task is woken when it is.
    pub fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.is_over && self.sleep.as_mut().is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready()) {
            // A sleep that has ended must not be asked again.
            (self.sleep, self.is_over) = (None, true);
        }
        self.is_over
    }
}

impl Client {
    /// The first request of the backlog waits at the node in this process; with what is left of its time, if it has
    /// waited before.
    pub(super) fn begin_wait(&mut self, answering: Box<Answering>) -> LateState {
        if let Some(waiter) = answering.waiter() {
            let begun = Wait { deadline_ms: waiter.deadline_ms(), since_us: waiter.since_us() };
            self.session.wait.get_or_insert(begun);
        }
        let deadline_ms = self.session.wait.and_then(|wait| wait.deadline_ms);
        LateState::Blocked(answering, Timer::until(deadline_ms))
    }

    /// Looks whether what it waits for is there.
    pub(super) fn poll_blocked(&mut self, cx: &mut Context<'_>, answering: &Answering, timer: &mut Timer) -> Blocked {
        let Some(waiter) = answering.waiter() else { return Blocked::Answered };
        self.session.info.block(cx.waker(), Some(waiter));
        if timer.is_over(cx) {
            // In vain while it is being served; if that comes to nothing, this task is woken.
            waiter.give_up(GaveUp::Timeout);
        }
        if !answering.is_ready_or_wakes(cx.waker()) {
            return Blocked::Waits;
        }
        let Some(stripe) = answering.refused() else {
            self.worker.shared.node.engine().forget(waiter);
            return Blocked::Answered;
        };
        // It goes on with what it has meant since it began.
        if let Some(request) = self.backlog.front_mut() {
            request.args = Some(waiter.args().clone());
        }
        self.worker.shared.node.engine().forget(waiter);
        Blocked::Refused(stripe)
    }

    /// WAIT and WAITAOF: replicas do not come, so this ends with its time.
    pub(super) fn poll_replicas(
        &mut self,
        cx: &mut Context<'_>,
        timer: &mut Timer,
        mut answer: Out,
    ) -> Result<Flow, Out> {
        self.session.info.block(cx.waker(), None);
        let unblocked = self.session.info.is_unblocked();
        if !timer.is_over(cx) && unblocked.is_none() {
            return Err(answer);
        }
        let worker = self.worker.clone();
        let core = &mut *worker.core.borrow_mut();
        Ok(self.finish_late(core, |core, _, out| {
            match unblocked {
                Some(GaveUp::Error) => {
                    out.error(UNBLOCKED);
                    core.counts.error(b"UNBLOCKED");
                }
                _ => out.append(&mut answer),
            }
            Flow::Done
        }))
    }

    /// The request that has waited has its answer.
    pub(super) fn end_wait(&mut self) {
        if self.session.wait.take().is_some() {
            self.session.info.unblocked();
        }
    }

    /// The client has gone, and does not wait any more.
    pub(super) fn forget(&self, answering: &Answering) {
        if let Some(waiter) = answering.waiter() {
            waiter.give_up(GaveUp::Left);
            self.worker.shared.node.engine().forget(waiter);
        }
    }

    /// Whether the peer has left, while a request waits. What it has sent behind that request is read, as far as the query
    /// buffer goes, and kept: it must not hide the end.
    pub(super) fn has_left(&mut self, cx: &mut Context<'_>) -> bool {
        let worker = self.worker.clone();
        let mut scratch = worker.scratch.borrow_mut();
        loop {
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buf) {
                Poll::Pending => return false,
                Poll::Ready(Err(_)) => return true,
                Poll::Ready(Ok(())) => {}
            }
            if buf.filled().is_empty() {
                return true;
            }
            self.unread.extend_from_slice(buf.filled());
            self.undecoded = true;
            self.check_query_buffer();
            if self.session.closing {
                return true;
            }
        }
    }
}
