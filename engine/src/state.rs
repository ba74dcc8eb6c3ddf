//! The cache state document, read: settings and the permutation of databases.

use swell_ring::CacheState;

use crate::engine::Engine;
use crate::error::Fault;

impl Engine {
    /// Takes a state over.
    pub fn apply_state(&self, _state: &CacheState) -> Result<(), Fault> {
        Ok(())
    }
}
