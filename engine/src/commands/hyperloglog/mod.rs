//! The HyperLogLog family: counting different elements, about, in 12 KiB.

mod estimate;
mod hash;
mod pfadd;
mod pfcount;
mod pfdebug;
mod pfmerge;
mod registers;

use crate::spec::Spec;

/// The family's commands, by name.
pub static SPECS: &[&Spec] =
    &[&pfadd::PFADD, &pfcount::PFCOUNT, &pfdebug::PFDEBUG, &pfmerge::PFMERGE, &pfdebug::PFSELFTEST];
