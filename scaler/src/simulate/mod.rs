//! The policy in virtual time: ticks of a second over made-up loads, beside other ways to choose the number of nodes.
//!
//! Everything is in units of one node's planning figures: a demand of 2.5 fills two and a half nodes to their limits.
//! A policy sees what nodes measure, not the demand: a node at its end measures no more than it serves.

mod cluster;
pub mod plot;
pub mod report;
mod rivals;
mod run;
pub mod shapes;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use report::Report;
pub use shapes::Shape;

use crate::policy::Tuning;

/// What is simulated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// The most nodes there may be; loads are made to need nearly so many at their peak.
    pub nodes: u32,
    pub seconds: u32,
    pub seed: u64,
    pub machine: Machine,
}

/// The machines that nodes come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// From asking for a node until it serves, without slots.
    pub ready_seconds: u32,
    /// A full node's bytes.
    pub node_memory_bytes: u64,
    /// At which a node takes or gives slots.
    pub move_bytes_per_second: u64,
}

impl Options {
    /// So many nodes for so many hours. A node is ready after a minute, as from a warm pool of virtual machines.
    pub fn new(nodes: u32, hours: f64, seed: u64) -> Options {
        let seconds = (hours.clamp(0.0, HOURS_MAX) * 3600.0) as u32;
        Options { nodes: nodes.clamp(1, NODES_MAX), seconds: seconds.max(1), seed, machine: Machine::default() }
    }

    /// The policy as it is shipped, for these machines.
    pub fn tuning(&self) -> Tuning {
        let fill = self.machine.node_memory_bytes / self.machine.move_bytes_per_second.max(1) / 2;
        Tuning::for_ready_ms(1000 * (u64::from(self.machine.ready_seconds) + fill))
    }
}

impl Default for Machine {
    fn default() -> Machine {
        Machine { ready_seconds: 60, node_memory_bytes: 8 << 30, move_bytes_per_second: 256 << 20 }
    }
}

/// A year.
pub const HOURS_MAX: f64 = 8766.0;

/// As many as there are slots for, more or less.
pub const NODES_MAX: u32 = 10_000;

/// Simulates these shapes, side by side on `threads` threads.
pub fn simulate(options: &Options, shapes: &[Shape], threads: usize) -> Report {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let Some(shape) = shapes.get(at) else { return done };
            done.push((at, report::of_shape(options, *shape)));
        }
    };
    let mut done: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.clamp(1, shapes.len().max(1))).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    });
    done.sort_by_key(|(at, _)| *at);
    Report { options: options.clone(), shapes: done.into_iter().map(|(_, shape)| shape).collect() }
}
