//! The `struct` library: values in C's binary forms, as Lua's `struct` 0.2 packs them.

use std::ffi::c_int;

use mlua::ffi;

use super::base::{check_number, check_string, native_table};
use super::lua::{Lua, Throw, native};

/// Bytes of the largest integer.
const INTEGER_BYTES_MAX: usize = 32;
/// Bytes that one pack makes.
const PACKED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Puts it into the globals on top.
pub fn install(lua: Lua) {
    native_table(lua, &[(b"pack", native!(pack)), (b"size", native!(size)), (b"unpack", native!(unpack))]);
    lua.set_field(-2, b"struct");
}

/// How what follows is laid out.
struct Layout<'f> {
    format: &'f [u8],
    at: usize,
    big_endian: bool,
    align: usize,
}

fn argument(text: &str) -> Throw {
    Throw::Argument(1, text.to_owned())
}

impl<'f> Layout<'f> {
    fn new(format: &'f [u8]) -> Layout<'f> {
        Layout { format, at: 0, big_endian: cfg!(target_endian = "big"), align: 1 }
    }

    fn option(&mut self) -> Option<u8> {
        let option = *self.format.get(self.at)?;
        self.at += 1;
        Some(option)
    }

    /// The number behind an option, or this.
    fn number(&mut self, or: usize) -> Result<usize, Throw> {
        let digits = self.format[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return Ok(or);
        }
        let text = String::from_utf8_lossy(&self.format[self.at..self.at + digits]).into_owned();
        self.at += digits;
        let number = text.parse::<usize>().ok().filter(|number| *number <= i32::MAX as usize);
        number.ok_or_else(|| Throw::Here("integral size overflow".to_owned()))
    }

    /// Bytes of an option's value.
    fn bytes(&mut self, option: u8) -> Result<usize, Throw> {
        Ok(match option {
            b'B' | b'b' => 1,
            b'H' | b'h' => 2,
            b'L' | b'l' | b'T' | b'd' => 8,
            b'f' => 4,
            b'x' => 1,
            b'c' => self.number(1)?,
            b'i' | b'I' => {
                let bytes = self.number(4)?;
                if bytes > INTEGER_BYTES_MAX {
                    return Err(Throw::Here(format!(
                        "integral size {bytes} is larger than limit of {INTEGER_BYTES_MAX}"
                    )));
                }
                bytes
            }
            _ => 0,
        })
    }

    /// Bytes to skip before a value of so many.
    fn padding(&self, bytes: usize, option: u8, total: usize) -> usize {
        if bytes == 0 || option == b'c' {
            return 0;
        }
        let bytes = bytes.min(self.align);
        // Both are powers of two wherever the format is sound.
        if bytes > 1 { (bytes - (total & (bytes - 1))) & (bytes - 1) } else { 0 }
    }

    /// What changes the layout and is no value.
    fn control(&mut self, option: u8) -> Result<(), Throw> {
        match option {
            b' ' => {}
            b'>' => self.big_endian = true,
            b'<' => self.big_endian = false,
            b'!' => {
                let align = self.number(8)?;
                if align == 0 || !align.is_power_of_two() {
                    return Err(Throw::Here(format!("alignment {align} is not a power of 2")));
                }
                self.align = align;
            }
            other => return Err(argument(&format!("invalid format option '{}'", char::from(other)))),
        }
        Ok(())
    }
}

fn pack(lua: Lua) -> Result<c_int, Throw> {
    let mut layout = Layout::new(check_string(lua, 1)?);
    let (mut packed, mut at) = (Vec::new(), 2);
    // An argument that is missing is called nil.
    lua.push_nil();
    while let Some(option) = layout.option() {
        let bytes = layout.bytes(option)?;
        let padding = layout.padding(bytes, option, packed.len());
        if packed.len() + padding + bytes > PACKED_BYTES_MAX {
            return Err(Throw::Text(b"not enough memory".to_vec()));
        }
        packed.resize(packed.len() + padding, 0);
        match option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                put_integer(&mut packed, check_number(lua, at)?, bytes, layout.big_endian);
                at += 1;
            }
            b'x' => packed.push(0),
            b'f' | b'd' => {
                let number = check_number(lua, at)?;
                let big =
                    if option == b'f' { (number as f32).to_be_bytes().to_vec() } else { number.to_be_bytes().to_vec() };
                put_ordered(&mut packed, &big, layout.big_endian);
                at += 1;
            }
            b'c' | b's' => {
                let text = check_string(lua, at)?;
                at += 1;
                let bytes = if bytes == 0 { text.len() } else { bytes };
                if text.len() < bytes {
                    return Err(Throw::Argument(at, "string too short".to_owned()));
                }
                if packed.len() + bytes > PACKED_BYTES_MAX {
                    return Err(Throw::Text(b"not enough memory".to_vec()));
                }
                packed.extend_from_slice(&text[..bytes]);
                if option == b's' {
                    packed.push(0);
                }
            }
            other => layout.control(other)?,
        }
    }
    lua.push_bytes(&packed);
    Ok(1)
}

fn put_ordered(to: &mut Vec<u8>, big: &[u8], big_endian: bool) {
    if big_endian { to.extend_from_slice(big) } else { to.extend(big.iter().rev()) }
}

/// A whole number in so many bytes; what is longer than eight is filled with zeros.
fn put_integer(to: &mut Vec<u8>, number: f64, bytes: usize, big_endian: bool) {
    let value = if number < 0.0 { number as i64 as u64 } else { number as u64 };
    let byte = |at: usize| if at < 8 { (value >> (8 * at)) as u8 } else { 0 };
    if big_endian { to.extend((0..bytes).rev().map(byte)) } else { to.extend((0..bytes).map(byte)) }
}

fn integer(bytes: &[u8], big_endian: bool, is_signed: bool) -> f64 {
    let fold = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    let value = if big_endian { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) };
    if !is_signed {
        return value as f64;
    }
    let shift = 64_u32.saturating_sub(8 * bytes.len() as u32);
    if shift == 64 { 0.0 } else { ((value << shift) as i64 >> shift) as f64 }
}

fn unpack(lua: Lua) -> Result<c_int, Throw> {
    let mut layout = Layout::new(check_string(lua, 1)?);
    let data = check_string(lua, 2)?;
    let start = if lua.is_nil(3) { 1.0 } else { check_number(lua, 3)?.trunc() };
    if start < 1.0 {
        return Err(Throw::Argument(3, "offset must be 1 or greater".to_owned()));
    }
    lua.set_top(2);
    let (mut at, mut results) = (if start > 1e15 { usize::MAX / 2 } else { start as usize - 1 }, 0);
    let short = || Throw::Argument(2, "data string too short".to_owned());
    while let Some(option) = layout.option() {
        let bytes = layout.bytes(option)?;
        at += layout.padding(bytes, option, at);
        let end = at.checked_add(bytes).filter(|end| *end <= data.len()).ok_or_else(short)?;
        let piece = &data[at..end];
        if !lua.reserve(4) {
            return Err(Throw::Here("too many results".to_owned()));
        }
        match option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                lua.push_number(integer(piece, layout.big_endian, option.is_ascii_lowercase()));
                results += 1;
            }
            b'x' => {}
            b'f' | b'd' => {
                let bits = piece.iter().map(|byte| u64::from(*byte));
                let join = |bits: u64, byte: u64| bits << 8 | byte;
                let bits = if layout.big_endian { bits.fold(0, join) } else { bits.rev().fold(0, join) };
                lua.push_number(if option == b'f' {
                    f64::from(f32::from_bits(bits as u32))
                } else {
                    f64::from_bits(bits)
                });
                results += 1;
            }
            b'c' if bytes == 0 => {
                if results == 0 || lua.kind(-1) != ffi::LUA_TNUMBER {
                    return Err(Throw::Here("format 'c0' needs a previous size".to_owned()));
                }
                let number = lua.number(-1);
                lua.pop(1);
                results -= 1;
                let len = if number >= 0.0 { number as usize } else { return Err(short()) };
                let end = at.checked_add(len).filter(|end| *end <= data.len()).ok_or_else(short)?;
                lua.push_bytes(&data[at..end]);
                at += len;
                results += 1;
            }
            b'c' => {
                lua.push_bytes(piece);
                results += 1;
            }
            b's' => {
                let rest = &data[at..];
                let Some(len) = rest.iter().position(|byte| *byte == 0) else {
                    return Err(Throw::Here("unfinished string in data".to_owned()));
                };
                lua.push_bytes(&rest[..len]);
                at += len + 1;
                results += 1;
            }
            other => layout.control(other)?,
        }
        at += bytes;
    }
    lua.push_number((at + 1) as f64);
    Ok(results + 1)
}

fn size(lua: Lua) -> Result<c_int, Throw> {
    let mut layout = Layout::new(check_string(lua, 1)?);
    let mut total = 0_usize;
    while let Some(option) = layout.option() {
        let bytes = layout.bytes(option)?;
        total += layout.padding(bytes, option, total);
        match option {
            b's' => return Err(argument("option 's' has no fixed size")),
            b'c' if bytes == 0 => return Err(argument("option 'c0' has no fixed size")),
            _ if !option.is_ascii_alphanumeric() => layout.control(option)?,
            _ => {}
        }
        total = total.checked_add(bytes).ok_or_else(|| Throw::Here("integral size overflow".to_owned()))?;
    }
    lua.push_number(total as f64);
    Ok(1)
}
