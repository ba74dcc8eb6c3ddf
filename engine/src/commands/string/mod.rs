//! The string family: one value of bytes at a key.

mod append;
mod big;
mod delifeq;
mod get;
mod getdel;
mod getex;
mod getrange;
mod getset;
mod incr;
mod incrbyfloat;
mod lcs;
pub(super) mod long_double;
mod mget;
mod mset;
mod msetex;
mod set;
mod set_options;
mod setex;
mod setnx;
mod setrange;
mod strlen;

use swell_wire::Out;

use crate::entry::Value;
use crate::error::Fault;
use crate::exec::Exec;
use crate::spec::Spec;

/// The family's commands, by name.
pub static SPECS: &[&Spec] = &[
    &append::APPEND,
    &incr::DECR,
    &incr::DECRBY,
    &delifeq::DELIFEQ,
    &get::GET,
    &getdel::GETDEL,
    &getex::GETEX,
    &getrange::GETRANGE,
    &getset::GETSET,
    &incr::INCR,
    &incr::INCRBY,
    &incrbyfloat::INCRBYFLOAT,
    &lcs::LCS,
    &mget::MGET,
    &mset::MSET,
    &msetex::MSETEX,
    &mset::MSETNX,
    &setex::PSETEX,
    &set::SET,
    &setex::SETEX,
    &setnx::SETNX,
    &setrange::SETRANGE,
    &strlen::STRLEN,
    &getrange::SUBSTR,
];

/// Answers a value.
#[inline]
fn bulk(out: &mut Out, value: Value<'_>) {
    match value {
        Value::Slice(bytes) => out.bulk(bytes),
        Value::Segments(segments) => out.bulk_segments(segments),
    }
}

/// Whether a value is these bytes.
fn is_equal(value: Value<'_>, bytes: &[u8]) -> bool {
    value.len() == bytes.len() && value.to_bytes() == bytes
}

/// Refuses a string that would hold `more` bytes after its first `before` and thereby more than `proto-max-bulk-len`.
fn check_length(cx: &Exec<'_>, before: usize, more: usize) -> Result<(), Fault> {
    let fits = before.checked_add(more).is_some_and(|len| len <= cx.engine.settings().string_bytes_max());
    if fits { Ok(()) } else { Err(Fault::StringTooLong) }
}
