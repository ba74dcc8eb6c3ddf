//! The hash family: fields with values, and since Valkey 9 with an expiry each.

mod ex_options;
mod hdel;
mod hexists;
mod hexpire;
mod hget;
mod hgetall;
mod hgetdel;
mod hgetex;
mod hincrby;
mod hlen;
mod hmget;
mod hpersist;
mod hrandfield;
mod hscan;
mod hset;
mod hsetex;
mod hsetnx;
mod hstrlen;
mod httl;

use swell_wire::{Arg, Args, OwnedArgs};

use crate::commands::grammar::{plain_arg, word_arg};
use crate::commands::options::{TimeBase, TimeUnit, expire_at_signed, is_word};
use crate::error::Fault;
use crate::exec::Exec;
use crate::key::Key;
use crate::notify::Class;
use crate::number::parse_i64;
use crate::spec::{ArgDoc, ArgKind, Spec};
use crate::value::hash::{Hash, HashRef};

/// The family's commands, by name.
pub static SPECS: &[&Spec] = &[
    &hdel::HDEL,
    &hexists::HEXISTS,
    &hexpire::HEXPIRE,
    &hexpire::HEXPIREAT,
    &httl::HEXPIRETIME,
    &hget::HGET,
    &hgetall::HGETALL,
    &hgetdel::HGETDEL,
    &hgetex::HGETEX,
    &hincrby::HINCRBY,
    &hincrby::HINCRBYFLOAT,
    &hgetall::HKEYS,
    &hlen::HLEN,
    &hmget::HMGET,
    &hset::HMSET,
    &hpersist::HPERSIST,
    &hexpire::HPEXPIRE,
    &hexpire::HPEXPIREAT,
    &httl::HPEXPIRETIME,
    &httl::HPTTL,
    &hrandfield::HRANDFIELD,
    &hscan::HSCAN,
    &hset::HSET,
    &hsetex::HSETEX,
    &hsetnx::HSETNX,
    &hstrlen::HSTRLEN,
    &httl::HTTL,
    &hgetall::HVALS,
];

const NAMES: ArgDoc = ArgDoc { multiple: true, ..plain_arg("field", ArgKind::String) };

/// FIELDS, their number, their names.
const FIELDS: ArgDoc = ArgDoc {
    token: "FIELDS",
    arguments: &[plain_arg("numfields", ArgKind::Integer), NAMES],
    ..plain_arg("fields", ArgKind::Block)
};

/// Fields and values in turn.
const PAIRS: ArgDoc = ArgDoc {
    multiple: true,
    arguments: &[plain_arg("field", ArgKind::String), plain_arg("value", ArgKind::String)],
    ..plain_arg("data", ArgKind::Block)
};

const CONDITIONS: &[ArgDoc] = &[word_arg("nx", "NX"), word_arg("xx", "XX"), word_arg("gt", "GT"), word_arg("lt", "LT")];

/// The number behind FIELDS is not that of the fields.
const WRONG_NUMBER: Fault =
    Fault::say("ERR numfields should be greater than 0 and match the provided number of fields");

/// The hash at the command's key, for reading; nothing where the key is missing.
#[inline]
fn read<'x>(cx: &'x mut Exec<'_>, args: Args<'_>) -> Result<Option<HashRef<'x>>, Fault> {
    cx.read(cx.key(args, 0)).map(|entry| entry.collection::<Hash>()).transpose()
}

/// The word FIELDS, searched from argument `from`, that has something behind it.
fn find_fields(args: Args<'_>, from: usize) -> Option<usize> {
    (from..args.len().saturating_sub(1)).find(|&at| is_word(args.slice(at), "FIELDS"))
}

/// What stands behind FIELDS (argument `at`) and the number, `each` arguments for a field.
///
/// # Errors
/// [`Fault::NotInteger`]; `wrong_number` where the number does not fit.
fn counted<'a>(args: Args<'a>, at: usize, each: usize, wrong_number: Fault) -> Result<Args<'a>, Fault> {
    let number = parse_i64(args.opt(at + 1).ok_or(Fault::Syntax)?).ok_or(Fault::NotInteger)?;
    let fields = args.from(at + 2);
    let fits = usize::try_from(number).ok().and_then(|number| number.checked_mul(each));
    if number > 0 && fits == Some(fields.len()) { Ok(fields) } else { Err(wrong_number) }
}

/// The fields of a command that has FIELDS right behind its key.
fn plain_fields<'a>(args: Args<'a>, wrong_number: Fault) -> Result<Args<'a>, Fault> {
    if !is_word(args.slice(2), "FIELDS") {
        return Err(Fault::Syntax);
    }
    counted(args, 2, 1, wrong_number)
}

/// The Unix time in ms that an expiry argument means: zero is legal and lies in the past, less is not.
fn expire_time(arg: &[u8], unit: TimeUnit, base: TimeBase, cx: &Exec<'_>, command: &'static str) -> Result<u64, Fault> {
    let amount = parse_i64(arg).ok_or(Fault::NotInteger)?;
    let at_ms = expire_at_signed(arg, unit, base, cx.now_ms(), command)?;
    u64::try_from(at_ms).ok().filter(|_| amount >= 0).ok_or(Fault::InvalidExpire(command))
}

/// Tells that fields were set; before that, if one of them had expired and nobody had come by to say so.
fn tell_set(cx: &Exec<'_>, key: Key<'_>, event: &str, revives: bool) {
    if revives {
        cx.notify(Class::HASH, "hexpired", key);
    }
    cx.notify(Class::HASH, event, key);
}

/// `hdel key field…`: what becomes of fields whose time has come, or that were asked for with HGETDEL.
fn delete_effect(key: Key<'_>, fields: &[&[u8]]) -> OwnedArgs {
    let mut args = OwnedArgs::from_slices(&[b"hdel", key.bytes]);
    fields.iter().for_each(|field| args.push(field));
    args
}

/// `hpexpireat key at FIELDS n field…`, or `hpersist key FIELDS n field…`.
fn expiry_effect(key: Key<'_>, at_ms: Option<u64>, fields: &[&[u8]]) -> OwnedArgs {
    let mut args = match at_ms {
        Some(at_ms) => OwnedArgs::from_slices(&[b"hpexpireat", key.bytes, at_ms.to_string().as_bytes()]),
        None => OwnedArgs::from_slices(&[b"hpersist", key.bytes]),
    };
    args.push(b"FIELDS");
    args.push(fields.len().to_string().as_bytes());
    fields.iter().for_each(|field| args.push(field));
    args
}

/// A command that sets one field to a value with this expiry, whatever was there.
fn set_effect(key: Key<'_>, field: &[u8], value: Arg<'_>, expire_at_ms: Option<u64>) -> OwnedArgs {
    let mut args = match expire_at_ms {
        None => OwnedArgs::from_slices(&[b"hset", key.bytes]),
        Some(at_ms) => {
            OwnedArgs::from_slices(&[b"hsetex", key.bytes, b"PXAT", at_ms.to_string().as_bytes(), b"FIELDS", b"1"])
        }
    };
    args.push(field);
    match value {
        Arg::Slice(bytes) => args.push(bytes),
        Arg::Segments(segments) => args.push_segments(segments.clone()),
    }
    args
}
