//! What the verbs' rows have in common: their keys and the words of their command lines.

use crate::spec::{Access, ArgDoc, ArgKind, Begin, Find, KeySpec};

/// Every word after the verb is a key that is read.
pub(super) static READ_KEYS: &[KeySpec] = &[keys(Access::Read, &["RO", "access"], 1, -1)];
/// Every word after the exptime is a key that is read and given a new expiry.
pub(super) static TOUCHED_KEYS: &[KeySpec] = &[keys(Access::Write, &["RW", "access", "update"], 2, -1)];
/// One key whose value is replaced.
pub(super) static STORED_KEY: &[KeySpec] = &[keys(Access::Write, &["OW", "update"], 1, 0)];
/// One key whose value must not be there yet.
pub(super) static ADDED_KEY: &[KeySpec] = &[keys(Access::Write, &["OW", "insert"], 1, 0)];
/// One key whose value is changed.
pub(super) static CHANGED_KEY: &[KeySpec] = &[keys(Access::Write, &["RW", "update"], 1, 0)];
/// One key whose value is changed and told.
pub(super) static COUNTED_KEY: &[KeySpec] = &[keys(Access::Write, &["RW", "access", "update"], 1, 0)];
/// One key that is deleted.
pub(super) static DELETED_KEY: &[KeySpec] = &[keys(Access::Delete, &["RM", "delete"], 1, 0)];

/// The line of a storage verb.
pub(super) static STORE: &[ArgDoc] = &[KEY, FLAGS, EXPTIME, BYTES, NOREPLY, DATA];
/// The line of `cas`.
pub(super) static STORE_CAS: &[ArgDoc] = &[KEY, FLAGS, EXPTIME, BYTES, UNIQUE, NOREPLY, DATA];
/// The line of `get` and `gets`.
pub(super) static KEYS: &[ArgDoc] = &[SEVERAL_KEYS];
/// The line of `gat` and `gats`.
pub(super) static EXPTIME_KEYS: &[ArgDoc] = &[EXPTIME, SEVERAL_KEYS];
/// The line of `touch`.
pub(super) static KEY_EXPTIME: &[ArgDoc] = &[KEY, EXPTIME, NOREPLY];
/// The line of `incr` and `decr`.
pub(super) static KEY_DELTA: &[ArgDoc] = &[KEY, word("delta", ArgKind::Integer), NOREPLY];
/// The line of `delete`.
pub(super) static ONE_KEY: &[ArgDoc] = &[KEY, NOREPLY];
/// The line of `flush_all`.
pub(super) static DELAY: &[ArgDoc] = &[ArgDoc { optional: true, ..word("delay", ArgKind::Integer) }, NOREPLY];
/// The line of `verbosity`.
pub(super) static LEVEL: &[ArgDoc] = &[word("level", ArgKind::Integer), NOREPLY];
/// The line of `stats`.
pub(super) static TOPIC: &[ArgDoc] = &[ArgDoc { optional: true, ..word("topic", ArgKind::String) }];

const KEY: ArgDoc = ArgDoc { key_spec_index: Some(0), ..word("key", ArgKind::Key) };
const SEVERAL_KEYS: ArgDoc = ArgDoc { multiple: true, ..KEY };
const FLAGS: ArgDoc = word("flags", ArgKind::Integer);
const EXPTIME: ArgDoc = word("exptime", ArgKind::Integer);
const BYTES: ArgDoc = word("bytes", ArgKind::Integer);
const UNIQUE: ArgDoc = word("unique", ArgKind::Integer);
const DATA: ArgDoc = word("data", ArgKind::String);
const NOREPLY: ArgDoc = ArgDoc { token: "noreply", optional: true, ..word("noreply", ArgKind::PureToken) };

const fn keys(access: Access, flags: &'static [&'static str], first: usize, last: isize) -> KeySpec {
    KeySpec { notes: "", access, flags, begin: Begin::Index(first), find: Find::Range { last, step: 1 } }
}

const fn word(name: &'static str, kind: ArgKind) -> ArgDoc {
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
