//! One who waits: his request, and how it ends. Whoever serves him, the timer, UNBLOCK and his leaving compete for that
//! end by one compare-and-set, so that there is exactly one.

use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use swell_wire::{Out, OwnedArgs};

use super::{Order, Waiters};
use crate::exec::{Call, Context};
use crate::gate::Refusal;
use crate::key::KeyHash;
use crate::run::LockSet;
use crate::slices::{Room, Slices};
use crate::spec::{Flags, KeysBody, Spec};
use crate::value::{Kept, Kind};

/// What CLIENT UNBLOCK … ERROR has its client read.
pub const UNBLOCKED: &str = "UNBLOCKED client unblocked via CLIENT UNBLOCK";

/// Nobody has it yet.
const WAITING: u8 = 0;
/// It is being served.
const CLAIMED: u8 = 1;
/// It has ended.
const ENDED: u8 = 2;

/// Why a wait ends without what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GaveUp {
    /// Its time is over.
    Timeout,
    /// CLIENT UNBLOCK wants an error to be read.
    Error,
    /// Its client has gone: nobody will read an answer.
    Left,
}

/// What a body says of the wait that it begins.
pub(crate) struct Wait {
    /// The type that the key must have.
    pub kind: Kind,
    /// Keys, in the order of the command's, from the first on.
    pub keys: usize,
    /// Whether it is to run again also when a key has gone or is something else.
    pub on_missing: bool,
    /// What it shall run with when it runs again, if not with its own words.
    pub args: Option<OwnedArgs>,
    /// Unix milliseconds; nothing: it waits for ever.
    pub deadline_ms: Option<u64>,
}

/// One request that waits.
#[derive(Debug)]
pub struct Waiter {
    pub(super) order: Order,
    pub(super) kind: Kind,
    pub(super) on_missing: bool,
    pub(super) spec: &'static Spec,
    pub(super) body: KeysBody,
    pub(super) args: OwnedArgs,
    pub(super) keys: Vec<KeyHash>,
    /// So many of the keys are waited for.
    pub(super) watched: usize,
    pub(super) context: Context,
    /// The stripes of all its keys.
    pub(super) set: LockSet,
    deadline_ms: Option<u64>,
    state: AtomicU8,
    /// It may still stand in queues.
    queued: AtomicBool,
    shared: Mutex<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    end: Option<End>,
    waker: Option<Waker>,
}

#[derive(Debug)]
enum End {
    Reply {
        out: Out,
        work: u64,
        failed: bool,
    },
    /// As [`Outcome::NotExecuted`](crate::run::Outcome::NotExecuted): it has to run anew.
    Refused(Refusal, usize),
}

/// The reply of a request that waits.
pub(crate) struct Waiting {
    waiter: Arc<Waiter>,
    common: Arc<Waiters>,
    failed: bool,
}

/// A waiter that is being served. Dropped without an end, because the body has panicked, it ends with an error.
pub(super) struct Claimed<'w>(&'w Waiter);

impl Waiter {
    pub(crate) fn new(call: &Call<'_>, body: KeysBody, wait: Wait, order: Order) -> Waiter {
        Waiter {
            order,
            kind: wait.kind,
            on_missing: wait.on_missing,
            spec: call.spec,
            body,
            args: wait.args.unwrap_or_else(|| call.args.to_owned(false)),
            keys: call.keys.to_vec(),
            watched: wait.keys.min(call.keys.len()),
            context: call.context,
            set: LockSet::of(call),
            deadline_ms: wait.deadline_ms,
            state: AtomicU8::new(WAITING),
            queued: AtomicBool::new(true),
            shared: Mutex::default(),
        }
    }

    /// When its time is over, unix milliseconds; nothing: never.
    pub fn deadline_ms(&self) -> Option<u64> {
        self.deadline_ms
    }

    /// What it runs with: the same wherever it does, also where its client's own words would mean something else later.
    pub fn args(&self) -> &OwnedArgs {
        &self.args
    }

    /// Since when it waits, unix microseconds.
    pub fn since_us(&self) -> u64 {
        self.order.since_us
    }

    /// Has this woken when it has ended, or its end has to be looked at again.
    pub fn wake_later(&self, waker: &Waker) {
        self.lock().waker = Some(waker.clone());
    }

    /// Ends the wait without what was waited for, unless it has ended; says whether this has. An end that is being made
    /// at this moment wakes who waits, whichever it is.
    pub fn give_up(&self, why: GaveUp) -> bool {
        if !self.pass(WAITING, ENDED) {
            return false;
        }
        let mut out = Out::new(self.context.proto);
        write_unserved(why, &mut out);
        let waker = self.end(End::Reply { out, work: 1, failed: why == GaveUp::Error });
        waker.into_iter().for_each(Waker::wake);
        true
    }

    /// Ends it because it has to wait elsewhere. Returns whom to wake, if this is its end.
    pub(super) fn refuse(&self, refusal: Refusal, stripe: usize) -> Option<Waker> {
        if self.pass(WAITING, ENDED) { self.end(End::Refused(refusal, stripe)) } else { None }
    }

    /// How many of its keys it waits for, from the first on.
    pub(crate) fn watched(&self) -> usize {
        self.watched
    }

    /// Whether it writes, as far as gates care.
    pub(super) fn is_write(&self) -> bool {
        self.spec.flags.has(Flags::WRITE)
    }

    /// Takes it for serving, unless it has ended.
    pub(super) fn claim(&self) -> Option<Claimed<'_>> {
        // Not `then_some`: one made in vain would end the wait when dropped.
        self.pass(WAITING, CLAIMED).then(|| Claimed(self))
    }

    /// Whether it may still stand in a queue; from now on it does not.
    pub(super) fn take_queued(&self) -> bool {
        self.queued.swap(false, Ordering::Relaxed)
    }

    /// See [`Waiter::take_queued`].
    pub(super) fn is_queued(&self) -> bool {
        self.queued.load(Ordering::Relaxed)
    }

    fn pass(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    fn end(&self, end: End) -> Option<Waker> {
        let mut shared = self.lock();
        shared.end = Some(end);
        shared.waker.take()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a client reads whose request has waited in vain.
pub fn write_unserved(why: GaveUp, out: &mut Out) {
    match why {
        GaveUp::Timeout => out.null_array(),
        GaveUp::Error => out.error(UNBLOCKED),
        GaveUp::Left => {}
    }
}

impl Claimed<'_> {
    /// It has got its reply. Returns whom to wake.
    pub fn serve(self, out: Out, work: u64, failed: bool) -> Option<Waker> {
        let waiter = self.0;
        mem::forget(self);
        waiter.state.store(ENDED, Ordering::Release);
        waiter.end(End::Reply { out, work, failed })
    }

    /// There was nothing for it. Returns whom to wake: its time may have passed meanwhile.
    pub fn put_back(self) -> Option<Waker> {
        let waiter = self.0;
        mem::forget(self);
        waiter.state.store(WAITING, Ordering::Release);
        waiter.lock().waker.take()
    }
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        let mut out = Out::new(self.0.context.proto);
        out.error("ERR the command has failed");
        self.0.state.store(ENDED, Ordering::Release);
        let waker = self.0.end(End::Reply { out, work: 1, failed: true });
        waker.into_iter().for_each(Waker::wake);
    }
}

impl Waiting {
    pub fn new(waiter: Arc<Waiter>, common: Arc<Waiters>) -> Waiting {
        Waiting { waiter, common, failed: false }
    }
}

impl Slices for Waiting {
    fn step(&mut self, _room: Room, out: &mut Out, work: &mut u64) -> bool {
        let end = self.waiter.lock().end.take();
        if let Some(End::Reply { out: mut reply, work: more, failed }) = end {
            out.append(&mut reply);
            *work += more;
            self.failed = failed;
        }
        false
    }

    fn take_snapshot(&mut self) -> Option<Kept> {
        None
    }

    fn is_ready(&self) -> bool {
        self.waiter.lock().end.is_some()
    }

    fn wait(&mut self, waker: &Waker) {
        self.waiter.wake_later(waker);
    }

    fn failed(&self) -> bool {
        self.failed
    }

    fn waiter(&self) -> Option<&Arc<Waiter>> {
        Some(&self.waiter)
    }

    fn refused(&self) -> Option<(Refusal, usize)> {
        match self.waiter.lock().end {
            Some(End::Refused(refusal, stripe)) => Some((refusal, stripe)),
            _ => None,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.waiter.give_up(GaveUp::Left);
        if self.waiter.is_queued() {
            self.common.leave(self.waiter.clone());
        }
    }
}
