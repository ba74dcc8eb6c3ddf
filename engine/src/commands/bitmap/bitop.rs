//! BITOP: strings are combined bit by bit.

use swell_wire::{Args, Out, SEGMENT_BYTES, Segments};

use super::bits::{WORK_BYTES, pieces};
use crate::bulk;
use crate::commands::grammar::{key_arg, keys_at, plain_arg};
use crate::commands::options::is_word;
use crate::entry::{NewValue, Value};
use crate::error::Fault;
use crate::exec::{Exec, McField, Reply, Ttl};
use crate::notify::Class;
use crate::spec::*;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
}

/// A source, while the others are looked up. Long ones are shared.
enum Source {
    Bytes(Vec<u8>),
    Segments(Segments),
}

/// BITOP.
pub static BITOP: Spec = Spec {
    name: "bitop",
    summary: "Combines strings bit by bit and stores the result.",
    since: "2.6.0",
    complexity: "O(N) where N is the number of bytes",
    group: Group::Bitmap,
    arity: -4,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    acl: Acl::WRITE.and(Acl::BITMAP).and(Acl::SLOW),
    keys: &[keys_at(2, 0, Access::Write, &["OW", "update"]), keys_at(3, -1, Access::Read, &["RO", "access"])],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[
        ArgDoc {
            arguments: &[
                ArgDoc { token: "AND", ..plain_arg("and", ArgKind::PureToken) },
                ArgDoc { token: "OR", ..plain_arg("or", ArgKind::PureToken) },
                ArgDoc { token: "XOR", ..plain_arg("xor", ArgKind::PureToken) },
                ArgDoc { token: "NOT", ..plain_arg("not", ArgKind::PureToken) },
            ],
            ..plain_arg("operation", ArgKind::OneOf)
        },
        key_arg("destkey", 0),
        ArgDoc { multiple: true, ..key_arg("key", 1) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(bitop, bulk::of_all::<1>),
};

/// Strings that are shorter than the longest go on with zeroes. Without a byte in any, the destination is deleted.
fn bitop(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let operation = Operation::parse(args.slice(1))?;
    if operation == Operation::Not && cx.keys_len() != 2 {
        return Err(Fault::say("ERR BITOP NOT must be called with a single source key."));
    }
    let mut sources = Vec::with_capacity(cx.keys_len() - 1);
    for index in 1..cx.keys_len() {
        sources.push(match cx.read(cx.key(args, index)) {
            None => Source::Bytes(Vec::new()),
            Some(entry) => match entry.string()? {
                Value::Slice(bytes) => Source::Bytes(bytes.to_vec()),
                Value::Segments(segments) => Source::Segments(segments.clone()),
            },
        });
    }
    let len = sources.iter().map(|source| source.value().len()).max().unwrap_or(0);
    let target = cx.key(args, 0);
    if len == 0 {
        cx.remove_target(target);
    } else {
        cx.put_raw(target, combine(operation, &sources, len), Ttl::Clear, McField::Clear);
        cx.notify(Class::STRING, "set", target);
    }
    cx.work((len.saturating_mul(sources.len()) / WORK_BYTES) as u64);
    out.int(len as i64);
    Ok(())
}

impl Operation {
    fn parse(word: &[u8]) -> Result<Operation, Fault> {
        let known = [("AND", Self::And), ("OR", Self::Or), ("XOR", Self::Xor), ("NOT", Self::Not)];
        let found = known.into_iter().find(|(name, _)| is_word(word, name));
        found.map(|(_, operation)| operation).ok_or(Fault::Syntax)
    }

    fn apply(self, to: &mut [u8], with: &[u8]) {
        let pairs = to.iter_mut().zip(with);
        match self {
            Operation::And => pairs.for_each(|(to, with)| *to &= with),
            Operation::Or => pairs.for_each(|(to, with)| *to |= with),
            Operation::Xor => pairs.for_each(|(to, with)| *to ^= with),
            Operation::Not => pairs.for_each(|(to, with)| *to = !with),
        }
    }
}

impl Source {
    fn value(&self) -> Value<'_> {
        match self {
            Source::Bytes(bytes) => Value::Slice(bytes),
            Source::Segments(segments) => Value::Segments(segments),
        }
    }
}

/// Combines `len` bytes, a segment at a time.
fn combine(operation: Operation, sources: &[Source], len: usize) -> NewValue<'static> {
    let mut result = Segments::new();
    for from in (0..len).step_by(SEGMENT_BYTES) {
        let to = len.min(from + SEGMENT_BYTES);
        let mut part = vec![0; to - from];
        for (index, source) in sources.iter().enumerate() {
            // The first is copied, as what it is combined with is not zeroes.
            let is_first = index == 0 && operation != Operation::Not;
            combine_part(if is_first { Operation::Or } else { operation }, &mut part, source.value(), from);
        }
        result.extend(&part);
    }
    NewValue::Segments(result)
}

/// Combines `part` with the bytes of a source from `from` on.
fn combine_part(operation: Operation, part: &mut [u8], value: Value<'_>, from: usize) {
    let mut at = 0;
    for piece in pieces(value, from, from + part.len()) {
        operation.apply(&mut part[at..at + piece.len()], piece);
        at += piece.len();
    }
    if operation == Operation::And {
        part[at..].fill(0);
    }
}
