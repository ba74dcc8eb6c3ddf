//! Commands on keys of any type.

mod copy;
mod del;
mod dump;
mod exists;
pub(super) mod expire;
mod keys;
mod r#move;
mod object;
mod persist;
pub(crate) mod randomkey;
mod rename;
mod scan;
pub(crate) mod sort;
mod touch;
mod ttl;
mod r#type;
mod wait;

use std::borrow::Cow;

use crate::entry::Entry;
use crate::exec::Exec;
use crate::key::Key;
use crate::notify::Class;
use crate::spec::Spec;

/// The family's rows, by name.
pub static SPECS: &[&Spec] = &[
    &copy::COPY,
    &del::DEL,
    &dump::DUMP,
    &exists::EXISTS,
    &expire::EXPIRE,
    &expire::EXPIREAT,
    &ttl::EXPIRETIME,
    &keys::KEYS,
    &r#move::MOVE,
    &object::OBJECT,
    &object::ENCODING,
    &object::FREQ,
    &object::HELP,
    &object::IDLETIME,
    &object::REFCOUNT,
    &persist::PERSIST,
    &expire::PEXPIRE,
    &expire::PEXPIREAT,
    &ttl::PEXPIRETIME,
    &ttl::PTTL,
    &randomkey::RANDOMKEY,
    &rename::RENAME,
    &rename::RENAMENX,
    &dump::RESTORE,
    &scan::SCAN,
    &sort::SORT,
    &sort::SORT_RO,
    &touch::TOUCH,
    &ttl::TTL,
    &r#type::TYPE,
    &del::UNLINK,
    &wait::WAIT,
    &wait::WAITAOF,
];

/// Keys that a walk visits under one lock, even where all keys lie in one slot.
const CHUNK_KEYS: usize = 256;

/// What `look` sees of a key. Counted as a hit or miss, but no access: the clock stays as it was.
fn inspect<T>(cx: &mut Exec<'_>, key: Key<'_>, look: impl FnOnce(Entry<'_>) -> T) -> Option<T> {
    let seen = inspect_untold(cx, key, look);
    if seen.is_none() {
        cx.notify(Class::MISS, "keymiss", key);
    }
    seen
}

/// The same for OBJECT, whose misses nobody is told of.
fn inspect_untold<T>(cx: &mut Exec<'_>, key: Key<'_>, look: impl FnOnce(Entry<'_>) -> T) -> Option<T> {
    let seen = cx.peek(key).map(look);
    cx.count_lookup(seen.is_some());
    seen
}

/// The bytes as error replies quote an argument: up to a NUL byte, as C has it.
fn as_c_string(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default())
}
