//! Commands over the whole key space, in slices: one slot per lock, its gate looked at each time.
//!
//! A walk begins, visits slots in ascending order (skipping empty stripes), and ends. Between two slices other requests
//! run, so a walk is not atomic across slots; inside MULTI all stripes are locked and it is.

use swell_ring::{SLOTS, Slot, SlotSet};
use swell_wire::{Args, Out};

use crate::commands::{generic, server};
use crate::engine::{Engine, Local};
use crate::error::Fault;
use crate::exec::{Call, Exec};
use crate::gate::Refusal;
use crate::key::Db;
use crate::spec::{Body, Spec};
use crate::stripe::{Held, STRIPE_SLOTS, Stripe, Ticket, stripe_of};

/// Keys visited before a walk lets others run.
const SLICE_KEYS: u64 = 2_000;
/// Slots visited before a walk lets others run.
const SLICE_SLOTS: usize = 2_048;

/// The three parts of a walk's body. None of them may write to the reply before `end`.
pub struct WalkBody {
    /// Checks the arguments and sets the state up (`next`, `db`, options).
    pub begin: fn(&Exec<'_>, Args<'_>, &mut WalkState) -> Result<(), Fault>,
    /// Visits one slot whose stripe is locked. May set `stop`, or leave `resume` to be called again for this slot.
    pub slot: fn(&mut Exec<'_>, Args<'_>, Slot, &mut WalkState),
    /// Writes the reply.
    pub end: fn(Args<'_>, &mut WalkState, &mut Out),
}

/// What a walk carries from slot to slot.
#[derive(Debug)]
pub struct WalkState {
    /// The next slot to visit.
    pub next: usize,
    /// No further slot is wanted.
    pub stop: bool,
    /// The database walked (where it lives), or all of them.
    pub db: Option<Db>,
    /// Where to go on inside slot `next`: a hash cursor; nothing: at its beginning.
    pub resume: Option<u32>,
    /// Bulk strings found so far, as reply bytes, and how many.
    pub found: Out,
    pub found_count: usize,
    /// A count for the body's own use (SCAN: keys wanted).
    pub wanted: usize,
    /// Keys looked at.
    pub visited: u64,
    /// Logical work so far.
    pub work: u64,
    /// Only these slots are wanted, and only where they are served; nothing: the whole key space is this engine's.
    pub only: Option<SlotSet>,
    /// With `only`: end at the first slot that is not wanted or not served, instead of passing it by (SCAN).
    pub in_order: bool,
    /// With `only`: the slots that were visited to their end.
    pub covered: SlotSet,
    /// A place in the queue of the stripe that was taken when it was that slot's turn.
    pub ticket: Option<Ticket>,
}

/// How far a slice of a walk came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Let others run, then go on.
    More,
    /// This stripe is taken: draw a ticket, then go on.
    Busy(usize),
    /// A gate of this stripe is closed: wait for it, then go on.
    Closed(usize),
    /// `end` it.
    Done,
}

impl WalkState {
    fn new(call: &Call<'_>, db: Db) -> WalkState {
        WalkState {
            next: 0,
            stop: false,
            db: Some(db),
            resume: None,
            found: Out::new(call.context.proto),
            found_count: 0,
            wanted: 0,
            visited: 0,
            work: 1,
            only: None,
            in_order: false,
            covered: SlotSet::new(),
            ticket: None,
        }
    }

    /// Begins a walk.
    pub fn begin(body: &WalkBody, engine: &Engine, local: &mut Local, call: &Call<'_>) -> Result<WalkState, Fault> {
        let mut state = WalkState::new(call, engine.map_db(call.context.db));
        let exec = Exec::new(engine, local, call);
        (body.begin)(&exec, call.args, &mut state)?;
        Ok(state)
    }

    /// Runs a slice. `locked`: all stripes are locked already, run to the end.
    pub fn step(&mut self, body: &WalkBody, engine: &Engine, local: &mut Local, call: &Call<'_>, locked: bool) -> Step {
        let visited_before = self.visited;
        let mut slots = 0;
        while let Some(slot) = self.next_wanted() {
            let stripe = engine.stripe(stripe_of(slot));
            if stripe.key_count_hint(false) == 0 && self.resume.is_none() && self.only.is_none() {
                self.next = (stripe_of(slot) + 1) * STRIPE_SLOTS;
                continue;
            }
            let visited = if locked {
                self.visit(body, engine, local, call, slot)
            } else {
                let Some(_held) = self.hold(stripe, stripe_of(slot)) else { return Step::Busy(stripe_of(slot)) };
                self.visit(body, engine, local, call, slot)
            };
            if !visited {
                return Step::Closed(stripe_of(slot));
            }
            // Never under a lock: inside MULTI the worker frees it later.
            let has_garbage = !locked && engine.free_garbage(local, SLICE_KEYS);
            slots += 1;
            let is_long = has_garbage || self.visited - visited_before > SLICE_KEYS || slots > SLICE_SLOTS;
            if is_long && !locked {
                return Step::More;
            }
        }
        if !locked && engine.free_garbage(local, SLICE_KEYS) {
            return Step::More;
        }
        if server::flush::is_flush(call.spec) {
            engine.tell_flushed(locked);
        }
        Step::Done
    }

    /// The slot to visit next, if any is left.
    fn next_wanted(&mut self) -> Option<Slot> {
        if self.stop {
            return None;
        }
        let next = Slot::new(u16::try_from(self.next).ok()?)?;
        let Some(only) = &self.only else { return Some(next) };
        if only.contains(next) {
            return Some(next);
        }
        // A place inside a slot that is not wanted means nothing in the next one.
        self.resume = None;
        if self.in_order {
            self.stop = true;
            return None;
        }
        let wanted = only.next_from(self.next);
        self.next = wanted.map_or(SLOTS, Slot::index);
        wanted
    }

    /// Takes a stripe's lock, with the ticket if there is one for it.
    fn hold<'s>(&mut self, stripe: &'s Stripe, index: usize) -> Option<Held<'s>> {
        match self.ticket {
            Some(ticket) if ticket.stripe() == index => {
                if !stripe.lock_with(ticket) {
                    return None;
                }
                self.ticket = None;
                // SAFETY: just locked.
                Some(unsafe { stripe.adopt() })
            }
            _ => stripe.hold_briefly(),
        }
    }

    /// Visits one slot whose stripe is locked. False: its gate is closed to this walk.
    fn visit(&mut self, body: &WalkBody, engine: &Engine, local: &mut Local, call: &Call<'_>, slot: Slot) -> bool {
        // SAFETY: the stripe is locked, by `step` or by its caller.
        let gate = unsafe { engine.stripe(stripe_of(slot)).data() }.gate_of(slot);
        match gate.check(call.spec.is_write()) {
            Ok(()) => {
                let mut exec = Exec::new(engine, local, call);
                (body.slot)(&mut exec, call.args, slot, self);
                self.work += exec.work_done() - 1;
                // A body that stops at a slot's end has moved on itself.
                if self.resume.is_none() && (!self.stop || self.next > slot.index()) && self.only.is_some() {
                    self.covered.insert(slot);
                }
            }
            Err(Refusal::Moved) if self.only.is_some() => {
                self.resume = None;
                self.stop = self.in_order;
            }
            Err(_) if gate.counts() => return false,
            Err(_) => self.resume = None,
        }
        if self.resume.is_none() && !self.stop {
            self.next += 1;
        }
        true
    }
}

/// How a command goes over some of the slots, others being served elsewhere; nothing if it is no such command.
pub fn over_slots(spec: &'static Spec) -> Option<&'static WalkBody> {
    match &spec.body {
        Body::Walk(body) => Some(body),
        Body::Whole(_) if spec.name == server::dbsize::DBSIZE.name => Some(&server::dbsize::WALK),
        Body::Whole(_) if spec.name == generic::randomkey::RANDOMKEY.name => Some(&generic::randomkey::WALK),
        _ => None,
    }
}
