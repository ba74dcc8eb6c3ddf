//! DEBUG OBJECT, and the container DEBUG.

use swell_wire::{Args, Out};

use crate::commands::grammar::{key_arg, keys_at, word_arg};
use crate::commands::options::is_word;
use crate::entry::{Content, Entry, Value};
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::number::parse_i64;
use crate::rdb::object_len;
use crate::spec::*;

pub static DEBUG: Spec = Spec {
    name: "debug",
    summary: "Container for commands that help to debug.",
    since: "1.0.0",
    complexity: "Depends on subcommand.",
    group: Group::Server,
    arity: -2,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Container,
};

pub static OBJECT: Spec = Spec {
    name: "debug|object",
    summary: "Shows how a key's value is kept.",
    since: "1.0.0",
    complexity: "O(N) in the size of the value",
    group: Group::Server,
    arity: -3,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[keys_at(2, 0, Access::Read, &["RO"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[key_arg("key", 0), ArgDoc { optional: true, ..word_arg("fast", "FAST") }],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(object),
};

/// One status line in Redis's format. Any fourth word is let pass, as Valkey does; FAST leaves out what takes time.
fn object(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    if args.len() > 4 {
        return Err(too_many(args.slice(1)));
    }
    let now_ms = cx.now_ms();
    let fast = args.opt(3).is_some_and(|word| is_word(word, "FAST"));
    let entry = cx.peek(cx.key(args, 0)).ok_or(Fault::NoSuchKey)?;
    out.simple(&describe(&entry, now_ms, fast));
    Ok(())
}

fn describe(entry: &Entry<'_>, now_ms: u64, fast: bool) -> String {
    let serialized = if fast { String::new() } else { format!(" serializedlength:{}", serialized_len(entry)) };
    format!(
        "Value at:{:p} refcount:1 encoding:{}{serialized} lru:{} lru_seconds_idle:{}",
        entry.address(),
        entry.encoding(),
        entry.clock(),
        entry.idle_ms(now_ms) / 1000,
    )
}

/// Bytes of the value in an RDB file without compression.
fn serialized_len(entry: &Entry<'_>) -> usize {
    match entry.content() {
        Content::String(value) => string_len(&value),
        Content::Collection(_) => object_len(entry),
    }
}

/// A string: small integers in binary, else a length and the bytes.
fn string_len(value: &Value<'_>) -> usize {
    if let Value::Slice(bytes) = value
        && let Some(number) = parse_i64(bytes).and_then(|number| i32::try_from(number).ok())
    {
        return match number {
            -0x80..=0x7f => 2,
            -0x8000..=0x7fff => 3,
            _ => 5,
        };
    }
    length_len(value.len()) + value.len()
}

fn length_len(len: usize) -> usize {
    match len {
        0..0x40 => 1,
        0x40..0x4000 => 2,
        0x4000..=0xffff_ffff => 5,
        _ => 9,
    }
}

fn too_many(word: &[u8]) -> Fault {
    let word = String::from_utf8_lossy(word);
    Fault::Other(format!("ERR unknown subcommand or wrong number of arguments for '{word}'. Try DEBUG HELP.").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_an_rdb() {
        for (text, expected) in [
            ("", 1),
            ("v", 2),
            ("5", 2),
            ("-128", 2),
            ("300", 3),
            ("1234567", 5),
            ("12345678901", 12),
            ("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabc", 67),
        ] {
            assert_eq!(string_len(&Value::Slice(text.as_bytes())), expected, "{text}");
        }
    }
}
