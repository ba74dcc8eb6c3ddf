//! The attempts that are over at a node: what it has once called over stays over, whatever arrives late.

use std::collections::BTreeSet;

use super::message::HandoverId;

/// Attempts remembered one by one; older ones are all taken for over.
pub const ENDED_MAX: usize = 4096;

/// Attempts that will never (again) begin here. Driver's ids rise, so a bounded memory is enough: an attempt older than
/// all that are remembered is over too, and at worst a slow message makes the driver try once more with a new id.
#[derive(Clone, Debug, Default)]
pub(super) struct Ended {
    /// This attempt and all before it are over.
    floor: HandoverId,
    ids: BTreeSet<HandoverId>,
}

impl Ended {
    /// Whether this attempt is over. One that is running is not asked for here.
    pub(super) fn contains(&self, id: HandoverId) -> bool {
        id <= self.floor || self.ids.contains(&id)
    }

    /// It is over from now on.
    pub(super) fn insert(&mut self, id: HandoverId) {
        if id > self.floor {
            self.ids.insert(id);
        }
        if self.ids.len() > ENDED_MAX {
            self.floor = self.ids.pop_first().unwrap_or(self.floor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_one_by_one_is_still_over() {
        let mut ended = Ended::default();
        (1..=ENDED_MAX as u64 + 10).map(|id| HandoverId(id * 2)).for_each(|id| ended.insert(id));
        assert_eq!(ended.ids.len(), ENDED_MAX);
        assert!(ended.contains(HandoverId(1)) && ended.contains(HandoverId(2)) && ended.contains(HandoverId(20)));
        assert!(!ended.contains(HandoverId(ENDED_MAX as u64 * 2 + 1)));
    }
}
