//! JSON to Lua values, with lua-cjson's words for what is wrong.

use std::ffi::c_int;

use super::super::base::check_string;
use super::super::lua::{Lua, Throw};
use super::{Settings, settings};

pub fn decode(lua: Lua) -> Result<c_int, Throw> {
    if lua.top() != 1 {
        return Err(Throw::Argument(1, "expected 1 argument".to_owned()));
    }
    let text = check_string(lua, 1)?;
    if let [first, second, ..] = text
        && (*first == 0 || *second == 0)
    {
        return Err(Throw::Here("JSON parser does not support UTF-16 or UTF-32".to_owned()));
    }
    let mut decoder = Decoder { lua, settings: *settings(lua), text, at: 0, depth: 0 };
    let token = decoder.next();
    decoder.value(token)?;
    match decoder.next() {
        Token { what: What::End, .. } => Ok(1),
        token => Err(unexpected("the end", &token)),
    }
}

struct Decoder<'t> {
    lua: Lua,
    settings: Settings,
    text: &'t [u8],
    at: usize,
    depth: usize,
}

struct Token {
    what: What,
    /// Where it begins.
    at: usize,
}

enum What {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    String(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Error(&'static str),
}

impl What {
    fn name(&self) -> &'static str {
        match self {
            What::ObjectBegin => "T_OBJ_BEGIN",
            What::ObjectEnd => "T_OBJ_END",
            What::ArrayBegin => "T_ARR_BEGIN",
            What::ArrayEnd => "T_ARR_END",
            What::String(_) => "T_STRING",
            What::Number(_) => "T_NUMBER",
            What::Boolean(_) => "T_BOOLEAN",
            What::Null => "T_NULL",
            What::Colon => "T_COLON",
            What::Comma => "T_COMMA",
            What::End => "T_END",
            What::Error(words) => words,
        }
    }
}

fn unexpected(wanted: &str, token: &Token) -> Throw {
    Throw::Here(format!("Expected {wanted} but found {} at character {}", token.what.name(), token.at + 1))
}

impl Decoder<'_> {
    fn value(&mut self, token: Token) -> Result<(), Throw> {
        match token.what {
            What::String(bytes) => self.lua.push_bytes(&bytes),
            What::Number(number) => self.lua.push_number(number),
            What::Boolean(value) => self.lua.push_bool(value),
            What::Null => self.lua.push_null(),
            What::ObjectBegin => return self.object(),
            What::ArrayBegin => return self.array(),
            _ => return Err(unexpected("value", &token)),
        }
        Ok(())
    }

    fn descend(&mut self) -> Result<(), Throw> {
        self.depth += 1;
        if self.depth > self.settings.decode_depth_max || !self.lua.reserve(8) {
            let (depth, at) = (self.depth, self.at);
            return Err(Throw::Here(format!("Found too many nested data structures ({depth}) at character {at}")));
        }
        self.lua.new_table(0, 0);
        Ok(())
    }

    fn object(&mut self) -> Result<(), Throw> {
        self.descend()?;
        let mut token = self.next();
        if matches!(token.what, What::ObjectEnd) {
            self.depth -= 1;
            return Ok(());
        }
        loop {
            let What::String(key) = &token.what else { return Err(unexpected("object key string", &token)) };
            self.lua.push_bytes(key);
            let colon = self.next();
            if !matches!(colon.what, What::Colon) {
                return Err(unexpected("colon", &colon));
            }
            let value = self.next();
            self.value(value)?;
            self.lua.set(-3);
            let token_after = self.next();
            match token_after.what {
                What::ObjectEnd => {
                    self.depth -= 1;
                    return Ok(());
                }
                What::Comma => token = self.next(),
                _ => return Err(unexpected("comma or object end", &token_after)),
            }
        }
    }

    fn array(&mut self) -> Result<(), Throw> {
        self.descend()?;
        let mut token = self.next();
        if matches!(token.what, What::ArrayEnd) {
            self.depth -= 1;
            return Ok(());
        }
        for index in 1.. {
            self.value(token)?;
            self.lua.set_index(-2, index);
            let after = self.next();
            match after.what {
                What::ArrayEnd => break,
                What::Comma => token = self.next(),
                _ => return Err(unexpected("comma or array end", &after)),
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn next(&mut self) -> Token {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        let at = self.at;
        let Some(&byte) = self.text.get(at) else { return Token { what: What::End, at } };
        let what = match byte {
            b'{' => self.take(1, What::ObjectBegin),
            b'}' => self.take(1, What::ObjectEnd),
            b'[' => self.take(1, What::ArrayBegin),
            b']' => self.take(1, What::ArrayEnd),
            b':' => self.take(1, What::Colon),
            b',' => self.take(1, What::Comma),
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            _ if self.text[at..].starts_with(b"true") => self.take(4, What::Boolean(true)),
            _ if self.text[at..].starts_with(b"false") => self.take(5, What::Boolean(false)),
            _ if self.text[at..].starts_with(b"null") => self.take(4, What::Null),
            b'i' | b'I' | b'n' | b'N' | b'+' if self.settings.decode_invalid => self.number(),
            _ => What::Error("invalid token"),
        };
        // What is wrong inside a string is told where it is.
        let at = if matches!(what, What::Error(_)) { self.at } else { at };
        Token { what, at }
    }

    fn take(&mut self, bytes: usize, what: What) -> What {
        self.at += bytes;
        what
    }

    fn string(&mut self) -> What {
        let mut bytes = Vec::new();
        self.at += 1;
        loop {
            let Some(&byte) = self.text.get(self.at) else { return What::Error("unexpected end of string") };
            match byte {
                b'"' => {
                    self.at += 1;
                    return What::String(bytes);
                }
                b'\\' => {
                    let plain = match self.text.get(self.at + 1) {
                        Some(&quoted @ (b'"' | b'\\' | b'/')) => quoted,
                        Some(b'b') => 8,
                        Some(b't') => b'\t',
                        Some(b'n') => b'\n',
                        Some(b'f') => 12,
                        Some(b'r') => b'\r',
                        Some(b'u') => match self.unicode() {
                            Some((code, len)) => {
                                let mut utf8 = [0; 4];
                                bytes.extend_from_slice(code.encode_utf8(&mut utf8).as_bytes());
                                self.at += len;
                                continue;
                            }
                            None => return What::Error("invalid unicode escape code"),
                        },
                        _ => return What::Error("invalid escape code"),
                    };
                    bytes.push(plain);
                    self.at += 2;
                }
                _ => {
                    bytes.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    /// The character of a `\u` at this place, and the bytes that it takes there.
    fn unicode(&self) -> Option<(char, usize)> {
        let unit = |at: usize| {
            let digits = self.text.get(at..at + 6)?.strip_prefix(b"\\u")?;
            let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
            is_hex.then(|| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok())?
        };
        let first = unit(self.at)?;
        if !(0xd800..0xdc00).contains(&first) {
            return Some((char::from_u32(first)?, 6));
        }
        let second = unit(self.at + 6).filter(|second| (0xdc00..0xe000).contains(second))?;
        Some((char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))?, 12))
    }

    /// What C's `strtod` reads, unless that is not asked for.
    fn number(&mut self) -> What {
        let rest = &self.text[self.at..];
        match read_number(rest, self.settings.decode_invalid) {
            Some((number, len)) => self.take(len, What::Number(number)),
            None => What::Error(if rest[0].is_ascii_digit() || rest[0] == b'-' {
                "invalid number"
            } else {
                "invalid token"
            }),
        }
    }
}

/// A number at the beginning of a text, and its length. `any`: also hexadecimal ones, infinities and NaN.
fn read_number(text: &[u8], any: bool) -> Option<(f64, usize)> {
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let negative = text.first() == Some(&b'-');
    let body = &text[sign..];
    let signed = |number: f64| if negative { -number } else { number };
    let starts = |word: &str| body.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()));
    let is_hex = body.len() > 2 && body[0] == b'0' && body[1] | 0x20 == b'x' && body[2].is_ascii_hexdigit();
    if !any {
        // No hexadecimal numbers, no leading zeros.
        let leading_zero = body.len() > 1 && body[0] == b'0' && (body[1].is_ascii_digit() || body[1] | 0x20 == b'x');
        if leading_zero || !body.first().is_some_and(u8::is_ascii_digit) {
            return None;
        }
    } else if starts("infinity") || starts("inf") {
        return Some((signed(f64::INFINITY), sign + if starts("infinity") { 8 } else { 3 }));
    } else if starts("nan") {
        return Some((signed(f64::NAN), sign + 3));
    } else if is_hex {
        let digits = body[2..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let number = body[2..2 + digits]
            .iter()
            .fold(0.0, |number, digit| number * 16.0 + f64::from((*digit as char).to_digit(16).unwrap_or(0)));
        return Some((signed(number), sign + 2 + digits));
    }
    let digits = |from: usize| body[from.min(body.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(0);
    let mut len = whole;
    if body.get(len) == Some(&b'.') && (whole > 0 || digits(len + 1) > 0) {
        len += 1 + digits(len + 1);
    }
    if len == 0 {
        return None;
    }
    if body.get(len).is_some_and(|byte| byte | 0x20 == b'e') {
        let sign = usize::from(matches!(body.get(len + 1), Some(b'-' | b'+')));
        let exponent = digits(len + 1 + sign);
        if exponent > 0 {
            len += 1 + sign + exponent;
        }
    }
    let number = std::str::from_utf8(&body[..len]).ok()?.parse::<f64>().ok()?;
    Some((signed(number), sign + len))
}
