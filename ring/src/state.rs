//! The cache state document: settings and the like that must hold on every proxy and node at once. The ring carries it
//! with a version and does not know what it says; the engine reads it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What holds for a whole cache, by name. A change has a higher version and is pushed like the slot map.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheState {
    /// 0: nobody has changed anything yet.
    pub version: u64,
    pub entries: BTreeMap<String, String>,
}

impl CacheState {
    /// The next version, with these entries written over the old ones.
    pub fn changed(&self, entries: impl IntoIterator<Item = (String, String)>) -> CacheState {
        let mut next = CacheState { version: self.version + 1, entries: self.entries.clone() };
        next.entries.extend(entries);
        next
    }
}
