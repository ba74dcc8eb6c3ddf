//! A session that is not simply answered at once: frames that wait, a body that is still arriving, a refusal.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use swell_engine::stripe::Ticket;

use crate::link::body::Job;
use crate::link::frame::CREDIT_BYTES;
use crate::link::watch::SessionWatch;

/// Sessions of one link; proxies hand out dense numbers below this.
pub const SESSIONS_MAX: u32 = 1 << 20;
/// Bytes of requests that one session may have waiting at a node. Proxies keep to less; over it the link is in error.
pub const PARKED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a frame waits for a gate or a newer map before it is refused as `Paused`.
pub const GATE_WAIT_MS: u64 = 2_000;
/// Bytes of replies that may wait for a session's credit before its next frames wait too.
pub const UNSENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a session keeps while it is not idle.
#[derive(Debug, Default)]
pub(super) struct Slow {
    /// Frames in order; the first is the one that runs.
    pub jobs: VecDeque<Job>,
    pub wait: Wait,
    /// A frame was refused: all are, until one says that it goes on with what was refused.
    pub refused: bool,
    pub incoming: Incoming,
    /// Bytes of the frames that wait.
    pub bytes: usize,
    /// Bytes of chunks that were taken but for which no credit was given yet.
    pub owed: usize,
    /// When the wait for a gate or map ends, unix milliseconds.
    pub deadline_ms: Option<u64>,
    /// What its client watches.
    pub watch: Option<SessionWatch>,
    waker: Option<Waker>,
}

/// What the first frame waits for.
#[derive(Debug, Default)]
pub(super) enum Wait {
    /// For nothing, or for the rest of its own body.
    #[default]
    Nothing,
    Ticket(Ticket),
    Gate,
    View,
    /// Its turn, after others have run.
    Turn,
    /// A helper thread to work something out.
    Elsewhere,
    /// The reader to take earlier replies.
    Room,
}

/// Where the chunks of a body that is still arriving go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Incoming {
    #[default]
    Nothing,
    /// To the last frame.
    Job,
    /// Nowhere: its frame, with this id, was refused.
    Skipped(u32),
}

/// Which sessions of a link were woken; shared with those who wake.
#[derive(Debug, Default)]
pub(super) struct Ready {
    inner: Mutex<Woken>,
}

#[derive(Debug, Default)]
struct Woken {
    sessions: Vec<u32>,
    /// The link's task.
    task: Option<Waker>,
}

/// Wakes one session.
#[derive(Debug)]
struct SessionWaker {
    session: u32,
    ready: Arc<Ready>,
}

impl Slow {
    /// Whether it can be forgotten.
    pub fn is_idle(&self) -> bool {
        let at_rest = self.jobs.is_empty() && self.incoming == Incoming::Nothing && self.owed == 0;
        at_rest && !self.refused && self.watch.is_none()
    }

    /// What wakes it.
    pub fn waker(&mut self, session: u32, ready: &Arc<Ready>) -> Waker {
        let make = || Waker::from(Arc::new(SessionWaker { session, ready: ready.clone() }));
        self.waker.get_or_insert_with(make).clone()
    }

    /// Whether enough was taken of a long body to say so.
    pub fn owes_credit(&self) -> bool {
        let is_taken = self.jobs.is_empty() || matches!(self.wait, Wait::Nothing | Wait::Turn) && self.jobs.len() == 1;
        is_taken && self.owed > 0 && (self.incoming == Incoming::Nothing || self.owed >= CREDIT_BYTES / 4)
    }
}

impl Ready {
    /// Whom to wake besides.
    pub fn set_task(&self, task: &Waker) {
        self.lock().task = Some(task.clone());
    }

    /// The sessions woken since the last call are exchanged with `sessions`, which is empty.
    pub fn take(&self, sessions: &mut Vec<u32>) {
        std::mem::swap(&mut self.lock().sessions, sessions);
    }

    fn lock(&self) -> MutexGuard<'_, Woken> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for SessionWaker {
    fn wake(self: Arc<Self>) {
        let task = {
            let mut woken = self.ready.lock();
            woken.sessions.push(self.session);
            woken.task.clone()
        };
        if let Some(task) = task {
            task.wake();
        }
    }
}
