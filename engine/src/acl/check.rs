//! Whether a user may make a call.

use swell_wire::Args;

use super::patterns::{Channels, Databases, KeyAccess, Keys};
use super::selector::Selector;
use super::user::User;
use crate::admit::Denied;
use crate::commands::table::Command;
use crate::key::{DATABASES, Db};
use crate::number::parse_i64;
use crate::spec::{Access, Acl, Flags, Group, KeySpec, Spec};

/// Whether `user` may make this call with `db` selected. The arguments' number has been checked.
///
/// # Errors
/// What stands in the way. Where no selector lets the call pass, the one that came furthest is heard: channels are asked
/// last, before them keys, then the command, databases first; among equals the later argument counts.
pub fn check(user: &User, db: Db, command: Command, args: Args<'_>) -> Result<(), Denied> {
    if user.is_unrestricted() {
        return Ok(());
    }
    let mut furthest: Option<Denied> = None;
    for selector in user.each_selector() {
        match selector.check(db, command, args) {
            Ok(()) => return Ok(()),
            Err(denied) if furthest.as_ref().is_none_or(|known| rank(&denied) > rank(known)) => furthest = Some(denied),
            Err(_) => {}
        }
    }
    Err(match furthest {
        Some(Denied::Command { .. }) | None => {
            Denied::Command { user: String::from_utf8_lossy(user.name()).into_owned(), name: command.spec.name }
        }
        Some(denied) => denied,
    })
}

/// SORT's patterns name keys that are not known before: who may not read every key may not use them. ACL DRYRUN does not
/// look at this.
///
/// # Errors
/// [`Denied::SortPattern`].
pub fn check_sort(user: &User, db: Db, command: Command, args: Args<'_>) -> Result<(), Denied> {
    if user.is_unrestricted() || !matches!(command.spec.name, "sort" | "sort_ro") {
        return Ok(());
    }
    let Some(pattern) = sort_pattern(args) else { return Ok(()) };
    let reads_all = |selector: &Selector| selector.keys.read_all() && selector.check(db, command, args).is_ok();
    if user.each_selector().any(reads_all) { Ok(()) } else { Err(Denied::SortPattern(pattern)) }
}

/// The first option that reads other keys than the one that is sorted.
fn sort_pattern(args: Args<'_>) -> Option<&'static str> {
    let mut at = 2;
    while let Some(word) = args.opt(at) {
        at += match word.to_ascii_lowercase().as_slice() {
            b"limit" => 3,
            b"store" => 2,
            b"get" if at + 1 < args.len() => return Some("GET"),
            // Without a star it says that nothing is to be sorted.
            b"by" if args.opt(at + 1).is_some_and(|pattern| pattern.contains(&b'*')) => return Some("BY"),
            b"by" => 2,
            _ => 1,
        };
    }
    None
}

/// Whether `user` may be subscribed to this channel, or to this pattern of channels.
pub fn may_hear(user: &User, channel: &[u8], is_pattern: bool) -> bool {
    user.each_selector().any(|selector| selector.channels.allow(channel, is_pattern))
}

/// How far a call came, and the argument that it was stopped at.
fn rank(denied: &Denied) -> (u8, usize) {
    match denied {
        Denied::Database(at) => (0, *at),
        Denied::Key(at) => (2, *at),
        Denied::Channel(at) => (3, *at),
        _ => (1, 0),
    }
}

impl Selector {
    fn check(&self, db: Db, command: Command, args: Args<'_>) -> Result<(), Denied> {
        let spec = command.spec;
        self.check_dbs(db, spec, args)?;
        let first = args.opt(1 + usize::from(spec.container().is_some()));
        if !spec.flags.has(Flags::NO_AUTH) && !self.may_call(command, first) {
            return Err(Denied::Command { user: String::new(), name: spec.name });
        }
        self.check_keys(spec, args)?;
        self.check_channels(spec, args)
    }

    /// The databases that a call names, and the one that it works in.
    fn check_dbs(&self, db: Db, spec: &Spec, args: Args<'_>) -> Result<(), Denied> {
        if self.dbs == Databases::All {
            return Ok(());
        }
        let named = |at: usize| {
            let number = args.opt(at).and_then(parse_i64).and_then(Db::new);
            match number.is_none_or(|db| self.dbs.allow(db.number().into())) {
                true => Ok(()),
                false => Err(Denied::Database(at)),
            }
        };
        match spec.name {
            "select" => return named(1),
            "swapdb" => return named(1).and_then(|()| named(2)),
            "move" => named(2)?,
            "copy" => (3..args.len())
                .filter(|at| args.slice(*at).eq_ignore_ascii_case(b"db"))
                .try_for_each(|at| named(at + 1))?,
            "flushall" if !(0..DATABASES as u32).all(|db| self.dbs.allow(db)) => return Err(Denied::Database(0)),
            _ => {}
        }
        let works_in_it = is_about_data(spec) && !self.dbs.allow(db.number().into());
        if works_in_it { Err(Denied::Database(0)) } else { Ok(()) }
    }

    fn check_keys(&self, spec: &Spec, args: Args<'_>) -> Result<(), Denied> {
        // Keys whose number makes no sense are none: the body refuses such a call before it looks at any.
        if self.keys == Keys::All || spec.each_key(args, |_| ()).is_err() {
            return Ok(());
        }
        for keys in spec.keys.iter().filter(|keys| !is_channel(keys)) {
            let (wanted, mut denied) = (access(spec, keys, args), None);
            // That it finds them was seen above.
            let _ = keys.each(args, |at| {
                if denied.is_none() && !self.keys.allow(&args.get(at).to_bytes(), wanted) {
                    denied = Some(at);
                }
            });
            if let Some(at) = denied {
                return Err(Denied::Key(at));
            }
        }
        Ok(())
    }

    fn check_channels(&self, spec: &Spec, args: Args<'_>) -> Result<(), Denied> {
        if self.channels == Channels::All || !spec.acl.has(Acl::PUBSUB) {
            return Ok(());
        }
        let (channels, is_pattern) = match spec.name {
            "publish" | "spublish" => (1..args.len().min(2), false),
            "subscribe" | "ssubscribe" => (1..args.len(), false),
            "psubscribe" => (1..args.len(), true),
            _ => return Ok(()),
        };
        for at in channels {
            if !self.channels.allow(&args.get(at).to_bytes(), is_pattern) {
                return Err(Denied::Channel(at));
            }
        }
        Ok(())
    }
}

/// Whether a call looks at or changes what is in the selected database. Of functions Valkey says so too.
fn is_about_data(spec: &Spec) -> bool {
    let categories = [Acl::KEYSPACE, Acl::READ, Acl::WRITE];
    let by_flags = spec.group == Group::Memcached && (spec.is_write() || spec.flags.has(Flags::READONLY));
    by_flags
        || spec.keys.iter().any(|keys| !is_channel(keys))
        || categories.iter().any(|category| spec.acl.has(*category))
}

/// Whether what stands there are names of another kind.
fn is_channel(keys: &KeySpec) -> bool {
    keys.flags.contains(&"not_key")
}

/// What a call does with the keys of this group.
fn access(spec: &Spec, keys: &KeySpec, args: Args<'_>) -> KeyAccess {
    const READ: KeyAccess = KeyAccess { read: true, write: false };
    const WRITE: KeyAccess = KeyAccess { read: false, write: true };
    match spec.name {
        "set" if spec.group != Group::Memcached => {
            return if gets_old_value(args) { KeyAccess::BOTH } else { WRITE };
        }
        "bitfield" => return if only_reads_bits(args) { READ } else { KeyAccess::BOTH },
        _ => {}
    }
    if spec.group == Group::Memcached {
        return if keys.access == Access::Read { READ } else { WRITE };
    }
    KeyAccess {
        read: keys.flags.contains(&"access"),
        write: keys.flags.iter().any(|flag| matches!(*flag, "insert" | "delete" | "update")),
    }
}

/// SET with GET tells what was there.
fn gets_old_value(args: Args<'_>) -> bool {
    (3..args.len()).any(|at| args.slice(at).eq_ignore_ascii_case(b"get"))
}

/// BITFIELD that has nothing but GETs.
fn only_reads_bits(args: Args<'_>) -> bool {
    let mut at = 2;
    while let Some(word) = args.opt(at) {
        let left = args.len() - at - 1;
        at += match word.to_ascii_lowercase().as_slice() {
            b"get" if left >= 2 => 3,
            b"overflow" if left >= 1 => 2,
            _ => return false,
        };
    }
    true
}
