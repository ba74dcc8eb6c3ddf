//! The list family: elements in order, pushed and taken at both ends.

mod blpop;
mod lindex;
mod linsert;
mod llen;
mod lmove;
mod lmpop;
mod lpop;
mod lpos;
mod lpush;
mod lrange;
mod lrem;
mod lset;
mod ltrim;

use swell_wire::Out;

use crate::commands::grammar::{plain_arg, word_arg};
use crate::commands::options::is_word;
use crate::error::Fault;
use crate::spec::{ArgDoc, ArgKind, Spec};
use crate::value::list::{End, ListRef};

/// The family's commands, by name.
pub static SPECS: &[&Spec] = &[
    &lmove::BLMOVE,
    &lmpop::BLMPOP,
    &blpop::BLPOP,
    &blpop::BRPOP,
    &lmove::BRPOPLPUSH,
    &lindex::LINDEX,
    &linsert::LINSERT,
    &llen::LLEN,
    &lmove::LMOVE,
    &lmpop::LMPOP,
    &lpop::LPOP,
    &lpos::LPOS,
    &lpush::LPUSH,
    &lpush::LPUSHX,
    &lrange::LRANGE,
    &lrem::LREM,
    &lset::LSET,
    &ltrim::LTRIM,
    &lpop::RPOP,
    &lmove::RPOPLPUSH,
    &lpush::RPUSH,
    &lpush::RPUSHX,
];

const ENDS: &[ArgDoc] = &[word_arg("left", "LEFT"), word_arg("right", "RIGHT")];

/// An argument that names one of a list's ends.
const fn end_arg(name: &'static str) -> ArgDoc {
    ArgDoc { arguments: ENDS, ..plain_arg(name, ArgKind::OneOf) }
}

fn end_of(arg: &[u8]) -> Result<End, Fault> {
    match arg {
        word if is_word(word, "LEFT") => Ok(End::Front),
        word if is_word(word, "RIGHT") => Ok(End::Back),
        _ => Err(Fault::Syntax),
    }
}

/// Answers `count` elements at an end, from the outermost inwards.
fn write_end(list: ListRef<'_>, end: End, count: usize, out: &mut Out) {
    let len = list.len();
    match end {
        End::Front => list.write_range(0..count, false, out),
        End::Back => list.write_range(len - count..len, true, out),
    }
}
