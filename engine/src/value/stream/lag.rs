//! How far a group has read, counted in entries from the first that was ever added: known as long as nothing was
//! deleted in between.

use super::{Group, Log, StreamId};

impl Log {
    /// How many entries were added up to and with the one of this ID, where that can be told.
    pub fn entries_until(&self, id: StreamId) -> Option<u64> {
        if self.entries_added == 0 {
            return Some(0);
        }
        if self.length == 0 && id <= self.last_id {
            return Some(self.entries_added);
        }
        if id != StreamId::MIN && id < self.max_deleted_id {
            return None;
        }
        if id >= self.last_id {
            return (id == self.last_id).then_some(self.entries_added);
        }
        let is_whole = self.max_deleted_id == StreamId::MIN || self.max_deleted_id < self.first_id;
        let before_first = self.entries_added.wrapping_sub(self.length);
        match id.cmp(&self.first_id) {
            std::cmp::Ordering::Less if is_whole => Some(before_first),
            std::cmp::Ordering::Equal if is_whole => Some(before_first.wrapping_add(1)),
            _ => None,
        }
    }

    /// Entries that a group has yet to read, where that can be told.
    pub fn lag(&self, group: &Group) -> Option<i64> {
        if self.entries_added == 0 {
            return Some(0);
        }
        let read = match group.entries_read {
            Some(read) if !self.has_deleted_from(group.last_id) => Some(read),
            _ => self.entries_until(group.last_id).map(|read| read as i64),
        };
        read.map(|read| (self.entries_added as i64).wrapping_sub(read))
    }

    /// A group's count of entries read once it has read the one with this ID.
    pub(super) fn count_read(&self, group: &Group, id: StreamId) -> Option<i64> {
        match group.entries_read {
            Some(read) if group.last_id >= self.first_id && !self.has_deleted_from(group.last_id) => {
                Some(read.wrapping_add(1))
            }
            unknown if self.entries_added == 0 => unknown,
            _ => self.entries_until(id).map(|read| read as i64),
        }
    }

    /// Whether an entry from this ID on may have been deleted by its name.
    fn has_deleted_from(&self, id: StreamId) -> bool {
        self.length > 0 && self.max_deleted_id != StreamId::MIN && id <= self.max_deleted_id
    }
}
