//! The hand-over of a group of slots from one node to another while they are used: its messages, and what source,
//! target and driver do about them, as step functions without I/O.
//!
//! *Intent* (durable) → *Copying* → *Sealed* (tail and counts go over) → *Ready* (target) → *Released* (the source will
//! not serve these slots again without a newer map that names it) → *Committed* (the next epoch, durable) → *Serving*
//! (the target opens on seeing it) → the source frees.

//! A node's executor holds a [`local::Local`] and does its actions; the scaler's holds a [`driver::Driver`].

pub mod action;
pub mod driver;
mod ended;
pub mod local;
pub mod message;
pub mod ownership;
pub mod source;
pub mod target;
