//! DUMP and RESTORE: a value in Redis's own byte form, out and in.

use swell_wire::{Args, Out};

use crate::clock;
use crate::commands::grammar::{key_arg, keys_at, plain_arg, word_arg};
use crate::commands::options::is_word;
use crate::entry::NewValue;
use crate::error::Fault;
use crate::exec::{Exec, McField, Reply, Ttl};
use crate::notify::Class;
use crate::number::parse_i64;
use crate::rdb::{self, BadPayload, Restored, WORK_BYTES};
use crate::spec::*;

const BAD_FOOTER: Fault = Fault::say("ERR DUMP payload version or checksum are wrong");
const BAD_FORMAT: Fault = Fault::say("ERR Bad data format");
const BUSY_KEY: Fault = Fault::say("BUSYKEY Target key name already exists.");
const BAD_TTL: Fault = Fault::say("ERR Invalid TTL value, must be >= 0");
const BAD_IDLE_TIME: Fault = Fault::say("ERR Invalid IDLETIME value, must be >= 0");
const BAD_FREQUENCY: Fault = Fault::say("ERR Invalid FREQ value, must be >= 0 and <= 255");

/// Of a payload: names and values are rarely shorter.
const BYTES_PER_ELEMENT: usize = 24;

/// DUMP.
pub static DUMP: Spec = Spec {
    name: "dump",
    summary: "Answers a value in Redis's own byte form, with version and checksum.",
    since: "2.6.0",
    complexity: "O(N) in the size of the value",
    group: Group::Generic,
    arity: 2,
    flags: Flags::READONLY,
    acl: Acl::KEYSPACE.and(Acl::READ).and(Acl::SLOW),
    keys: &[keys_at(1, 0, Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &["nondeterministic_output"],
    arguments: &[key_arg("key", 0)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(dump),
};

/// RESTORE.
pub static RESTORE: Spec = Spec {
    name: "restore",
    summary: "Makes a key from what DUMP has answered.",
    since: "2.6.0",
    complexity: "O(N) in the size of the value, O(N*log(N)) for sorted sets",
    group: Group::Generic,
    arity: -4,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    acl: Acl::KEYSPACE.and(Acl::WRITE).and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[keys_at(1, 0, Access::Write, &["OW", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        key_arg("key", 0),
        plain_arg("ttl", ArgKind::Integer),
        plain_arg("serialized-value", ArgKind::String),
        ArgDoc { since: "3.0.0", optional: true, ..word_arg("replace", "REPLACE") },
        ArgDoc { since: "5.0.0", optional: true, ..word_arg("absttl", "ABSTTL") },
        ArgDoc { token: "IDLETIME", since: "5.0.0", optional: true, ..plain_arg("seconds", ArgKind::Integer) },
        ArgDoc { token: "FREQ", since: "5.0.0", optional: true, ..plain_arg("frequency", ArgKind::Integer) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(restore, restore_size),
};

fn dump(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let Some(entry) = cx.read(cx.key(args, 0)) else {
        out.null();
        return Ok(());
    };
    let in_slices = rdb::dump_in_slices(&entry, out);
    if in_slices.is_some() {
        cx.defer(in_slices);
        return Ok(());
    }
    let payload = rdb::dump(&entry);
    cx.work(payload.len() as u64 / WORK_BYTES);
    out.bulk(&payload);
    Ok(())
}

/// What may follow the payload.
#[derive(Default)]
struct Options {
    replace: bool,
    absolute: bool,
    idle_s: Option<u64>,
    frequency: Option<u8>,
}

/// Elements of a payload, as long as most are.
fn restore_size(_: &Exec<'_>, args: Args<'_>) -> usize {
    args.get(3).len() / BYTES_PER_ELEMENT
}

/// Arguments are looked at first, then the key, then the payload; a time that has passed leaves no key.
fn restore(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let options = options(args)?;
    let key = cx.key(args, 0);
    if !options.replace && cx.write_lookup(key).is_some() {
        return Err(BUSY_KEY);
    }
    let ttl = parse_i64(args.slice(2)).ok_or(Fault::NotInteger)?;
    let ttl = u64::try_from(ttl).map_err(|_| BAD_TTL)?;
    let tools = cx.tools();
    let value = rdb::restore(args.slice(3), &tools.hasher, &tools.limits).map_err(|bad| match bad {
        BadPayload::Footer => BAD_FOOTER,
        BadPayload::Format => BAD_FORMAT,
    })?;
    cx.work(args.slice(3).len() as u64 / WORK_BYTES);
    let expiry = match ttl {
        0 => Ttl::Clear,
        at if options.absolute => Ttl::At(at),
        after => Ttl::At(cx.now_ms().saturating_add(after)),
    };
    // An effect that is replayed has no time: then nothing has passed.
    if matches!(expiry, Ttl::At(at) if at < cx.now_ms()) {
        cx.remove_target(key);
        out.ok();
        return Ok(());
    }
    cx.remove_untold(key);
    match value {
        Restored::String(bytes) => cx.put(key, NewValue::Bytes(&bytes), expiry, McField::Clear),
        Restored::Collection(kept) => cx.put_kept(key, kept, expiry),
    }
    cx.notify(Class::GENERIC, "restore", key);
    if let Some(clock) = clock(cx, &options) {
        cx.set_clock(key, clock);
    }
    out.ok();
    Ok(())
}

/// The clock that IDLETIME or FREQ ask for, where the policy keeps such a one.
fn clock(cx: &Exec<'_>, options: &Options) -> Option<u32> {
    let is_lfu = cx.engine.settings().policy().is_lfu();
    match (options.idle_s, options.frequency) {
        (Some(seconds), _) if !is_lfu => {
            Some(clock::lru_clock(cx.now_ms().saturating_sub(seconds.saturating_mul(1000))))
        }
        (_, Some(counter)) if is_lfu => Some(clock::lfu_clock(cx.now_ms(), counter)),
        _ => None,
    }
}

fn options(args: Args<'_>) -> Result<Options, Fault> {
    let mut options = Options::default();
    let mut at = 4;
    while at < args.len() {
        let (word, more) = (args.slice(at), at + 1 < args.len());
        if is_word(word, "REPLACE") {
            options.replace = true;
        } else if is_word(word, "ABSTTL") {
            options.absolute = true;
        } else if is_word(word, "IDLETIME") && more && options.frequency.is_none() {
            at += 1;
            let seconds = parse_i64(args.slice(at)).ok_or(Fault::NotInteger)?;
            options.idle_s = Some(u64::try_from(seconds).map_err(|_| BAD_IDLE_TIME)?);
        } else if is_word(word, "FREQ") && more && options.idle_s.is_none() {
            at += 1;
            let counter = parse_i64(args.slice(at)).ok_or(Fault::NotInteger)?;
            options.frequency = Some(u8::try_from(counter).map_err(|_| BAD_FREQUENCY)?);
        } else {
            return Err(Fault::Syntax);
        }
        at += 1;
    }
    Ok(options)
}
