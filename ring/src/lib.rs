//! Slots and who owns them: key to slot here; epochs, the slot map and placement come with the nodes.

pub mod slot;

pub use slot::{SLOTS, Slot, hash_tag, slot_of};
