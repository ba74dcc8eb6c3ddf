//! The transaction commands.

mod multi;

use crate::spec::Spec;

/// Sorted by name.
pub static SPECS: &[&Spec] = &[&multi::DISCARD, &multi::EXEC, &multi::MULTI];
