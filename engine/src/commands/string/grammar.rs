//! Short forms for what the specs of this family have in common: key specs and argument grammars.

use crate::spec::{Access, ArgDoc, ArgKind, Begin, Find, KeySpec};

/// The argument that names a key.
pub(super) const KEY: ArgDoc = ArgDoc { key_spec_index: Some(0), ..plain("key", ArgKind::Key) };

/// One key, right after the command's name.
pub(super) const fn one_key(access: Access, flags: &'static [&'static str]) -> KeySpec {
    KeySpec { notes: "", access, flags, begin: Begin::Index(1), find: Find::Range { last: 0, step: 1 } }
}

/// Keys to the end of the request, every `step` arguments.
pub(super) const fn keys_every(step: usize, access: Access, flags: &'static [&'static str]) -> KeySpec {
    KeySpec { find: Find::Range { last: -1, step }, ..one_key(access, flags) }
}

/// A required argument.
pub(super) const fn plain(name: &'static str, kind: ArgKind) -> ArgDoc {
    ArgDoc {
        name,
        kind,
        token: "",
        since: "",
        key_spec_index: None,
        optional: false,
        multiple: false,
        multiple_token: false,
        arguments: &[],
    }
}

/// An argument behind a literal word, or the word alone.
pub(super) const fn token(token: &'static str, since: &'static str, name: &'static str, kind: ArgKind) -> ArgDoc {
    ArgDoc { token, since, ..plain(name, kind) }
}

/// At most one of several.
pub(super) const fn choice(name: &'static str, arguments: &'static [ArgDoc]) -> ArgDoc {
    ArgDoc { optional: true, arguments, ..plain(name, ArgKind::OneOf) }
}

/// Keys and values in turn, any number of them.
pub(super) const KEYS_AND_VALUES: ArgDoc =
    ArgDoc { multiple: true, arguments: &[KEY, plain("value", ArgKind::String)], ..plain("data", ArgKind::Block) };
