//! Telling of events: keyspace notifications, from the bodies of commands and from what they call. Where nobody wants
//! them each costs a look at one word.

use super::Exec;
use crate::entry::EntryPtr;
use crate::key::Key;
use crate::notify::Class;
use crate::table::Position;

impl<'e> Exec<'e> {
    /// Tells of an event, after the change that it speaks of.
    #[inline]
    pub fn notify(&self, class: Class, event: &str, key: Key<'_>) {
        if self.engine.settings().notified().meets(class) {
            self.tell(class, event, key);
        }
    }

    /// Tells of an event that may have taken the last element; then also that the key is gone.
    #[inline]
    pub fn notify_taken(&self, class: Class, event: &str, key: Key<'_>) {
        if self.is_told() {
            self.tell_taken(class, event, key);
        }
    }

    /// Tells that a key is missing, if it is, in a body that looks it up for reading and then changes it.
    #[inline]
    pub fn notify_missing(&mut self, key: Key<'_>) {
        if self.engine.settings().notified().meets(Class::MISS) && self.find(key).is_none() {
            self.tell(Class::MISS, "keymiss", key);
        }
    }

    /// Whether anybody may want to be told of anything.
    #[inline]
    pub fn is_told(&self) -> bool {
        self.engine.settings().notified() != Class::NONE
    }

    /// The entry to overwrite. Where events are told, one that has expired is not overwritten but gone before.
    #[inline]
    pub(super) fn overwritten(&mut self, key: Key<'_>) -> Option<(Position, EntryPtr)> {
        if self.is_told() { self.find_at(key) } else { self.position(key) }
    }

    /// Deletes the key where an empty result would have been stored, expired or not; tells `del`.
    pub fn remove_target(&mut self, key: Key<'_>) -> bool {
        let removed = self.remove_untold(key);
        if removed {
            self.notify(Class::GENERIC, "del", key);
        }
        removed
    }

    /// Deletes a key, expired or not, without telling of an event; says whether it was there.
    pub fn remove_untold(&mut self, key: Key<'_>) -> bool {
        let Some((position, entry)) = self.position(key) else { return false };
        self.delete(key, position, entry);
        true
    }

    #[cold]
    #[inline(never)]
    fn tell(&self, class: Class, event: &str, key: Key<'_>) {
        // What an import brings has happened elsewhere.
        if self.counts {
            self.engine.tell(class, event, key.db, key.bytes);
        }
    }

    #[cold]
    #[inline(never)]
    fn tell_taken(&self, class: Class, event: &str, key: Key<'_>) {
        self.notify(class, event, key);
        if self.position(key).is_none() {
            self.notify(Class::GENERIC, "del", key);
        }
    }
}
