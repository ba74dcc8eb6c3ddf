//! Bytes as printable text and back, and request lines split into words as redis-cli splits them.

/// Printable form: everything outside printable ASCII, and the backslash, is written as an escape.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            b'\\' => text.push_str("\\\\"),
            0x20..=0x7e => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text
}

/// The bytes that a text with `\r \n \t \a \b \\ \" \xHH` escapes stands for; an unknown escape stands for its
/// character, as in redis-cli.
pub fn unescape(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        at += take_char(&bytes[at..], &mut out);
    }
    out
}

/// Splits a request line: words at white space, double quotes with escapes, single quotes with `\'` only.
///
/// # Errors
/// Says what is wrong with the quoting.
pub fn split_words(line: &str) -> Result<Vec<Vec<u8>>, String> {
    let bytes = line.as_bytes();
    let mut words = Vec::new();
    let mut at = 0;
    loop {
        while at < bytes.len() && bytes[at].is_ascii_whitespace() {
            at += 1;
        }
        if at == bytes.len() {
            return Ok(words);
        }
        let (word, used) = match bytes[at] {
            b'"' => double_quoted(&bytes[at + 1..])?,
            b'\'' => single_quoted(&bytes[at + 1..])?,
            _ => bare(&bytes[at..]),
        };
        at += used;
        if at < bytes.len() && !bytes[at].is_ascii_whitespace() {
            return Err(format!("white space must follow a word: {line}"));
        }
        words.push(word);
    }
}

/// Puts one (possibly escaped) character and says how many bytes of the text it took.
fn take_char(text: &[u8], out: &mut Vec<u8>) -> usize {
    if text[0] != b'\\' || text.len() == 1 {
        out.push(text[0]);
        return 1;
    }
    let hex = |n: usize| text.get(n).and_then(|&digit| char::from(digit).to_digit(16));
    if text[1] == b'x'
        && let (Some(high), Some(low)) = (hex(2), hex(3))
    {
        out.push(u8::try_from(high * 16 + low).expect("two hexadecimal digits fit a byte"));
        return 4;
    }
    out.push(match text[1] {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'a' => 7,
        b'b' => 8,
        other => other,
    });
    2
}

fn double_quoted(text: &[u8]) -> Result<(Vec<u8>, usize), String> {
    let mut word = Vec::new();
    let mut at = 0;
    while at < text.len() {
        if text[at] == b'"' {
            return Ok((word, at + 2));
        }
        at += take_char(&text[at..], &mut word);
    }
    Err("a double quote is not closed".to_owned())
}

fn single_quoted(text: &[u8]) -> Result<(Vec<u8>, usize), String> {
    let mut word = Vec::new();
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'\'' => return Ok((word, at + 2)),
            b'\\' if text.get(at + 1) == Some(&b'\'') => at += 1,
            _ => {}
        }
        word.push(text[at]);
        at += 1;
    }
    Err("a single quote is not closed".to_owned())
}

fn bare(text: &[u8]) -> (Vec<u8>, usize) {
    let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
    (text[..end].to_vec(), end)
}

#[test]
fn words_are_split_like_redis_cli() {
    let words = |line| split_words(line).unwrap();
    assert_eq!(words("SET k v"), [b"SET".to_vec(), b"k".to_vec(), b"v".to_vec()]);
    assert_eq!(words(r#" a "b \x00\r\n\"" 'c \n \'' "#), [b"a".to_vec(), b"b \0\r\n\"".to_vec(), b"c \\n '".to_vec()]);
    assert_eq!(words("\"\""), [Vec::<u8>::new()]);
    assert!(split_words("\"a").is_err() && split_words("\"a\"b").is_err() && split_words("'a").is_err());
}

#[test]
fn escapes_come_back() {
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(unescape(&escape(&all)), all);
}
