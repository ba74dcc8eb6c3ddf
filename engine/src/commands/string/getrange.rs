//! GETRANGE and its old name SUBSTR: a part of a string.

use std::ops::Range;

use swell_wire::{Args, Out};

use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::entry::Value;
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::number::parse_i64;
use crate::spec::{Access, Acl, ArgKind, Body, Cost, Flags, Group, Long, Pricing, Spec, Spread, WorkUnit};

/// GETRANGE.
pub static GETRANGE: Spec = Spec {
    name: "getrange",
    summary: "Answers the bytes between two offsets of a string.",
    since: "2.4.0",
    complexity: "O(N) where N is the length of the answer",
    group: Group::String,
    arity: 4,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::STRING).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("start", ArgKind::Integer), plain_arg("end", ArgKind::Integer)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(getrange),
};

/// SUBSTR.
pub static SUBSTR: Spec = Spec {
    name: "substr",
    summary: "Answers the bytes between two offsets of a string; the old name of GETRANGE.",
    since: "1.0.0",
    complexity: "O(N) where N is the length of the answer",
    group: Group::String,
    arity: 4,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::STRING).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("start", ArgKind::Integer), plain_arg("end", ArgKind::Integer)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(substr),
};

/// Both offsets are read before the key is looked up; a missing key reads as the empty string.
fn getrange(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let start = parse_i64(args.slice(2)).ok_or(Fault::NotInteger)?;
    let end = parse_i64(args.slice(3)).ok_or(Fault::NotInteger)?;
    let Some(entry) = cx.read(cx.key(args, 0)) else {
        out.bulk(b"");
        return Ok(());
    };
    let value = entry.string()?;
    let range = byte_range(start, end, value.len());
    match value {
        Value::Slice(bytes) => out.bulk(&bytes[range]),
        Value::Segments(segments) => out.bulk_segments_range(segments, range.start, range.end),
    }
    Ok(())
}

fn substr(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    getrange(cx, args, out)
}

/// The bytes from `start` to `end` inclusive of a string of `len`, where negative offsets count from the end; always
/// within `0..len`.
fn byte_range(start: i64, end: i64, len: usize) -> Range<usize> {
    // Clamping below would turn two offsets before the string's begin into its first byte.
    if start < 0 && end < 0 && start > end {
        return 0..0;
    }
    let length = len as i64;
    let from_begin = |offset: i64| if offset < 0 { offset.saturating_add(length).max(0) } else { offset };
    let (start, end) = (from_begin(start), from_begin(end).min(length - 1));
    if start > end { 0..0 } else { start as usize..end as usize + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the server's documentation promises, by brute force: byte by byte.
    fn model(start: i64, end: i64, len: i64) -> Vec<i64> {
        let at = |offset: i64| if offset < 0 { (len + offset).max(0) } else { offset };
        if start < 0 && end < 0 && start > end {
            return Vec::new();
        }
        (0..len).filter(|&index| at(start) <= index && index <= at(end)).collect()
    }

    #[test]
    fn every_small_range() {
        for len in 0..5 {
            for start in -7..8 {
                for end in -7..8 {
                    let range = byte_range(start, end, len);
                    let bytes: Vec<i64> = range.clone().map(|index| index as i64).collect();
                    assert_eq!(bytes, model(start, end, len as i64), "{start} {end} of {len}");
                    assert!(range.end <= len);
                }
            }
        }
    }

    #[test]
    fn extreme_offsets_stay_inside() {
        assert_eq!(byte_range(i64::MIN, i64::MAX, 3), 0..3);
        assert_eq!(byte_range(i64::MAX, -1, 3), 0..0);
        assert_eq!(byte_range(i64::MIN, i64::MIN, 3), 0..1);
        assert_eq!(byte_range(0, i64::MAX, 0), 0..0);
    }
}
