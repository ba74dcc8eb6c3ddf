//! Replies as values, and as the protocol lines they arrived in.
//!
//! Own code rather than redis-protocol's decoder: these tests compare the order and the number of a map's entries
//! and each byte on the wire, and that decoder keeps maps as hash maps.

use std::fmt;

use super::escape;

/// Nesting beyond this in a reply is a defect of the server.
const DEPTH_MAX: usize = 32;

/// One reply, RESP2 or RESP3. RESP2's two nulls are kept apart from RESP3's.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reply {
    Simple(String),
    Error(String),
    Int(i64),
    Bulk(Vec<u8>),
    NullBulk,
    NullArray,
    Null,
    Bool(bool),
    /// A double, as it was written.
    Double(String),
    BigNumber(String),
    /// Three letters of format, a colon, the text.
    Verbatim(Vec<u8>),
    Array(Vec<Reply>),
    Set(Vec<Reply>),
    Push(Vec<Reply>),
    /// Keys and values in turn.
    Map(Vec<Reply>),
}

impl Reply {
    /// Reads one whole reply.
    ///
    /// # Errors
    /// Says what is malformed.
    pub fn parse(frame: &[u8]) -> Result<Reply, String> {
        let (reply, rest) = parse_node(frame, 0)?.ok_or("the reply is cut short")?;
        if rest.is_empty() { Ok(reply) } else { Err(format!("left over: {}", escape(rest))) }
    }

    /// The text of a simple or bulk reply.
    ///
    /// # Panics
    /// On any other reply.
    pub fn text(&self) -> String {
        match self {
            Reply::Simple(text) => text.clone(),
            Reply::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Reply::Verbatim(bytes) => String::from_utf8_lossy(&bytes[4..]).into_owned(),
            other => panic!("a text was expected, not {other:?}"),
        }
    }

    /// The words of an error.
    ///
    /// # Panics
    /// On any other reply.
    pub fn error(&self) -> &str {
        match self {
            Reply::Error(words) => words,
            other => panic!("an error was expected, not {other:?}"),
        }
    }

    /// The number of an integer reply.
    ///
    /// # Panics
    /// On any other reply.
    pub fn int(&self) -> i64 {
        match self {
            Reply::Int(number) => *number,
            other => panic!("an integer was expected, not {other:?}"),
        }
    }

    /// The elements of any aggregate; of a map, keys and values in turn.
    ///
    /// # Panics
    /// On any other reply.
    pub fn items(&self) -> &[Reply] {
        match self {
            Reply::Array(items) | Reply::Set(items) | Reply::Push(items) | Reply::Map(items) => items,
            other => panic!("an aggregate was expected, not {other:?}"),
        }
    }

    /// The same reply with the elements of sets, and the pairs of maps by their keys, in ascending order.
    pub fn sorted(self) -> Reply {
        let each = |items: Vec<Reply>| items.into_iter().map(Reply::sorted).collect::<Vec<_>>();
        match self {
            Reply::Array(items) => Reply::Array(each(items)),
            Reply::Set(items) => {
                let mut items = each(items);
                items.sort();
                Reply::Set(items)
            }
            Reply::Map(items) => {
                let items = each(items);
                let mut pairs: Vec<&[Reply]> = items.chunks_exact(2).collect();
                pairs.sort();
                Reply::Map(pairs.concat())
            }
            other => other,
        }
    }

    /// Whether it is an error reply.
    pub fn is_error(&self) -> bool {
        matches!(self, Reply::Error(_))
    }

    /// The value beside `name` in a map, or in an array of names and values in turn.
    pub fn field(&self, name: &str) -> Option<&Reply> {
        self.items()
            .chunks_exact(2)
            .find(|pair| matches!(&pair[0], Reply::Bulk(_) | Reply::Simple(_) if pair[0].text() == name))
            .map(|pair| &pair[1])
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Simple(text) => write!(f, "+{text}"),
            Reply::Error(text) => write!(f, "-{text}"),
            Reply::Int(number) => write!(f, ":{number}"),
            Reply::Bulk(bytes) => write!(f, "\"{}\"", escape(bytes)),
            Reply::NullBulk => f.write_str("$-1"),
            Reply::NullArray => f.write_str("*-1"),
            Reply::Null => f.write_str("_"),
            Reply::Bool(yes) => write!(f, "#{yes}"),
            Reply::Double(text) => write!(f, ",{text}"),
            Reply::BigNumber(text) => write!(f, "({text}"),
            Reply::Verbatim(bytes) => write!(f, "=\"{}\"", escape(bytes)),
            Reply::Array(items) => f.debug_list().entries(items).finish(),
            Reply::Set(items) => f.write_str("~").and_then(|()| f.debug_list().entries(items).finish()),
            Reply::Push(items) => f.write_str(">").and_then(|()| f.debug_list().entries(items).finish()),
            Reply::Map(items) => f.write_str("%").and_then(|()| f.debug_list().entries(items).finish()),
        }
    }
}

/// Length of the first whole reply in `buf`; None while it is incomplete.
///
/// # Errors
/// Says what is malformed.
pub fn frame_len(buf: &[u8]) -> Result<Option<usize>, String> {
    Ok(skip_node(buf, 0)?.map(|rest| buf.len() - rest.len()))
}

/// The lines of one whole reply without their line ends; a bulk's payload is one line, whatever is in it.
pub fn protocol_lines(frame: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    let mut rest = frame;
    while let Some((line, after)) = take_line(rest) {
        lines.push(line.to_vec());
        rest = after;
        if let Ok(Some(length)) = payload_length(line) {
            lines.push(rest[..length].to_vec());
            rest = &rest[length + 2..];
        }
    }
    lines
}

/// Index after the node that starts at line `at`.
pub fn extent(lines: &[Vec<u8>], at: usize) -> usize {
    let Some(line) = lines.get(at) else { return at };
    if matches!(payload_length(line), Ok(Some(_))) {
        return at + 2;
    }
    (0..children(line).unwrap_or(0)).fold(at + 1, |next, _| extent(lines, next))
}

fn take_line(buf: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = buf.windows(2).position(|pair| pair == b"\r\n")?;
    Some((&buf[..end], &buf[end + 2..]))
}

fn number(text: &[u8]) -> Result<i64, String> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(format!("no number: {}", escape(text)))
}

/// Length of the payload that follows a line, if one does.
fn payload_length(line: &[u8]) -> Result<Option<usize>, String> {
    match line.first() {
        Some(b'$' | b'=' | b'!') => Ok(usize::try_from(number(&line[1..])?).ok()),
        _ => Ok(None),
    }
}

/// How many nodes follow an aggregate's line.
fn children(line: &[u8]) -> Result<usize, String> {
    let pairs = match line.first() {
        Some(b'*' | b'~' | b'>') => 1,
        Some(b'%') => 2,
        _ => return Ok(0),
    };
    Ok(usize::try_from(number(&line[1..])?).map_or(0, |count| count * pairs))
}

fn skip_node(buf: &[u8], depth: usize) -> Result<Option<&[u8]>, String> {
    if depth > DEPTH_MAX {
        return Err("nested too deeply".to_owned());
    }
    let Some((line, mut rest)) = take_line(buf) else { return Ok(None) };
    if let Some(length) = payload_length(line)? {
        let Some(end) = rest.get(length..length + 2) else { return Ok(None) };
        return if end == b"\r\n" { Ok(Some(&rest[length + 2..])) } else { Err("a payload has another length".into()) };
    }
    if !line.first().is_some_and(|kind| b"+-:$*_#,(%~>".contains(kind)) {
        return Err(format!("no reply begins like this: {}", escape(line)));
    }
    for _ in 0..children(line)? {
        let Some(after) = skip_node(rest, depth + 1)? else { return Ok(None) };
        rest = after;
    }
    Ok(Some(rest))
}

fn parse_node(buf: &[u8], depth: usize) -> Result<Option<(Reply, &[u8])>, String> {
    let Some(rest) = skip_node(buf, depth)? else { return Ok(None) };
    let (line, body) = take_line(buf).ok_or("a line is missing")?;
    let text = || String::from_utf8_lossy(&line[1..]).into_owned();
    let payload = || -> Result<Vec<u8>, String> { Ok(body[..payload_length(line)?.unwrap_or(0)].to_vec()) };
    let reply = match line[0] {
        b'+' => Reply::Simple(text()),
        b'-' => Reply::Error(text()),
        b':' => Reply::Int(number(&line[1..])?),
        b'$' if line == b"$-1" => Reply::NullBulk,
        b'*' if line == b"*-1" => Reply::NullArray,
        b'$' => Reply::Bulk(payload()?),
        b'=' => Reply::Verbatim(payload()?),
        b'!' => Reply::Error(String::from_utf8_lossy(&payload()?).into_owned()),
        b'_' => Reply::Null,
        b'#' => Reply::Bool(line == b"#t"),
        b',' => Reply::Double(text()),
        b'(' => Reply::BigNumber(text()),
        b'*' => Reply::Array(parse_children(line, body, depth)?),
        b'~' => Reply::Set(parse_children(line, body, depth)?),
        b'>' => Reply::Push(parse_children(line, body, depth)?),
        _ => Reply::Map(parse_children(line, body, depth)?),
    };
    Ok(Some((reply, rest)))
}

fn parse_children(line: &[u8], mut body: &[u8], depth: usize) -> Result<Vec<Reply>, String> {
    let mut items = Vec::new();
    for _ in 0..children(line)? {
        let (item, rest) = parse_node(body, depth + 1)?.ok_or("an element is missing")?;
        items.push(item);
        body = rest;
    }
    Ok(items)
}

#[test]
fn replies_are_measured_and_read() {
    let frame = b"*3\r\n$4\r\na\r\nb\r\n%1\r\n+k\r\n:1\r\n*-1\r\n";
    for cut in 0..frame.len() {
        assert_eq!(frame_len(&frame[..cut]), Ok(None), "cut at {cut}");
    }
    assert_eq!(frame_len(frame), Ok(Some(frame.len())));
    let map = Reply::Map(vec![Reply::Simple("k".into()), Reply::Int(1)]);
    assert_eq!(Reply::parse(frame), Ok(Reply::Array(vec![Reply::Bulk(b"a\r\nb".to_vec()), map, Reply::NullArray])));
    let lines = protocol_lines(frame);
    assert_eq!(lines.len(), 7);
    assert_eq!((extent(&lines, 0), extent(&lines, 1), extent(&lines, 3), extent(&lines, 6)), (7, 3, 6, 7));
    assert!(frame_len(b"hello\r\n").is_err() && frame_len(b"$1\r\nabc").is_err());
}
