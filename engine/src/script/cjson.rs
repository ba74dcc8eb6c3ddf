//! The `cjson` library: JSON as lua-cjson 2.1 writes and reads it. What a script sets holds for that script.

use std::ffi::c_int;

use mlua::ffi;

use super::base::{check_number, check_string, format_g, native_table};
use super::lua::{Lua, Throw, native};

mod decode;

/// What scripts may set.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    sparse_as_object: bool,
    sparse_ratio: f64,
    sparse_safe: f64,
    encode_depth_max: usize,
    decode_depth_max: usize,
    precision: usize,
    encode_invalid: Invalid,
    decode_invalid: bool,
    keeps_buffer: bool,
}

/// What becomes of numbers that JSON has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Invalid {
    Refused,
    AsTheyAre,
    Null,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            sparse_as_object: false,
            sparse_ratio: 2.0,
            sparse_safe: 10.0,
            encode_depth_max: 1000,
            decode_depth_max: 1000,
            precision: 14,
            encode_invalid: Invalid::Refused,
            decode_invalid: true,
            keeps_buffer: true,
        }
    }
}

/// Levels that may be set at most: each takes some stack.
const DEPTH_MAX: f64 = 4000.0;

/// Puts it into the globals on top.
pub fn install(lua: Lua) {
    push_library(lua);
    lua.set_field(-2, b"cjson");
}

fn push_library(lua: Lua) {
    native_table(
        lua,
        &[
            (b"decode", native!(decode::decode)),
            (b"decode_invalid_numbers", native!(decode_invalid)),
            (b"decode_max_depth", native!(|lua| set_depth(lua, |settings| &mut settings.decode_depth_max))),
            (b"encode", native!(encode)),
            (b"encode_invalid_numbers", native!(encode_invalid)),
            (b"encode_keep_buffer", native!(keep_buffer)),
            (b"encode_max_depth", native!(|lua| set_depth(lua, |settings| &mut settings.encode_depth_max))),
            (b"encode_number_precision", native!(set_precision)),
            (b"encode_sparse_array", native!(set_sparse)),
            (b"new", native!(new)),
        ],
    );
    for (name, value) in [(&b"_NAME"[..], &b"cjson"[..]), (b"_VERSION", b"2.1.0")] {
        lua.push_bytes(value);
        lua.set_field(-2, name);
    }
    lua.push_null();
    lua.set_field(-2, b"null");
}

fn new(lua: Lua) -> Result<c_int, Throw> {
    push_library(lua);
    Ok(1)
}

fn settings<'a>(lua: Lua) -> &'a mut Settings {
    // SAFETY: the meter lives as long as the state, and no native calls another.
    unsafe { &mut (*lua.meter()).json }
}

fn integer(lua: Lua, at: c_int, min: f64, max: f64) -> Result<f64, Throw> {
    let number = check_number(lua, at)?.trunc();
    if (min..=max).contains(&number) {
        return Ok(number);
    }
    Err(Throw::Argument(at, format!("expected integer between {min} and {max}")))
}

fn set_depth(lua: Lua, field: fn(&mut Settings) -> &mut usize) -> Result<c_int, Throw> {
    if !lua.is_nil(1) {
        *field(settings(lua)) = integer(lua, 1, 1.0, 2_147_483_647.0)?.min(DEPTH_MAX) as usize;
    }
    lua.push_number(*field(settings(lua)) as f64);
    Ok(1)
}

fn set_precision(lua: Lua) -> Result<c_int, Throw> {
    if !lua.is_nil(1) {
        settings(lua).precision = integer(lua, 1, 1.0, 14.0)? as usize;
    }
    lua.push_number(settings(lua).precision as f64);
    Ok(1)
}

fn boolean(lua: Lua, at: c_int) -> Result<Option<bool>, Throw> {
    match lua.kind(at) {
        ffi::LUA_TBOOLEAN => Ok(Some(lua.boolean(at))),
        _ if lua.is_nil(at) => Ok(None),
        _ => match check_string(lua, at)? {
            b"on" => Ok(Some(true)),
            b"off" => Ok(Some(false)),
            other => Err(Throw::Argument(at, format!("invalid option '{}'", String::from_utf8_lossy(other)))),
        },
    }
}

fn keep_buffer(lua: Lua) -> Result<c_int, Throw> {
    if let Some(keeps) = boolean(lua, 1)? {
        settings(lua).keeps_buffer = keeps;
    }
    lua.push_bool(settings(lua).keeps_buffer);
    Ok(1)
}

fn set_sparse(lua: Lua) -> Result<c_int, Throw> {
    if let Some(converts) = boolean(lua, 1)? {
        settings(lua).sparse_as_object = converts;
    }
    if !lua.is_nil(2) {
        settings(lua).sparse_ratio = integer(lua, 2, 0.0, 2_147_483_647.0)?;
    }
    if !lua.is_nil(3) {
        settings(lua).sparse_safe = integer(lua, 3, 0.0, 2_147_483_647.0)?;
    }
    let Settings { sparse_as_object, sparse_ratio, sparse_safe, .. } = *settings(lua);
    lua.push_bool(sparse_as_object);
    lua.push_number(sparse_ratio);
    lua.push_number(sparse_safe);
    Ok(3)
}

fn encode_invalid(lua: Lua) -> Result<c_int, Throw> {
    if lua.string(1) == Some(b"null") {
        settings(lua).encode_invalid = Invalid::Null;
    } else if let Some(takes) = boolean(lua, 1)? {
        settings(lua).encode_invalid = if takes { Invalid::AsTheyAre } else { Invalid::Refused };
    }
    match settings(lua).encode_invalid {
        Invalid::Null => lua.push_bytes(b"null"),
        other => lua.push_bool(other == Invalid::AsTheyAre),
    }
    Ok(1)
}

fn decode_invalid(lua: Lua) -> Result<c_int, Throw> {
    if let Some(takes) = boolean(lua, 1)? {
        settings(lua).decode_invalid = takes;
    }
    lua.push_bool(settings(lua).decode_invalid);
    Ok(1)
}

fn encode(lua: Lua) -> Result<c_int, Throw> {
    if lua.top() != 1 {
        return Err(Throw::Argument(1, "expected 1 argument".to_owned()));
    }
    let mut text = Vec::new();
    Encoder { lua, settings: *settings(lua), text: &mut text }.value(0)?;
    lua.push_bytes(&text);
    Ok(1)
}

struct Encoder<'t> {
    lua: Lua,
    settings: Settings,
    text: &'t mut Vec<u8>,
}

impl Encoder<'_> {
    /// The value on top, which stays.
    fn value(&mut self, depth: usize) -> Result<(), Throw> {
        let lua = self.lua;
        match lua.kind(-1) {
            ffi::LUA_TSTRING => self.string(lua.bytes(-1).unwrap_or_default()),
            ffi::LUA_TNUMBER => self.number(lua.number(-1))?,
            ffi::LUA_TBOOLEAN => self.text.extend_from_slice(if lua.boolean(-1) { b"true" } else { b"false" }),
            ffi::LUA_TNIL => self.text.extend_from_slice(b"null"),
            ffi::LUA_TLIGHTUSERDATA if lua.pointer(-1).is_null() => self.text.extend_from_slice(b"null"),
            ffi::LUA_TTABLE => self.table(depth + 1)?,
            _ => return Err(self.cannot("type not supported")),
        }
        Ok(())
    }

    fn cannot(&self, why: &str) -> Throw {
        Throw::Here(format!("Cannot serialise {}: {why}", self.lua.kind_name(-1)))
    }

    fn number(&mut self, number: f64) -> Result<(), Throw> {
        if number.is_finite() {
            self.text.extend_from_slice(format_g(number, self.settings.precision).as_bytes());
            return Ok(());
        }
        let text: &[u8] = match self.settings.encode_invalid {
            Invalid::Refused => return Err(self.cannot("must not be NaN or Inf")),
            Invalid::Null => b"null",
            Invalid::AsTheyAre if number.is_nan() => b"nan",
            Invalid::AsTheyAre if number > 0.0 => b"inf",
            Invalid::AsTheyAre => b"-inf",
        };
        self.text.extend_from_slice(text);
        Ok(())
    }

    fn string(&mut self, string: &[u8]) {
        self.text.reserve(string.len() + 2);
        self.text.push(b'"');
        for &byte in string {
            let escaped = match byte {
                b'"' => b'"',
                b'\\' => b'\\',
                b'/' => b'/',
                8 => b'b',
                b'\t' => b't',
                b'\n' => b'n',
                12 => b'f',
                b'\r' => b'r',
                0..=31 | 127 => {
                    self.text.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                    continue;
                }
                _ => {
                    self.text.push(byte);
                    continue;
                }
            };
            self.text.extend_from_slice(&[b'\\', escaped]);
        }
        self.text.push(b'"');
    }

    fn table(&mut self, depth: usize) -> Result<(), Throw> {
        if depth > self.settings.encode_depth_max || !self.lua.reserve(8) {
            return Err(Throw::Here(format!("Cannot serialise, excessive nesting ({depth})")));
        }
        match self.array_len()? {
            Some(len) => self.array(len, depth),
            None => self.object(depth),
        }
    }

    /// The length of the array on top; nothing if it is none.
    fn array_len(&self) -> Result<Option<usize>, Throw> {
        let lua = self.lua;
        let (mut max, mut items) = (0.0_f64, 0.0);
        lua.push_nil();
        while lua.next(-2) {
            let index = lua.number(-2);
            let is_index = lua.kind(-2) == ffi::LUA_TNUMBER && index > 0.0 && index.floor() == index;
            lua.pop(1);
            if !is_index {
                lua.pop(1);
                return Ok(None);
            }
            max = max.max(index);
            items += 1.0;
        }
        let Settings { sparse_ratio, sparse_safe, sparse_as_object, .. } = self.settings;
        if sparse_ratio > 0.0 && max > items * sparse_ratio && max > sparse_safe {
            if !sparse_as_object {
                return Err(self.cannot("excessively sparse array"));
            }
            return Ok(None);
        }
        Ok((max > 0.0).then_some(max as usize))
    }

    fn array(&mut self, len: usize, depth: usize) -> Result<(), Throw> {
        self.text.push(b'[');
        for index in 1..=len {
            if index > 1 {
                self.text.push(b',');
            }
            self.lua.get_index(-1, index);
            self.value(depth)?;
            self.lua.pop(1);
        }
        self.text.push(b']');
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<(), Throw> {
        let lua = self.lua;
        self.text.push(b'{');
        let mut is_first = true;
        lua.push_nil();
        while lua.next(-2) {
            if !is_first {
                self.text.push(b',');
            }
            is_first = false;
            match lua.kind(-2) {
                ffi::LUA_TSTRING => self.string(lua.bytes(-2).unwrap_or_default()),
                ffi::LUA_TNUMBER => {
                    self.text.push(b'"');
                    self.number(lua.number(-2))?;
                    self.text.push(b'"');
                }
                _ => {
                    lua.pop(1);
                    return Err(self.cannot("table key must be a number or string"));
                }
            }
            self.text.push(b':');
            self.value(depth)?;
            lua.pop(1);
        }
        self.text.push(b'}');
        Ok(())
    }
}
