//! LPOS: where an element is.

use swell_wire::{Args, Out};

use crate::bulk;
use crate::commands::grammar::{KEY, one_key, plain_arg, token};
use crate::commands::options::is_word;
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::number::parse_i64;
use crate::spec::*;
use crate::value::item::Wanted;
use crate::value::list::{List, ListRef};

/// LPOS.
pub static LPOS: Spec = Spec {
    name: "lpos",
    summary: "Answers where elements of a list equal the one that is given.",
    since: "6.0.6",
    complexity: "O(N) where N is the number of elements in the list, for the average case. When searching for elements near the head or the tail of the list, or when the MAXLEN option is provided, the command may run in constant time",
    group: Group::List,
    arity: -3,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::LIST).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        plain_arg("element", ArgKind::String),
        ArgDoc { optional: true, ..token("RANK", "", "rank", ArgKind::Integer) },
        ArgDoc { optional: true, ..token("COUNT", "", "num-matches", ArgKind::Integer) },
        ArgDoc { optional: true, ..token("MAXLEN", "", "len", ArgKind::Integer) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(lpos, bulk::of_scan),
};

/// The options of one call.
struct Search {
    /// Matches that are passed over.
    skip: usize,
    back: bool,
    /// Most matches; nothing if one is asked for, and not a list of them.
    count: Option<usize>,
    /// Most elements that are looked at.
    max_len: usize,
}

fn lpos(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let search = options(args.from(3))?;
    let Some(entry) = cx.read(cx.key(args, 0)) else {
        match search.count {
            Some(_) => out.array(0),
            None => out.null(),
        }
        return Ok(());
    };
    let (places, visited) = places(entry.collection::<List>()?, &Wanted::from(args.get(2)), &search);
    cx.work(visited as u64);
    match search.count {
        Some(_) => {
            out.array(places.len());
            places.iter().for_each(|&place| out.int(place as i64));
        }
        None => match places.first() {
            Some(&place) => out.int(place as i64),
            None => out.null(),
        },
    }
    Ok(())
}

/// The indices found, and how many elements were looked at.
fn places(list: ListRef<'_>, wanted: &Wanted<'_>, search: &Search) -> (Vec<usize>, usize) {
    let len = list.len();
    let (mut places, mut left, mut visited) = (Vec::new(), search.skip, 0);
    let items = list.items(if search.back { len.saturating_sub(1) } else { 0 }, search.back);
    for item in items.take(search.max_len) {
        visited += 1;
        if !item.is(wanted) {
            continue;
        }
        if left > 0 {
            left -= 1;
            continue;
        }
        places.push(if search.back { len - visited } else { visited - 1 });
        if places.len() == search.count.unwrap_or(1) {
            break;
        }
    }
    (places, visited)
}

fn options(args: Args<'_>) -> Result<Search, Fault> {
    let mut search = Search { skip: 0, back: false, count: None, max_len: usize::MAX };
    let mut at = 0;
    while let Some(word) = args.opt(at) {
        let value = args.opt(at + 1).ok_or(Fault::Syntax)?;
        if is_word(word, "RANK") {
            let rank = parse_i64(value).ok_or(Fault::NotInteger)?;
            if rank == i64::MIN {
                return Err(Fault::say(RANK_RANGE));
            }
            let matches = rank.unsigned_abs().checked_sub(1).ok_or(Fault::say(RANK_ZERO))?;
            (search.skip, search.back) = (usize::try_from(matches).unwrap_or(usize::MAX), rank < 0);
        } else if is_word(word, "COUNT") {
            search.count = Some(all_if_zero(value, "ERR COUNT can't be negative")?);
        } else if is_word(word, "MAXLEN") {
            search.max_len = all_if_zero(value, "ERR MAXLEN can't be negative")?;
        } else {
            return Err(Fault::Syntax);
        }
        at += 2;
    }
    Ok(search)
}

const RANK_ZERO: &str = "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list";
const RANK_RANGE: &str = "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";

fn all_if_zero(arg: &[u8], refusal: &'static str) -> Result<usize, Fault> {
    match parse_i64(arg).and_then(|number| usize::try_from(number).ok()) {
        Some(0) => Ok(usize::MAX),
        Some(number) => Ok(number),
        None => Err(Fault::say(refusal)),
    }
}
