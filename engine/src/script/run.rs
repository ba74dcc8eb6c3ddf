//! A script while it runs: which stripes it holds, what it may do, what it has done, and how `redis.call` becomes a
//! command. What must run again from the beginning ends here as well ([`End`]).

use std::borrow::Cow;
use std::sync::Arc;

use swell_ring::Slot;
use swell_wire::{Args, Out, OwnedArgs, Proto, SEGMENT_BYTES};

use super::outside::Caller;
use super::store::Flags as ScriptFlags;
use super::watch::Watch;
use crate::acl::{self, User};
use crate::admit::Denied;
use crate::commands::table::{Command, Found, tables};
use crate::engine::{Engine, Local};
use crate::exec::{Blocks, Call, Context};
use crate::gate::Refusal;
use crate::key::{Db, KeyHash};
use crate::number::parse_i64;
use crate::run::{LockSet, run_held};
use crate::spec::{Body, Flags, Spec};
use crate::stripe::{STRIPES, stripe_of};

/// Why a script ends before it is done. Nothing of it has happened, unless the words say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It needs this stripe, which is taken.
    Busy(usize),
    /// A gate of this stripe is closed.
    Closed(Refusal, usize),
    /// It takes too long for a worker.
    TooLong,
}

/// What a script may do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    pub flags: ScriptFlags,
    /// It only reads.
    pub readonly: bool,
    /// There is no memory for more.
    pub is_full: bool,
    /// Several nodes are possible: every key lies in this slot; none where no key was declared.
    pub strict: Option<Option<Slot>>,
}

/// Said to a script that goes where it must not.
const NOT_LOCAL: &str = "ERR Script attempted to access a non local key in a cluster node";
const TAKEN: &str =
    "TRYAGAIN the script has written, and reached for a key that it has not declared and that is in use";
/// How often a script that has written tries for a stripe that it has not declared.
const TRIES: u32 = 2_000;
/// Thrown to end a script that runs again: nobody reads this.
const AGAIN: &str = "the script runs again";

/// See the module.
pub struct Running<'r> {
    engine: &'r Engine,
    local: &'r mut Local,
    /// The words of the command that is called.
    pub args: OwnedArgs,
    keys: Vec<KeyHash>,
    out: Out,
    /// Stripes that were locked before it began, and those since.
    held: LockSet,
    extra: LockSet,
    context: Context,
    rules: Rules,
    work: u64,
    ticks: u32,
    /// Something may have changed: it cannot run again.
    has_written: bool,
    /// It is part of a unit, which has begun: it cannot run again either.
    is_in_unit: bool,
    has_set_resp: bool,
    end: Option<End>,
    /// Ticks after which it must not go on here.
    budget: u32,
    /// Where others see it run, if they do.
    watch: Option<Arc<Watch>>,
    /// Who runs it, if not everything is permitted.
    user: Option<Arc<User>>,
}

impl<'r> Running<'r> {
    /// `held` is locked. `context`: the client's; the script begins with RESP2 whatever that speaks.
    pub fn new(
        engine: &'r Engine,
        local: &'r mut Local,
        held: LockSet,
        context: Context,
        rules: Rules,
        scratch: Scratch,
    ) -> Running<'r> {
        let Scratch { args, keys, mut out } = scratch;
        out.set_proto(Proto::Resp2);
        Running {
            engine,
            local,
            args,
            keys,
            out,
            held,
            extra: LockSet::default(),
            context: Context { proto: Proto::Resp2, blocks: Blocks::Never, ..context },
            rules,
            work: 0,
            ticks: 0,
            has_written: false,
            is_in_unit: false,
            has_set_resp: false,
            end: None,
            budget: u32::MAX,
            watch: None,
            user: None,
        }
    }

    /// It ends after so many ticks if it can run again.
    pub fn with_budget(mut self, ticks: u32) -> Self {
        self.budget = ticks;
        self
    }

    /// Others see it run.
    pub fn with_watch(mut self, watch: Arc<Watch>) -> Self {
        self.watch = Some(watch);
        self
    }

    /// It may do what this user may.
    pub fn by(mut self, user: Option<Arc<User>>) -> Self {
        self.user = user;
        self
    }

    /// It is part of something that cannot run again.
    pub fn in_unit(mut self) -> Self {
        self.is_in_unit = true;
        self
    }

    /// Whether it must not begin anew.
    fn is_bound(&self) -> bool {
        self.has_written || self.is_in_unit
    }

    /// What is left: the stripes locked since it began, its end, its work and the memory to use again.
    pub fn finish(self) -> Finished {
        let work = self.work + u64::from(self.ticks) * super::limits::TICK_WORK;
        let scratch = Scratch { args: self.args, keys: self.keys, out: self.out };
        let (extra, end, has_written) = (self.extra, self.end, self.has_written);
        Finished { extra, end, work, ticks: self.ticks, has_written, scratch }
    }

    pub fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    pub fn speaks_resp3(&self) -> bool {
        self.has_set_resp && self.context.proto == Proto::Resp3
    }

    pub fn set_ticks(&mut self, ticks: u32) {
        self.ticks = ticks;
    }

    pub fn set_proto(&mut self, proto: Proto) {
        self.context.proto = proto;
        self.out.set_proto(proto);
        self.has_set_resp = true;
    }

    /// What must be thrown now, if it has to end.
    pub fn stopped(&self) -> Option<&'static str> {
        self.end.map(|_| AGAIN)
    }

    /// A thousand instructions have passed: whether it has to end, and with which words.
    #[cold]
    pub fn tick(&mut self, ticks: u32) -> Option<&'static str> {
        if ticks > self.budget && !self.is_bound() {
            self.end = Some(End::TooLong);
            return Some(AGAIN);
        }
        let now_us = self.engine.scripts().now_us();
        match &self.watch {
            Some(watch) => watch.look(self.engine, now_us, self.has_written, self.held.and(self.extra)),
            // On a worker, and it cannot go elsewhere any more: the limit is all there is.
            None if ticks > self.budget.min(super::limits::INLINE_TICKS) => {
                self.engine.scripts().over_limit(self.context.now_ms)
            }
            None => None,
        }
    }

    /// Hands the reply of the command that has just run over.
    pub fn with_reply<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        match self.out.as_contiguous() {
            Some(reply) => look(reply),
            None => look(&self.out.to_vec()),
        }
    }

    /// Whether the user may run what stands in `args`; nothing if there is no such command.
    pub fn may_call(&self) -> Option<bool> {
        match tables().resp.find(self.args.as_args()) {
            Found::Command(command) => Some(self.permit(command, self.args.as_args()).is_ok()),
            _ => None,
        }
    }

    /// Runs the command that stands in `args`; its reply is in the buffer, or [`Running::stopped`] says that it must run
    /// again.
    ///
    /// # Errors
    /// The words of an error that is the script's own.
    pub fn call(&mut self) -> Result<(), Cow<'static, str>> {
        self.out.clear();
        let args = std::mem::take(&mut self.args);
        let done = self.call_with(&args);
        self.args = args;
        done
    }

    fn call_with(&mut self, args: &OwnedArgs) -> Result<(), Cow<'static, str>> {
        let words = args.as_args();
        let command = match tables().resp.find(words) {
            Found::Command(command) => command,
            Found::Unknown => return Err("ERR Unknown command called from script".into()),
            Found::UnknownSubcommand(container) => {
                let name = String::from_utf8_lossy(words.slice(1));
                let known = container.name.to_uppercase();
                return Err(format!("ERR unknown subcommand '{name}'. Try {known} HELP.").into());
            }
        };
        let spec = command.spec;
        if !spec.arity_fits(words.len()) || matches!(spec.body, Body::Container) && words.len() < 2 && spec.arity != -1
        {
            return Err("ERR Wrong number of args calling command from script".into());
        }
        self.check(spec)?;
        self.permit(command, words).map_err(|denied| {
            let denied = denied.to_string();
            let words = denied.split_once(' ').map_or(&denied[..], |(_, words)| words);
            format!("ERR ACL failure in script: {words}")
        })?;
        if matches!(spec.body, Body::Session | Body::Container) {
            return self.call_outside(command, args);
        }
        let long = (0..words.len()).any(|at| words.get(at).len() > SEGMENT_BYTES);
        let segmented = long.then(|| segmented(spec, args));
        let words = segmented.as_ref().unwrap_or(args).as_args();
        let mut keys = std::mem::take(&mut self.keys);
        keys.clear();
        spec.hash_keys(self.engine, words, &mut keys);
        let call = Call { spec, args: words, keys: &keys, context: self.context };
        let ready = self.prepare(&call);
        if let Ok(true) = ready {
            self.has_written |= spec.is_write();
            let (work, _) = run_held(self.engine, self.local, &call, &mut self.out);
            self.work += work;
        }
        self.keys = keys;
        ready.map(|_| ()).map_err(Cow::Borrowed)
    }

    #[inline]
    fn permit(&self, command: Command, args: Args<'_>) -> Result<(), Denied> {
        let Some(user) = &self.user else { return Ok(()) };
        acl::check(user, self.context.db, command, args)?;
        acl::check_sort(user, self.context.db, command, args)
    }

    fn check(&self, spec: &Spec) -> Result<(), &'static str> {
        if spec.flags.has(Flags::NOSCRIPT) {
            return Err("ERR This Valkey command is not allowed from script");
        }
        // As in Valkey what replicas would have to know counts as a write here.
        if self.rules.readonly && (spec.is_write() || spec.flags.has(Flags::MAY_REPLICATE)) {
            return Err("ERR Write commands are not allowed from read-only scripts.");
        }
        // Who has written already cannot be stopped in the middle.
        let may_grow = self.rules.flags.has(ScriptFlags::ALLOW_OOM) || self.has_written;
        if self.rules.is_full && spec.flags.has(Flags::DENYOOM) && !may_grow {
            return Err("OOM command not allowed when used memory > 'maxmemory'.");
        }
        Ok(())
    }

    /// Locks what a call needs and checks its gates. False: it has to run again.
    #[inline]
    fn prepare(&mut self, call: &Call<'_>) -> Result<bool, &'static str> {
        let is_whole = matches!(call.spec.body, Body::Whole(_) | Body::Walk(_)) || call.reaches_beyond();
        if is_whole {
            return self.prepare_all(call.spec.is_write());
        }
        for key in call.keys {
            let stripe = stripe_of(key.slot);
            if let Some(slot) = self.rules.strict
                && slot != Some(key.slot)
            {
                return Err(NOT_LOCAL);
            }
            if !self.held.has(stripe) && !self.lock(stripe)? {
                return Ok(false);
            }
            // SAFETY: the stripe is locked.
            let gate = unsafe { self.engine.stripe(stripe).data() }.gate_of(key.slot);
            if let Err(refusal) = gate.check(call.spec.is_write())
                && !self.refused(refusal, stripe)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    #[cold]
    fn prepare_all(&mut self, writes: bool) -> Result<bool, &'static str> {
        if self.rules.strict.is_some() {
            return Err(NOT_LOCAL);
        }
        for stripe in 0..STRIPES {
            if !self.held.has(stripe) && !self.lock(stripe)? {
                return Ok(false);
            }
        }
        match self.engine.check_all_gates(writes) {
            Ok(()) => Ok(true),
            Err((refusal, stripe)) => self.refused(refusal, stripe),
        }
    }

    /// Locks one stripe more: trying holds nobody up, so the order does not matter.
    #[cold]
    fn lock(&mut self, stripe: usize) -> Result<bool, &'static str> {
        if self.extra.has(stripe) {
            return Ok(true);
        }
        let tries = if self.is_bound() { TRIES } else { 1 };
        for _ in 0..tries {
            if self.engine.stripe(stripe).lock_briefly() {
                self.extra.add(stripe);
                self.engine.mark_unit(LockSet::one(stripe), true);
                return Ok(true);
            }
            std::thread::yield_now();
        }
        if self.is_bound() {
            return Err(TAKEN);
        }
        self.end = Some(End::Busy(stripe));
        Ok(false)
    }

    /// A gate is closed: true is never the answer.
    #[cold]
    fn refused(&mut self, refusal: Refusal, stripe: usize) -> Result<bool, &'static str> {
        if refusal == Refusal::Moved || self.is_bound() {
            return Err(NOT_LOCAL);
        }
        self.end = Some(End::Closed(refusal, stripe));
        Ok(false)
    }

    /// What needs no data: SELECT here, the rest outside.
    #[cold]
    fn call_outside(&mut self, command: Command, args: &OwnedArgs) -> Result<(), Cow<'static, str>> {
        self.work += 1;
        let words = args.as_args();
        match command.spec.name {
            "select" => {
                let number = parse_i64(words.slice(1)).ok_or("ERR value is not an integer or out of range")?;
                self.context.db = Db::new(number).ok_or("ERR DB index is out of range")?;
                self.out.ok();
            }
            "ping" if words.len() == 1 => self.out.simple("PONG"),
            "ping" if words.len() == 2 => self.out.bulk(words.slice(1)),
            "echo" => self.out.bulk(words.slice(1)),
            "time" => {
                let now_us = self.engine.scripts().now_us();
                self.out.array(2);
                self.out.bulk((now_us / 1_000_000).to_string().as_bytes());
                self.out.bulk((now_us % 1_000_000).to_string().as_bytes());
            }
            name => {
                let caller = Caller { db: self.context.db, proto: self.context.proto };
                let Some(outside) = self.engine.scripts().outside() else {
                    return Err(
                        format!("ERR '{name}' needs a proxy, and this script runs at a node without one").into()
                    );
                };
                outside.call(command, &caller, words, &mut self.out);
            }
        }
        Ok(())
    }
}

/// Memory that runs use one after the other.
#[derive(Debug, Default)]
pub struct Scratch {
    args: OwnedArgs,
    keys: Vec<KeyHash>,
    out: Out,
}

/// What a run leaves.
pub struct Finished {
    pub extra: LockSet,
    pub end: Option<End>,
    pub work: u64,
    pub ticks: u32,
    pub has_written: bool,
    pub scratch: Scratch,
}

/// The same words, long values in segments where the command takes them so.
fn segmented(spec: &Spec, args: &OwnedArgs) -> OwnedArgs {
    let mut owned = OwnedArgs::default();
    for (at, word) in args.as_args().iter().enumerate() {
        if word.len() > SEGMENT_BYTES && spec.takes_long(at) {
            owned.push_segments(swell_wire::Segments::from_slice(word));
        } else {
            owned.push(word);
        }
    }
    owned
}
