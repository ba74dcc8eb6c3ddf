//! A node's process beside its sessions: joining, maps and states, hand-overs, statistics, leaving. Each test drives one
//! or two hosts of this process by a little scaler of its own.

mod data;
mod handover;
mod membership;
mod scaler;
