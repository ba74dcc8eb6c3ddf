//! Figures of a node that somebody asks for now and then: keys by database, stored bytes.

use serde::{Deserialize, Serialize};
use swell_engine::key::all_dbs;
use swell_engine::stripe::STRIPES;

use crate::embedded::Node;

/// One database as INFO's keyspace section shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbFigures {
    /// The number clients use.
    pub db: u8,
    pub keys: u64,
    /// Keys with an expiry.
    pub volatile: u64,
}

impl Node {
    /// Every database that has keys, by the number clients use.
    pub fn databases(&self) -> Vec<DbFigures> {
        let sum = |db, volatile| (0..STRIPES).map(|index| self.engine().stripe(index).db_count(db, volatile)).sum();
        all_dbs()
            .filter_map(|logical| {
                let db = self.engine().map_db(logical);
                let keys: u64 = sum(db, false);
                (keys > 0).then(|| DbFigures { db: logical.number(), keys, volatile: sum(db, true) })
            })
            .collect()
    }

    /// Keys, and keys with an expiry, in all databases, as of a moment ago and without a lock.
    pub fn key_counts(&self) -> (u64, u64) {
        let sum = |volatile| (0..STRIPES).map(|index| self.engine().stripe(index).key_count_hint(volatile)).sum();
        (sum(false), sum(true))
    }
}
