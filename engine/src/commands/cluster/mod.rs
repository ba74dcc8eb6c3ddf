//! The cluster commands: what cluster clients ask to find out who serves which slot.

mod keysinslot;
mod nodes;
mod readonly;

use crate::spec::Spec;

/// Sorted by name.
pub static SPECS: &[&Spec] = &[
    &readonly::ASKING,
    &nodes::CLUSTER,
    &keysinslot::COUNTKEYSINSLOT,
    &keysinslot::GETKEYSINSLOT,
    &nodes::HELP,
    &nodes::INFO,
    &nodes::KEYSLOT,
    &nodes::MYID,
    &nodes::NODES,
    &nodes::SHARDS,
    &nodes::SLOTS,
    &readonly::READONLY,
    &readonly::READWRITE,
];
