//! Several requests that run as one (EXEC): what they need is added up while they are queued, all of it is locked, and the
//! locks stay until the last has run, also where others run in between on the same thread.

use std::cell::Cell;
use std::collections::VecDeque;
use std::mem;

use swell_ring::{Slot, SlotSet};
use swell_wire::{Args, Out};

use crate::bulk::{Errand, Lending, Part, PartAnswer};
use crate::engine::{Engine, Local};
use crate::error::Fault;
use crate::exec::{Call, reaches_beyond, write_fault};
use crate::key::KeyHash;
use crate::run::{Held, LockSet, Outcome, run_held};
use crate::spec::{Body, Flags, Spec};
use crate::stripe::{Ticket, stripe_of};
use crate::waiters::Ready;
use crate::watch::Watching;

/// Slots that are kept one by one; more are kept as sets.
const SLOTS_FEW: usize = 128;

/// What requests need that run as one.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    set: LockSet,
    slots: Slots,
    /// Every slot must be served: for reading, for writing.
    all: [bool; 2],
    needs_memory: bool,
}

/// Slots, and whether they are written to.
#[derive(Clone, Debug)]
enum Slots {
    Few(Vec<(Slot, bool)>),
    /// Those that are read, and those that are written to.
    Many(Box<[SlotSet; 2]>),
}

/// Several requests running as one: holds their locks until dropped.
pub struct Unit<'e> {
    held: Held<'e>,
    /// What scripts in it have locked beyond.
    extra: Cell<LockSet>,
    is_full: bool,
    is_stale: bool,
}

/// A unit while others run. It holds its locks: it must be resumed.
#[must_use = "its stripes stay locked until it has ended"]
#[derive(Debug)]
pub struct Suspended {
    set: LockSet,
    extra: LockSet,
    is_full: bool,
    /// Keys that it has made ready.
    ready: VecDeque<Ready>,
    /// Where the engine is whose locks these are.
    engine: usize,
}

/// How far one of a unit's requests came.
#[derive(Debug)]
pub enum Step {
    /// It has run: its work, and whether its reply is an error.
    Done { work: u64, failed: bool },
    /// It is too much for a worker's turn, and nothing of it has run: [`Unit::lend`].
    Much,
}

impl Default for Slots {
    fn default() -> Slots {
        Slots::Few(Vec::new())
    }
}

impl Slots {
    fn add(&mut self, slot: Slot, writes: bool) {
        match self {
            Slots::Few(few) if few.last() == Some(&(slot, writes)) => {}
            Slots::Few(few) if few.len() < SLOTS_FEW => few.push((slot, writes)),
            Slots::Few(few) => {
                let mut sets = Box::new([SlotSet::new(), SlotSet::new()]);
                few.iter().for_each(|(slot, writes)| sets[usize::from(*writes)].insert(*slot));
                sets[usize::from(writes)].insert(slot);
                *self = Slots::Many(sets);
            }
            Slots::Many(sets) => sets[usize::from(writes)].insert(slot),
        }
    }

    fn try_each<E>(&self, mut each: impl FnMut(Slot, bool) -> Result<(), E>) -> Result<(), E> {
        match self {
            Slots::Few(few) => few.iter().try_for_each(|(slot, writes)| each(*slot, *writes)),
            Slots::Many(sets) => {
                sets[0].iter().try_for_each(|slot| each(slot, false))?;
                sets[1].iter().try_for_each(|slot| each(slot, true))
            }
        }
    }
}

impl Needs {
    /// What these need.
    pub fn of(calls: &[Call<'_>]) -> Needs {
        let mut needs = Needs::default();
        calls.iter().for_each(|call| needs.add(call.spec, call.args, call.keys));
        needs
    }

    /// Adds a request.
    pub fn add(&mut self, spec: &Spec, args: Args<'_>, keys: &[KeyHash]) {
        self.needs_memory |= spec.flags.has(Flags::DENYOOM);
        match spec.body {
            Body::Free(_) | Body::Session | Body::Container => return,
            Body::Whole(_) | Body::Walk(_) => return self.add_all(spec.is_write()),
            Body::Keys(_) | Body::Bulk(_) | Body::Script(_) => {}
        }
        if reaches_beyond(spec, args) {
            self.add_all(false);
        }
        let is_script = matches!(spec.body, Body::Script(_));
        let writes = spec.is_write() || is_script && !spec.flags.has(Flags::READONLY);
        for key in keys {
            self.set.add(stripe_of(key.slot));
            self.slots.add(key.slot, writes);
        }
    }

    /// Needs nothing any more, and keeps its memory if that is little.
    pub fn clear(&mut self) {
        let slots = match std::mem::take(&mut self.slots) {
            Slots::Few(mut few) => {
                few.clear();
                Slots::Few(few)
            }
            Slots::Many(_) => Slots::default(),
        };
        *self = Needs { slots, ..Needs::default() };
    }

    /// Whether one of them needs memory.
    pub fn needs_memory(&self) -> bool {
        self.needs_memory
    }

    /// Needs the locks of all stripes, whichever slots are served.
    pub fn lock_all(&mut self) {
        self.set = LockSet::ALL;
    }

    fn add_all(&mut self, writes: bool) {
        self.set = LockSet::ALL;
        self.all[usize::from(writes)] = true;
    }
}

impl Engine {
    /// Locks all that these requests touch, for running them as one unit (EXEC), and the keys that `watching` names, which
    /// are looked at as of `now_ms` (unix milliseconds).
    ///
    /// # Errors
    /// [`Outcome::Busy`], [`Outcome::NotExecuted`]: nothing has happened.
    pub fn begin_unit(
        &self,
        local: &mut Local,
        needs: &Needs,
        watching: Option<&Watching>,
        now_ms: u64,
        ticket: Option<Ticket>,
    ) -> Result<Unit<'_>, Outcome> {
        let set = self.watched_stripes(watching).and(needs.set);
        let is_full = needs.needs_memory && self.make_room(local, now_ms).is_err();
        set.lock(self, ticket).map_err(Outcome::Busy)?;
        let held = Held { engine: self, set };
        self.check_needs(needs)?;
        let is_stale = watching.is_some_and(|watching| self.is_stale(watching, now_ms));
        self.mark_unit(set, true);
        Ok(Unit { held, extra: Cell::default(), is_full, is_stale })
    }

    fn check_needs(&self, needs: &Needs) -> Result<(), Outcome> {
        for writes in [false, true] {
            if needs.all[usize::from(writes)] {
                self.check_all_gates(writes).map_err(|(refusal, stripe)| Outcome::NotExecuted(refusal, stripe))?;
            }
        }
        needs.slots.try_each(|slot, writes| {
            let index = stripe_of(slot);
            // SAFETY: the caller holds the locks of these stripes.
            let gate = unsafe { self.stripe(index).data() }.gate_of(slot);
            gate.check(writes).map_err(|refusal| Outcome::NotExecuted(refusal, index))
        })
    }
}

impl<'e> Unit<'e> {
    /// Every change of a key is told from now on, also its own. It holds all locks ([`Needs::lock_all`]).
    pub fn broadcast(&self) {
        debug_assert!(self.held.set == LockSet::ALL);
        for index in self.held.set.iter() {
            // SAFETY: the lock is held.
            unsafe { self.held.engine.broadcast_at(index, true) };
        }
    }

    /// Whether there was no room for a request that needs memory. Those that need some are refused, each for itself;
    /// the caller may refuse the whole instead, as long as nothing has run.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Whether a watched key has changed: nothing may run.
    pub fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// Runs one of the unit's requests if it is no more than a worker's turn.
    pub fn step(&self, local: &mut Local, call: &Call<'_>, out: &mut Out) -> Step {
        let engine = self.held.engine;
        if engine.helpers().is_some() {
            match call.spec.body {
                Body::Bulk(bulk) if bulk.is_much(engine, local, call) => return Step::Much,
                Body::Script(how) if engine.is_long_script(local, call, how) => return Step::Much,
                _ => {}
            }
        }
        let (work, failed) = self.run(local, call, out);
        Step::Done { work, failed }
    }

    /// Runs one of the unit's requests on this thread, whatever it takes; returns its work and whether the reply is an
    /// error.
    pub fn run(&self, local: &mut Local, call: &Call<'_>, out: &mut Out) -> (u64, bool) {
        let engine = self.held.engine;
        if self.is_full && call.spec.flags.has(Flags::DENYOOM) {
            write_fault(call.spec, &Fault::OutOfMemory, out);
            return (1, true);
        }
        if let Body::Script(how) = call.spec.body {
            let held = self.held.set.and(self.extra.get());
            let (work, failed, extra) = engine.run_script_in_unit(local, call, how, held, None, out);
            self.extra.set(self.extra.get().and(extra));
            return (work, failed);
        }
        run_held(engine, local, call, out)
    }

    /// Has a helper thread run one of its requests under the unit's locks. Nothing: there is none, and it has run here,
    /// as [`Unit::run`].
    ///
    /// # Errors
    /// What it came to on this thread.
    pub fn lend(&self, local: &mut Local, call: &Call<'_>, out: &mut Out) -> Result<Lending, (u64, bool)> {
        let engine = self.held.engine;
        let is_refused = self.is_full && call.spec.flags.has(Flags::DENYOOM);
        let Some(helpers) = engine.helpers().filter(|_| !is_refused) else { return Err(self.run(local, call, out)) };
        let (part, lending) = Part::new(engine, local, call, self.held.set.and(self.extra.get()));
        match helpers(Errand::Part(Box::new(part))) {
            Ok(()) => Ok(lending),
            Err(_) => Err(self.run(local, call, out)),
        }
    }

    /// Others run for a while; the locks stay.
    pub fn suspend(self, local: &mut Local) -> Suspended {
        let (set, extra, is_full) = (self.held.set, self.extra.get(), self.is_full);
        let engine = std::ptr::from_ref(self.held.engine).addr();
        mem::forget(self);
        Suspended { set, extra, is_full, ready: mem::take(&mut local.ready), engine }
    }

    /// Ends the unit: serves who waits for keys that it has made ready, in the order in which they became so, and gives
    /// the locks back.
    pub fn end(self, local: &mut Local) {
        let engine = self.held.engine;
        if !local.ready.is_empty() {
            let set = self.held.set.and(self.extra.get());
            engine.mark_unit(set, false);
            engine.serve_held(local, set);
            engine.mark_unit(set, true);
        }
        drop(self);
        engine.serve_rest(local);
    }
}

impl Drop for Unit<'_> {
    fn drop(&mut self) {
        let Unit { held, extra, .. } = self;
        held.engine.mark_unit(held.set.and(extra.get()), false);
        extra.get().unlock(held.engine);
    }
}

impl Suspended {
    /// It goes on.
    ///
    /// # Panics
    /// It is of another engine.
    pub fn resume<'e>(self, engine: &'e Engine, local: &mut Local) -> Unit<'e> {
        assert_eq!(self.engine, std::ptr::from_ref(engine).addr(), "a unit of another engine");
        let Suspended { set, extra, is_full, mut ready, .. } = self;
        ready.append(&mut local.ready);
        local.ready = ready;
        Unit { held: Held { engine, set }, extra: Cell::new(extra), is_full, is_stale: false }
    }

    /// Gives its locks back in the middle.
    pub fn abandon(self, engine: &Engine) {
        if self.engine == std::ptr::from_ref(engine).addr() {
            let Suspended { set, extra, is_full, .. } = self;
            drop(Unit { held: Held { engine, set }, extra: Cell::new(extra), is_full, is_stale: false });
        }
    }

    /// What a helper thread has done for it counts as its own.
    pub fn take_over(&mut self, answer: &mut PartAnswer) {
        self.extra = self.extra.and(answer.extra);
        self.ready.append(&mut answer.ready);
    }
}
