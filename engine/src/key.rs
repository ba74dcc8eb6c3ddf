//! A key on its way through the engine: its bytes, its hash, its slot, its database.

use swell_ring::{Slot, slot_of};

/// Databases of a cache, as in Redis's default configuration.
pub const DATABASES: usize = 16;

/// A database by the number clients use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Db(u8);

impl Db {
    /// The database with this number; nothing when there is none.
    pub fn new(number: i64) -> Option<Db> {
        (0..DATABASES as i64).contains(&number).then_some(Db(number as u8))
    }

    /// Its number.
    #[inline]
    pub fn number(self) -> u8 {
        self.0
    }

    /// Its number as an index.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// All databases.
pub fn all_dbs() -> impl Iterator<Item = Db> {
    (0..DATABASES as u8).map(Db)
}

/// Hash and slot of one key argument, computed once per request before any lock is taken.
#[derive(Clone, Copy, Debug)]
pub struct KeyHash {
    /// 64-bit hash under the cache's seed.
    pub hash: u64,
    /// Index of the argument.
    pub arg: u32,
    /// The slot.
    pub slot: Slot,
}

/// One key, ready to be looked up. `db` is where the database lives now (after SWAPDB), not the client's number.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    pub bytes: &'a [u8],
    pub hash: u64,
    pub slot: Slot,
    pub db: Db,
}

impl Key<'_> {
    /// The same key in another database.
    pub fn in_db(self, db: Db) -> Self {
        Key { db, ..self }
    }
}

/// Hashes keys under one seed; the same on every node of a cache, so that SCAN cursors outlive a migration.
#[derive(Clone, Copy, Debug)]
pub struct Hasher {
    secrets: rapidhash::v3::RapidSecrets,
}

impl Hasher {
    /// A hasher with a cache's seed.
    pub fn new(seed: u64) -> Self {
        Hasher { secrets: rapidhash::v3::RapidSecrets::seed(seed) }
    }

    /// The hash of a key.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        rapidhash::v3::rapidhash_v3_nano_inline::<true, false>(key, &self.secrets)
    }

    /// Hash and slot of the key at argument `arg`.
    #[inline]
    pub fn key_hash(&self, key: &[u8], arg: usize) -> KeyHash {
        KeyHash { hash: self.hash(key), arg: arg as u32, slot: slot_of(key) }
    }
}
