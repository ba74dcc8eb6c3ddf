//! COPY.

use swell_wire::{Args, Out};

use crate::commands::grammar::{key_arg, keys_at, plain_arg, word_arg};
use crate::commands::options::is_word;
use crate::entry::Content;
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::key::Db;
use crate::notify::Class;
use crate::number::parse_i64;
use crate::spec::*;
use crate::value::Collection;
use crate::value::hash::Hash;
use crate::value::list::List;
use crate::value::set::Set;
use crate::value::stream::Stream;
use crate::value::zset::ZSet;

/// Bytes of a string that are one unit of work.
const STRING_BYTES: u64 = 1024;

pub static COPY: Spec = Spec {
    name: "copy",
    summary: "Duplicates a key, in the same database or into another one.",
    since: "6.2.0",
    complexity: "O(N) in the size of the value",
    group: Group::Generic,
    arity: -3,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    acl: Acl::KEYSPACE.and(Acl::WRITE).and(Acl::SLOW),
    keys: &[keys_at(1, 0, Access::Read, &["RO", "access"]), keys_at(2, 0, Access::Write, &["OW", "update"])],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[
        key_arg("source", 0),
        key_arg("destination", 1),
        ArgDoc { token: "DB", optional: true, ..plain_arg("destination-db", ArgKind::Integer) },
        ArgDoc { optional: true, ..word_arg("replace", "REPLACE") },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(copy),
};

/// What may follow the two names.
struct Options {
    /// Where the copy goes, if not into the caller's own database.
    db: Option<Db>,
    replace: bool,
}

fn copy(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let options = options(cx, args)?;
    let from = cx.key(args, 0);
    let to = match options.db {
        Some(db) => cx.key(args, 1).in_db(db),
        None => cx.key(args, 1),
    };
    if from.db == to.db && from.bytes == to.bytes {
        return Err(Fault::SameObject);
    }
    let copied = cx.read(from).is_some() && (cx.write_lookup(to).is_none() || options.replace);
    if copied {
        let visited = cx.read(from).map_or(0, |entry| elements(entry.content()));
        cx.copy(from, to);
        cx.notify(Class::GENERIC, "copy_to", to);
        cx.work(visited.saturating_sub(1));
    }
    out.int(i64::from(copied));
    Ok(())
}

/// Elements of a collection, kilobytes of a string. That a large value is shared until it changes is not seen here:
/// then it is copied bit by bit.
fn elements(content: Content<'_>) -> u64 {
    let kept = match content {
        Content::String(string) => return string.len() as u64 / STRING_BYTES,
        Content::Collection(kept) => kept,
    };
    None.or_else(|| Hash::read(kept).map(|hash| hash.len() as u64))
        .or_else(|| List::read(kept).map(|list| list.len() as u64))
        .or_else(|| Set::read(kept).map(|set| set.len() as u64))
        .or_else(|| ZSet::read(kept).map(|zset| zset.len() as u64))
        .or_else(|| Stream::read(kept).map(|stream| stream.log().len()))
        .unwrap_or(0)
}

fn options(cx: &Exec<'_>, args: Args<'_>) -> Result<Options, Fault> {
    let mut options = Options { db: None, replace: false };
    let mut at = 3;
    while at < args.len() {
        let word = args.slice(at);
        if is_word(word, "REPLACE") {
            options.replace = true;
        } else if is_word(word, "DB") && at + 1 < args.len() {
            at += 1;
            options.db = Some(database(cx, args.slice(at))?);
        } else {
            return Err(Fault::Syntax);
        }
        at += 1;
    }
    Ok(options)
}

/// A database by its number, as an argument.
pub(super) fn database(cx: &Exec<'_>, arg: &[u8]) -> Result<Db, Fault> {
    const NOT_32_BIT: Fault = Fault::say("ERR value is out of range, value must between -2147483648 and 2147483647");
    let number = parse_i64(arg).ok_or(Fault::NotInteger)?;
    let number = i32::try_from(number).map_err(|_| NOT_32_BIT)?;
    cx.map_db(number.into())
}
