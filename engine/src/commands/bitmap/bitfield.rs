//! BITFIELD, BITFIELD_RO: integers of any number of bits, anywhere in a string.

use swell_wire::{Arg, Args, Out};

use super::bits::{byte_at, grow, offset};
use super::integer::{Integer, Overflow};
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::commands::options::is_word;
use crate::entry::Value;
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::key::Key;
use crate::notify::Class;
use crate::number::parse_i64;
use crate::spec::*;

/// BITFIELD.
pub static BITFIELD: Spec = Spec {
    name: "bitfield",
    summary: "Reads and changes integers of any number of bits within a string.",
    since: "3.2.0",
    complexity: "O(1) for each operation",
    group: Group::Bitmap,
    arity: -2,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    acl: Acl::WRITE.and(Acl::BITMAP).and(Acl::SLOW),
    keys: &[KeySpec {
        notes: "This command allows both access and modification of the key",
        access: Access::Write,
        flags: &["RW", "access", "update", "variable_flags"],
        begin: Begin::Index(1),
        find: Find::Range { last: 0, step: 1 },
    }],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        ArgDoc {
            optional: true,
            multiple: true,
            arguments: &[
                ArgDoc {
                    token: "GET",
                    arguments: &[plain_arg("encoding", ArgKind::String), plain_arg("offset", ArgKind::Integer)],
                    ..plain_arg("get-block", ArgKind::Block)
                },
                ArgDoc {
                    arguments: &[
                        ArgDoc {
                            token: "OVERFLOW",
                            optional: true,
                            arguments: &[
                                ArgDoc { token: "WRAP", ..plain_arg("wrap", ArgKind::PureToken) },
                                ArgDoc { token: "SAT", ..plain_arg("sat", ArgKind::PureToken) },
                                ArgDoc { token: "FAIL", ..plain_arg("fail", ArgKind::PureToken) },
                            ],
                            ..plain_arg("overflow-block", ArgKind::OneOf)
                        },
                        ArgDoc {
                            arguments: &[
                                ArgDoc {
                                    token: "SET",
                                    arguments: &[
                                        plain_arg("encoding", ArgKind::String),
                                        plain_arg("offset", ArgKind::Integer),
                                        plain_arg("value", ArgKind::Integer),
                                    ],
                                    ..plain_arg("set-block", ArgKind::Block)
                                },
                                ArgDoc {
                                    token: "INCRBY",
                                    arguments: &[
                                        plain_arg("encoding", ArgKind::String),
                                        plain_arg("offset", ArgKind::Integer),
                                        plain_arg("increment", ArgKind::Integer),
                                    ],
                                    ..plain_arg("incrby-block", ArgKind::Block)
                                },
                            ],
                            ..plain_arg("write-operation", ArgKind::OneOf)
                        },
                    ],
                    ..plain_arg("write", ArgKind::Block)
                },
            ],
            ..plain_arg("operation", ArgKind::OneOf)
        },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(bitfield),
};

/// BITFIELD_RO.
pub static BITFIELD_RO: Spec = Spec {
    name: "bitfield_ro",
    summary: "Reads integers of any number of bits within a string.",
    since: "6.0.0",
    complexity: "O(1) for each operation",
    group: Group::Bitmap,
    arity: -2,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::READ.and(Acl::BITMAP).and(Acl::FAST),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        ArgDoc {
            token: "GET",
            optional: true,
            multiple: true,
            multiple_token: true,
            arguments: &[plain_arg("encoding", ArgKind::String), plain_arg("offset", ArgKind::Integer)],
            ..plain_arg("get-block", ArgKind::Block)
        },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(bitfield_ro),
};

/// What is done with one integer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Get,
    Set(i64),
    Add(i64),
}

/// One operation.
struct Operation {
    action: Action,
    integer: Integer,
    /// Its first bit.
    offset: u64,
    overflow: Overflow,
}

/// Bytes that an integer of 64 bits may touch.
const WINDOW_BYTES: usize = 9;

/// Everything is read and checked before anything is done.
fn bitfield(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let operations = parse(cx, args)?;
    run(cx, args, &operations, out)
}

fn bitfield_ro(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let operations = parse(cx, args)?;
    if operations.iter().any(|operation| operation.action != Action::Get) {
        return Err(Fault::say("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    run(cx, args, &operations, out)
}

fn parse(cx: &Exec<'_>, args: Args<'_>) -> Result<Vec<Operation>, Fault> {
    let (mut operations, mut overflow, mut at) = (Vec::new(), Overflow::Wrap, 2);
    while at < args.len() {
        let (word, left) = (args.slice(at), args.len() - at - 1);
        if left >= 1 && is_word(word, "OVERFLOW") {
            overflow = Overflow::parse(args.slice(at + 1))?;
            at += 2;
            continue;
        }
        let takes = match () {
            () if is_word(word, "GET") => 2,
            () if is_word(word, "SET") || is_word(word, "INCRBY") => 3,
            () => return Err(Fault::Syntax),
        };
        if left < takes {
            return Err(Fault::Syntax);
        }
        let integer = Integer::parse(args.slice(at + 1))?;
        let offset = offset(cx, args.slice(at + 2), Some(integer.bits()))?;
        let number = || parse_i64(args.slice(at + 3)).ok_or(Fault::NotInteger);
        let action = match takes {
            2 => Action::Get,
            _ if is_word(word, "SET") => Action::Set(number()?),
            _ => Action::Add(number()?),
        };
        operations.push(Operation { action, integer, offset, overflow });
        at += 1 + takes;
    }
    Ok(operations)
}

/// The string is made long enough for all writes before the first.
fn run(cx: &mut Exec<'_>, args: Args<'_>, operations: &[Operation], out: &mut Out) -> Reply {
    let key = cx.key(args, 0);
    let writes = operations.iter().filter(|operation| operation.action != Action::Get);
    let needed = writes.map(|operation| (operation.end() as usize).div_ceil(8)).max();
    let grows = match needed {
        None => {
            cx.read(key).map(|entry| entry.string()).transpose()?;
            false
        }
        Some(needed) => {
            let old = cx.write_lookup(key).map(|entry| entry.string()).transpose()?.map(|value| value.len());
            grow(cx, key, old, needed);
            old.is_none_or(|old| old < needed)
        }
    };
    let mut changed = false;
    out.array(operations.len());
    for operation in operations {
        match operation.run(cx, key) {
            Some((number, differs)) => {
                changed |= operation.action != Action::Get && (grows || differs);
                out.int(number);
            }
            None => out.null(),
        }
    }
    if changed {
        cx.notify(Class::STRING, "setbit", key);
    }
    cx.work((operations.len() as u64).saturating_sub(1));
    Ok(())
}

impl Operation {
    /// Behind its last bit.
    fn end(&self) -> u64 {
        self.offset + u64::from(self.integer.bits())
    }

    /// Does it and says whether that changed anything; nothing where the result does not fit and that is to fail.
    fn run(&self, cx: &mut Exec<'_>, key: Key<'_>) -> Option<(i64, bool)> {
        let from = (self.offset / 8) as usize;
        let mut window = [0; WINDOW_BYTES];
        if let Some(Ok(value)) = cx.peek(key).map(|entry| entry.string()) {
            fill(&mut window, value, from);
        }
        let shift = (self.offset % 8) as u32;
        let old = self.integer.read(&window, shift);
        let (new, answer) = match self.action {
            Action::Get => return Some((old as i64, false)),
            Action::Set(number) => (self.integer.fit(self.integer.of_argument(number), self.overflow)?, old),
            Action::Add(number) => {
                let new = self.integer.fit(old + i128::from(number), self.overflow)?;
                (new, new)
            }
        };
        if new != old {
            self.integer.write(&mut window, shift, new);
            let bytes = (self.end() as usize).div_ceil(8) - from;
            cx.write_range(key, from, Arg::Slice(&window[..bytes]));
        }
        Some((answer as i64, new != old))
    }
}

/// The bytes from `from` on, zeroes behind the string.
fn fill(window: &mut [u8; WINDOW_BYTES], value: Value<'_>, from: usize) {
    (from..).zip(window).for_each(|(at, byte)| *byte = byte_at(value, at));
}
