//! What scripts reach beyond the data: the clock, and the commands that a proxy answers.

use swell_wire::{Args, Out, Proto};

use crate::commands::table::Command;
use crate::key::Db;

/// Whom a script runs for, as far as commands of a proxy care.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    pub db: Db,
    pub proto: Proto,
}

/// The proxy in the same process.
pub trait Outside: Send + Sync {
    /// Answers a command whose body is a proxy's. Never late, never waits for a stripe: the script holds some.
    fn call(&self, command: Command, caller: &Caller, args: Args<'_>, out: &mut Out);
}
