//! The transaction commands.

mod multi;
mod watch;

use crate::spec::Spec;

/// Sorted by name.
pub static SPECS: &[&Spec] = &[&multi::DISCARD, &multi::EXEC, &multi::MULTI, &watch::UNWATCH, &watch::WATCH];
