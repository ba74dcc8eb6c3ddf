//! The cluster commands.

use crate::spec::Spec;

/// Sorted by name.
pub static SPECS: &[&Spec] = &[];
