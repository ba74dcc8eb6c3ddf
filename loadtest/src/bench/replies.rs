//! Counts replies without parsing them deeply: a load asks for one shape of reply, so its bytes are known beforehand.

use serde::Serialize;

use crate::workload::{KEY_BYTES, key, value_is_intact, value_is_stamped};

/// A longer status or error line than this is taken for garbage.
pub const LINE_BYTES_MAX: usize = 4_096;
/// Of so many values one is compared byte for byte; of the others only the framing and the key inside the value.
pub const SAMPLE_EVERY: u64 = 64;

/// The reply that every request of a run should get, and those it may get instead.
#[derive(Debug, Clone)]
pub struct ReplyShape {
    head: Vec<u8>,
    /// Where the head repeats the key.
    head_key: Option<usize>,
    value_bytes: usize,
    tail: &'static [u8],
    /// The whole reply that says that there is no such key.
    miss: &'static [u8],
    /// Not 0: so many RESP replies that are no errors will do, whatever they say.
    any: u64,
}

/// The longest reply of a load that takes any.
const ANY_BYTES_MAX: usize = 1 << 20;

/// What stands at the front of the bytes received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A whole reply of so many bytes.
    Reply(Reply, usize),
    /// The beginning of a reply.
    Partial,
    /// Nothing that can be skipped to find the next reply.
    Garbage,
}

/// What a reply says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    Good,
    /// No such key.
    Miss,
    /// Well-formed, but another key's value or damaged.
    Wrong,
    /// An error line, or another line than the one expected.
    Error,
}

/// How many replies said what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub good: u64,
    pub misses: u64,
    pub wrong: u64,
    pub errors: u64,
    /// The text of the first error, for the person who has to find its cause.
    pub first_error: Option<String>,
}

impl ReplyShape {
    /// A reply that carries a value; `head_key` is where `head` has a key's [`KEY_BYTES`] bytes.
    pub fn value(
        head: String,
        head_key: Option<usize>,
        value_bytes: usize,
        tail: &'static str,
        miss: &'static str,
    ) -> ReplyShape {
        debug_assert!(head_key.is_none_or(|at| at + KEY_BYTES <= head.len()));
        ReplyShape {
            head: head.into_bytes(),
            head_key,
            value_bytes,
            tail: tail.as_bytes(),
            miss: miss.as_bytes(),
            any: 0,
        }
    }

    /// A reply that is always the same line.
    pub fn line(line: &'static str) -> ReplyShape {
        ReplyShape { head: Vec::new(), head_key: None, value_bytes: 0, tail: line.as_bytes(), miss: b"", any: 0 }
    }

    /// Any reply of RESP2, or any `replies` of them in a row, at least 1.
    pub fn any(replies: u64) -> ReplyShape {
        ReplyShape { any: replies, ..ReplyShape::line("") }
    }

    /// The length of the good reply, in bytes.
    pub fn bytes(&self) -> usize {
        self.head.len() + self.value_bytes + self.tail.len()
    }

    /// The longest beginning of a reply that [`Self::step`] can leave unfinished.
    pub fn partial_bytes_max(&self) -> usize {
        if self.any > 0 { ANY_BYTES_MAX } else { self.bytes().max(LINE_BYTES_MAX) }
    }

    /// Looks at the front of `bytes` for the reply to a request for key `id`. `nth` is the request's number in the run
    /// and chooses which values are compared whole.
    #[inline]
    pub fn step(&self, bytes: &[u8], id: u64, nth: u64) -> Step {
        if self.any > 0 {
            return step_any(bytes, self.any);
        }
        let total = self.bytes();
        if bytes.len() < total || !self.framed(&bytes[..total], id) {
            return self.step_otherwise(bytes, id);
        }
        let value = &bytes[self.head.len()..total - self.tail.len()];
        let right = if self.value_bytes == 0 {
            true
        } else if nth.is_multiple_of(SAMPLE_EVERY) {
            value_is_intact(id, value)
        } else {
            value_is_stamped(id, value)
        };
        Step::Reply(if right { Reply::Good } else { Reply::Wrong }, total)
    }

    /// Whether head and tail are in their places.
    #[inline]
    fn framed(&self, reply: &[u8], id: u64) -> bool {
        reply.ends_with(self.tail) && self.head_matches(&reply[..self.head.len()], id)
    }

    /// Whether `start`, which may be shorter than the head, is how the head begins.
    #[inline]
    fn head_matches(&self, start: &[u8], id: u64) -> bool {
        let head = &self.head[..start.len()];
        match self.head_key {
            Some(at) if start.len() >= at + KEY_BYTES => {
                let (before, rest) = start.split_at(at);
                let (named, after) = rest.split_at(KEY_BYTES);
                before == &head[..at] && named == key(id) && after == &head[at + KEY_BYTES..]
            }
            Some(at) if start.len() > at => start[..at] == head[..at] && key(id).starts_with(&start[at..]),
            _ => start == head,
        }
    }

    /// The slower path: the beginning of the good reply, a miss, an error line, or garbage.
    fn step_otherwise(&self, bytes: &[u8], id: u64) -> Step {
        let seen = &bytes[..bytes.len().min(self.head.len())];
        if !self.head.is_empty() && !seen.is_empty() && self.head_matches(seen, id) {
            return if bytes.len() < self.bytes() { Step::Partial } else { Step::Garbage };
        }
        let Some(end) = bytes.iter().take(LINE_BYTES_MAX).position(|&byte| byte == b'\n') else {
            return if bytes.len() < LINE_BYTES_MAX { Step::Partial } else { Step::Garbage };
        };
        let line = &bytes[..=end];
        if !self.miss.is_empty() && line == self.miss {
            Step::Reply(Reply::Miss, line.len())
        } else if is_whole_reply(line) {
            Step::Reply(Reply::Error, line.len())
        } else {
            Step::Garbage
        }
    }
}

impl Counts {
    /// Counts a reply whose bytes are `text`.
    #[inline]
    pub fn add(&mut self, reply: Reply, text: &[u8]) {
        match reply {
            Reply::Good => self.good += 1,
            Reply::Miss => self.misses += 1,
            Reply::Wrong => self.wrong += 1,
            Reply::Error => {
                self.errors += 1;
                self.first_error.get_or_insert_with(|| excerpt(text));
            }
        }
    }

    pub fn merge(&mut self, other: &Counts) {
        self.good += other.good;
        self.misses += other.misses;
        self.wrong += other.wrong;
        self.errors += other.errors;
        self.first_error = self.first_error.take().or_else(|| other.first_error.clone());
    }

    /// All replies that a run over loaded keys must not get.
    pub fn bad(&self) -> u64 {
        self.misses + self.wrong + self.errors
    }
}

/// So many RESP2 replies at the front, whatever they say; an error anywhere in them makes them one.
fn step_any(bytes: &[u8], replies: u64) -> Step {
    let (mut at, mut expected, mut failed) = (0, replies, false);
    while expected > 0 {
        let Some(end) = bytes[at..].iter().position(|&byte| byte == b'\n') else {
            return if bytes.len() < ANY_BYTES_MAX { Step::Partial } else { Step::Garbage };
        };
        let line = &bytes[at..at + end];
        at += end + 1;
        expected -= 1;
        let number = std::str::from_utf8(&line[1.min(line.len())..]).ok().and_then(|text| text.trim_end().parse().ok());
        match (line.first(), number) {
            (Some(b'+' | b':'), _) => {}
            (Some(b'-'), _) => failed = true,
            (Some(b'$' | b'*'), Some(-1i64)) => {}
            (Some(b'$'), Some(len @ 0..)) => at += len as usize + 2,
            (Some(b'*'), Some(count @ 0..)) => expected += count as u64,
            _ => return Step::Garbage,
        }
        if at > bytes.len() {
            return if bytes.len() < ANY_BYTES_MAX { Step::Partial } else { Step::Garbage };
        }
    }
    Step::Reply(if failed { Reply::Error } else { Reply::Good }, at)
}

/// The beginning of some received bytes, printable, for an error message.
pub fn excerpt(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(120)];
    shown.escape_ascii().to_string()
}

/// Whether a line is a complete reply in either protocol that no value follows.
fn is_whole_reply(line: &[u8]) -> bool {
    let statuses = ["ERROR", "CLIENT_ERROR ", "SERVER_ERROR ", "STORED", "NOT_STORED", "END"];
    matches!(line.first(), Some(b'-' | b'+' | b':'))
        || statuses.iter().any(|status| line.starts_with(status.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::args::Protocol;
    use crate::bench::dialect::Operation;
    use crate::workload::{fill_value, stamp_value};

    fn get_reply(protocol: Protocol, id: u64, value_bytes: usize) -> Vec<u8> {
        let mut value = vec![0; value_bytes];
        fill_value(&mut value);
        stamp_value(id, &mut value);
        let (head, tail) = match protocol {
            Protocol::Resp => (format!("${value_bytes}\r\n"), "\r\n"),
            Protocol::Memcached => (format!("VALUE key:{id:012} 0 {value_bytes}\r\n"), "\r\nEND\r\n"),
        };
        [head.as_bytes(), &value, tail.as_bytes()].concat()
    }

    #[test]
    fn any_reply_is_told_from_the_next() {
        let replies = b"+OK\r\n:5\r\n$3\r\nabc\r\n$-1\r\n*2\r\n$1\r\na\r\n*1\r\n:1\r\n-ERR no\r\n";
        for piece in 1..replies.len() {
            let (counted, at) = count(&ReplyShape::any(1), replies, &[0; 6], piece);
            assert_eq!(counted, [Reply::Good, Reply::Good, Reply::Good, Reply::Good, Reply::Good, Reply::Error]);
            assert_eq!(at, replies.len());
        }
        assert_eq!(step_any(b"?what\r\n", 1), Step::Garbage);
    }

    #[test]
    fn several_replies_are_one_and_an_error_in_any_of_them_counts() {
        let good = b"+OK\r\n+QUEUED\r\n*1\r\n:1\r\n";
        assert_eq!(step_any(good, 3), Step::Reply(Reply::Good, good.len()));
        assert_eq!(step_any(&good[..good.len() - 1], 3), Step::Partial);
        let bad = b"+OK\r\n+QUEUED\r\n*1\r\n-ERR no\r\n";
        assert_eq!(step_any(bad, 3), Step::Reply(Reply::Error, bad.len()));
    }

    /// Feeds `bytes` in pieces of `piece` and returns what was counted, as a connection would.
    fn count(shape: &ReplyShape, bytes: &[u8], ids: &[u64], piece: usize) -> (Vec<Reply>, usize) {
        let mut received = Vec::new();
        let (mut replies, mut at) = (Vec::new(), 0);
        for part in bytes.chunks(piece) {
            received.extend_from_slice(part);
            while replies.len() < ids.len() {
                match shape.step(&received[at..], ids[replies.len()], 0) {
                    Step::Reply(reply, len) => {
                        replies.push(reply);
                        at += len;
                    }
                    Step::Partial => break,
                    Step::Garbage => panic!("garbage at {at} of {:?}", excerpt(&received)),
                }
            }
        }
        (replies, at)
    }

    #[test]
    fn torn_replies_are_counted_once_each_however_they_are_torn() {
        for (protocol, miss, error) in [
            (Protocol::Resp, "$-1\r\n", "-OOM command not allowed\r\n"),
            (Protocol::Memcached, "END\r\n", "SERVER_ERROR out of memory\r\n"),
        ] {
            let shape = Operation::Get.reply(protocol, 40);
            let stream = [
                get_reply(protocol, 1, 40),
                get_reply(protocol, 999_999, 40),
                miss.into(),
                error.into(),
                get_reply(protocol, 5, 40),
            ]
            .concat();
            let expected = [Reply::Good, Reply::Good, Reply::Miss, Reply::Error, Reply::Good];
            for piece in 1..=stream.len() {
                let (replies, used) = count(&shape, &stream, &[1, 999_999, 7, 8, 5], piece);
                assert_eq!(replies, expected, "{protocol:?} in pieces of {piece}");
                assert_eq!(used, stream.len());
            }
        }
    }

    #[test]
    fn status_lines_are_counted_and_errors_told_apart() {
        for (protocol, good, error) in
            [(Protocol::Resp, "+OK\r\n", "-ERR no\r\n"), (Protocol::Memcached, "STORED\r\n", "NOT_STORED\r\n")]
        {
            let shape = Operation::Set.reply(protocol, 40);
            let stream = [good, error, good].concat();
            for piece in 1..=stream.len() {
                let (replies, _) = count(&shape, stream.as_bytes(), &[1, 2, 3], piece);
                assert_eq!(replies, [Reply::Good, Reply::Error, Reply::Good], "{protocol:?}, {piece}");
            }
        }
    }

    #[test]
    fn the_value_of_another_key_is_wrong() {
        let shape = Operation::Get.reply(Protocol::Resp, 40);
        let reply = get_reply(Protocol::Resp, 3, 40);
        assert_eq!(shape.step(&reply, 3, 1), Step::Reply(Reply::Good, reply.len()));
        assert_eq!(shape.step(&reply, 4, 1), Step::Reply(Reply::Wrong, reply.len()));
    }

    #[test]
    fn damage_in_the_middle_is_seen_in_the_samples() {
        let shape = Operation::Get.reply(Protocol::Resp, 40);
        let mut reply = get_reply(Protocol::Resp, 3, 40);
        reply[25] ^= 1;
        assert_eq!(shape.step(&reply, 3, SAMPLE_EVERY), Step::Reply(Reply::Wrong, reply.len()));
    }

    #[test]
    fn what_cannot_be_skipped_is_garbage() {
        let resp = Operation::Get.reply(Protocol::Resp, 40);
        let longer = [b"$40\r\n".as_slice(), &[b'x'; 60]].concat();
        assert_eq!(resp.step(&longer, 1, 0), Step::Garbage, "a value without its end");
        assert_eq!(resp.step(b"$41\r\nx", 1, 0), Step::Garbage, "another length");
        assert_eq!(resp.step(b"HTTP/1.1 400\r\n", 1, 0), Step::Garbage);
        assert_eq!(resp.step(&[b'x'; LINE_BYTES_MAX], 1, 0), Step::Garbage, "a line without end");
        let memcached = Operation::Get.reply(Protocol::Memcached, 40);
        assert_eq!(memcached.step(b"VALUE key:000000000002 0 40\r\n", 1, 0), Step::Garbage, "another key");
    }

    #[test]
    fn counts_add_up_and_keep_the_first_error() {
        let mut counts = Counts::default();
        counts.add(Reply::Good, b"");
        counts.add(Reply::Error, b"-ERR one\r\n");
        let mut other = Counts::default();
        other.add(Reply::Error, b"-ERR two\r\n");
        other.add(Reply::Miss, b"");
        other.add(Reply::Wrong, b"");
        counts.merge(&other);
        let expected =
            Counts { good: 1, misses: 1, wrong: 1, errors: 2, first_error: Some("-ERR one\\r\\n".to_owned()) };
        assert_eq!(counts, expected);
        assert_eq!(counts.bad(), 4);
    }
}
