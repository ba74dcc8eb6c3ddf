//! ZSCAN. A cursor is a place in the order of the members' hashes: it means the same on every node.

use swell_wire::{Args, Out};

use crate::commands::grammar::{KEY, one_key, plain_arg, token};
use crate::commands::options::is_word;
use crate::double::{DOUBLE_BYTES, format_double};
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::glob;
use crate::number::{parse_i64, parse_u64};
use crate::spec::*;
use crate::value::element::DIGITS_MAX;
use crate::value::zset::{ZSet, ZSetRef};

/// Members visited where the request does not say.
const COUNT: usize = 10;
/// Visited in one call at most, however many are asked for.
const COUNT_MAX: usize = 100_000;

/// ZSCAN.
pub static ZSCAN: Spec = Spec {
    name: "zscan",
    summary: "Lists the members of a sorted set with their scores, step by step.",
    since: "2.8.0",
    complexity: "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection.",
    group: Group::SortedSet,
    arity: -3,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::SORTED_SET).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &["nondeterministic_output"],
    arguments: &[
        KEY,
        plain_arg("cursor", ArgKind::Integer),
        ArgDoc { optional: true, ..token("MATCH", "", "pattern", ArgKind::Pattern) },
        ArgDoc { optional: true, ..token("COUNT", "", "count", ArgKind::Integer) },
        ArgDoc { optional: true, ..token("NOSCORES", "", "noscores", ArgKind::PureToken) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(zscan),
};

struct Options<'a> {
    count: usize,
    pattern: Option<&'a [u8]>,
    scores: bool,
}

impl<'a> Options<'a> {
    fn parse(args: Args<'a>) -> Result<Options<'a>, Fault> {
        let mut options = Options { count: COUNT, pattern: None, scores: true };
        let mut at = 3;
        while let Some(word) = args.opt(at) {
            let value = args.opt(at + 1);
            match (word, value) {
                (word, Some(value)) if is_word(word, "COUNT") => {
                    let count = parse_i64(value).ok_or(Fault::NotInteger)?;
                    options.count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(Fault::Syntax)?;
                    at += 2;
                }
                (word, Some(value)) if is_word(word, "MATCH") => {
                    options.pattern = Some(value).filter(|pattern| !glob::is_everything(pattern));
                    at += 2;
                }
                (word, _) if is_word(word, "NOSCORES") => {
                    options.scores = false;
                    at += 1;
                }
                _ => return Err(Fault::Syntax),
            }
        }
        Ok(options)
    }
}

fn zscan(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let cursor = parse_cursor(args.slice(2)).ok_or(Fault::InvalidCursor)?;
    let hasher = cx.tools().hasher;
    let Some(entry) = cx.read(cx.key(args, 0)) else {
        // What the options say is not looked at.
        out.array(2);
        out.bulk(b"0");
        out.array(0);
        return Ok(());
    };
    let zset = entry.collection::<ZSet>()?;
    let options = Options::parse(args)?;
    let mut found = Out::new(out.proto());
    let (mut count, mut visited) = (0, 0u64);
    let mut each = |member: &[u8], score: f64| {
        visited += 1;
        if options.pattern.is_some_and(|pattern| !glob::matches(pattern, member)) {
            return;
        }
        found.bulk(member);
        count += 1;
        if options.scores {
            // Not a double, in RESP3 neither.
            found.bulk(format_double(score, &mut [0; DOUBLE_BYTES]).as_bytes());
            count += 1;
        }
    };
    let next = match zset {
        ZSetRef::Pack(_) => {
            let mut digits = [0; DIGITS_MAX];
            zset.upwards(0).for_each(|(member, score)| each(member.bytes(&mut digits), score));
            0
        }
        ZSetRef::Large(large) => large.scan(cursor, options.count.min(COUNT_MAX), &hasher, &mut each),
    };
    out.array(2);
    out.bulk_int(next as i64);
    out.array(count);
    out.append(&mut found);
    cx.work(visited.saturating_sub(1));
    Ok(())
}

/// As Valkey reads it: a plus sign, and white space before, are let pass.
fn parse_cursor(arg: &[u8]) -> Option<u64> {
    let number = arg.trim_ascii_start();
    parse_u64(number.strip_prefix(b"+").unwrap_or(number))
}
