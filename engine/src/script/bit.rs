//! The `bit` library: operations on 32 bits, as LuaBitOp defines them.

use std::ffi::c_int;

use super::base::{check_number, native_table};
use super::lua::{Lua, Throw, native};

/// Puts it into the globals on top.
pub fn install(lua: Lua) {
    native_table(
        lua,
        &[
            (b"arshift", native!(|lua| shift(lua, |bits, by| ((bits as i32) >> by) as u32))),
            (b"band", native!(|lua| fold(lua, |one, other| one & other))),
            (b"bnot", native!(|lua| answer(lua, !bits(lua, 1)?))),
            (b"bor", native!(|lua| fold(lua, |one, other| one | other))),
            (b"bswap", native!(|lua| answer(lua, bits(lua, 1)?.swap_bytes()))),
            (b"bxor", native!(|lua| fold(lua, |one, other| one ^ other))),
            (b"lshift", native!(|lua| shift(lua, |bits, by| bits << by))),
            (b"rol", native!(|lua| shift(lua, u32::rotate_left))),
            (b"ror", native!(|lua| shift(lua, u32::rotate_right))),
            (b"rshift", native!(|lua| shift(lua, |bits, by| bits >> by))),
            (b"tobit", native!(|lua| answer(lua, bits(lua, 1)?))),
            (b"tohex", native!(to_hex)),
        ],
    );
    lua.set_field(-2, b"bit");
}

/// A number's lowest 32 bits, rounded to even where it has a fraction.
fn bits(lua: Lua, at: c_int) -> Result<u32, Throw> {
    // Adding 2^52 + 2^51 leaves the integer in the lowest bits of the fraction.
    Ok((check_number(lua, at)? + 6_755_399_441_055_744.0).to_bits() as u32)
}

fn answer(lua: Lua, bits: u32) -> Result<c_int, Throw> {
    lua.push_number(f64::from(bits as i32));
    Ok(1)
}

fn fold(lua: Lua, join: fn(u32, u32) -> u32) -> Result<c_int, Throw> {
    let mut result = bits(lua, 1)?;
    for at in 2..=lua.top() {
        result = join(result, bits(lua, at)?);
    }
    answer(lua, result)
}

fn shift(lua: Lua, shift: fn(u32, u32) -> u32) -> Result<c_int, Throw> {
    answer(lua, shift(bits(lua, 1)?, bits(lua, 2)? & 31))
}

fn to_hex(lua: Lua) -> Result<c_int, Throw> {
    let number = bits(lua, 1)?;
    let digits = if lua.top() < 2 { 8 } else { bits(lua, 2)? as i32 };
    let count = (digits.unsigned_abs() as usize).min(8);
    let text = if digits < 0 { format!("{number:08X}") } else { format!("{number:08x}") };
    lua.push_bytes(&text.as_bytes()[8 - count..]);
    Ok(1)
}
