//! XAUTOCLAIM: entries that have waited long change their consumer.

use swell_wire::{Args, Out};

use super::effect::{self, Touched};
use super::{Missing, bulk_id, heads, no_group, told};
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::commands::options::is_word;
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::notify::Class;
use crate::number::parse_i64;
use crate::spec::*;
use crate::value::stream::{Claim, Group as ConsumerGroup, Log, Stream, StreamId, Sweep};

/// XAUTOCLAIM.
pub static XAUTOCLAIM: Spec = Spec {
    name: "xautoclaim",
    summary: "Hands entries that have waited long for their consumers over to another one, a part at a time.",
    since: "6.2.0",
    complexity: "O(1) where COUNT is small",
    group: Group::Stream,
    arity: -6,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::STREAM).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "delete"])],
    spread: Spread::One,
    tips: &["nondeterministic_output"],
    arguments: &[
        KEY,
        plain_arg("group", ArgKind::String),
        plain_arg("consumer", ArgKind::String),
        plain_arg("min-idle-time", ArgKind::String),
        plain_arg("start", ArgKind::String),
        ArgDoc { token: "COUNT", optional: true, ..plain_arg("count", ArgKind::Integer) },
        ArgDoc { token: "JUSTID", optional: true, ..plain_arg("justid", ArgKind::PureToken) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(xautoclaim),
};

/// How many entries are claimed where COUNT does not say it.
const COUNT: u64 = 100;
/// The largest COUNT: as much as Valkey could keep the IDs of.
const COUNT_MAX: i64 = i64::MAX / 16;

/// What the arguments say.
struct Asked {
    min_idle_ms: u64,
    start: StreamId,
    count: u64,
    ids_only: bool,
}

/// The arguments are read before the key is looked up.
fn xautoclaim(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    cx.change_aside();
    let (key, now_ms) = (cx.key(args, 0), cx.now_ms());
    cx.notify_missing(key);
    let asked = Asked::parse(args)?;
    let no_group = || no_group(args.slice(1), args.slice(2), "");
    let done = cx.edit(key, Missing::Skip, |stream: &mut Box<Stream>, tools| {
        let done = stream.edit_group(args.slice(2), |log, group| {
            let (consumer, is_new) = group.find_or_add(args.slice(3), now_ms);
            group.saw(consumer, now_ms);
            let claim = asked.claim(consumer, now_ms);
            let (sweep, touched) = sweep(log, group, &asked, &claim, out);
            ((sweep.visited, is_new), told(tools, || effect::of_claim(args, group, &claim, &touched)))
        });
        done.ok_or_else(no_group)
    })?;
    let (visited, is_new) = done.ok_or_else(no_group)?;
    if is_new {
        cx.notify(Class::STREAM, "xgroup-createconsumer", key);
    }
    cx.work(visited.saturating_sub(1));
    Ok(())
}

impl Asked {
    fn parse(args: Args<'_>) -> Result<Asked, Fault> {
        const BAD_COUNT: Fault = Fault::say("ERR COUNT must be > 0");
        let min_idle = parse_i64(args.slice(4));
        let min_idle = min_idle.ok_or(Fault::say("ERR Invalid min-idle-time argument for XAUTOCLAIM"))?;
        let start = StreamId::parse_start(args.slice(5))?;
        let mut asked = Asked { min_idle_ms: min_idle.max(0) as u64, start, count: COUNT, ids_only: false };
        let mut at = 6;
        while at < args.len() {
            match args.opt(at + 1) {
                Some(count) if is_word(args.slice(at), "COUNT") => {
                    let count = parse_i64(count).filter(|count| (1..=COUNT_MAX).contains(count));
                    asked.count = count.ok_or(BAD_COUNT)? as u64;
                    at += 2;
                }
                _ if is_word(args.slice(at), "JUSTID") => {
                    asked.ids_only = true;
                    at += 1;
                }
                _ => return Err(Fault::Syntax),
            }
        }
        Ok(asked)
    }

    fn claim(&self, consumer: u32, now_ms: u64) -> Claim {
        Claim {
            consumer,
            min_idle_ms: self.min_idle_ms,
            delivered_ms: now_ms,
            count: None,
            ids_only: self.ids_only,
            force: false,
            now_ms,
        }
    }
}

/// Answers where to go on, the entries, and the IDs of those that are no longer in the stream.
fn sweep(log: &Log, group: &mut ConsumerGroup, asked: &Asked, claim: &Claim, out: &mut Out) -> (Sweep, Touched) {
    let mut touched = Touched::default();
    // The place to go on at comes first, but is known last.
    let mut entries = Out::new(out.proto());
    let head = heads::array(&mut entries);
    let sweep = log.autoclaim(group, asked.start, asked.count, claim, |entry| {
        touched.push(entry.id);
        if claim.ids_only { bulk_id(&mut entries, entry.id) } else { entry.write(&mut entries) }
    });
    heads::close(&mut entries, head, touched.len());
    out.array(3);
    bulk_id(out, sweep.next);
    out.append(&mut entries);
    out.array(sweep.gone.len());
    for &id in &sweep.gone {
        bulk_id(out, id);
        touched.push(id);
    }
    (sweep, touched)
}
