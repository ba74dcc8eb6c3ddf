//! Which keys, channels and databases a selector reaches.

use std::collections::BTreeSet;

use crate::glob;

/// What is done with a key, or may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyAccess {
    pub read: bool,
    pub write: bool,
}

impl KeyAccess {
    pub const BOTH: KeyAccess = KeyAccess { read: true, write: true };

    /// Whether everything that is `wanted` may be done.
    #[inline]
    pub fn covers(self, wanted: KeyAccess) -> bool {
        (self.read || !wanted.read) && (self.write || !wanted.write)
    }
}

/// Keys that match a pattern, and what may be done with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPattern {
    pub access: KeyAccess,
    pub pattern: Box<[u8]>,
}

/// The keys of a selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    All,
    Some(Vec<KeyPattern>),
}

impl Keys {
    /// Adds a pattern; one that is there may do more from now on. False: all are in already.
    pub fn add(&mut self, access: KeyAccess, pattern: &[u8]) -> bool {
        let Keys::Some(patterns) = self else { return false };
        match patterns.iter_mut().find(|known| *known.pattern == *pattern) {
            Some(known) => {
                known.access.read |= access.read;
                known.access.write |= access.write;
            }
            None => patterns.push(KeyPattern { access, pattern: pattern.into() }),
        }
        // However it was said: where it is written it reads as all keys.
        if patterns.iter().any(|known| known.access == KeyAccess::BOTH && *known.pattern == *b"*") {
            *self = Keys::All;
        }
        true
    }

    /// Whether this may be done with this key.
    pub fn allow(&self, key: &[u8], wanted: KeyAccess) -> bool {
        match self {
            Keys::All => true,
            Keys::Some(patterns) => {
                patterns.iter().any(|known| known.access.covers(wanted) && glob::matches(&known.pattern, key))
            }
        }
    }

    /// Whether every key may be read, whatever it is called.
    pub fn read_all(&self) -> bool {
        match self {
            Keys::All => true,
            Keys::Some(patterns) => patterns.iter().any(|known| known.access.read && *known.pattern == *b"*"),
        }
    }
}

/// The channels of a selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channels {
    All,
    Some(Vec<Box<[u8]>>),
}

impl Channels {
    /// Adds a pattern. False: all are in already.
    pub fn add(&mut self, pattern: &[u8]) -> bool {
        let Channels::Some(patterns) = self else { return false };
        if !patterns.iter().any(|known| **known == *pattern) {
            patterns.push(pattern.into());
        }
        true
    }

    /// Whether this channel may be used; a pattern of channels only if it is one of those here, letter for letter.
    pub fn allow(&self, channel: &[u8], is_pattern: bool) -> bool {
        match self {
            Channels::All => true,
            Channels::Some(patterns) if is_pattern => patterns.iter().any(|known| **known == *channel),
            Channels::Some(patterns) => patterns.iter().any(|known| glob::matches(known, channel)),
        }
    }
}

/// The databases of a selector; numbers beyond those that there are may be named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Databases {
    All,
    Some(BTreeSet<u32>),
}

impl Databases {
    /// Whether this one may be used.
    #[inline]
    pub fn allow(&self, number: u32) -> bool {
        match self {
            Databases::All => true,
            Databases::Some(numbers) => numbers.contains(&number),
        }
    }
}
