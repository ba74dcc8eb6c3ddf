//! SCAN.
//!
//! A cursor is the slot to go on with in its upper 32 bits and a place in hash order inside that slot below: it means
//! the same on every node and after any growth. 0 is both the beginning and, as a reply, the end.

use swell_ring::{SLOTS, Slot};
use swell_wire::{Args, Out};

use super::{CHUNK_KEYS, as_c_string};
use crate::commands::grammar::plain_arg;
use crate::commands::options::is_word;
use crate::entry::Kind;
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::glob;
use crate::number::{parse_i64, parse_u64};
use crate::spec::*;
use crate::walk::{WalkBody, WalkState};

/// Keys visited where the request does not say.
const COUNT: usize = 10;
const SLOT_AT: u32 = 32;
/// The types that Redis knows. Those that this engine does not have yet match no key.
const TYPES: &[&str] = &["string", "list", "set", "zset", "hash", "stream"];

pub static SCAN: Spec = Spec {
    name: "scan",
    summary: "Lists the keys of a database step by step.",
    since: "2.8.0",
    complexity: "O(1) for a call, O(N) for a whole pass over N keys",
    group: Group::Generic,
    arity: -2,
    flags: Flags::READONLY,
    acl: Acl::KEYSPACE.and(Acl::READ).and(Acl::SLOW),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["nondeterministic_output", "request_policy:special", "response_policy:special"],
    arguments: &[
        plain_arg("cursor", ArgKind::Integer),
        ArgDoc { token: "MATCH", optional: true, ..plain_arg("pattern", ArgKind::Pattern) },
        ArgDoc { token: "COUNT", optional: true, ..plain_arg("count", ArgKind::Integer) },
        ArgDoc { token: "TYPE", since: "6.0.0", optional: true, ..plain_arg("type", ArgKind::String) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Walk(WalkBody { begin, slot, end }),
};

/// What may follow the cursor; of an option given twice the last holds.
struct Options<'a> {
    count: usize,
    pattern: Option<&'a [u8]>,
    kind: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn parse(args: Args<'a>) -> Result<Options<'a>, Fault> {
        let mut options = Options { count: COUNT, pattern: None, kind: None };
        let mut at = 2;
        while at < args.len() {
            let (word, value) = (args.slice(at), args.opt(at + 1).ok_or(Fault::Syntax)?);
            if is_word(word, "COUNT") {
                let count = parse_i64(value).ok_or(Fault::NotInteger)?;
                options.count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(Fault::Syntax)?;
            } else if is_word(word, "MATCH") {
                options.pattern = Some(value).filter(|pattern| !glob::is_everything(pattern));
            } else if is_word(word, "TYPE") {
                options.kind = Some(known_type(value)?);
            } else {
                return Err(Fault::Syntax);
            }
            at += 2;
        }
        Ok(options)
    }

    fn want(&self, key: &[u8], kind: Kind) -> bool {
        self.kind.is_none_or(|wanted| is_word(wanted, kind.name()))
            && self.pattern.is_none_or(|pattern| glob::matches(pattern, key))
    }
}

fn begin(_: &Exec<'_>, args: Args<'_>, state: &mut WalkState) -> Reply {
    let cursor = parse_cursor(args.slice(1)).ok_or(Fault::InvalidCursor)?;
    state.wanted = Options::parse(args)?.count;
    state.in_order = true;
    // What no scan ever gave lies beyond the last slot, or is a place like any other.
    state.next = usize::try_from(cursor >> SLOT_AT).unwrap_or(SLOTS).min(SLOTS);
    state.resume = Some(cursor as u32).filter(|place| *place != 0);
    Ok(())
}

fn slot(cx: &mut Exec<'_>, args: Args<'_>, slot: Slot, state: &mut WalkState) {
    // The options were read once already by `begin`, so they can be read again.
    let Ok(options) = Options::parse(args) else { return };
    let before = state.visited;
    let chunk = state.wanted.min(CHUNK_KEYS);
    state.resume = cx.scan_slot(slot, cx.db(), state.resume.unwrap_or(0), chunk, |entry| {
        state.visited += 1;
        if options.want(entry.key(), entry.kind()) {
            state.found.bulk(entry.key());
            state.found_count += 1;
        }
    });
    let visited = state.visited - before;
    cx.work(visited);
    state.wanted = state.wanted.saturating_sub(visited as usize);
    state.stop = state.wanted == 0;
    if state.stop && state.resume.is_none() {
        state.next += 1;
    }
}

fn end(_: Args<'_>, state: &mut WalkState, out: &mut Out) {
    let cursor = match state.next {
        SLOTS.. => 0,
        slot => (slot as u64) << SLOT_AT | u64::from(state.resume.unwrap_or(0)),
    };
    out.array(2);
    out.bulk_int(cursor as i64);
    out.array(state.found_count);
    out.append(&mut state.found);
}

/// As Valkey reads it: a plus sign, and white space before, are let pass.
fn parse_cursor(arg: &[u8]) -> Option<u64> {
    let number = arg.trim_ascii_start();
    parse_u64(number.strip_prefix(b"+").unwrap_or(number))
}

fn known_type(name: &[u8]) -> Result<&[u8], Fault> {
    if TYPES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes())) {
        return Ok(name);
    }
    Err(Fault::Other(format!("ERR unknown type name '{}'", as_c_string(name)).into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admit::Admitted;
    use crate::engine::{Engine, Local};
    use crate::entry::NewValue;
    use crate::exec::Context;
    use crate::exec::{Call, McField, Ttl};
    use crate::walk::Step;
    use std::collections::BTreeMap;
    use swell_wire::{OwnedArgs, Proto};

    #[test]
    fn cursors_are_read_as_the_real_server_does() {
        for (text, expected) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("+5", Some(5)),
            (" 5", Some(5)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("5 ", None),
            ("-1", None),
            ("0x", None),
            ("", None),
            ("+", None),
        ] {
            assert_eq!(parse_cursor(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn every_key_is_seen_once_while_others_come_and_go() {
        let engine = Engine::new(7);
        let mut local = engine.local(7);
        for n in 0..3_000 {
            change(&engine, &mut local, &format!("key:{n}"), true);
            change(&engine, &mut local, &format!("{{tag}}:{n}"), true);
        }
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        let (mut cursor, mut calls) = ("0".to_owned(), 0);
        loop {
            let keys;
            (cursor, keys) = scan(&engine, &mut local, &["SCAN", &cursor, "COUNT", "23"]);
            keys.into_iter().for_each(|key| *seen.entry(key).or_default() += 1);
            if cursor == "0" {
                break;
            }
            calls += 1;
            for n in 0..40 {
                change(&engine, &mut local, &format!("{{tag}}:new:{calls}:{n}"), true);
                change(&engine, &mut local, &format!("{{tag}}:new:{}:{n}", calls - 3), false);
            }
        }
        let stayed: Vec<u32> = seen.iter().filter(|(key, _)| !key.contains("new")).map(|(_, times)| *times).collect();
        assert_eq!(stayed, vec![1; 6_000]);
    }

    #[test]
    fn a_cursor_that_no_scan_gave_ends_the_scan() {
        let engine = Engine::new(7);
        let mut local = engine.local(7);
        change(&engine, &mut local, "key", true);
        for cursor in ["70368744177664", "18446744073709551615"] {
            assert_eq!(scan(&engine, &mut local, &["SCAN", cursor]), ("0".to_owned(), vec![]));
        }
    }

    fn call(args: Args<'_>) -> Call<'_> {
        let context = Context { now_ms: 1_000, ..Context::default() };
        Admitted::from_link(&SCAN, args).call(&[], context)
    }

    fn change(engine: &Engine, local: &mut Local, key: &str, present: bool) {
        let args = OwnedArgs::default();
        let call = call(args.as_args());
        let mut cx = Exec::new(engine, local, &call);
        let key = cx.key_of(key.as_bytes());
        if present {
            cx.put(key, NewValue::Bytes(b"v"), Ttl::Clear, McField::Clear);
        } else {
            cx.remove(key);
        }
    }

    /// The reply's cursor and keys.
    fn scan(engine: &Engine, local: &mut Local, words: &[&str]) -> (String, Vec<String>) {
        let args = OwnedArgs::from_slices(words);
        let (call, Body::Walk(body)) = (call(args.as_args()), &SCAN.body) else { panic!("SCAN is a walk") };
        let mut state = WalkState::begin(body, engine, local, &call).expect("a good request");
        while state.step(body, engine, local, &call, false) != Step::Done {}
        let mut out = Out::new(Proto::Resp2);
        (body.end)(call.args, &mut state, &mut out);
        let text = String::from_utf8(out.to_vec()).expect("keys of these tests are text");
        let mut lines = text.split("\r\n").filter(|line| !line.is_empty() && !line.starts_with(['*', '$']));
        let cursor = lines.next().expect("a cursor").to_owned();
        (cursor, lines.map(str::to_owned).collect())
    }
}
