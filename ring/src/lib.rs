//! Slots and who owns them: key to slot, sets of slots, epochs, the slot map, placement on the hash ring, the cache
//! state document.

pub mod arc;
pub mod epoch;
pub mod map;
pub mod placement;
mod points;
pub mod slot;
pub mod slots;
pub mod state;

pub use arc::{SlotArc, arc_slots, arcs};
pub use epoch::Epoch;
pub use map::{Member, NodeId, SlotMap, all_slots};
pub use placement::{Candidate, Move, moves, place};
pub use slot::{SLOTS, Slot, hash_tag, slot_of};
pub use slots::SlotSet;
pub use state::CacheState;
