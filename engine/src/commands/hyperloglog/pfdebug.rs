//! PFDEBUG, PFSELFTEST: for tests of the server.

use swell_wire::{Args, Out};

use super::estimate::estimate;
use super::registers::{Hll, REGISTERS, View, element};
use crate::commands::grammar::{KEY, keys_at, plain_arg};
use crate::commands::options::is_word;
use crate::entry::NewValue;
use crate::error::Fault;
use crate::exec::{Exec, McField, Reply, Ttl};
use crate::key::Key;
use crate::spec::*;

/// PFSELFTEST adds this many elements: it runs while everything else waits.
const TESTED_ELEMENTS: u64 = 10_000;
/// An estimate may be this far off: six times the standard error, which is 1.04 / √16384.
const TESTED_ERROR: f64 = 6.0 * 1.04 / 128.0;

/// PFDEBUG.
pub static PFDEBUG: Spec = Spec {
    name: "pfdebug",
    summary: "Looks into how a HyperLogLog is kept.",
    since: "2.8.9",
    complexity: "O(1)",
    group: Group::HyperLogLog,
    arity: 3,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::ADMIN),
    acl: Acl::WRITE.and(Acl::HYPERLOGLOG).and(Acl::ADMIN).and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[keys_at(2, 0, Access::Write, &["RW", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[plain_arg("subcommand", ArgKind::String), KEY],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(pfdebug),
};

/// PFSELFTEST.
pub static PFSELFTEST: Spec = Spec {
    name: "pfselftest",
    summary: "Tests the HyperLogLog code of the server.",
    since: "2.8.9",
    complexity: "O(1), with a large constant",
    group: Group::HyperLogLog,
    arity: 1,
    flags: Flags::ADMIN,
    acl: Acl::HYPERLOGLOG.and(Acl::ADMIN).and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Whole(pfselftest),
};

fn pfdebug(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let word = args.slice(1);
    if is_word(word, "SIMD") {
        return simd(args.slice(2), out);
    }
    let key = cx.key(args, 0);
    let entry = cx.write_lookup(key).ok_or(Fault::say("ERR The specified key does not exist"))?;
    let bytes = entry.string()?.to_bytes();
    let view = View::new(&bytes)?;
    if is_word(word, "GETREG") {
        let mut hll = Hll::from_view(view);
        let converted = hll.make_dense()?;
        out.array(REGISTERS);
        (0..REGISTERS).for_each(|index| out.int(hll.view().dense_register(index).into()));
        if converted {
            store(cx, key, hll);
        }
    } else if is_word(word, "DECODE") {
        match view.runs_in_words()? {
            Some(words) => out.bulk(words.as_bytes()),
            None => return Err(Fault::say("ERR HLL encoding is not sparse")),
        }
    } else if is_word(word, "ENCODING") {
        out.simple(if view.is_dense() { "dense" } else { "sparse" });
    } else if is_word(word, "TODENSE") {
        let mut hll = Hll::from_view(view);
        let converted = hll.make_dense()?;
        if converted {
            store(cx, key, hll);
        }
        out.int(converted.into());
    } else {
        let quoted = String::from_utf8_lossy(word);
        return Err(Fault::Other(format!("ERR Unknown PFDEBUG subcommand '{quoted}'").into()));
    }
    Ok(())
}

/// There is one way of counting here, which the compiler makes what it can of.
fn simd(switch: &[u8], out: &mut Out) -> Reply {
    if !is_word(switch, "ON") && !is_word(switch, "OFF") {
        return Err(Fault::say("ERR Argument must be ON or OFF"));
    }
    out.simple("disabled");
    Ok(())
}

/// Whether both encodings agree with each other, and estimates with what was added.
fn pfselftest(_: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Reply {
    let (mut sparse, mut dense) = (Hll::new(), Hll::new());
    dense.make_dense()?;
    let mut checkpoint = 1;
    for number in 1..=TESTED_ELEMENTS {
        let element = element(&number.to_le_bytes());
        sparse.raise(element, usize::MAX)?;
        dense.raise(element, usize::MAX)?;
        if number == checkpoint {
            let counts = (estimate(&sparse.view().histogram()?), estimate(&dense.view().histogram()?));
            if counts.0 != counts.1 {
                return Err(Fault::say("ERR TESTFAILED dense/sparse disagree"));
            }
            if counts.0.abs_diff(number) as f64 > (TESTED_ERROR * number as f64).ceil() {
                return Err(Fault::say("ERR TESTFAILED Too big error."));
            }
            checkpoint *= 10;
        }
    }
    out.ok();
    Ok(())
}

fn store(cx: &mut Exec<'_>, key: Key<'_>, hll: Hll) {
    cx.put_raw(key, NewValue::Bytes(&hll.into_bytes()), Ttl::Keep, McField::Keep);
}
