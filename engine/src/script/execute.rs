//! Where scripts run: on a helper thread at first, on the worker once they have proved short, inside a unit as a part
//! of it. Each way locks first and checks gates, as every command does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use swell_wire::{Args, Out};

use super::api::hex;
use super::limits::{INLINE_TICKS, SHORT_TICKS, SHORT_WORK};
use super::machine::Machine;
use super::run::{End, Finished, Rules, Running};
use super::store::Flags as ScriptFlags;
use super::watch::Watch;
use super::{How, Target};
use crate::acl::User;
use crate::bulk::{Errand, Lent, Work};
use crate::engine::{Engine, Fullness, Local};
use crate::error::Fault;
use crate::exec::{Call, write_fault};
use crate::gate::Refusal;
use crate::number::parse_i64;
use crate::run::{Held, LockSet, Outcome};
use crate::slices::Deferred;
use crate::spec::Flags;
use crate::stripe::{Ticket, stripe_of};

/// How long a script on a helper thread waits for a gate of a key that it has not declared.
const GATE_WAIT: Duration = Duration::from_secs(2);
const NAP: Duration = Duration::from_millis(1);
/// Words of a command that others are shown.
const SHOWN_WORDS: usize = 8;
/// Bytes of each.
const SHOWN_BYTES: usize = 128;

/// A script that is about to run: its keys are counted and it may run at all.
#[derive(Clone, Debug)]
pub struct Prepared {
    target: Target,
    keys: usize,
    rules: Rules,
    /// Who runs it, if not everything is permitted.
    user: Option<Arc<User>>,
}

impl Engine {
    /// Runs a script's command, like [`Engine::execute`].
    #[inline(never)]
    pub(crate) fn execute_script(
        &self,
        local: &mut Local,
        call: &Call<'_>,
        how: How,
        ticket: Option<Ticket>,
        out: &mut Out,
    ) -> Outcome {
        let mut machine = self.machine(local);
        let outcome = match self.ready(&mut machine, local, call, how) {
            Ok(ready) => self.execute_ready(&mut machine, local, call, ready, ticket, out),
            Err(fault) => {
                write_fault(call.spec, &fault, out);
                Outcome::Done { work: 1, failed: true }
            }
        };
        local.machine = Some(machine);
        outcome
    }

    fn machine(&self, local: &mut Local) -> Box<Machine> {
        match local.machine.take() {
            Some(machine) => machine,
            None => self.scripts().take_machine(local.random()),
        }
    }

    /// Whether a script in a unit has not proved short, and should run on a helper thread.
    pub(crate) fn is_long_script(&self, local: &mut Local, call: &Call<'_>, how: How) -> bool {
        let mut machine = self.machine(local);
        local.in_unit = true;
        let ready = self.ready(&mut machine, local, call, how);
        local.in_unit = false;
        local.machine = Some(machine);
        // What cannot run is refused at once.
        ready.is_ok_and(|ready| !ready.target.habits().is_short())
    }

    /// Runs a script as part of a unit, whose locks are held. `watch`: where others see it run, on a helper thread. Returns
    /// its work, whether it failed, and the stripes that it has locked beyond.
    pub(crate) fn run_script_in_unit(
        &self,
        local: &mut Local,
        call: &Call<'_>,
        how: How,
        held: LockSet,
        watch: Option<Arc<Watch>>,
        out: &mut Out,
    ) -> (u64, bool, LockSet) {
        let mut machine = self.machine(local);
        local.in_unit = true;
        let done = match self.ready(&mut machine, local, call, how) {
            Ok(ready) => {
                let (finished, failed) = self.run_here(&mut machine, local, call, &ready, held, watch, true, out);
                note_habits(&ready.target, &finished);
                let done = (1 + finished.work, failed, finished.extra);
                machine.scratch = finished.scratch;
                done
            }
            Err(fault) => {
                write_fault(call.spec, &fault, out);
                (1, true, LockSet::default())
            }
        };
        local.in_unit = false;
        local.machine = Some(machine);
        done
    }

    /// The same on a helper thread.
    pub(crate) fn run_script_part(
        &self,
        local: &mut Local,
        call: &Call<'_>,
        how: How,
        held: LockSet,
        out: &mut Out,
    ) -> (u64, bool, LockSet) {
        let name = String::from_utf8_lossy(call.args.slice(1)).into_owned();
        let name = match how {
            How::Eval => String::from_utf8_lossy(&hex(call.args.slice(1))).into_owned(),
            How::EvalSha => name.to_lowercase(),
            How::Function => name,
        };
        let is_function = matches!(how, How::Function);
        let watch = Arc::new(Watch::new(is_function, name, shown_words(call.args), self.scripts().now_us()));
        self.scripts().begin(watch.clone());
        let done = self.run_script_in_unit(local, call, how, held, Some(watch.clone()), out);
        self.scripts().end(&watch);
        done
    }

    /// Finds what is to run, and whether it may.
    fn ready(&self, machine: &mut Machine, local: &mut Local, call: &Call<'_>, how: How) -> Result<Prepared, Fault> {
        let name = call.args.slice(1);
        let (target, keys) = match how {
            How::Eval => {
                let keys = count_keys(call.args, "ERR value is not an integer or out of range")?;
                (machine.by_body(self, name)?, keys)
            }
            How::EvalSha => {
                let keys = count_keys(call.args, "ERR value is not an integer or out of range")?;
                (machine.by_sha(self, name)?, keys)
            }
            How::Function => {
                let found = self.scripts().libraries.find(name).ok_or(Fault::say("ERR Function not found"))?;
                (Target::Function(found.0, found.1), count_keys(call.args, "ERR Bad number of keys provided")?)
            }
        };
        let flags = target.flags();
        let is_ro = call.spec.flags.has(Flags::READONLY);
        if is_ro && flags.is_some_and(|flags| !flags.has(ScriptFlags::NO_WRITES)) {
            return Err(Fault::say("ERR Can not execute a script with write flag using *_ro command."));
        }
        let readonly = is_ro || flags.is_some_and(|flags| flags.has(ScriptFlags::NO_WRITES));
        let is_full = !readonly
            && self.fullness(local) != Fullness::Room
            && (local.in_unit || self.make_room(local, call.context.now_ms).is_err());
        if is_full && flags.is_some_and(|flags| !flags.has(ScriptFlags::ALLOW_OOM)) {
            return Err(Fault::OutOfMemory);
        }
        let strict = self.scripts().is_strict().then(|| call.keys.first().map(|key| key.slot));
        let rules = Rules { flags: flags.unwrap_or_default(), readonly, is_full, strict };
        Ok(Prepared { target, keys, rules, user: local.script_user.clone() })
    }

    fn execute_ready(
        &self,
        machine: &mut Box<Machine>,
        local: &mut Local,
        call: &Call<'_>,
        ready: Prepared,
        ticket: Option<Ticket>,
        out: &mut Out,
    ) -> Outcome {
        let needs = ready.target.habits().needs();
        let set = LockSet::of(call).and(needs);
        if let Err(taken) = set.lock(self, ticket) {
            return Outcome::Busy(taken);
        }
        let held = Held { engine: self, set };
        if let Err((refusal, stripe)) = self.check_script_gates(call, ready.rules.readonly) {
            return Outcome::NotExecuted(refusal, stripe);
        }
        if !ready.target.habits().is_short() && self.helpers().is_some() {
            return self.lend_script(local, call, ready, held, set);
        }
        self.mark_unit(set, true);
        let (finished, failed) = self.run_here(machine, local, call, &ready, set, None, false, out);
        let habits = ready.target.habits();
        if finished.end == Some(End::TooLong) {
            habits.was_long();
            let set = set.and(finished.extra);
            self.mark_unit(set, false);
            machine.scratch = finished.scratch;
            std::mem::forget(held);
            return self.lend_script(local, call, ready, Held { engine: self, set }, set);
        }
        self.release(local, held, finished.extra);
        if !needs.is_empty() {
            habits.set_needs(LockSet::default());
        }
        note_habits(&ready.target, &finished);
        let (end, work) = (finished.end, finished.work);
        machine.scratch = finished.scratch;
        match end {
            Some(End::Busy(stripe)) => {
                habits.set_needs(LockSet::one(stripe));
                Outcome::Busy(stripe)
            }
            Some(End::Closed(refusal, stripe)) => Outcome::NotExecuted(refusal, stripe),
            _ => Outcome::Done { work: 1 + work, failed },
        }
    }

    /// Ends a unit of a script, serves who waits for what it has made ready, and gives back what it had.
    fn release(&self, local: &mut Local, held: Held<'_>, extra: LockSet) {
        let set = held.set.and(extra);
        self.mark_unit(set, false);
        std::mem::forget(held);
        self.settle(local, Held { engine: self, set });
    }

    /// Has a helper thread run it, which takes the locks over.
    fn lend_script(
        &self,
        local: &mut Local,
        call: &Call<'_>,
        ready: Prepared,
        held: Held<'_>,
        set: LockSet,
    ) -> Outcome {
        let ready = Prepared { target: ready.target.elsewhere(), ..ready };
        let (lent, awaited) = Lent::new(self, call, Work::Script(Box::new(ready)), set, local.random());
        std::mem::forget(held);
        match self.helpers() {
            None => lent.run(self, local),
            Some(helpers) => {
                if let Err(Errand::Run(lent)) = helpers(Errand::Run(Box::new(lent))) {
                    lent.run(self, local);
                }
            }
        }
        local.deferred = Some(Box::new(Deferred::new(Box::new(awaited), self.leftovers().clone())));
        Outcome::Deferred
    }

    /// Runs what a worker has lent, on a helper thread. `held`: its locks. Returns its work and whether it failed.
    pub(crate) fn run_lent_script<'e>(
        &'e self,
        local: &mut Local,
        call: &Call<'_>,
        ready: &Prepared,
        held: Held<'e>,
        out: &mut Out,
    ) -> (u64, bool) {
        let mut machine = self.machine(local);
        let watch = Arc::new(Watch::new(
            matches!(ready.target, Target::Function(..)),
            ready.target.name(),
            shown_words(call.args),
            self.scripts().now_us(),
        ));
        self.scripts().begin(watch.clone());
        let done = self.run_until_done(&mut machine, local, call, ready, held, &watch, out);
        self.scripts().end(&watch);
        local.machine = Some(machine);
        done
    }

    fn run_until_done<'e>(
        &'e self,
        machine: &mut Machine,
        local: &mut Local,
        call: &Call<'_>,
        ready: &Prepared,
        mut held: Held<'e>,
        watch: &Arc<Watch>,
        out: &mut Out,
    ) -> (u64, bool) {
        let mut deadline = None;
        loop {
            let set = held.set;
            self.mark_unit(set, true);
            let watch = Some(watch.clone());
            let (finished, failed) = self.run_here(machine, local, call, ready, set, watch, false, out);
            self.release(local, held, finished.extra);
            note_habits(&ready.target, &finished);
            let (end, work) = (finished.end, finished.work);
            machine.scratch = finished.scratch;
            let mut set = set;
            match end {
                None | Some(End::TooLong) => return (1 + work, failed),
                Some(End::Busy(stripe)) => set.add(stripe),
                Some(End::Closed(..)) => {
                    if *deadline.get_or_insert_with(|| Instant::now() + GATE_WAIT) < Instant::now() {
                        out.error("TRYAGAIN the slot of a key that the script has not declared is not served");
                        return (1 + work, true);
                    }
                    std::thread::sleep(NAP);
                }
            }
            held = match self.lock_again(call, ready.rules.readonly, set) {
                Ok(held) => held,
                Err(words) => {
                    out.error(words);
                    return (1 + work, true);
                }
            };
        }
    }

    /// Locks these stripes on a helper thread, which may wait.
    fn lock_again(&self, call: &Call<'_>, readonly: bool, set: LockSet) -> Result<Held<'_>, &'static str> {
        let deadline = Instant::now() + GATE_WAIT;
        loop {
            set.iter().for_each(|stripe| self.stripe(stripe).lock_patiently());
            let held = Held { engine: self, set };
            match self.check_script_gates(call, readonly) {
                Ok(()) => return Ok(held),
                Err((Refusal::Moved, _)) => return Err("TRYAGAIN the slot of the script's keys has moved"),
                Err(_) if Instant::now() > deadline => {
                    return Err("TRYAGAIN the slot of the script's keys is not served");
                }
                Err(_) => {}
            }
            drop(held);
            std::thread::sleep(NAP);
        }
    }

    /// One run under locks that are held.
    #[expect(clippy::too_many_arguments, reason = "one run in one place")]
    fn run_here(
        &self,
        machine: &mut Machine,
        local: &mut Local,
        call: &Call<'_>,
        ready: &Prepared,
        held: LockSet,
        watch: Option<Arc<Watch>>,
        in_unit: bool,
        out: &mut Out,
    ) -> (Finished, bool) {
        let scratch = std::mem::take(&mut machine.scratch);
        let mut running = Running::new(self, local, held, call.context, ready.rules, scratch).by(ready.user.clone());
        if in_unit {
            running = running.in_unit();
        }
        running = match watch {
            Some(watch) => running.with_watch(watch),
            None if in_unit => running,
            None if self.helpers().is_some() => running.with_budget(INLINE_TICKS),
            None => running,
        };
        let failed = match machine.run(&ready.target, &mut running, call.args, ready.keys, out) {
            Ok(failed) => failed,
            Err(fault) => {
                write_fault(call.spec, &fault, out);
                true
            }
        };
        (running.finish(), failed)
    }

    fn check_script_gates(&self, call: &Call<'_>, readonly: bool) -> Result<(), (Refusal, usize)> {
        for key in call.keys {
            let index = stripe_of(key.slot);
            // SAFETY: the caller holds the locks of the call's stripes.
            let gate = unsafe { self.stripe(index).data() }.gate_of(key.slot);
            gate.check(!readonly).map_err(|refusal| (refusal, index))?;
        }
        Ok(())
    }
}

/// Whether it may run on a worker the next time.
#[inline]
fn note_habits(target: &Target, finished: &Finished) {
    if finished.end.is_some() {
        return;
    }
    if finished.ticks <= SHORT_TICKS && finished.work <= SHORT_WORK {
        target.habits().was_short();
    } else {
        target.habits().was_long();
    }
}

fn count_keys(args: Args<'_>, no_number: &'static str) -> Result<usize, Fault> {
    let count = parse_i64(args.slice(2)).ok_or(Fault::say(no_number))?;
    let count = usize::try_from(count).map_err(|_| Fault::say("ERR Number of keys can't be negative"))?;
    if count > args.len() - 3 {
        return Err(Fault::say("ERR Number of keys can't be greater than number of args"));
    }
    Ok(count)
}

/// The words of a command, shortened.
fn shown_words(args: Args<'_>) -> Vec<Vec<u8>> {
    args.iter().take(SHOWN_WORDS).map(|word| word[..word.len().min(SHOWN_BYTES)].to_vec()).collect()
}
