//! Work that may be too much for a worker's turn. It then runs on a helper thread, with the stripes of its keys locked
//! meanwhile: who wants one of these waits as for any taken stripe, and everybody else goes on. Nobody sees half of it,
//! since it is one command under its locks, wherever it runs.

use std::any::Any;
use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use swell_wire::{Args, Out, OwnedArgs};

use crate::engine::{Engine, Local};
use crate::entry::{Content, Entry};
use crate::error::Fault;
use crate::exec::{Call, Context, Exec, write_fault};
use crate::key::KeyHash;
use crate::number::parse_i64;
use crate::run::{Held, LockSet, Outcome, run};
use crate::script::execute::Prepared;
use crate::slices::{Room, Slices};
use crate::spec::{Bulk, KeysBody, Spec};
use crate::value::{Kept, KeptRef};
use crate::waiters::Ready;

mod part;

pub use part::{Lending, Part, PartAnswer};

/// About so many elements are gone over on the worker itself: one to three milliseconds, mostly for memory that no cache
/// has. Changing threads takes 0.1 ms.
pub const ELEMENTS_AT_ONCE: usize = 8_192;
/// Bytes of a long string that take as long as an element.
const BYTES_PER_ELEMENT: usize = 256;

/// What a compact collection counts as.
const COMPACT_ELEMENTS: usize = 64;
/// Elements of a list that are looked at in the time of one.
const SCANNED_PER_ELEMENT: usize = 16;
/// Answers up to this length are copied.
const SHORT_BYTES: usize = 1_024;

/// Gives work to a helper thread, or gives it back.
pub type Helpers = Box<dyn Fn(Errand) -> Result<(), Errand> + Send + Sync>;

/// What helper threads do.
#[derive(Debug)]
pub enum Errand {
    /// Runs a call that has its locks.
    Run(Box<Lent>),
    /// Runs a part of a unit, which keeps its locks ([`crate::unit`]).
    Part(Box<Part>),
    /// Waits for locks, and serves who waits for a key ([`Engine::serve_patiently`]).
    Serve(Box<Ready>),
    /// Frees something large.
    Free(Box<dyn Any + Send>),
}

impl Errand {
    /// Something random, for whoever makes the [`Local`] that this runs with.
    pub fn seed(&self) -> u64 {
        match self {
            Errand::Run(lent) => lent.seed,
            Errand::Part(part) => part.seed(),
            Errand::Serve(ready) => ready.seed(),
            Errand::Free(_) => 1,
        }
    }
}

/// A call that runs elsewhere. It holds the locks of its stripes until it has run, so it must not be dropped before.
#[must_use = "its stripes stay locked until it has run"]
pub struct Lent {
    spec: &'static Spec,
    work: Work,
    args: OwnedArgs,
    keys: Vec<KeyHash>,
    context: Context,
    set: LockSet,
    /// Where the engine is whose locks these are.
    engine: usize,
    seed: u64,
    ending: Ending,
}

/// What runs elsewhere.
pub(crate) enum Work {
    Body(KeysBody),
    Script(Box<Prepared>),
}

/// The end of a call that runs elsewhere, as the one sees it who waits for its reply.
pub(crate) struct Awaited {
    shared: Arc<Mutex<Shared>>,
    failed: bool,
}

/// The same as the one sees it who runs it. Dropped without an answer it says that there is none.
struct Ending {
    shared: Arc<Mutex<Shared>>,
    spec: &'static Spec,
    context: Context,
}

#[derive(Default)]
struct Shared {
    answer: Option<Answer>,
    waker: Option<Waker>,
}

struct Answer {
    out: Out,
    work: u64,
    failed: bool,
}

impl Lent {
    /// Takes over the locks of `set`, which the caller holds and leaves to this.
    pub(crate) fn new(engine: &Engine, call: &Call<'_>, work: Work, set: LockSet, seed: u64) -> (Lent, Awaited) {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let ending = Ending { shared: shared.clone(), spec: call.spec, context: call.context };
        let (args, keys) = (call.args.to_owned(false), call.keys.to_vec());
        let (spec, context, engine) = (call.spec, call.context, std::ptr::from_ref(engine).addr());
        (Lent { spec, work, args, keys, context, set, engine, seed, ending }, Awaited { shared, failed: false })
    }

    /// Runs it, gives its locks back, and then answers.
    ///
    /// # Panics
    /// It is of another engine; or its body does, and then the locks are given back all the same.
    pub fn run(self, engine: &Engine, local: &mut Local) {
        assert_eq!(self.engine, std::ptr::from_ref(engine).addr(), "work of another engine");
        let Lent { spec, work, args, keys, context, set, ending, .. } = self;
        let held = Held { engine, set };
        let call = Call { spec, args: args.as_args(), keys: &keys, context };
        let mut out = Out::new(context.proto);
        let body = match work {
            Work::Body(body) => body,
            Work::Script(ready) => {
                let (work, failed) = engine.run_lent_script(local, &call, &ready, held, &mut out);
                return ending.answer(Answer { out, work, failed });
            }
        };
        engine.mark_unit(set, true);
        let outcome = run(engine, local, &call, body, &mut out);
        engine.mark_unit(set, false);
        engine.settle(local, held);
        let (work, failed) = match (outcome, local.take_deferred()) {
            (Outcome::Deferred, Some(mut rest)) => {
                rest.finish(&mut out);
                (rest.work(), rest.failed())
            }
            (Outcome::Done { work, failed }, _) => (work, failed),
            _ => return,
        };
        ending.answer(Answer { out, work, failed });
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent").field("spec", &self.spec.name).finish_non_exhaustive()
    }
}

impl Ending {
    fn answer(&self, answer: Answer) {
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
        if Arc::strong_count(&self.shared) == 1 || lock(&self.shared).answer.is_some() {
            return;
        }
        let mut out = Out::new(self.context.proto);
        write_fault(self.spec, &Fault::say("ERR the command has failed"), &mut out);
        self.answer(Answer { out, work: 1, failed: true });
    }
}

impl Slices for Awaited {
    fn step(&mut self, _room: Room, out: &mut Out, work: &mut u64) -> bool {
        let Some(mut answer) = lock(&self.shared).answer.as_mut().map(|answer| Answer {
            out: mem::take(&mut answer.out),
            work: answer.work,
            failed: answer.failed,
        }) else {
            return true;
        };
        // What is short can be looked at in one piece: the proxy looks at errors.
        match answer.out.len() {
            ..=SHORT_BYTES => out.append(&mut answer.out),
            _ => out.attach(answer.out),
        }
        *work += answer.work;
        self.failed = answer.failed;
        false
    }

    fn take_snapshot(&mut self) -> Option<Kept> {
        None
    }

    fn is_ready(&self) -> bool {
        lock(&self.shared).answer.is_some()
    }

    fn wait(&mut self, waker: &Waker) {
        lock(&self.shared).waker = Some(waker.clone());
    }

    fn failed(&self) -> bool {
        self.failed
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    /// Has a helper thread free something large; where there is none it is freed here.
    pub fn free_elsewhere(&self, large: Box<dyn Any + Send>) {
        if let Some(helpers) = self.helpers() {
            let _ = helpers(Errand::Free(large));
        }
    }
}

impl Bulk {
    /// Whether a call that holds its locks is too much for its worker's turn.
    pub(crate) fn is_much(&self, engine: &Engine, local: &mut Local, call: &Call<'_>) -> bool {
        (self.size)(&Exec::new(engine, local, call), call.args) > ELEMENTS_AT_ONCE
    }
}

/// About the elements of a value, or as many as take as long.
pub fn elements(entry: &Entry<'_>) -> usize {
    match entry.content() {
        Content::Collection(KeptRef::Large(large)) => large.elements(),
        Content::Collection(_) => COMPACT_ELEMENTS,
        Content::String(value) => value.len() / BYTES_PER_ELEMENT,
    }
}

/// The elements of the command's n-th key.
pub fn of_key(cx: &Exec<'_>, args: Args<'_>, n: usize) -> usize {
    if n >= cx.keys_len() {
        return 0;
    }
    cx.look(cx.key(args, n)).map_or(0, |entry| elements(&entry))
}

/// The elements of all its keys from the `FROM`-th on: for those that go over everything.
pub fn of_all<const FROM: usize>(cx: &Exec<'_>, args: Args<'_>) -> usize {
    (FROM..cx.keys_len()).map(|n| of_key(cx, args, n)).sum()
}

/// As many as the smallest of these has, for each: for those that look for its elements in the others.
pub fn of_smallest<const FROM: usize>(cx: &Exec<'_>, args: Args<'_>) -> usize {
    let keys = FROM..cx.keys_len();
    keys.clone().map(|n| of_key(cx, args, n)).min().unwrap_or(0).saturating_mul(keys.len())
}

/// As many as the first of these has, for each: for those that look for its elements in the others.
pub fn of_first<const FROM: usize>(cx: &Exec<'_>, args: Args<'_>) -> usize {
    of_key(cx, args, FROM).saturating_mul(cx.keys_len().saturating_sub(FROM))
}

/// All of its first key, for those to which one is little.
pub fn of_scan(cx: &Exec<'_>, args: Args<'_>) -> usize {
    of_key(cx, args, 0) / SCANNED_PER_ELEMENT
}

/// As many of its first key as the argument behind that says: a negative count is not bounded by what there is.
pub fn of_count(cx: &Exec<'_>, args: Args<'_>) -> usize {
    let count = args.opt(2).and_then(parse_i64).unwrap_or(1);
    match usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX) {
        many @ ELEMENTS_AT_ONCE.. if count > 0 => many.min(of_key(cx, args, 0)),
        many if cx.keys_len() == 1 && count < 0 => many.saturating_mul(of_key(cx, args, 0).min(1)),
        few => few,
    }
}

/// What the first key's string grows by, if it has to be longer than this.
pub fn of_growth(cx: &Exec<'_>, args: Args<'_>, bytes: usize) -> usize {
    let elements = bytes / BYTES_PER_ELEMENT;
    if elements <= ELEMENTS_AT_ONCE { 0 } else { elements.saturating_sub(of_key(cx, args, 0)) }
}
