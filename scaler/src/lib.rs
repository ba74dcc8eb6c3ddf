//! Drives the slot map: members, hand-overs, child processes, the durable store. The one writer of the map.
