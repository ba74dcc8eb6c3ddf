//! XCLAIM: entries change their consumer. Also the effect of everything that groups do with entries (effect.rs).

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
use crate::value::stream::{Claim, Claimed, Group as ConsumerGroup, Log, Stream, StreamId};

/// XCLAIM.
pub static XCLAIM: Spec = Spec {
    name: "xclaim",
    summary: "Hands entries that wait to be acknowledged over to another consumer.",
    since: "5.0.0",
    complexity: "O(log N) for each ID, where N is the number of entries that wait to be acknowledged",
    group: Group::Stream,
    arity: -6,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::STREAM).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "update"])],
    spread: Spread::One,
    tips: &["nondeterministic_output"],
    arguments: &[
        KEY,
        plain_arg("group", ArgKind::String),
        plain_arg("consumer", ArgKind::String),
        plain_arg("min-idle-time", ArgKind::String),
        ArgDoc { multiple: true, ..plain_arg("id", ArgKind::String) },
        ArgDoc { token: "IDLE", optional: true, ..plain_arg("ms", ArgKind::Integer) },
        ArgDoc { token: "TIME", optional: true, ..plain_arg("unix-time-milliseconds", ArgKind::UnixTime) },
        ArgDoc { token: "RETRYCOUNT", optional: true, ..plain_arg("count", ArgKind::Integer) },
        ArgDoc { token: "FORCE", optional: true, ..plain_arg("force", ArgKind::PureToken) },
        ArgDoc { token: "JUSTID", optional: true, ..plain_arg("justid", ArgKind::PureToken) },
        ArgDoc { token: "LASTID", optional: true, ..plain_arg("lastid", ArgKind::String) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(xclaim),
};

/// What stands behind the IDs.
#[derive(Default)]
struct Options {
    /// When the entries count as delivered, Unix milliseconds.
    delivered_ms: Option<i64>,
    count: Option<u64>,
    force: bool,
    ids_only: bool,
    last_id: Option<StreamId>,
    replayed: Replayed,
}

/// What only effects say: they are replayed where no time passes, so they bring the times with them.
#[derive(Default)]
struct Replayed {
    entries_read: Option<i64>,
    seen_ms: Option<u64>,
    active_ms: Option<u64>,
}

/// A missing group is told before anything malformed.
fn xclaim(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    cx.change_aside();
    let (key, now_ms) = (cx.key(args, 0), cx.now_ms());
    let no_group = || no_group(args.slice(1), args.slice(2), "");
    cx.notify_missing(key);
    let done = cx.edit(key, Missing::Skip, |stream: &mut Box<Stream>, tools| {
        if stream.group(args.slice(2)).is_none() {
            return Err(no_group());
        }
        let min_idle = parse_i64(args.slice(4));
        let min_idle = min_idle.ok_or(Fault::say("ERR Invalid min-idle-time argument for XCLAIM"))?;
        let ids: Vec<StreamId> = args.from(5).iter().map_while(|arg| StreamId::parse(arg, 0).ok()).collect();
        let options = Options::parse(args, 5 + ids.len(), now_ms)?;
        let done = stream.edit_group(args.slice(2), |log, group| {
            let (claim, is_new) = options.begin(group, args.slice(3), min_idle, now_ms);
            let touched = claim_all(log, group, &ids, &claim, out);
            options.replayed.finish(group, &claim);
            (is_new, told(tools, || effect::of_claim(args, group, &claim, &touched)))
        });
        let (is_new, effect) = done.ok_or_else(no_group)?;
        Ok(((ids.len(), is_new), effect))
    })?;
    let (visited, is_new) = done.ok_or_else(no_group)?;
    if is_new {
        cx.notify(Class::STREAM, "xgroup-createconsumer", key);
    }
    cx.work(visited.saturating_sub(1) as u64);
    Ok(())
}

impl Options {
    fn parse(args: Args<'_>, from: usize, now_ms: u64) -> Result<Options, Fault> {
        let mut options = Options::default();
        let mut at = from;
        while at < args.len() {
            at += options.parse_one(args.slice(at), args.opt(at + 1), now_ms)?;
        }
        Ok(options)
    }

    fn parse_one(&mut self, word: &[u8], value: Option<&[u8]>, now_ms: u64) -> Result<usize, Fault> {
        match value {
            _ if is_word(word, "FORCE") => self.force = true,
            _ if is_word(word, "JUSTID") => self.ids_only = true,
            Some(value) => {
                let known = self.parse_pair(word, value, now_ms)? || now_ms == 0 && self.replayed.parse(word, value);
                return if known { Ok(2) } else { Err(unknown_option(word)) };
            }
            None => return Err(unknown_option(word)),
        }
        Ok(1)
    }

    fn parse_pair(&mut self, word: &[u8], value: &[u8], now_ms: u64) -> Result<bool, Fault> {
        let number = |fault| parse_i64(value).ok_or(Fault::say(fault));
        if is_word(word, "IDLE") {
            let idle = number("ERR Invalid IDLE option argument for XCLAIM")?;
            self.delivered_ms = Some((now_ms as i64).wrapping_sub(idle));
        } else if is_word(word, "TIME") {
            self.delivered_ms = Some(number("ERR Invalid TIME option argument for XCLAIM")?);
        } else if is_word(word, "RETRYCOUNT") {
            self.count = u64::try_from(number("ERR Invalid RETRYCOUNT option argument for XCLAIM")?).ok();
        } else if is_word(word, "LASTID") {
            self.last_id = Some(StreamId::parse(value, 0)?);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Brings the group up to date and says how to claim, and whether the consumer is a new one.
    fn begin(&self, group: &mut ConsumerGroup, consumer: &[u8], min_idle: i64, now_ms: u64) -> (Claim, bool) {
        let now_ms = self.replayed.seen_ms.unwrap_or(now_ms);
        if let Some(last_id) = self.last_id.filter(|id| *id > group.last_id) {
            group.last_id = last_id;
        }
        let (consumer, is_new) = group.find_or_add(consumer, now_ms);
        group.saw(consumer, now_ms);
        // What would be in the future, or before all time, is now.
        let delivered_ms = self.delivered_ms.and_then(|ms| u64::try_from(ms).ok()).filter(|ms| *ms <= now_ms);
        let claim = Claim {
            consumer,
            min_idle_ms: min_idle.max(0) as u64,
            delivered_ms: delivered_ms.unwrap_or(now_ms),
            count: self.count,
            ids_only: self.ids_only,
            force: self.force,
            now_ms,
        };
        (claim, is_new)
    }
}

impl Replayed {
    fn parse(&mut self, word: &[u8], value: &[u8]) -> bool {
        let Some(number) = parse_i64(value) else { return false };
        if is_word(word, "ENTRIESREAD") {
            self.entries_read = Some(number);
        } else if is_word(word, "SEEN") {
            self.seen_ms = Some(number as u64);
        } else if is_word(word, "ACTIVE") {
            self.active_ms = Some(number as u64);
        } else {
            return false;
        }
        true
    }

    fn finish(&self, group: &mut ConsumerGroup, claim: &Claim) {
        if let Some(read) = self.entries_read {
            group.entries_read = Some(read).filter(|read| *read != -1);
        }
        if self.seen_ms.is_some() {
            group.set_active(claim.consumer, self.active_ms);
        }
    }
}

fn claim_all(log: &Log, group: &mut ConsumerGroup, ids: &[StreamId], claim: &Claim, out: &mut Out) -> Touched {
    let mut touched = Touched::default();
    let mut claimed = 0;
    let head = heads::array(out);
    for &id in ids {
        match log.claim(group, id, claim) {
            Claimed::Yes(_) if claim.ids_only => bulk_id(out, id),
            Claimed::Yes(entry) => entry.write(out),
            Claimed::Gone => {
                touched.push(id);
                continue;
            }
            Claimed::No => continue,
        }
        touched.push(id);
        claimed += 1;
    }
    heads::close(out, head, claimed);
    touched
}

fn unknown_option(word: &[u8]) -> Fault {
    Fault::Other(format!("ERR Unrecognized XCLAIM option '{}'", String::from_utf8_lossy(word)).into())
}
