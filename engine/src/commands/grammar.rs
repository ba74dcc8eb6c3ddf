//! Short forms for what specs have in common: key specs and argument grammars.

use crate::spec::{Access, ArgDoc, ArgKind, Begin, Find, KeySpec};

/// Keys from argument `first` to `last` (relative to it; -1: the last argument), one after the other.
pub(super) const fn keys_at(first: usize, last: isize, access: Access, flags: &'static [&'static str]) -> KeySpec {
    KeySpec { notes: "", access, flags, begin: Begin::Index(first), find: Find::Range { last, step: 1 } }
}

/// A required argument without a token.
pub(super) const fn plain_arg(name: &'static str, kind: ArgKind) -> ArgDoc {
    ArgDoc {
        name,
        kind,
        token: "",
        since: "",
        deprecated_since: "",
        key_spec_index: None,
        optional: false,
        multiple: false,
        multiple_token: false,
        arguments: &[],
    }
}

/// The key of a key spec.
pub(super) const fn key_arg(name: &'static str, key_spec_index: u8) -> ArgDoc {
    ArgDoc { key_spec_index: Some(key_spec_index), ..plain_arg(name, ArgKind::Key) }
}

/// A literal word.
pub(super) const fn word_arg(name: &'static str, token: &'static str) -> ArgDoc {
    ArgDoc { token, ..plain_arg(name, ArgKind::PureToken) }
}

/// The argument that names a key.
pub(super) const KEY: ArgDoc = key_arg("key", 0);

/// One key, right after the command's name.
pub(super) const fn one_key(access: Access, flags: &'static [&'static str]) -> KeySpec {
    keys_at(1, 0, access, flags)
}

/// Keys to the end of the request, every `step` arguments.
pub(super) const fn keys_every(step: usize, access: Access, flags: &'static [&'static str]) -> KeySpec {
    KeySpec { find: Find::Range { last: -1, step }, ..one_key(access, flags) }
}

/// An argument behind a literal word, or the word alone.
pub(super) const fn token(token: &'static str, since: &'static str, name: &'static str, kind: ArgKind) -> ArgDoc {
    ArgDoc { token, since, ..plain_arg(name, kind) }
}

/// At most one of several.
pub(super) const fn choice(name: &'static str, arguments: &'static [ArgDoc]) -> ArgDoc {
    ArgDoc { optional: true, arguments, ..plain_arg(name, ArgKind::OneOf) }
}

/// Keys and values in turn, any number of them.
pub(super) const KEYS_AND_VALUES: ArgDoc = ArgDoc {
    multiple: true,
    arguments: &[KEY, plain_arg("value", ArgKind::String)],
    ..plain_arg("data", ArgKind::Block)
};
