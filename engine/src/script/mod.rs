//! Scripts and functions: Lua 5.1 in a sandbox, with `redis.call` on the keys of one unit.
//!
//! `sandbox` and `base` make what scripts find, `protect` what they cannot change, `api` is `redis`; `convert` maps
//! values; `cjson`, `cmsgpack`, `struct_` and `bit` are the libraries. `store` and `library` keep bodies, `machine` runs
//! them in one Lua state, `run` is one run with its locks, `execute` decides where it happens, `watch` ends it.

mod api;
mod base;
mod bit;
mod cjson;
mod cmsgpack;
mod convert;
pub mod execute;
pub mod library;
pub mod limits;
mod lua;
mod machine;
pub mod outside;
pub mod payload;
mod protect;
mod run;
mod sandbox;
pub mod state;
pub mod store;
mod struct_;
pub mod watch;

use std::ffi::c_int;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};

use library::{Libraries, Library};
use limits::IDLE_MACHINES_MAX;
use machine::Machine;
use outside::Outside;
use store::{Flags, Habits, Script, Store, lock};
use watch::Watch;

pub use machine::Machine as ScriptMachine;

/// Milliseconds after which a script is told of (`busy-reply-threshold`).
const LIMIT_MS: u64 = 5_000;

/// How a command names what it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// By its body.
    Eval,
    /// By the SHA-1 of that.
    EvalSha,
    /// By a function's name.
    Function,
}

/// What runs.
#[derive(Clone, Debug)]
pub enum Target {
    /// With its function's number in the state that has looked it up, or 0.
    Script(Arc<Script>, c_int),
    /// With the function's place in it.
    Function(Arc<Library>, usize),
}

/// All that an engine has for scripts.
pub struct Scripts {
    pub store: Store,
    pub libraries: Libraries,
    /// Boxed: a state knows where its machine is.
    #[expect(clippy::vec_box, reason = "a machine stays where it is")]
    idle: Mutex<Vec<Box<Machine>>>,
    running: Mutex<Vec<Arc<Watch>>>,
    /// How many of these have passed the time limit.
    slow: AtomicU64,
    limit_ms: AtomicU64,
    clock: OnceLock<fn() -> u64>,
    outside: OnceLock<Box<dyn Outside>>,
    /// Several nodes are possible: a script's keys lie in one slot.
    is_strict: AtomicBool,
    /// How often the cache state has said that scripts are to be forgotten.
    flushes_seen: Mutex<String>,
}

impl Default for Scripts {
    fn default() -> Scripts {
        Scripts {
            store: Store::default(),
            libraries: Libraries::default(),
            idle: Mutex::default(),
            running: Mutex::default(),
            slow: AtomicU64::new(0),
            limit_ms: AtomicU64::new(LIMIT_MS),
            clock: OnceLock::new(),
            outside: OnceLock::new(),
            is_strict: AtomicBool::new(false),
            flushes_seen: Mutex::default(),
        }
    }
}

impl fmt::Debug for Scripts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripts").field("scripts", &self.store.size()).finish_non_exhaustive()
    }
}

impl Scripts {
    /// The time in microseconds since 1970; without, no script is ever too slow. Only the first call counts.
    pub fn use_clock(&self, clock: fn() -> u64) {
        let _ = self.clock.set(clock);
    }

    /// Who answers the commands that are a proxy's. Only the first call counts.
    pub fn use_outside(&self, outside: Box<dyn Outside>) {
        let _ = self.outside.set(outside);
    }

    pub(crate) fn outside(&self) -> Option<&dyn Outside> {
        self.outside.get().map(|outside| &**outside)
    }

    /// Whether keys must lie in one slot.
    pub fn is_strict(&self) -> bool {
        self.is_strict.load(Relaxed)
    }

    pub fn set_strict(&self, is_strict: bool) {
        self.is_strict.store(is_strict, Relaxed);
    }

    /// A state that nobody uses, or a new one.
    pub(crate) fn take_machine(&self, random: u64) -> Box<Machine> {
        let idle = lock(&self.idle).pop();
        idle.unwrap_or_else(|| Machine::new(random))
    }

    /// A state is not used any longer.
    pub(crate) fn give_machine(&self, machine: Box<Machine>) {
        let mut idle = lock(&self.idle);
        if idle.len() < IDLE_MACHINES_MAX {
            idle.push(machine);
        }
    }

    /// Compiles a body and keeps it (SCRIPT LOAD).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn load(&self, body: &[u8]) -> Result<Arc<Script>, crate::Fault> {
        let script = Arc::new(Script::read(api::hex(body), body)?);
        let mut machine = self.take_machine(0);
        let compiled = machine.compile(&script);
        self.give_machine(machine);
        compiled?;
        self.store.keep(body, true)
    }
}

impl Target {
    fn habits(&self) -> &Habits {
        match self {
            Target::Script(script, _) => &script.habits,
            Target::Function(library, at) => &library.functions[*at].habits,
        }
    }

    /// What it says of itself; nothing if that is for what it does to show.
    fn flags(&self) -> Option<Flags> {
        match self {
            Target::Script(script, _) => script.flags,
            Target::Function(library, at) => Some(library.functions[*at].flags),
        }
    }

    /// The same for another state.
    fn elsewhere(&self) -> Target {
        match self {
            Target::Script(script, _) => Target::Script(script.clone(), 0),
            Target::Function(..) => self.clone(),
        }
    }

    fn name(&self) -> String {
        match self {
            Target::Script(script, _) => String::from_utf8_lossy(&script.sha).into_owned(),
            Target::Function(library, at) => library.functions[*at].name.clone(),
        }
    }
}
