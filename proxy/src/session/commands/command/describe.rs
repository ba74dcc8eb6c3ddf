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
        Begin::Keyword { word, from } => {
            kind("keyword", 2, out);
            pair(out, "keyword", word);
            number("startfrom", from as i64, out);
        }
    }
    out.bulk(b"find_keys");
    match keys.find {
        // No command limits its keys to a part of the arguments.
        Find::Range { last, step } => {
            search("range", &[("lastkey", last as i64), ("keystep", step as i64), ("limit", 0)], out);
        }
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
