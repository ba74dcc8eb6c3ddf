//! Memcached's verbs: a second table of the same rows over the same entries as Redis's strings.
//!
//! Arguments are the tokens of the command line; a storage verb's data block is the last one. `noreply` never gets
//! here: the proxy drops the reply.

mod append;
mod cas;
mod decr;
mod delete;
mod doc;
mod fault;
mod flush_all;
mod gat;
mod get;
mod item;
mod quit;
mod set;
pub mod stat;
mod stats;
mod touch;
mod verbosity;
mod version;

use crate::spec::Spec;

/// All verbs, sorted by name.
pub static SPECS: &[&Spec] = &[
    &set::ADD,
    &append::APPEND,
    &cas::CAS,
    &decr::DECR,
    &delete::DELETE,
    &flush_all::FLUSH_ALL,
    &gat::GAT,
    &gat::GATS,
    &get::GET,
    &get::GETS,
    &decr::INCR,
    &append::PREPEND,
    &quit::QUIT,
    &set::REPLACE,
    &set::SET,
    &stats::STATS,
    &touch::TOUCH,
    &verbosity::VERBOSITY,
    &version::VERSION,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Begin, Body, Find};

    #[test]
    fn rows_are_sorted_and_their_keys_lie_inside_the_shortest_line() {
        assert!(SPECS.windows(2).all(|pair| pair[0].name < pair[1].name));
        for spec in SPECS {
            let shortest = spec.arity.unsigned_abs() as usize;
            match (&spec.body, spec.keys) {
                (Body::Keys(_), [keys]) => {
                    assert!(matches!(keys.begin, Begin::Index(at) if at < shortest), "{}", spec.name);
                    assert!(matches!(keys.find, Find::Range { step: 1, .. }), "{}", spec.name);
                }
                (Body::Session, []) => {}
                _ => panic!("{}: a verb has one group of keys or the proxy answers it", spec.name),
            }
        }
    }
}
