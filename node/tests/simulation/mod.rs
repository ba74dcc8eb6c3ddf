//! What is real: the step functions of source, target, ownership (`Local`) and driver, slot maps, gates. What is a
//! model: a node's engine (per slot a few counters and a gate), streams and links (in order, lost as a whole), a proxy's
//! routing and retries, the store, the clock. Control messages are lost, delayed, doubled and reordered; every process
//! crashes. One seed is one run, with nothing else that decides.

mod check;
mod clients;
mod node;
mod proxy;
mod random;
mod scaler;
mod world;

pub use world::run;

/// A rule that is broken on purpose, to see that the checker notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    Nothing,
    /// A command looks at its slot's gate, and takes effect a little later.
    GateBeforeLock,
    /// After a lost link a proxy sends writes again that may have run.
    SentWritesGoAgain,
    /// The driver takes its own `Release` for the source's answer.
    CommitBeforeReleased,
    /// A released source serves again after a while.
    UnsealsAfterReleased,
    /// A target serves as soon as everything has come.
    OpensOnReady,
    /// A released source serves again when a newer map names it, whyever that map was made.
    AnyMapReturns,
    /// A node goes on with a session's later frames after it has refused one.
    RunsBehindRefusal,
}
