//! Requests and replies of the verified load in both protocols.

use std::ops::Range;

use super::mix::{Kind, Op};
use super::value::{Values, key};
use crate::bench::args::Protocol;
use crate::bench::replies::LINE_BYTES_MAX;

/// A value longer than this in a reply is refused.
const REPLY_VALUE_BYTES_MAX: usize = 64 << 20;

/// What stands at the front of the bytes received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A whole reply of so many bytes.
    Reply(Answer, usize),
    /// The beginning of a reply.
    Partial,
    /// Nothing that this request can be answered with.
    Garbage,
}

/// What a reply says; ranges are of the bytes looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Value(Range<usize>),
    /// No such key.
    Nothing,
    /// Written, or deleted, or not there to be deleted.
    Done,
    Error(Range<usize>),
}

/// Appends the request; a write's value is that of `version`.
pub fn append(protocol: Protocol, op: &Op, version: u32, values: &Values, out: &mut Vec<u8>) {
    match protocol {
        Protocol::Resp => append_resp(op, version, values, out),
        Protocol::Memcached => append_memcached(op, version, values, out),
    }
}

/// Looks for the reply to a request of this kind for this key.
pub fn step(protocol: Protocol, op: &Op, bytes: &[u8]) -> Step {
    let Some(end) = bytes.iter().take(LINE_BYTES_MAX).position(|&byte| byte == b'\n') else {
        return if bytes.len() < LINE_BYTES_MAX { Step::Partial } else { Step::Garbage };
    };
    let Some(line) = bytes[..end].strip_suffix(b"\r") else { return Step::Garbage };
    match protocol {
        Protocol::Resp => step_resp(op, bytes, line),
        Protocol::Memcached => step_memcached(op, bytes, line),
    }
}

fn append_resp(op: &Op, version: u32, values: &Values, out: &mut Vec<u8>) {
    let key = key(op.id);
    match op.kind {
        Kind::Read => out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n$16\r\n"),
        Kind::Delete => out.extend_from_slice(b"*2\r\n$3\r\nDEL\r\n$16\r\n"),
        Kind::Write { ttl_s: 0, .. } => out.extend_from_slice(b"*3\r\n$3\r\nSET\r\n$16\r\n"),
        Kind::Write { .. } => out.extend_from_slice(b"*5\r\n$3\r\nSET\r\n$16\r\n"),
    }
    out.extend_from_slice(&key);
    if let Kind::Write { bytes, ttl_s } = op.kind {
        out.extend_from_slice(format!("\r\n${bytes}\r\n").as_bytes());
        values.append(op.id, version, bytes as usize, out);
        if ttl_s > 0 {
            let seconds = ttl_s.to_string();
            out.extend_from_slice(format!("\r\n$2\r\nEX\r\n${}\r\n{seconds}", seconds.len()).as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn append_memcached(op: &Op, version: u32, values: &Values, out: &mut Vec<u8>) {
    let verb: &[u8] = match op.kind {
        Kind::Read => b"get ",
        Kind::Delete => b"delete ",
        Kind::Write { .. } => b"set ",
    };
    out.extend_from_slice(verb);
    out.extend_from_slice(&key(op.id));
    if let Kind::Write { bytes, ttl_s } = op.kind {
        out.extend_from_slice(format!(" 0 {ttl_s} {bytes}\r\n").as_bytes());
        values.append(op.id, version, bytes as usize, out);
    }
    out.extend_from_slice(b"\r\n");
}

fn step_resp(op: &Op, bytes: &[u8], line: &[u8]) -> Step {
    let head = line.len() + 2;
    match (line.first(), op.kind) {
        (Some(b'-'), _) => Step::Reply(Answer::Error(1..line.len()), head),
        (Some(b'$'), Kind::Read) if line == b"$-1" => Step::Reply(Answer::Nothing, head),
        (Some(b'$'), Kind::Read) => sized(bytes, head, number(&line[1..]), b"\r\n"),
        (Some(b'+'), Kind::Write { .. }) if line == b"+OK" => Step::Reply(Answer::Done, head),
        (Some(b':'), Kind::Delete) if line == b":0" || line == b":1" => Step::Reply(Answer::Done, head),
        _ => Step::Garbage,
    }
}

fn step_memcached(op: &Op, bytes: &[u8], line: &[u8]) -> Step {
    let head = line.len() + 2;
    match (line, op.kind) {
        (b"END", Kind::Read) => Step::Reply(Answer::Nothing, head),
        (b"STORED", Kind::Write { .. }) => Step::Reply(Answer::Done, head),
        (b"DELETED" | b"NOT_FOUND", Kind::Delete) => Step::Reply(Answer::Done, head),
        _ if line.starts_with(b"VALUE ") && op.kind == Kind::Read => {
            let mut words = line[b"VALUE ".len()..].split(|&byte| byte == b' ');
            let (named, size) = (words.next(), words.nth(1));
            match named == Some(key(op.id).as_slice()) {
                true => sized(bytes, head, size.and_then(number), b"\r\nEND\r\n"),
                false => Step::Garbage,
            }
        }
        _ if line == b"ERROR" || line.starts_with(b"SERVER_ERROR ") || line.starts_with(b"CLIENT_ERROR ") => {
            Step::Reply(Answer::Error(0..line.len()), head)
        }
        _ => Step::Garbage,
    }
}

/// A value of so many bytes behind the head, and what follows it.
fn sized(bytes: &[u8], head: usize, size: Option<usize>, tail: &[u8]) -> Step {
    let Some(size) = size.filter(|&size| size <= REPLY_VALUE_BYTES_MAX) else { return Step::Garbage };
    let end = head + size;
    match bytes.get(end..end + tail.len()) {
        None => Step::Partial,
        Some(found) if found == tail => Step::Reply(Answer::Value(head..end), end + tail.len()),
        Some(_) => Step::Garbage,
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Op = Op { id: 7, kind: Kind::Read };
    const WRITE: Op = Op { id: 7, kind: Kind::Write { bytes: 60, ttl_s: 9 } };
    const DELETE: Op = Op { id: 7, kind: Kind::Delete };

    fn request(protocol: Protocol, op: &Op) -> String {
        let mut out = Vec::new();
        append(protocol, op, 1, &Values::default(), &mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn requests_are_as_the_protocols_want_them() {
        assert_eq!(request(Protocol::Resp, &READ), "*2\r\n$3\r\nGET\r\n$16\r\nlt:0000000000007\r\n");
        let set = request(Protocol::Resp, &WRITE);
        assert!(set.starts_with("*5\r\n$3\r\nSET\r\n$16\r\nlt:0000000000007\r\n$60\r\nlt:"), "{set}");
        assert!(set.ends_with("\r\n$2\r\nEX\r\n$1\r\n9\r\n"), "{set}");
        assert_eq!(request(Protocol::Memcached, &DELETE), "delete lt:0000000000007\r\n");
        assert!(request(Protocol::Memcached, &WRITE).starts_with("set lt:0000000000007 0 9 60\r\nlt:"));
    }

    #[test]
    fn replies_are_told_apart_and_halves_waited_for() {
        let value = "$3\r\nabc\r\n";
        for end in 0..value.len() {
            assert_eq!(step(Protocol::Resp, &READ, &value.as_bytes()[..end]), Step::Partial);
        }
        assert_eq!(step(Protocol::Resp, &READ, b"$3\r\nabc\r\n+"), Step::Reply(Answer::Value(4..7), 9));
        assert_eq!(step(Protocol::Resp, &READ, b"$-1\r\n"), Step::Reply(Answer::Nothing, 5));
        assert_eq!(step(Protocol::Resp, &WRITE, b"+OK\r\n"), Step::Reply(Answer::Done, 5));
        assert_eq!(step(Protocol::Resp, &DELETE, b":1\r\n"), Step::Reply(Answer::Done, 4));
        assert_eq!(step(Protocol::Resp, &DELETE, b"-NO x\r\n"), Step::Reply(Answer::Error(1..5), 7));
        let value = "VALUE lt:0000000000007 0 3\r\nabc\r\nEND\r\n";
        for end in 0..value.len() {
            assert_eq!(step(Protocol::Memcached, &READ, &value.as_bytes()[..end]), Step::Partial, "{end}");
        }
        assert_eq!(step(Protocol::Memcached, &READ, value.as_bytes()), Step::Reply(Answer::Value(28..31), 38));
        assert_eq!(step(Protocol::Memcached, &READ, b"SERVER_ERROR x\r\n"), Step::Reply(Answer::Error(0..14), 16));
    }

    #[test]
    fn what_does_not_fit_the_request_is_garbage() {
        for reply in ["+OK\r\n", ":1\r\n", "$x\r\n", "$3\r\nabcde", "$99999999999\r\n", "+OK\n"] {
            assert_eq!(step(Protocol::Resp, &READ, reply.as_bytes()), Step::Garbage, "{reply:?}");
        }
        for reply in ["STORED\r\n", "VALUE lt:0000000000008 0 3\r\nabc\r\nEND\r\n", "VALUE lt:0000000000007 0\r\n"] {
            assert_eq!(step(Protocol::Memcached, &READ, reply.as_bytes()), Step::Garbage, "{reply:?}");
        }
    }
}
