//! What a node has to do because of a hand-over or a slot map.

use swell_ring::{Epoch, SlotSet};

use super::message::{FromSource, FromTarget, Group, HandoverId};

/// One thing to do. A step's actions are done in their order; the gates of one action change under the locks of all
/// stripes concerned, before the next action begins. In particular a message goes out only when what it says is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a stream to the target and copy the group. Report `Copied`, `CopyDrained`, `StreamBroken`.
    StartCopy { group: Group, target_address: String, bytes_per_second_max: u64 },
    /// The slots' gates are Sealed, all of them; then the rest of the spool, the counts and the end go out. Report
    /// `StreamSent` or `StreamBroken`.
    Seal { id: HandoverId, slots: SlotSet },
    /// The stream is not wanted any more, if it still runs.
    StopStream { id: HandoverId },
    /// Gates Dark, and whatever lay there is gone, also what is still being freed. Report `Prepared` when it is so.
    Prepare { group: Group },
    /// The import is over: what came is dropped, the gates are Released.
    Abandon { id: HandoverId, slots: SlotSet },
    /// Gates Serving, with the data that is there (the source's own, or what was imported).
    Serve { slots: SlotSet },
    /// Drop whatever is there (a slot's table is taken away in one piece and freed later); gates Serving.
    ServeEmpty { slots: SlotSet },
    /// Gates Released; the data stays.
    Release { slots: SlotSet },
    /// Gates Released; the data is freed in slices.
    Free { slots: SlotSet },
    /// To the driver.
    Source(FromSource),
    /// To the driver.
    Target(FromTarget),
    /// To the scaler: gates are as this map says (and the node's view moves on to it).
    Seen(Epoch),
}

impl Action {
    /// Whether it is something to say and not something to do.
    pub(super) fn is_message(&self) -> bool {
        matches!(self, Action::Source(_) | Action::Target(_) | Action::Seen(_))
    }
}
