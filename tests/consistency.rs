//! What clients see of single keys, in real processes, while slots move, nodes and proxies are killed and links break.
//! Every client keeps book; every key's history is checked in the end.
//!
//! `SWELL_CONSISTENCY_SECONDS=n` makes each test work for that long; `SWELL_CONSISTENCY_SEED=n` makes all random choices
//! begin with it. What threads and processes do when is chance all the same.

mod cells;
mod checks;
mod clients;
mod cluster;
mod cutter;
mod faults;
mod history;
mod kills;
mod linear;
mod moves;
mod resets;
mod run;
