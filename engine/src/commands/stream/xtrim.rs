//! XTRIM, and how it and XADD say how to trim.

use swell_wire::{Args, Out, OwnedArgs};

use super::{Change, Missing, node_limits};
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::commands::options::is_word;
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::notify::Class;
use crate::number::parse_i64;
use crate::spec::*;
use crate::value::stream::{AskedId, NodeLimits, Stream, StreamId, Trim, Until};

/// XTRIM.
pub static XTRIM: Spec = Spec {
    name: "xtrim",
    summary: "Deletes entries from the beginning of a stream.",
    since: "5.0.0",
    complexity: "O(N) where N is the number of entries that go; whole nodes of them go at once",
    group: Group::Stream,
    arity: -4,
    flags: Flags::WRITE,
    acl: Acl::WRITE.and(Acl::STREAM).and(Acl::SLOW),
    keys: &[one_key(Access::Write, &["RW", "delete"])],
    spread: Spread::One,
    tips: &["nondeterministic_output"],
    arguments: &[
        KEY,
        ArgDoc {
            arguments: &[
                ArgDoc {
                    arguments: &[
                        ArgDoc { token: "MAXLEN", ..plain_arg("maxlen", ArgKind::PureToken) },
                        ArgDoc { token: "MINID", since: "6.2.0", ..plain_arg("minid", ArgKind::PureToken) },
                    ],
                    ..plain_arg("strategy", ArgKind::OneOf)
                },
                ArgDoc {
                    optional: true,
                    arguments: &[
                        ArgDoc { token: "=", ..plain_arg("equal", ArgKind::PureToken) },
                        ArgDoc { token: "~", ..plain_arg("approximately", ArgKind::PureToken) },
                    ],
                    ..plain_arg("operator", ArgKind::OneOf)
                },
                plain_arg("threshold", ArgKind::String),
                ArgDoc { token: "LIMIT", since: "6.2.0", optional: true, ..plain_arg("count", ArgKind::Integer) },
            ],
            ..plain_arg("trim", ArgKind::Block)
        },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(xtrim),
};

/// What stands between the key and the entry's ID, or the end.
pub(super) struct Options {
    /// How to trim, if at all; without a LIMIT of its own it has none yet.
    pub trim: Option<Trim>,
    limit: Option<u64>,
    pub no_mkstream: bool,
    /// XADD's ID, and which argument it is.
    pub id: Option<(AskedId, usize)>,
}

/// An approximate trimming takes away at most this many full nodes, unless it says its own limit…
const NODES_PER_TRIM: u64 = 100;
/// …and this many entries where nodes have any number of them…
const ENTRIES_PER_TRIM: u64 = 10_000;
/// …and never more than these.
const ENTRIES_PER_TRIM_MAX: u64 = 1_000_000;

fn xtrim(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let options = Options::parse(args, false)?;
    let key = cx.key(args, 0);
    let trimmed = cx.edit(key, Missing::Skip, |stream: &mut Box<Stream>, tools| {
        let Some(trim) = options.trim_within(node_limits(tools)) else { return Ok((0, Change::None)) };
        let gone = stream.log_mut().trim(trim);
        let change = match gone {
            0 => Change::None,
            _ if trim.approximate => {
                let mut effect = OwnedArgs::default();
                effect.push(b"xtrim");
                effect.push(args.slice(1));
                push_exact(&mut effect, stream.log().trimmed_until(trim.until));
                Change::Effect(effect)
            }
            _ => Change::Verbatim,
        };
        Ok((gone, change))
    })?;
    let gone = trimmed.unwrap_or(0);
    cx.work(gone.saturating_sub(1));
    if gone > 0 {
        cx.notify(Class::STREAM, "xtrim", key);
    }
    out.int(gone as i64);
    Ok(())
}

impl Options {
    /// Reads them; `is_add` for XADD, which ends them with an ID.
    ///
    /// # Errors
    /// Syntax; numbers and IDs that are none; what does not go together.
    pub fn parse(args: Args<'_>, is_add: bool) -> Result<Options, Fault> {
        let mut options = Options { trim: None, limit: None, no_mkstream: false, id: None };
        let mut at = 2;
        while at < args.len() && options.id.is_none() {
            at += options.parse_one(args, at, is_add)?;
        }
        options.check(is_add)?;
        Ok(options)
    }

    /// The trimming with its limit.
    pub fn trim_within(&self, limits: NodeLimits) -> Option<Trim> {
        let usual = match limits.entries.saturating_mul(NODES_PER_TRIM) {
            0 => ENTRIES_PER_TRIM,
            entries => entries.min(ENTRIES_PER_TRIM_MAX),
        };
        let trim = self.trim?;
        let limit = if trim.approximate { self.limit.unwrap_or(usual) } else { 0 };
        Some(Trim { limit, ..trim })
    }

    /// Reads the option at `at`; returns how many arguments it has.
    fn parse_one(&mut self, args: Args<'_>, at: usize, is_add: bool) -> Result<usize, Fault> {
        let (word, has_more) = (args.slice(at), at + 1 < args.len());
        if is_add && word == b"*" {
            self.id = Some((AskedId::Auto, at));
            Ok(1)
        } else if has_more && (is_word(word, "MAXLEN") || is_word(word, "MINID")) {
            self.parse_trim(args, at)
        } else if has_more && is_word(word, "LIMIT") {
            let limit = parse_i64(args.slice(at + 1)).ok_or(Fault::NotInteger)?;
            self.limit = Some(u64::try_from(limit).map_err(|_| Fault::say("ERR The LIMIT argument must be >= 0."))?);
            Ok(2)
        } else if is_add && is_word(word, "NOMKSTREAM") {
            self.no_mkstream = true;
            Ok(1)
        } else if is_add {
            self.id = Some((AskedId::parse(word)?, at));
            Ok(1)
        } else {
            Err(Fault::Syntax)
        }
    }

    fn parse_trim(&mut self, args: Args<'_>, at: usize) -> Result<usize, Fault> {
        if self.trim.is_some() {
            return Err(Fault::say("ERR syntax error, MAXLEN and MINID options at the same time are not compatible"));
        }
        let has_sign = at + 2 < args.len() && matches!(args.slice(at + 1), b"~" | b"=");
        let approximate = has_sign && args.slice(at + 1) == b"~";
        let threshold = args.slice(at + 1 + usize::from(has_sign));
        let until = if is_word(args.slice(at), "MINID") {
            Until::Id(StreamId::parse(threshold, 0)?)
        } else {
            let most = parse_i64(threshold).ok_or(Fault::NotInteger)?;
            Until::Length(u64::try_from(most).map_err(|_| Fault::say("ERR The MAXLEN argument must be >= 0."))?)
        };
        self.trim = Some(Trim { until, approximate, limit: 0 });
        Ok(2 + usize::from(has_sign))
    }

    fn check(&self, is_add: bool) -> Result<(), Fault> {
        match (self.trim, self.limit) {
            (None, Some(1..)) => {
                Err(Fault::say("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy"))
            }
            (None, _) if !is_add => Err(Fault::say("ERR syntax error, XTRIM must be called with a trimming strategy")),
            (trim, Some(_)) if !trim.is_some_and(|trim| trim.approximate) => {
                Err(Fault::say("ERR syntax error, LIMIT cannot be used without the special ~ option"))
            }
            _ => Ok(()),
        }
    }
}

/// Appends the words of an exact trimming.
pub(super) fn push_exact(effect: &mut OwnedArgs, until: Until) {
    match until {
        Until::Length(most) => {
            effect.push(b"maxlen");
            effect.push(b"=");
            effect.push(most.to_string().as_bytes());
        }
        Until::Id(lowest) => {
            effect.push(b"minid");
            effect.push(b"=");
            effect.push(&lowest.to_vec());
        }
    }
}
