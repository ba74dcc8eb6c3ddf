//! A part of a unit that a helper thread runs: the unit keeps its locks, and waits for it.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex};
use std::task::Waker;

use swell_wire::{Out, OwnedArgs};

use super::lock;
use crate::acl::User;
use crate::engine::{Engine, Local};
use crate::error::Fault;
use crate::exec::{Call, Context, write_fault};
use crate::key::KeyHash;
use crate::run::{LockSet, run_held};
use crate::spec::{Body, Spec};
use crate::waiters::Ready;

/// One request of a unit, to be run under the unit's locks.
pub struct Part {
    spec: &'static Spec,
    args: OwnedArgs,
    keys: Vec<KeyHash>,
    context: Context,
    held: LockSet,
    user: Option<Arc<User>>,
    seed: u64,
    /// Where the engine is whose locks these are.
    engine: usize,
    ending: Ending,
}

/// The same as the unit sees it, which waits.
#[derive(Debug)]
pub struct Lending {
    shared: Arc<Mutex<Shared>>,
}

/// What it came to.
#[derive(Debug, Default)]
pub struct PartAnswer {
    pub out: Out,
    pub work: u64,
    /// The reply is an error.
    pub failed: bool,
    /// Stripes that it has locked beyond.
    pub(crate) extra: LockSet,
    /// Keys that it has made ready.
    pub(crate) ready: VecDeque<Ready>,
}

#[derive(Debug, Default)]
struct Shared {
    answer: Option<PartAnswer>,
    waker: Option<Waker>,
}

/// Dropped without an answer it says that there is none.
struct Ending {
    shared: Arc<Mutex<Shared>>,
    spec: &'static Spec,
    context: Context,
}

impl Part {
    /// `held`: what the unit has locked.
    pub(crate) fn new(engine: &Engine, local: &mut Local, call: &Call<'_>, held: LockSet) -> (Part, Lending) {
        let shared = Arc::<Mutex<Shared>>::default();
        let Call { spec, args, keys, context } = *call;
        let part = Part {
            spec,
            args: args.to_owned(false),
            keys: keys.to_vec(),
            context,
            held,
            user: local.script_user.clone(),
            seed: local.random(),
            engine: std::ptr::from_ref(engine).addr(),
            ending: Ending { shared: shared.clone(), spec, context },
        };
        (part, Lending { shared })
    }

    /// See [`super::Errand::seed`].
    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// Runs it, and answers.
    ///
    /// # Panics
    /// It is of another engine; or its body does, and then the unit reads an error.
    pub fn run(self, engine: &Engine, local: &mut Local) {
        assert_eq!(self.engine, std::ptr::from_ref(engine).addr(), "a part of another engine's unit");
        let Part { spec, args, keys, context, held, user, ending, .. } = self;
        let call = Call { spec, args: args.as_args(), keys: &keys, context };
        let mut out = Out::new(context.proto);
        local.set_script_user(user);
        let (work, failed, extra) = match spec.body {
            Body::Script(how) => engine.run_script_part(local, &call, how, held, &mut out),
            _ => {
                let (work, failed) = run_held(engine, local, &call, &mut out);
                (work, failed, LockSet::default())
            }
        };
        local.set_script_user(None);
        ending.answer(PartAnswer { out, work, failed, extra, ready: mem::take(&mut local.ready) });
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("spec", &self.spec.name).finish_non_exhaustive()
    }
}

impl Lending {
    /// Its answer, once it is there; before that `waker` is woken when it is.
    pub fn take(&mut self, waker: &Waker) -> Option<PartAnswer> {
        let mut shared = lock(&self.shared);
        let answer = shared.answer.take();
        if answer.is_none() {
            shared.waker = Some(waker.clone());
        }
        answer
    }
}

impl Ending {
    fn answer(&self, answer: PartAnswer) {
        let mut shared = lock(&self.shared);
        shared.answer = Some(answer);
        let waker = shared.waker.take();
        drop(shared);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        // The one who waits has taken its answer, or it is still there.
        if Arc::strong_count(&self.shared) == 1 || !std::thread::panicking() {
            return;
        }
        let mut out = Out::new(self.context.proto);
        write_fault(self.spec, &Fault::say("ERR the command has failed"), &mut out);
        self.answer(PartAnswer { out, work: 1, failed: true, ..PartAnswer::default() });
    }
}
