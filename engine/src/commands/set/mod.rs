//! The set family: members, each once.

mod sadd;
mod scard;
mod sdiff;
mod sinter;
mod sismember;
mod smembers;
mod smove;
mod spop;
mod srandmember;
mod srem;
mod sscan;
mod sunion;

use swell_wire::{Args, Out, OwnedArgs};

use crate::commands::grammar::{KEY, key_arg, plain_arg};
use crate::error::Fault;
use crate::exec::{Exec, Ttl};
use crate::key::Key;
use crate::notify::Class;
use crate::spec::{ArgDoc, ArgKind, Spec};
use crate::value::Collection;
use crate::value::element::Element;
use crate::value::set::{Set, SetRef};

/// The family's commands, by name.
pub static SPECS: &[&Spec] = &[
    &sadd::SADD,
    &scard::SCARD,
    &sdiff::SDIFF,
    &sdiff::SDIFFSTORE,
    &sinter::SINTER,
    &sinter::SINTERCARD,
    &sinter::SINTERSTORE,
    &sismember::SISMEMBER,
    &smembers::SMEMBERS,
    &sismember::SMISMEMBER,
    &smove::SMOVE,
    &spop::SPOP,
    &srandmember::SRANDMEMBER,
    &srem::SREM,
    &sscan::SSCAN,
    &sunion::SUNION,
    &sunion::SUNIONSTORE,
];

const NAMES: ArgDoc = ArgDoc { multiple: true, ..plain_arg("member", ArgKind::String) };
const KEYS: ArgDoc = ArgDoc { multiple: true, ..KEY };
/// The keys behind a destination.
const SOURCES: ArgDoc = ArgDoc { multiple: true, ..key_arg("key", 1) };

/// The set at the command's key, for reading; nothing where the key is missing.
#[inline]
fn read<'x>(cx: &'x mut Exec<'_>, args: Args<'_>) -> Result<Option<SetRef<'x>>, Fault> {
    cx.read(cx.key(args, 0)).map(|entry| entry.collection::<Set>()).transpose()
}

/// The sets at the command's keys from the `first` on; nothing for those that are missing.
fn read_all<'x>(cx: &'x mut Exec<'_>, args: Args<'_>, first: usize) -> Result<Vec<Option<SetRef<'x>>>, Fault> {
    let keys = first..cx.keys_len();
    for n in keys.clone() {
        if let Some(entry) = cx.read(cx.key(args, n)) {
            entry.collection::<Set>()?;
        }
    }
    let cx = &*cx;
    keys.map(|n| cx.look(cx.key(args, n)).map(|entry| entry.collection::<Set>()).transpose()).collect()
}

/// Number of members that are looked at where those of the `first` sets are.
fn total(sets: &[Option<SetRef<'_>>]) -> usize {
    sets.iter().flatten().map(SetRef::len).sum()
}

/// Answers all members.
fn answer(set: SetRef<'_>, out: &mut Out) {
    out.set(set.len());
    set.members().for_each(|member| member.write(out));
}

/// Answers these members.
fn write_all(members: &[Element<'_>], out: &mut Out) {
    out.set(members.len());
    members.iter().for_each(|member| member.write(out));
}

/// Stores a result at the command's first key, or deletes the key where there is none; answers its size.
fn store(cx: &mut Exec<'_>, args: Args<'_>, event: &str, result: Set, out: &mut Out) {
    let (key, len) = (cx.key(args, 0), result.view().len());
    if result.is_empty() {
        cx.remove_target(key);
    } else {
        cx.put_collection(key, result, Ttl::Clear);
        cx.notify(Class::SET, event, key);
    }
    out.int(len as i64);
}

/// `sadd key member…` or `srem key member…`.
fn effect(command: &[u8], key: Key<'_>, members: &[Vec<u8>]) -> OwnedArgs {
    let mut args = OwnedArgs::from_slices(&[command, key.bytes]);
    members.iter().for_each(|member| args.push(member));
    args
}
