//! Serving those who wait: at the end of a command or unit that has made keys ready, in the order in which they became so,
//! each queue from its head on. A waiter is served by running its own request again, under the locks of all its keys:
//! those that are held, or, where these are not enough, others taken after they are released.

use std::sync::Arc;
use std::task::Waker;

use swell_wire::Out;

use super::{Queues, Ready, Waiter, Waiters};
use crate::bulk::Errand;
use crate::engine::{Engine, Local};
use crate::exec::{Blocks, Call, Context, Exec, write_fault};
use crate::gate::Refusal;
use crate::run::{Held, LockSet};
use crate::stripe::stripe_of;

impl Engine {
    /// What is known of all who wait here.
    pub fn waiters(&self) -> &Arc<Waiters> {
        &self.waiters
    }

    /// Takes one who waits no longer out of its queues, or leaves that to whoever comes by next.
    pub fn forget(&self, waiter: &Arc<Waiter>) {
        if waiter.is_queued() && !self.take_out(waiter) {
            self.waiters.leave(waiter.clone());
        }
    }

    /// Serves whom a command or a tool has made ready and who needed other locks than those that were held then, and
    /// takes out of their queues who has gone. No lock is held.
    pub fn serve_rest(&self, local: &mut Local) {
        local.wakers.drain(..).for_each(Waker::wake);
        while let Some(ready) = local.ready.pop_front() {
            if ready.needs.lock(self, None).is_err() {
                self.serve_elsewhere(local, ready);
                continue;
            }
            self.serve_with(local, ready);
        }
        for waiter in self.waiters.take_gone() {
            if waiter.is_queued() && !self.take_out(&waiter) {
                self.waiters.leave(waiter);
            }
        }
    }

    /// Serves who waits for this key, on a thread that may wait for locks.
    pub fn serve_patiently(&self, local: &mut Local, ready: Ready) {
        ready.needs.lock_patiently(self);
        self.serve_with(local, ready);
        self.serve_rest(local);
    }

    /// The end of a command that has made keys ready: serves while it holds its locks, gives them back, serves the rest.
    #[cold]
    pub(crate) fn settle(&self, local: &mut Local, held: Held<'_>) {
        self.serve_held(local, held.set);
        drop(held);
        self.serve_rest(local);
    }

    /// Serves all for whom these locks, which are held, are enough. The others stay with `local`.
    pub(crate) fn serve_held(&self, local: &mut Local, set: LockSet) {
        let mut later = Vec::new();
        while let Some(ready) = local.ready.pop_front() {
            if set.has(stripe_of(ready.slot)) {
                later.extend(self.serve_key(local, set, ready));
            } else {
                later.push(ready);
            }
        }
        local.ready.extend(later);
    }

    /// The locks that this needs have just been taken.
    fn serve_with(&self, local: &mut Local, ready: Ready) {
        let held = Held { engine: self, set: ready.needs };
        local.ready.push_front(ready);
        self.serve_held(local, held.set);
        drop(held);
        local.wakers.drain(..).for_each(Waker::wake);
    }

    fn serve_elsewhere(&self, local: &mut Local, ready: Ready) {
        let refused = match self.helpers() {
            Some(helpers) => helpers(Errand::Serve(Box::new(ready))),
            None => Err(Errand::Serve(Box::new(ready))),
        };
        // Nobody to do it: rather a worker that waits than a client that does for ever.
        if let Err(Errand::Serve(ready)) = refused {
            ready.needs.lock_patiently(self);
            self.serve_with(local, *ready);
        }
    }

    /// Serves one key's queue as far as these locks reach; returns what needs others.
    fn serve_key(&self, local: &mut Local, set: LockSet, mut ready: Ready) -> Option<Ready> {
        if ready.after.is_none() {
            self.queues(&ready)?.begin(&ready);
        }
        loop {
            let kind = {
                let exec = Exec::upkeep(self, local, ready.now_ms);
                exec.look(ready.key()).map(|entry| entry.kind())
            };
            let (waiter, is_wanted) = self.queues(&ready)?.next(&ready, kind)?;
            if is_wanted {
                if !set.covers(waiter.set) {
                    ready.needs = LockSet::one(stripe_of(ready.slot)).and(waiter.set);
                    return Some(ready);
                }
                self.serve_one(local, &waiter, ready.now_ms);
            }
            ready.after = Some(waiter.order);
        }
    }

    #[allow(clippy::mut_from_ref)] // As `Stripe::data`.
    fn queues(&self, ready: &Ready) -> Option<&mut Queues> {
        // SAFETY: the caller holds the stripe's lock, and keeps no other reference to what it protects.
        unsafe { self.stripe(stripe_of(ready.slot)).data() }.queues()
    }

    /// Runs a waiter's request again. All its stripes are locked.
    fn serve_one(&self, local: &mut Local, waiter: &Arc<Waiter>, now_ms: u64) {
        if let Err((refusal, stripe)) = self.check_waiter(waiter) {
            local.wakers.extend(waiter.refuse(refusal, stripe));
            self.take_out_locked(waiter);
            return;
        }
        let Some(claimed) = waiter.claim() else { return self.take_out_locked(waiter) };
        let context = Context { blocks: Blocks::Again, now_ms, ..waiter.context };
        let call = Call { spec: waiter.spec, args: waiter.args.as_args(), keys: &waiter.keys, context };
        // The command that made the key ready may have left the rest of its own reply there.
        let outer = local.deferred.take();
        let mut out = Out::new(context.proto);
        self.mark_unit(waiter.set, true);
        let mut exec = Exec::new(self, local, &call);
        let reply = (waiter.body)(&mut exec, call.args, &mut out);
        let (mut work, still_waits, rest) = (exec.work_done(), exec.still_waits, exec.deferred.take());
        self.mark_unit(waiter.set, false);
        local.deferred = outer;
        if still_waits {
            local.wakers.extend(claimed.put_back());
            return;
        }
        if let Err(fault) = &reply {
            write_fault(waiter.spec, fault, &mut out);
        }
        if let Some(mut rest) = rest {
            rest.finish(&mut out);
            work += rest.work();
        }
        if context.tracker.remembers {
            self.remember(&call);
        }
        self.take_out_locked(waiter);
        local.wakers.extend(claimed.serve(out, work, reply.is_err()));
    }

    fn check_waiter(&self, waiter: &Waiter) -> Result<(), (Refusal, usize)> {
        for key in &waiter.keys {
            let index = stripe_of(key.slot);
            // SAFETY: the caller holds the locks of all the waiter's stripes.
            let gate = unsafe { self.stripe(index).data() }.gate_of(key.slot);
            gate.check(waiter.is_write()).map_err(|refusal| (refusal, index))?;
        }
        Ok(())
    }

    /// Takes a waiter out of all its queues. Its stripes are locked.
    fn take_out_locked(&self, waiter: &Waiter) {
        if waiter.take_queued() {
            (0..waiter.watched).for_each(|n| self.take_out_of(waiter, n));
        }
    }

    /// The same where no lock is held. False: some stripe is taken, and the rest is to be done later.
    fn take_out(&self, waiter: &Waiter) -> bool {
        for n in 0..waiter.watched {
            let Some(_held) = self.stripe(stripe_of(waiter.keys[n].slot)).hold_briefly() else { return false };
            self.take_out_of(waiter, n);
        }
        waiter.take_queued();
        true
    }

    /// Takes a waiter out of one of its queues, whose stripe is locked.
    fn take_out_of(&self, waiter: &Waiter, n: usize) {
        let key = waiter.keys[n];
        // SAFETY: as the caller promises.
        let data = unsafe { self.stripe(stripe_of(key.slot)).data() };
        if let Some(queues) = data.queues() {
            let bytes = waiter.args.as_args().slice(key.arg as usize);
            queues.remove(bytes, waiter);
        }
        data.tidy();
    }
}
