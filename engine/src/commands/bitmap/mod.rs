//! The bitmap family: strings as rows of bits.

mod bitcount;
mod bitfield;
mod bitop;
mod bitpos;
mod bits;
mod getbit;
mod integer;
mod setbit;

use crate::spec::Spec;

/// The family's commands, by name.
pub static SPECS: &[&Spec] = &[
    &bitcount::BITCOUNT,
    &bitfield::BITFIELD,
    &bitfield::BITFIELD_RO,
    &bitop::BITOP,
    &bitpos::BITPOS,
    &getbit::GETBIT,
    &setbit::SETBIT,
];
