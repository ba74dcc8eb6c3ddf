//! LINSERT: an element beside another.

use swell_wire::{Args, Out};

use crate::bulk;
use crate::commands::grammar::{KEY, one_key, plain_arg, word_arg};
use crate::commands::options::is_word;
use crate::error::Fault;
use crate::exec::{Change, Exec, Missing, Reply};
use crate::notify::Class;
use crate::spec::*;
use crate::value::item::{Item, Wanted};
use crate::value::list::List;

/// LINSERT.
pub static LINSERT: Spec = Spec {
    name: "linsert",
    summary: "Puts an element before or after the first one that equals another, and answers the new length.",
    since: "2.2.0",
    complexity: "O(N) where N is the number of elements to traverse before seeing the value pivot. This means that inserting somewhere on the left end on the list (head) can be considered O(1) and inserting somewhere on the right end (tail) is O(N)",
    group: Group::List,
    arity: 5,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    acl: Acl::WRITE.and(Acl::LIST).and(Acl::SLOW),
    keys: &[one_key(Access::Write, &["RW", "insert"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        ArgDoc {
            arguments: &[word_arg("before", "BEFORE"), word_arg("after", "AFTER")],
            ..plain_arg("where", ArgKind::OneOf)
        },
        plain_arg("pivot", ArgKind::String),
        plain_arg("element", ArgKind::String),
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::At(4),
    body: Body::bulk(linsert, bulk::of_scan),
};

fn linsert(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let after = match args.slice(2) {
        word if is_word(word, "AFTER") => true,
        word if is_word(word, "BEFORE") => false,
        _ => return Err(Fault::Syntax),
    };
    let key = cx.key(args, 0);
    let (pivot, item) = (Wanted::from(args.get(3)), Item::from(args.get(4)));
    let done = cx.edit::<List, _>(key, Missing::Skip, |list, tools| {
        list.make_room(item.len(), 1, &tools.limits);
        let len = list.view().len();
        let Some(index) = list.view().items(0, false).position(|item| item.is(&pivot)) else {
            return Ok(((-1, len), Change::None));
        };
        list.insert(index, after, item, &tools.limits);
        Ok(((len as i64 + 1, index + 1), Change::Verbatim))
    })?;
    let (reply, visited) = done.unwrap_or((0, 0));
    cx.work(visited as u64);
    if reply > 0 {
        cx.notify(Class::LIST, "linsert", key);
    }
    out.int(reply);
    Ok(())
}
