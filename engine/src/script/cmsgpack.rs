//! The `cmsgpack` library: MessagePack as lua-cmsgpack 0.4 writes and reads it.

use std::ffi::c_int;

use mlua::ffi;

use super::base::{check_number, check_string, native_table};
use super::lua::{Lua, Throw, native};

/// Levels of nested tables that are written; what is deeper is nil (lua-cmsgpack's number).
const PACK_DEPTH_MAX: usize = 16;
/// Levels that are read.
const UNPACK_DEPTH_MAX: usize = 1_000;

/// Puts it into the globals on top.
pub fn install(lua: Lua) {
    native_table(
        lua,
        &[
            (b"pack", native!(pack)),
            (b"unpack", native!(unpack)),
            (b"unpack_limit", native!(unpack_limit)),
            (b"unpack_one", native!(unpack_one)),
        ],
    );
    let facts: [(&[u8], &[u8]); 4] = [
        (b"_NAME", b"cmsgpack"),
        (b"_VERSION", b"lua-cmsgpack 0.4.0"),
        (b"_COPYRIGHT", b"Copyright (C) 2012, Redis Ltd."),
        (b"_DESCRIPTION", b"MessagePack C implementation for Lua"),
    ];
    for (name, value) in facts {
        lua.push_bytes(value);
        lua.set_field(-2, name);
    }
    lua.set_field(-2, b"cmsgpack");
}

fn pack(lua: Lua) -> Result<c_int, Throw> {
    let count = lua.top();
    if count == 0 {
        return Err(Throw::Argument(0, "MessagePack pack needs input.".to_owned()));
    }
    if !lua.reserve(8) {
        return Err(Throw::Argument(0, "Too many arguments for MessagePack pack.".to_owned()));
    }
    let mut bytes = Vec::new();
    for at in 1..=count {
        lua.push_copy(at);
        write(lua, &mut bytes, 0);
    }
    lua.push_bytes(&bytes);
    Ok(1)
}

/// Writes the value on top, and takes it off.
fn write(lua: Lua, to: &mut Vec<u8>, depth: usize) {
    let is_too_deep = depth == PACK_DEPTH_MAX || !lua.reserve(8);
    match lua.kind(-1) {
        ffi::LUA_TSTRING => {
            let bytes = lua.bytes(-1).unwrap_or_default();
            write_len(to, bytes.len(), 0xa0, 32, Some(0xd9), 0xda, 0xdb);
            to.extend_from_slice(bytes);
        }
        ffi::LUA_TBOOLEAN => to.push(if lua.boolean(-1) { 0xc3 } else { 0xc2 }),
        ffi::LUA_TNUMBER => write_number(to, lua.number(-1)),
        ffi::LUA_TTABLE if !is_too_deep => match array_len(lua) {
            Some(len) => {
                write_len(to, len, 0x90, 16, None, 0xdc, 0xdd);
                for index in 1..=len {
                    lua.get_index(-1, index);
                    write(lua, to, depth + 1);
                }
            }
            None => write_map(lua, to, depth),
        },
        _ => to.push(0xc0),
    }
    lua.pop(1);
}

/// The length of what has all whole numbers from 1 on as keys, and no others.
fn array_len(lua: Lua) -> Option<usize> {
    let (mut max, mut count) = (0.0_f64, 0_usize);
    lua.push_nil();
    while lua.next(-2) {
        lua.pop(1);
        let index = lua.number(-1);
        if lua.kind(-1) != ffi::LUA_TNUMBER || index <= 0.0 || index.floor() != index {
            lua.pop(1);
            return None;
        }
        max = max.max(index);
        count += 1;
    }
    (max as usize == count).then_some(count)
}

fn write_map(lua: Lua, to: &mut Vec<u8>, depth: usize) {
    let mut count = 0;
    lua.push_nil();
    while lua.next(-2) {
        lua.pop(1);
        count += 1;
    }
    write_len(to, count, 0x80, 16, None, 0xde, 0xdf);
    lua.push_nil();
    while lua.next(-2) {
        lua.push_copy(-2);
        write(lua, to, depth + 1);
        write(lua, to, depth + 1);
    }
}

/// A head with a length: in the byte itself if that is below `few`, else in one byte, two or four behind a mark.
fn write_len(to: &mut Vec<u8>, len: usize, fixed: u8, few: usize, one: Option<u8>, two: u8, four: u8) {
    match (len, one) {
        (len, _) if len < few => to.push(fixed | len as u8),
        (len @ ..=0xff, Some(one)) => to.extend_from_slice(&[one, len as u8]),
        (len @ ..=0xffff, _) => {
            to.push(two);
            to.extend_from_slice(&(len as u16).to_be_bytes());
        }
        (len, _) => {
            to.push(four);
            to.extend_from_slice(&(len as u32).to_be_bytes());
        }
    }
}

fn write_number(to: &mut Vec<u8>, number: f64) {
    let is_whole =
        number.floor() == number && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number);
    if !is_whole {
        return if f64::from(number as f32) == number {
            to.push(0xca);
            to.extend_from_slice(&(number as f32).to_be_bytes());
        } else {
            to.push(0xcb);
            to.extend_from_slice(&number.to_be_bytes());
        };
    }
    let whole = number as i64;
    let (mark, bytes) = match whole {
        0..=127 => return to.push(whole as u8),
        -32..=-1 => return to.push(whole as i8 as u8),
        128..=0xff => (0xcc, 1),
        0x100..=0xffff => (0xcd, 2),
        0x1_0000..=0xffff_ffff => (0xce, 4),
        0x1_0000_0000.. => (0xcf, 8),
        -128..=-33 => (0xd0, 1),
        -32_768..=-129 => (0xd1, 2),
        -2_147_483_648..=-32_769 => (0xd2, 4),
        _ => (0xd3, 8),
    };
    to.push(mark);
    to.extend_from_slice(&whole.to_be_bytes()[8 - bytes..]);
}

fn unpack(lua: Lua) -> Result<c_int, Throw> {
    unpack_some(lua, 0, 0.0)
}

fn unpack_one(lua: Lua) -> Result<c_int, Throw> {
    let offset = if lua.is_nil(2) { 0.0 } else { check_number(lua, 2)?.trunc() };
    // What stands behind the text is in the way.
    lua.set_top(1);
    unpack_some(lua, 1, offset)
}

fn unpack_limit(lua: Lua) -> Result<c_int, Throw> {
    let limit = check_number(lua, 2)?.trunc();
    let offset = if lua.is_nil(3) { 0.0 } else { check_number(lua, 3)?.trunc() };
    lua.set_top(1);
    unpack_some(lua, limit as i64, offset)
}

/// Values from `offset` on: all for a limit of 0; else at most so many, behind where to go on, which is -1 at the end.
fn unpack_some(lua: Lua, limit: i64, offset: f64) -> Result<c_int, Throw> {
    let bytes = check_string(lua, 1)?;
    if offset < 0.0 || limit < 0 {
        let words = format!("Invalid request to unpack with offset of {offset} and limit of {}.", bytes.len());
        return Err(Throw::Here(words));
    }
    if offset > bytes.len() as f64 {
        let words = format!("Start offset {offset} greater than input length {}.", bytes.len());
        return Err(Throw::Here(words));
    }
    let mut reader = Reader { lua, bytes, at: offset as usize };
    let mut count = 0;
    while reader.at < bytes.len() && (limit == 0 || count < limit) {
        if !lua.reserve(8) {
            return Err(Throw::Here("too many results to unpack".to_owned()));
        }
        reader.value(0).map_err(|bad| Throw::Here(bad.words().to_owned()))?;
        count += 1;
    }
    if limit > 0 {
        lua.push_number(if reader.at < bytes.len() { reader.at as f64 } else { -1.0 });
        lua.insert(2);
        count += 1;
    }
    Ok(count as c_int)
}

#[derive(Clone, Copy)]
enum Bad {
    Missing,
    Format,
}

impl Bad {
    fn words(self) -> &'static str {
        match self {
            Bad::Missing => "Missing bytes in input.",
            Bad::Format => "Bad data format in input.",
        }
    }
}

struct Reader<'b> {
    lua: Lua,
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    fn take(&mut self, count: usize) -> Result<&'b [u8], Bad> {
        let end = self.at.checked_add(count).ok_or(Bad::Missing)?;
        let taken = self.bytes.get(self.at..end).ok_or(Bad::Missing)?;
        self.at = end;
        Ok(taken)
    }

    fn unsigned(&mut self, count: usize) -> Result<u64, Bad> {
        Ok(self.take(count)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn signed(&mut self, count: usize) -> Result<i64, Bad> {
        let shift = 64 - 8 * count as u32;
        Ok((self.unsigned(count)? << shift) as i64 >> shift)
    }

    fn value(&mut self, depth: usize) -> Result<(), Bad> {
        if depth > UNPACK_DEPTH_MAX || !self.lua.reserve(8) {
            return Err(Bad::Format);
        }
        let lua = self.lua;
        let mark = self.take(1)?[0];
        match mark {
            0x00..=0x7f => lua.push_number(f64::from(mark)),
            0xe0..=0xff => lua.push_number(f64::from(mark as i8)),
            0xc0 => lua.push_nil(),
            0xc2 | 0xc3 => lua.push_bool(mark == 0xc3),
            0xca => lua.push_number(f64::from(f32::from_bits(self.unsigned(4)? as u32))),
            0xcb => lua.push_number(f64::from_bits(self.unsigned(8)?)),
            // The largest ones read as negative.
            0xcc..=0xcf => lua.push_number(self.unsigned(1 << (mark - 0xcc))? as i64 as f64),
            0xd0..=0xd3 => lua.push_number(self.signed(1 << (mark - 0xd0))? as f64),
            0xa0..=0xbf => self.string(usize::from(mark & 0x1f))?,
            0xd9..=0xdb => {
                let len = self.unsigned(1 << (mark - 0xd9))? as usize;
                self.string(len)?;
            }
            0xc4..=0xc6 => {
                let len = self.unsigned(1 << (mark - 0xc4))? as usize;
                self.string(len)?;
            }
            0x90..=0x9f => self.array(usize::from(mark & 0xf), depth)?,
            0xdc | 0xdd => {
                let len = self.unsigned(2 << (mark - 0xdc))? as usize;
                self.array(len, depth)?;
            }
            0x80..=0x8f => self.map(usize::from(mark & 0xf), depth)?,
            0xde | 0xdf => {
                let len = self.unsigned(2 << (mark - 0xde))? as usize;
                self.map(len, depth)?;
            }
            _ => return Err(Bad::Format),
        }
        Ok(())
    }

    fn string(&mut self, len: usize) -> Result<(), Bad> {
        let bytes = self.take(len)?;
        self.lua.push_bytes(bytes);
        Ok(())
    }

    fn array(&mut self, len: usize, depth: usize) -> Result<(), Bad> {
        // Each element takes a byte at least: a length that is a lie makes no large table.
        self.lua.new_table(len.min(self.bytes.len() - self.at), 0);
        for index in 1..=len {
            self.value(depth + 1)?;
            self.lua.set_index(-2, index);
        }
        Ok(())
    }

    fn map(&mut self, len: usize, depth: usize) -> Result<(), Bad> {
        self.lua.new_table(0, 0);
        for _ in 0..len {
            self.value(depth + 1)?;
            self.value(depth + 1)?;
            self.lua.set(-3);
        }
        Ok(())
    }
}
