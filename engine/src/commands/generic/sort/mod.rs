//! SORT and SORT_RO: elements in order, by themselves or by what other keys hold for them.
//!
//! BY and GET reach keys that no argument names. Where these lie in the slot of the sorted key (a hash tag in the
//! pattern says so) its lock is enough; else every stripe is locked ([`reaches_beyond`]), and every slot must be served
//! here: over several nodes such patterns are refused, in the words of a server in cluster mode.
//!
//! Many elements are sorted from a snapshot, in slices, if no other key is read or written ([`sliced`]).

mod options;
mod pattern;
mod rows;
mod sliced;

use swell_wire::{Args, Out};

use crate::bulk;
use crate::commands::grammar::{KEY, key_arg, one_key, plain_arg, token, word_arg};
use crate::entry::{Content, Value};
use crate::error::Fault;
use crate::exec::{Exec, Reply, Ttl};
use crate::key::Key;
use crate::notify::Class;
use crate::slices;
use crate::spec::*;
use crate::value::item::Item;
use crate::value::list::{End, List};
use crate::value::{KeptRef, Limits};

use options::Options;
use pattern::Found;
use rows::Rows;
use sliced::Sliced;

pub(crate) use options::reaches_beyond;

/// SORT.
pub static SORT: Spec = Spec {
    name: "sort",
    summary: "Answers the elements of a list, set or sorted set in order, or what other keys hold for them, or stores that.",
    since: "1.0.0",
    complexity: "O(N+M*log(M)) where N is the number of elements in the list or set to sort, and M the number of returned elements. When the elements are not sorted, complexity is O(N)",
    group: Group::Generic,
    arity: -2,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::MOVABLEKEYS),
    acl: Acl::WRITE.and(Acl::SET).and(Acl::SORTED_SET).and(Acl::LIST).and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[one_key(Access::Read, &["RO", "access"]), PATTERNS, DESTINATION],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[KEY, BY, LIMIT, GET, ORDER, ALPHA, STORE],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(sort, size),
};

/// SORT_RO.
pub static SORT_RO: Spec = Spec {
    name: "sort_ro",
    summary: "Answers the elements of a list, set or sorted set in order, or what other keys hold for them.",
    since: "7.0.0",
    complexity: "O(N+M*log(M)) where N is the number of elements in the list or set to sort, and M the number of returned elements. When the elements are not sorted, complexity is O(N)",
    group: Group::Generic,
    arity: -2,
    flags: Flags::READONLY.and(Flags::MOVABLEKEYS),
    acl: Acl::READ.and(Acl::SET).and(Acl::SORTED_SET).and(Acl::LIST).and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[one_key(Access::Read, &["RO", "access"]), PATTERNS],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[KEY, BY, LIMIT, GET, ORDER, ALPHA],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(sort_ro, size),
};

const PATTERNS: KeySpec = KeySpec {
    notes: "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the content of the key we sort",
    access: Access::Read,
    flags: &["RO", "access"],
    begin: Begin::Unknown,
    find: Find::Range { last: 0, step: 1 },
};
const DESTINATION: KeySpec = KeySpec {
    notes: "For the optional STORE keyword. It is marked 'unknown' because the keyword can appear anywhere in the argument array",
    access: Access::Write,
    flags: &["OW", "update"],
    begin: Begin::Option { word: "STORE", from: 2, takes: options::TAKES, shown: false },
    find: Find::Range { last: 0, step: 1 },
};

const BY: ArgDoc =
    ArgDoc { optional: true, key_spec_index: Some(1), ..token("BY", "", "by-pattern", ArgKind::Pattern) };
const LIMIT: ArgDoc = ArgDoc {
    optional: true,
    arguments: &[plain_arg("offset", ArgKind::Integer), plain_arg("count", ArgKind::Integer)],
    ..token("LIMIT", "", "limit", ArgKind::Block)
};
const GET: ArgDoc = ArgDoc {
    optional: true,
    multiple: true,
    multiple_token: true,
    key_spec_index: Some(1),
    ..token("GET", "", "get-pattern", ArgKind::Pattern)
};
const ORDER: ArgDoc = ArgDoc {
    optional: true,
    arguments: &[word_arg("asc", "ASC"), word_arg("desc", "DESC")],
    ..plain_arg("order", ArgKind::OneOf)
};
const ALPHA: ArgDoc = ArgDoc { optional: true, ..word_arg("sorting", "ALPHA") };
const STORE: ArgDoc = ArgDoc { token: "STORE", optional: true, ..key_arg("destination", 2) };

/// The elements to sort; the destination is a key too.
fn size(cx: &Exec<'_>, args: Args<'_>) -> usize {
    bulk::of_key(cx, args, 0)
}

fn sort(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    run(cx, args, out, true)
}

fn sort_ro(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    run(cx, args, out, false)
}

fn run(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out, may_store: bool) -> Reply {
    let key = cx.key(args, 0);
    // Where patterns reach beyond, every stripe is locked, so that this may be asked.
    let everywhere = !reaches_beyond(args) || cx.serves_every_slot();
    let options = Options::parse(args, may_store, key.slot, everywhere)?;
    // The destination is the last key, where there is one.
    let store = options.stores.then(|| (cx.key(args, cx.keys_len() - 1), cx.tools().limits));
    let mut rows = match cx.read(key) {
        Some(entry) => match entry.content() {
            Content::Collection(KeptRef::Large(large))
                if !options.looks_elsewhere() && slices::is_long(&entry, large.elements()) =>
            {
                let elements = large.elements();
                let sliced = Sliced::new(KeptRef::Large(large).to_kept(), &options)?;
                cx.work(elements as u64);
                cx.defer(Some(Box::new(sliced)));
                return Ok(());
            }
            Content::Collection(kept) => Rows::of(kept, &options)?,
            Content::String(_) => return Err(Fault::WrongType),
        },
        None => Rows::default(),
    };
    cx.work(rows.len() as u64);
    if rows.is_sorted() {
        weigh(cx, &mut rows, &options)?;
        rows.sort_from(0);
    }
    let range = rows.shown(options.limit);
    let gets = options.gets.len().max(1);
    cx.work((range.len() * options.gets.len()) as u64);
    let mut results = Results::new(store, range.len() * gets, out);
    for at in range {
        let element = rows.element(at);
        if options.gets.is_empty() {
            results.add(Some(Found::Bytes(element)), out);
        }
        for pattern in &options.gets {
            pattern.look_up(cx, element, |found| results.add(found, out));
        }
    }
    results.finish(cx, out);
    Ok(())
}

/// Finds out what the elements are sorted by.
fn weigh(cx: &mut Exec<'_>, rows: &mut Rows, options: &Options<'_>) -> Result<(), Fault> {
    let mut is_number = true;
    let by = options.by.as_ref().filter(|_| rows.is_sorted_by_others());
    for at in 0..rows.len() {
        match by {
            None => is_number &= rows.weigh_by_itself(at),
            Some(pattern) => {
                let element = rows.element(at).to_vec();
                pattern.look_up(cx, &element, |found| is_number &= rows.weigh(at, found));
            }
        }
    }
    if by.is_some() {
        cx.work(rows.len() as u64);
    }
    if is_number { Ok(()) } else { Err(Fault::say(NOT_NUMBERS)) }
}

const NOT_NUMBERS: &str = "ERR One or more scores can't be converted into double";

/// Where results go: into the reply, or into a list.
enum Results<'k> {
    Reply,
    Store { key: Key<'k>, list: List, count: usize, limits: Limits },
}

impl<'k> Results<'k> {
    fn new(store: Option<(Key<'k>, Limits)>, count: usize, out: &mut Out) -> Self {
        match store {
            Some((key, limits)) => Results::Store { key, list: List::large(), count, limits },
            None => {
                out.array(count);
                Results::Reply
            }
        }
    }

    fn add(&mut self, found: Option<Found<'_>>, out: &mut Out) {
        match self {
            Results::Reply => match found {
                None => out.null(),
                Some(Found::Bytes(bytes)) => out.bulk(bytes),
                Some(Found::Value(Value::Slice(bytes))) => out.bulk(bytes),
                Some(Found::Value(Value::Segments(segments))) => out.bulk_segments(segments),
            },
            // What is not there is stored as an empty string.
            Results::Store { list, limits, .. } => {
                let item = match found {
                    None => Item::from(&b""[..]),
                    Some(Found::Bytes(bytes)) | Some(Found::Value(Value::Slice(bytes))) => Item::from(bytes),
                    Some(Found::Value(Value::Segments(segments))) => Item::Long(segments),
                };
                list.push(End::Back, item, limits);
            }
        }
    }

    fn finish(self, cx: &mut Exec<'_>, out: &mut Out) {
        let Results::Store { key, mut list, count, limits } = self else { return };
        if count == 0 {
            cx.remove_target(key);
        } else {
            list.settle(&limits);
            cx.put_collection(key, list, Ttl::Clear);
            cx.notify(Class::LIST, "sortstore", key);
        }
        out.int(count as i64);
    }
}
