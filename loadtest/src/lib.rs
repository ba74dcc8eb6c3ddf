//! Load generation for Swell: the workload's shape and, on top of it, the tools behind `swell loadtest`.
//!
//! `workload` and `zipf` say *what* is asked (keys, values, how keys are drawn) and know no sockets;
//! `bench` compares servers over real sockets.

pub mod bench;
pub mod scenario;
pub mod verified;
pub mod workload;
pub mod zipf;
