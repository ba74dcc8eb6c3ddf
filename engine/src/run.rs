//! Running requests: lock, check the gates, run, one command after the other.

use swell_wire::{Args, Out, OwnedArgs};

use crate::bulk::{Errand, Lent, Work};
use crate::commands::memcached::stat::McStat;
use crate::engine::{Engine, Local};
use crate::error::Fault;
use crate::exec::{Call, Exec, write_fault};
use crate::gate::Refusal;
use crate::key::KeyHash;
use crate::slices::Deferred;
use crate::spec::{Begin, Body, Bulk, Find, Flags, Group, KeySpec, KeysBody, Long, Spec};
use crate::stripe::{STRIPES, Ticket, stripe_of};
use crate::walk::{Step, WalkState};

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ran and its reply is written. `failed`: the reply is an error.
    Done { work: u64, failed: bool },
    /// A gate was closed: nothing happened. Wait at this stripe's gates, or for a newer map.
    NotExecuted(Refusal, usize),
    /// This stripe is taken: nothing happened. Draw a ticket there.
    Busy(usize),
    /// It is a walk: begin it and run it in slices.
    Walk,
    /// It ran, and only the beginning of its reply is written: the rest, with its work, is at [`Local::take_deferred`].
    Deferred,
}

/// A set of stripes, locked in ascending order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LockSet([u64; STRIPES / 64]);

impl LockSet {
    /// Every stripe.
    pub const ALL: LockSet = LockSet([u64::MAX; STRIPES / 64]);

    /// Adds a stripe.
    #[inline]
    pub fn add(&mut self, stripe: usize) {
        self.0[stripe / 64] |= 1 << (stripe % 64);
    }

    /// One stripe.
    pub fn one(stripe: usize) -> LockSet {
        let mut set = LockSet::default();
        set.add(stripe);
        set
    }

    /// Whether a stripe is in.
    #[inline]
    pub fn has(&self, stripe: usize) -> bool {
        self.0[stripe / 64] & 1 << (stripe % 64) != 0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == LockSet::default()
    }

    /// The stripes in ascending order.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(word, bits)| {
            std::iter::successors((bits != 0).then_some(bits), |bits| Some(bits & (bits - 1)).filter(|bits| *bits != 0))
                .map(move |bits| word * 64 + bits.trailing_zeros() as usize)
        })
    }

    /// What a call with a body for its keys needs.
    pub(crate) fn of(call: &Call<'_>) -> LockSet {
        if call.reaches_beyond() {
            return LockSet::ALL;
        }
        let mut set = LockSet::default();
        call.keys.iter().for_each(|key| set.add(stripe_of(key.slot)));
        set
    }

    /// Whether all of another's stripes are in it.
    pub(crate) fn covers(&self, other: LockSet) -> bool {
        self.0.iter().zip(other.0).all(|(have, want)| have & want == want)
    }

    /// All that is in one or the other.
    pub(crate) fn and(self, other: LockSet) -> LockSet {
        LockSet(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }

    /// Locks all, or none: then returns the stripe that was taken.
    pub(crate) fn lock(self, engine: &Engine, ticket: Option<Ticket>) -> Result<(), usize> {
        for stripe in self.iter() {
            if !lock_one(engine, stripe, ticket) {
                self.iter().take_while(|held| *held != stripe).for_each(|held| engine.stripe(held).unlock());
                return Err(stripe);
            }
        }
        Ok(())
    }

    /// Locks all, waiting as long as it takes: never on a worker's thread.
    pub(crate) fn lock_patiently(self, engine: &Engine) {
        self.iter().for_each(|stripe| engine.stripe(stripe).lock_patiently());
    }

    pub(crate) fn unlock(self, engine: &Engine) {
        self.iter().for_each(|stripe| engine.stripe(stripe).unlock());
    }
}

/// Unlocks also when a body panics, so that a fault in one command does not stop a stripe for good.
pub(crate) struct Held<'e> {
    pub engine: &'e Engine,
    pub set: LockSet,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.set.unlock(self.engine);
    }
}

impl KeySpec {
    /// Calls `each` with the argument index of every key of this group.
    ///
    /// # Errors
    /// [`Fault::Syntax`]: the number of keys is none, is zero, or is more than there are arguments.
    #[inline]
    pub fn each(&self, args: Args<'_>, mut each: impl FnMut(usize)) -> Result<(), Fault> {
        let Some(start) = self.start(args) else { return Ok(()) };
        // `end` is behind the last key.
        let (first, end, step) = match self.find {
            Find::Range { last, step } if last >= 0 => (start, start + last as usize + 1, step),
            Find::Range { last, step } => (start, (args.len() as isize + last + 1).max(0) as usize, step),
            Find::Part { of, step } => (start, start + args.len().saturating_sub(start) / of.max(1), step),
            Find::Count { number, first, step } => {
                let (first, step) = (start + first, step.max(1));
                let count = args.opt(start + number).and_then(crate::number::parse_u64).unwrap_or(0);
                let room = args.len().saturating_sub(first).div_ceil(step);
                if count == 0 || count > room as u64 {
                    return Err(Fault::Syntax);
                }
                (first, first + (count as usize - 1) * step + 1, step)
            }
        };
        (first..end.min(args.len())).step_by(step.max(1)).for_each(&mut each);
        Ok(())
    }

    /// Where the group begins, if it is there.
    #[inline]
    fn start(&self, args: Args<'_>) -> Option<usize> {
        let is = |at: usize, word: &str| args.slice(at).eq_ignore_ascii_case(word.as_bytes());
        match self.begin {
            Begin::Index(index) => Some(index),
            Begin::Keyword { word, from } => (from..args.len()).find(|at| is(*at, word)).map(|at| at + 1),
            Begin::Option { word, from, takes, .. } => {
                let (mut at, mut start) = (from, None);
                while at < args.len() {
                    if is(at, word) {
                        start = Some(at + 1);
                    }
                    at += 1 + takes.iter().find(|(option, _)| is(at, option)).map_or(0, |(_, count)| *count);
                }
                start
            }
            Begin::Unknown => None,
        }
    }
}

impl Spec {
    /// Hashes the keys of a call into `keys`. A call whose number of keys makes no sense has none: its body refuses it,
    /// in its own words, before it looks at a key.
    #[inline]
    pub fn hash_keys(&self, engine: &Engine, args: Args<'_>, keys: &mut Vec<KeyHash>) {
        let (hasher, from) = (engine.hasher(), keys.len());
        if self.each_key(args, |arg| keys.push(hasher.key_hash(args.slice(arg), arg))).is_err() {
            keys.truncate(from);
        }
    }

    /// Calls `each` with the argument index of every key, in the order of the key specs.
    ///
    /// # Errors
    /// As [`KeySpec::each`].
    #[inline]
    pub fn each_key(&self, args: Args<'_>, mut each: impl FnMut(usize)) -> Result<(), Fault> {
        self.keys.iter().try_for_each(|keys| keys.each(args, &mut each))
    }

    /// Whether the argument may be longer than 64 KiB without being copied into one piece.
    pub(crate) fn takes_long(&self, arg: usize) -> bool {
        match self.long {
            Long::At(at) => at == arg,
            Long::EverySecond(from) => arg >= from && (arg - from).is_multiple_of(2),
            Long::From(from) => arg >= from,
            Long::Never | Long::BehindKeys(_) => false,
        }
    }

    /// Puts long arguments into one piece where the body wants slices. Nothing to do for most calls.
    pub fn flatten(&self, args: Args<'_>) -> Option<OwnedArgs> {
        if !args.has_long() {
            return None;
        }
        let mut owned = OwnedArgs::default();
        for index in 0..args.len() {
            match args.get(index) {
                swell_wire::Arg::Segments(segments) if self.takes_long(index) => {
                    owned.push_segments(segments.clone());
                }
                arg => owned.push(&arg.to_bytes()),
            }
        }
        Some(owned)
    }
}

impl Engine {
    /// Runs one request on the calling thread and writes its reply. `ticket`: what was drawn when it found a stripe
    /// taken before.
    #[inline]
    pub fn execute(&self, local: &mut Local, call: &Call<'_>, ticket: Option<Ticket>, out: &mut Out) -> Outcome {
        let body = match call.spec.body {
            Body::Keys(body) => body,
            Body::Bulk(bulk) => return self.execute_bulk(local, call, bulk, ticket, out),
            Body::Whole(body) => return self.execute_locked(local, call, LockSet::ALL, body, ticket, out),
            Body::Free(body) => return run(self, local, call, body, out),
            Body::Walk(_) => return Outcome::Walk,
            Body::Script(how) => return self.execute_script(local, call, how, ticket, out),
            Body::Session | Body::Container => unreachable!("the proxy answers {}", call.spec.name),
        };
        if let Some(refused) = self.refuse_full(local, call, out) {
            return refused;
        }
        if let [key] = call.keys
            && !call.reaches_beyond()
        {
            let index = stripe_of(key.slot);
            if !lock_one(self, index, ticket) {
                return Outcome::Busy(index);
            }
            let stripe = self.stripe(index);
            // SAFETY: the lock has just been taken.
            let held = unsafe { stripe.adopt() };
            // SAFETY: the lock is held.
            if let Err(refusal) = unsafe { stripe.data() }.gate_of(key.slot).check(call.spec.is_write()) {
                return Outcome::NotExecuted(refusal, index);
            }
            let outcome = run(self, local, call, body, out);
            if !local.ready.is_empty() {
                std::mem::forget(held);
                self.settle(local, Held { engine: self, set: LockSet::one(index) });
            }
            return outcome;
        }
        self.execute_locked(local, call, LockSet::of(call), body, ticket, out)
    }

    /// Makes room for a command that needs memory, or answers that there is none.
    #[inline]
    fn refuse_full(&self, local: &mut Local, call: &Call<'_>, out: &mut Out) -> Option<Outcome> {
        if call.spec.flags.has(Flags::DENYOOM)
            && let Err(fault) = self.make_room(local, call.context.now_ms)
        {
            if call.spec.group == Group::Memcached {
                local.count(McStat::StoreNoMemory);
            }
            write_fault(call.spec, &fault, out);
            return Some(Outcome::Done { work: 1, failed: true });
        }
        None
    }

    /// Runs what is little at once, and has a helper thread run what is much, which takes the locks over.
    fn execute_bulk(
        &self,
        local: &mut Local,
        call: &Call<'_>,
        bulk: Bulk,
        ticket: Option<Ticket>,
        out: &mut Out,
    ) -> Outcome {
        if let Some(refused) = self.refuse_full(local, call, out) {
            return refused;
        }
        let set = LockSet::of(call);
        if let Err(taken) = set.lock(self, ticket) {
            return Outcome::Busy(taken);
        }
        let held = Held { engine: self, set };
        if let Err((refusal, stripe)) = self.check_gates(call) {
            return Outcome::NotExecuted(refusal, stripe);
        }
        // With all stripes locked everybody waits, wherever it runs.
        if set != LockSet::ALL
            && let Some(helpers) = self.helpers()
            && bulk.is_much(self, local, call)
        {
            let (lent, awaited) = Lent::new(self, call, Work::Body(bulk.body), set, local.random());
            std::mem::forget(held);
            if let Err(Errand::Run(lent)) = helpers(Errand::Run(Box::new(lent))) {
                lent.run(self, local);
            }
            local.deferred = Some(Box::new(Deferred::new(Box::new(awaited), self.leftovers().clone())));
            return Outcome::Deferred;
        }
        self.mark_unit(set, true);
        let outcome = run(self, local, call, bulk.body, out);
        self.mark_unit(set, false);
        if !local.ready.is_empty() {
            self.settle(local, held);
        }
        outcome
    }

    fn execute_locked(
        &self,
        local: &mut Local,
        call: &Call<'_>,
        set: LockSet,
        body: KeysBody,
        ticket: Option<Ticket>,
        out: &mut Out,
    ) -> Outcome {
        if let Err(taken) = set.lock(self, ticket) {
            return Outcome::Busy(taken);
        }
        let held = Held { engine: self, set };
        if let Err((refusal, stripe)) = self.check_gates(call) {
            return Outcome::NotExecuted(refusal, stripe);
        }
        self.mark_unit(set, true);
        let outcome = run(self, local, call, body, out);
        self.mark_unit(set, false);
        if !local.ready.is_empty() {
            self.settle(local, held);
        }
        outcome
    }

    fn check_gates(&self, call: &Call<'_>) -> Result<(), (Refusal, usize)> {
        if matches!(call.spec.body, Body::Whole(_) | Body::Walk(_)) {
            return self.check_all_gates(call.spec.is_write());
        }
        if call.reaches_beyond() {
            self.check_all_gates(false)?;
        }
        let writes =
            call.spec.is_write() || matches!(call.spec.body, Body::Script(_)) && !call.spec.flags.has(Flags::READONLY);
        for key in call.keys {
            let index = stripe_of(key.slot);
            // SAFETY: the caller holds the locks of the call's stripes.
            let gate = unsafe { self.stripe(index).data() }.gate_of(key.slot);
            gate.check(writes).map_err(|refusal| (refusal, index))?;
        }
        Ok(())
    }

    /// The gates of all slots that count. Every stripe is locked.
    pub(crate) fn check_all_gates(&self, writes: bool) -> Result<(), (Refusal, usize)> {
        for index in 0..STRIPES {
            // SAFETY: the caller holds every lock.
            let data = unsafe { self.stripe(index).data() };
            for gate in data.gates().filter(|gate| gate.counts()) {
                gate.check(writes).map_err(|refusal| (refusal, index))?;
            }
        }
        Ok(())
    }

    /// Tells those who follow that several changes belong together. The stripes are locked.
    pub(crate) fn mark_unit(&self, set: LockSet, begins: bool) {
        for index in set.iter() {
            // SAFETY: the caller holds these locks.
            if let Some(observer) = &mut unsafe { self.stripe(index).data() }.observer {
                if begins {
                    observer.unit_begin();
                } else {
                    observer.unit_end();
                }
            }
        }
    }
}

/// Runs a call whose stripes are locked and whose gates are open, to its end; returns its work and whether its reply is
/// an error.
pub(crate) fn run_held(engine: &Engine, local: &mut Local, call: &Call<'_>, out: &mut Out) -> (u64, bool) {
    match &call.spec.body {
        // What is much runs here too: a transaction is one piece of work.
        Body::Keys(body) | Body::Bulk(Bulk { body, .. }) | Body::Whole(body) | Body::Free(body) => {
            match (run(engine, local, call, *body, out), local.take_deferred()) {
                (Outcome::Done { work, failed }, _) => (work, failed),
                (Outcome::Deferred, Some(mut deferred)) => {
                    deferred.finish(out);
                    (deferred.work(), false)
                }
                _ => unreachable!("a body that runs is done"),
            }
        }
        Body::Walk(body) => match WalkState::begin(body, engine, local, call) {
            Ok(mut state) => {
                while !matches!(state.step(body, engine, local, call, true), Step::Done | Step::Closed(_)) {}
                (body.end)(call.args, &mut state, out);
                (state.work, false)
            }
            Err(fault) => {
                write_fault(call.spec, &fault, out);
                (1, true)
            }
        },
        Body::Session | Body::Container | Body::Script(_) => unreachable!("{} does not run in a unit", call.spec.name),
    }
}

#[inline]
fn lock_one(engine: &Engine, index: usize, ticket: Option<Ticket>) -> bool {
    match ticket {
        Some(ticket) if ticket.stripe() == index => engine.stripe(index).lock_with(ticket),
        _ => engine.stripe(index).lock_briefly(),
    }
}

#[inline]
pub(crate) fn run(engine: &Engine, local: &mut Local, call: &Call<'_>, body: KeysBody, out: &mut Out) -> Outcome {
    let mut exec = Exec::new(engine, local, call);
    let reply = body(&mut exec, call.args, out);
    let work = exec.work_done();
    if call.context.tracker.remembers {
        engine.remember(call);
    }
    match reply {
        Ok(()) if exec.deferred.is_some() => {
            local.deferred = exec.deferred.take().map(|deferred| deferred.with_work(work));
            Outcome::Deferred
        }
        Ok(()) => Outcome::Done { work, failed: false },
        Err(fault) => {
            write_fault(call.spec, &fault, out);
            Outcome::Done { work, failed: true }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_sets_are_ascending() {
        let mut set = LockSet::default();
        for stripe in [200, 3, 64, 3, 255, 0] {
            set.add(stripe);
        }
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 3, 64, 200, 255]);
        assert_eq!(LockSet::ALL.iter().count(), STRIPES);
    }
}
