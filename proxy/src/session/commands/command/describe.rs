//! One command as COMMAND and COMMAND INFO tell it: an array of ten.

use swell_engine::Spec;
use swell_engine::spec::{Acl, Begin, Find, Flags, KeySpec};
use swell_wire::Out;

use super::listed_subcommands;
use crate::session::commands::pair;

/// Writes one command with its subcommands.
pub fn command(spec: &'static Spec, out: &mut Out) {
    let (first, last, step) = spec.key_range();
    out.array(10);
    out.bulk(spec.name.as_bytes());
    out.int(spec.arity.into());
    status(Flags::NAMES.iter().filter(|(flag, _)| spec.flags.has(*flag)).map(|(_, name)| (*name).to_owned()), out);
    [first, last, step].into_iter().for_each(|number| out.int(number as i64));
    status(Acl::NAMES.iter().filter(|(category, _)| spec.acl.has(*category)).map(|(_, name)| format!("@{name}")), out);
    out.set(spec.tips.len());
    spec.tips.iter().for_each(|tip| out.bulk(tip.as_bytes()));
    out.set(spec.keys.len());
    spec.keys.iter().for_each(|keys| key_spec(keys, out));
    let subcommands = listed_subcommands(spec);
    out.array(subcommands.clone().count());
    subcommands.for_each(|subcommand| command(subcommand.spec, out));
}

/// A set of statuses.
pub fn status(names: impl Iterator<Item = String>, out: &mut Out) {
    let names: Vec<String> = names.collect();
    out.set(names.len());
    names.iter().for_each(|name| out.simple(name));
}

fn key_spec(keys: &KeySpec, out: &mut Out) {
    out.map(3 + usize::from(!keys.notes.is_empty()));
    if !keys.notes.is_empty() {
        pair(out, "notes", keys.notes);
    }
    out.bulk(b"flags");
    status(keys.flags.iter().map(|flag| (*flag).to_owned()), out);
    out.bulk(b"begin_search");
    match keys.begin {
        Begin::Index(index) => search("index", &[("index", index as i64)], out),
        Begin::Keyword { word, from } | Begin::Option { word, from, shown: true, .. } => {
            kind("keyword", 2, out);
            pair(out, "keyword", word);
            number("startfrom", from as i64, out);
        }
        Begin::Unknown | Begin::Option { .. } => search("unknown", &[], out),
    }
    out.bulk(b"find_keys");
    let range = |last: isize, step: usize, limit: usize, out: &mut Out| {
        search("range", &[("lastkey", last as i64), ("keystep", step as i64), ("limit", limit as i64)], out);
    };
    match keys.find {
        _ if matches!(keys.begin, Begin::Unknown | Begin::Option { shown: false, .. }) => search("unknown", &[], out),
        Find::Range { last, step } => range(last, step, 0, out),
        Find::Part { of, step } => range(-1, step, of, out),
        Find::Count { number, first, step } => {
            let fields = [("keynumidx", number as i64), ("firstkey", first as i64), ("keystep", step as i64)];
            search("keynum", &fields, out);
        }
    }
}

fn search(name: &str, fields: &[(&str, i64)], out: &mut Out) {
    kind(name, fields.len(), out);
    fields.iter().for_each(|(name, value)| number(name, *value, out));
}

fn kind(name: &str, fields: usize, out: &mut Out) {
    out.map(2);
    pair(out, "type", name);
    out.bulk(b"spec");
    out.map(fields);
}

fn number(name: &str, value: i64, out: &mut Out) {
    out.bulk(name.as_bytes());
    out.int(value);
}

#[cfg(test)]
mod tests {
    use swell_engine::spec::Access;
    use swell_wire::Proto;

    use super::*;

    fn told(begin: Begin, find: Find) -> String {
        let mut out = Out::new(Proto::Resp2);
        key_spec(&KeySpec { notes: "", access: Access::Write, flags: &[], begin, find }, &mut out);
        let text = String::from_utf8(out.to_vec()).unwrap();
        let is_word = |line: &&str| !line.starts_with(['*', '$']);
        text.split("\r\n").filter(is_word).collect::<Vec<_>>().join(" ")
    }

    /// As Redis 7.0 tells XREAD's, GEORADIUS's and SORT's.
    #[test]
    fn key_specs_are_told_as_redis_does() {
        let one = Find::Range { last: 0, step: 1 };
        let streams = told(Begin::Keyword { word: "STREAMS", from: 1 }, Find::Part { of: 2, step: 1 });
        assert!(streams.contains("keyword STREAMS startfrom :1"), "{streams}");
        assert!(streams.contains("type range spec lastkey :-1 keystep :1 limit :2"), "{streams}");
        let option = |shown| told(Begin::Option { word: "STORE", from: 6, takes: &[("STORE", 1)], shown }, one);
        assert!(option(true).contains("keyword STORE startfrom :6"), "{}", option(true));
        assert!(option(true).contains("lastkey :0"), "{}", option(true));
        let unknown = "flags begin_search type unknown spec find_keys type unknown spec ";
        assert_eq!(option(false), unknown);
        assert_eq!(told(Begin::Unknown, one), unknown);
    }
}
