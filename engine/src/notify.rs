//! Keyspace notifications: their classes, what one says, and who is told. Bodies tell through
//! [`Exec::notify`](crate::exec::Exec::notify).

use std::fmt;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

use crate::engine::Engine;
use crate::key::{DATABASES, Db};

/// Who is told of events: called at once, under the lock of the key's stripe, so that each key's events come in the order
/// of its changes. Must be quick and must not call the engine.
pub type Notifier = Box<dyn Fn(KeyEvent<'_>) + Send + Sync>;

/// What has happened to one key.
#[derive(Clone, Copy, Debug)]
pub struct KeyEvent<'a> {
    /// One class, neither `K` nor `E`: those say on which channels it is told.
    pub class: Class,
    /// `set`, `del`, `expired` …
    pub event: &'a str,
    /// The database by the number that clients know it by.
    pub db: u8,
    pub key: &'a [u8],
}

/// A set of classes of events, as `notify-keyspace-events` names them.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Class(u16);

impl Class {
    pub const NONE: Class = Class(0);
    /// `K`: told on `__keyspace@<db>__:<key>`.
    pub const KEYSPACE: Class = Class(1);
    /// `E`: told on `__keyevent@<db>__:<event>`.
    pub const KEYEVENT: Class = Class(1 << 1);
    /// `g`: what any type knows: `del`, `expire`, `rename_from` …
    pub const GENERIC: Class = Class(1 << 2);
    /// `$`
    pub const STRING: Class = Class(1 << 3);
    /// `l`
    pub const LIST: Class = Class(1 << 4);
    /// `s`
    pub const SET: Class = Class(1 << 5);
    /// `h`
    pub const HASH: Class = Class(1 << 6);
    /// `z`
    pub const SORTED_SET: Class = Class(1 << 7);
    /// `x`: a key has expired.
    pub const EXPIRED: Class = Class(1 << 8);
    /// `e`: a key was evicted.
    pub const EVICTED: Class = Class(1 << 9);
    /// `t`
    pub const STREAM: Class = Class(1 << 10);
    /// `m`: a key that was to be read is not there. Not part of `A`.
    pub const MISS: Class = Class(1 << 11);
    /// `d`: what modules tell; there are none.
    pub const MODULE: Class = Class(1 << 12);
    /// `n`: a key was created. Not part of `A`.
    pub const NEW: Class = Class(1 << 13);
    /// `A`: every class but `m` and `n`.
    pub const ALL: Class = Class(
        Self::GENERIC.0
            | Self::STRING.0
            | Self::LIST.0
            | Self::SET.0
            | Self::HASH.0
            | Self::SORTED_SET.0
            | Self::EXPIRED.0
            | Self::EVICTED.0
            | Self::STREAM.0
            | Self::MODULE.0,
    );

    /// The classes by their letters, in the order in which they are printed; those behind `A`'s come after it.
    const LETTERS: [(Class, char); 14] = [
        (Self::GENERIC, 'g'),
        (Self::STRING, '$'),
        (Self::LIST, 'l'),
        (Self::SET, 's'),
        (Self::HASH, 'h'),
        (Self::SORTED_SET, 'z'),
        (Self::EXPIRED, 'x'),
        (Self::EVICTED, 'e'),
        (Self::STREAM, 't'),
        (Self::MODULE, 'd'),
        (Self::NEW, 'n'),
        (Self::KEYSPACE, 'K'),
        (Self::KEYEVENT, 'E'),
        (Self::MISS, 'm'),
    ];

    /// What both have.
    pub const fn and(self, other: Class) -> Class {
        Class(self.0 | other.0)
    }

    /// Whether they have a class in common.
    #[inline]
    pub const fn meets(self, other: Class) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether this has all classes of the other.
    pub const fn holds(self, other: Class) -> bool {
        self.0 & other.0 == other.0
    }

    /// The letters of all its classes, so that reading them gives the same again.
    pub fn in_full(self) -> String {
        Self::LETTERS.iter().filter(|(class, _)| self.meets(*class)).map(|(_, letter)| *letter).collect()
    }

    /// Reads a value of `notify-keyspace-events`, each letter a class; nothing where one is none.
    pub fn parse(text: &[u8]) -> Option<Class> {
        text.iter().try_fold(Class::NONE, |classes, letter| {
            let letter = char::from(*letter);
            let known = || Self::LETTERS.iter().find(|(_, known)| *known == letter).map(|(class, _)| *class);
            let class = if letter == 'A' { Some(Class::ALL) } else { known() };
            Some(classes.and(class?))
        })
    }
}

impl fmt::Display for Class {
    /// As Valkey prints them: all of `A` in one letter, and then `n` is not said at all, although it holds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_all = self.holds(Class::ALL);
        if is_all {
            f.write_str("A")?;
        }
        let in_all = Class::ALL.and(Class::NEW);
        let shown = |class: Class| self.meets(class) && !(is_all && in_all.meets(class));
        Self::LETTERS.iter().filter(|(class, _)| shown(*class)).try_for_each(|(_, letter)| write!(f, "{letter}"))
    }
}

impl fmt::Debug for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Class({self})")
    }
}

/// The classes that are told, changed while running.
#[derive(Debug, Default)]
pub(crate) struct LiveClasses(AtomicU16);

impl LiveClasses {
    #[inline]
    pub fn now(&self) -> Class {
        Class(self.0.load(Relaxed))
    }

    pub fn set(&self, classes: Class) {
        self.0.store(classes.0, Relaxed);
    }
}

impl Engine {
    /// From now on this is told of events, as far as the settings name their classes and `K` or `E`. Only the first call
    /// counts.
    pub fn use_notifier(&self, notifier: Notifier) {
        let _ = self.notifier.set(notifier);
    }

    /// Tells of an event whose class is wanted. `db` is where the key's database lives. The key's stripe is locked.
    #[cold]
    #[inline(never)]
    pub(crate) fn tell(&self, class: Class, event: &str, db: Db, key: &[u8]) {
        let channels = Class::KEYSPACE.and(Class::KEYEVENT);
        if let Some(notifier) = self.notifier.get()
            && self.settings().notified().meets(channels)
        {
            notifier(KeyEvent { class, event, db: self.number_of(db), key });
        }
    }

    /// The number that clients know a database by, given where it lives.
    fn number_of(&self, place: Db) -> u8 {
        let lives_there = |number: &u8| Db::new((*number).into()).is_some_and(|db| self.map_db(db) == place);
        (0..DATABASES as u8).find(lives_there).unwrap_or(place.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::all_dbs;

    /// What valkey-server 9.1 answers to CONFIG GET after CONFIG SET.
    #[test]
    fn classes_are_read_and_printed_as_valkey_does() {
        for (written, printed) in [
            ("", ""),
            ("KEA", "AKE"),
            ("KEg$lshzxetmnd", "AKEm"),
            ("KExe", "xeKE"),
            ("KEtdm", "tdKEm"),
            ("KEnA", "AKE"),
            ("nKEgm", "gnKEm"),
            ("gmndKE", "gdnKEm"),
            ("lsKn", "lsnK"),
            ("n", "n"),
            ("gg", "g"),
        ] {
            let classes = Class::parse(written.as_bytes()).unwrap();
            assert_eq!(classes.to_string(), printed, "{written}");
        }
        for bad in ["q", "KEA ", "kea", "g g", "a", "\0", "é"] {
            assert_eq!(Class::parse(bad.as_bytes()), None, "{bad}");
        }
        let printed_without_new = Class::parse(b"KEAn").unwrap();
        assert!(printed_without_new.meets(Class::NEW));
        assert_eq!(Class::parse(printed_without_new.in_full().as_bytes()), Some(printed_without_new));
        assert!(!Class::ALL.meets(Class::MISS.and(Class::NEW)));
    }

    #[test]
    fn databases_are_told_by_the_number_that_clients_know() {
        let engine = Engine::new(1);
        let db = |number| Db::new(number).unwrap();
        engine.swap_db(db(1), db(5));
        engine.swap_db(db(5), db(7));
        for client in all_dbs() {
            assert_eq!(engine.number_of(engine.map_db(client)), client.number());
        }
    }
}
