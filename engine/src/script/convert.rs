//! Replies to Lua values and Lua values to replies, as Redis maps them, for RESP2 and RESP3.

use std::ffi::c_int;

use mlua::ffi;
use swell_wire::{Out, Proto};

use super::limits::DEPTH_MAX;
use super::lua::Lua;
use crate::double::{DOUBLE_BYTES, format_double};
use crate::number::{parse_f64, parse_i64};

/// Stack slots that a level of a nested value takes.
const LEVEL_SLOTS: c_int = 8;

/// Pushes the first reply of these bytes and returns what is behind it. The bytes are replies of this engine's.
pub fn push_reply(lua: Lua, reply: &[u8]) -> &[u8] {
    push_at(lua, reply, 0)
}

fn push_at(lua: Lua, reply: &[u8], depth: usize) -> &[u8] {
    let Some((&kind, rest)) = reply.split_first() else {
        lua.push_nil();
        return reply;
    };
    let (line, rest) = split_line(rest);
    if depth > DEPTH_MAX || !lua.reserve(LEVEL_SLOTS) {
        lua.push_nil();
        return &[];
    }
    match kind {
        b':' => lua.push_number(parse_i64(line).unwrap_or(0) as f64),
        b'$' => return push_bulk(lua, line, rest),
        b'+' => push_field(lua, b"ok", line),
        b'-' => push_error(lua, line),
        b'*' | b'>' => return push_array(lua, line, rest, depth),
        b'_' => lua.push_nil(),
        b'#' => lua.push_bool(line == b"t"),
        b',' => {
            lua.new_table(0, 1);
            lua.push_number(parse_f64(line).unwrap_or(f64::NAN));
            lua.set_field(-2, b"double");
        }
        b'(' => push_field(lua, b"big_number", line),
        b'=' => return push_verbatim(lua, line, rest),
        b'%' => return push_pairs(lua, line, rest, b"map", depth),
        b'~' => return push_pairs(lua, line, rest, b"set", depth),
        _ => lua.push_nil(),
    }
    rest
}

#[inline]
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\r').unwrap_or(bytes.len());
    (&bytes[..end], bytes.get(end + 2..).unwrap_or_default())
}

#[inline]
fn split_payload<'a>(line: &[u8], rest: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let len = usize::try_from(parse_i64(line)?).ok()?;
    Some((rest.get(..len)?, rest.get(len + 2..).unwrap_or_default()))
}

#[inline]
fn push_bulk<'a>(lua: Lua, line: &[u8], rest: &'a [u8]) -> &'a [u8] {
    match split_payload(line, rest) {
        Some((payload, rest)) => {
            lua.push_bytes(payload);
            rest
        }
        None => {
            lua.push_bool(false);
            rest
        }
    }
}

fn push_field(lua: Lua, name: &[u8], value: &[u8]) {
    lua.new_table(0, 1);
    lua.push_bytes(value);
    lua.set_field(-2, name);
}

/// The table of an error reply; what it counts as is counted already.
pub fn push_error(lua: Lua, text: &[u8]) {
    lua.new_table(0, 4);
    lua.push_bytes(text);
    lua.set_field(-2, b"err");
    lua.push_bool(true);
    lua.set_field(-2, b"ignore_error_stats_update");
}

fn push_array<'a>(lua: Lua, line: &[u8], mut rest: &'a [u8], depth: usize) -> &'a [u8] {
    let Some(count) = parse_i64(line).and_then(|count| usize::try_from(count).ok()) else {
        lua.push_bool(false);
        return rest;
    };
    lua.new_table(count, 0);
    for index in 1..=count {
        rest = push_at(lua, rest, depth + 1);
        lua.set_index(-2, index);
    }
    rest
}

fn push_verbatim<'a>(lua: Lua, line: &[u8], rest: &'a [u8]) -> &'a [u8] {
    let Some((payload, rest)) = split_payload(line, rest) else {
        lua.push_nil();
        return rest;
    };
    let (format, text) = payload.split_at(payload.len().min(3));
    lua.new_table(0, 1);
    lua.new_table(0, 2);
    lua.push_bytes(format);
    lua.set_field(-2, b"format");
    lua.push_bytes(text.get(1..).unwrap_or_default());
    lua.set_field(-2, b"string");
    lua.set_field(-2, b"verbatim_string");
    rest
}

/// A map's pairs, or a set's members, each with true.
fn push_pairs<'a>(lua: Lua, line: &[u8], mut rest: &'a [u8], name: &[u8], depth: usize) -> &'a [u8] {
    let count = parse_i64(line).and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
    lua.new_table(0, 1);
    lua.new_table(0, count);
    for _ in 0..count {
        rest = push_at(lua, rest, depth + 1);
        if name == b"map" {
            rest = push_at(lua, rest, depth + 1);
        } else {
            lua.push_bool(true);
        }
        // A key that is nothing cannot be kept.
        lua.set(-3);
    }
    lua.set_field(-2, name);
    rest
}

/// Writes the value on top as a reply, and takes it off; says whether it is an error. `truths`: the script has said that
/// it speaks RESP3, so that booleans are booleans.
pub fn write_reply(lua: Lua, truths: bool, out: &mut Out) -> bool {
    let failed = lua.is_table(-1) && {
        lua.get_field(-1, b"err");
        let is_error = lua.string(-1).is_some();
        lua.pop(1);
        is_error
    };
    write_at(lua, truths, out, 0);
    failed
}

fn write_at(lua: Lua, truths: bool, out: &mut Out, depth: usize) {
    if depth > DEPTH_MAX || !lua.reserve(LEVEL_SLOTS) {
        out.error("ERR reached lua stack limit");
        lua.pop(1);
        return;
    }
    match lua.kind(-1) {
        ffi::LUA_TSTRING => out.bulk(lua.bytes(-1).unwrap_or_default()),
        ffi::LUA_TNUMBER => out.int(to_integer(lua.number(-1))),
        ffi::LUA_TBOOLEAN if truths => out.bool(lua.boolean(-1)),
        ffi::LUA_TBOOLEAN if lua.boolean(-1) => out.int(1),
        ffi::LUA_TTABLE => write_table(lua, truths, out, depth),
        _ => out.null(),
    }
    lua.pop(1);
}

/// As C converts a double on this kind of machine: what does not fit is the lowest number.
fn to_integer(number: f64) -> i64 {
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number) { number as i64 } else { i64::MIN }
}

/// The field of the table on top; false, and nothing pushed, where it is of another type.
fn push_typed(lua: Lua, name: &[u8], kind: c_int) -> bool {
    lua.get_field(-1, name);
    if lua.kind(-1) == kind {
        return true;
    }
    lua.pop(1);
    false
}

fn write_table(lua: Lua, truths: bool, out: &mut Out, depth: usize) {
    if push_typed(lua, b"err", ffi::LUA_TSTRING) {
        let text = lua.bytes(-1).unwrap_or_default();
        out.error_bytes(text.strip_prefix(b"-").unwrap_or(text));
    } else if push_typed(lua, b"ok", ffi::LUA_TSTRING) {
        let text: Vec<u8> = lua.bytes(-1).unwrap_or_default().iter().map(|byte| flat(*byte)).collect();
        out.raw(b"+");
        out.raw(&text);
        out.raw(b"\r\n");
    } else if push_typed(lua, b"double", ffi::LUA_TNUMBER) {
        out.double(format_double(lua.number(-1), &mut [0; DOUBLE_BYTES]));
    } else if push_typed(lua, b"map", ffi::LUA_TTABLE) {
        write_map(lua, truths, out, depth);
    } else if push_typed(lua, b"set", ffi::LUA_TTABLE) {
        write_set(lua, truths, out, depth);
    } else if push_typed(lua, b"big_number", ffi::LUA_TSTRING) {
        let digits: Vec<u8> = lua.bytes(-1).unwrap_or_default().iter().map(|byte| flat(*byte)).collect();
        match out.proto() {
            Proto::Resp2 => out.bulk(&digits),
            Proto::Resp3 => {
                out.raw(b"(");
                out.raw_data(&digits);
                out.raw(b"\r\n");
            }
        }
    } else if push_typed(lua, b"verbatim_string", ffi::LUA_TTABLE) {
        if !write_verbatim(lua, out) {
            lua.pop(1);
            return write_array(lua, truths, out, depth);
        }
    } else {
        return write_array(lua, truths, out, depth);
    }
    lua.pop(1);
}

/// Line ends inside a line become spaces.
fn flat(byte: u8) -> u8 {
    if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }
}

fn write_verbatim(lua: Lua, out: &mut Out) -> bool {
    lua.get_field(-1, b"format");
    lua.get_field(-2, b"string");
    let (format, text) = (lua.string(-2), lua.string(-1));
    let is_one = match (format, text) {
        (Some(format), Some(text)) => {
            let mut three = [b' '; 3];
            format.iter().zip(&mut three).for_each(|(from, to)| *to = *from);
            match out.proto() {
                Proto::Resp2 => out.bulk(text),
                Proto::Resp3 => {
                    out.raw(format!("={}\r\n", text.len() + 4).as_bytes());
                    out.raw(&three);
                    out.raw(b":");
                    out.raw_data(text);
                    out.raw(b"\r\n");
                }
            }
            true
        }
        _ => false,
    };
    lua.pop(2);
    is_one
}

fn count_pairs(lua: Lua) -> usize {
    let mut count = 0;
    lua.push_nil();
    while lua.next(-2) {
        count += 1;
        lua.pop(1);
    }
    count
}

fn write_map(lua: Lua, truths: bool, out: &mut Out, depth: usize) {
    out.map(count_pairs(lua));
    lua.push_nil();
    while lua.next(-2) {
        lua.push_copy(-2);
        write_at(lua, truths, out, depth + 1);
        write_at(lua, truths, out, depth + 1);
    }
}

fn write_set(lua: Lua, truths: bool, out: &mut Out, depth: usize) {
    out.set(count_pairs(lua));
    lua.push_nil();
    while lua.next(-2) {
        lua.pop(1);
        lua.push_copy(-1);
        write_at(lua, truths, out, depth + 1);
    }
}

/// The elements from 1 to the first that is nothing.
fn write_array(lua: Lua, truths: bool, out: &mut Out, depth: usize) {
    let mut count = 0;
    loop {
        lua.get_index(-1, count + 1);
        let is_end = lua.is_nil(-1);
        lua.pop(1);
        if is_end {
            break;
        }
        count += 1;
    }
    out.array(count);
    for index in 1..=count {
        lua.get_index(-1, index);
        write_at(lua, truths, out, depth + 1);
    }
}
