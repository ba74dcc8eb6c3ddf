//! GET and SET as bytes in each protocol: requests with places for the key, and the replies they should get.

use std::ops::Range;

use super::args::Protocol;
use super::replies::ReplyShape;
use crate::workload::{KEY_BYTES, fill_value, key, stamp_value};

/// The two requests that loads are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Get,
    Set,
}

/// One encoded request, the same for every key but for the key's own bytes (and those of the value, which repeats it).
#[derive(Debug, Clone)]
pub struct RequestShape {
    bytes: Vec<u8>,
    key: Range<usize>,
    value: Option<Range<usize>>,
    /// Where further keys stand; each is this many numbers after the one before, modulo the second.
    more_keys: Vec<usize>,
    step: (u64, u64),
}

/// Stands for a key in the words of a command.
pub const KEY_PLACE: &str = "{key}";
/// Numbers between two keys of one request.
const KEY_STEP: u64 = 7_919;

/// Many copies of one request in a row, in which keys are replaced in place.
#[derive(Debug)]
pub struct Batch {
    bytes: Vec<u8>,
    shape: RequestShape,
}

impl Operation {
    pub fn request(self, protocol: Protocol, value_bytes: usize) -> RequestShape {
        match (self, protocol) {
            (Operation::Get, Protocol::Resp) => RequestShape::new(b"*2\r\n$3\r\nGET\r\n$16\r\n", None, b"\r\n"),
            (Operation::Get, Protocol::Memcached) => RequestShape::new(b"get ", None, b"\r\n"),
            (Operation::Set, Protocol::Resp) => {
                let between = format!("\r\n${value_bytes}\r\n");
                RequestShape::new(b"*3\r\n$3\r\nSET\r\n$16\r\n", Some((&between, value_bytes)), b"\r\n")
            }
            (Operation::Set, Protocol::Memcached) => {
                let between = format!(" 0 0 {value_bytes}\r\n");
                RequestShape::new(b"set ", Some((&between, value_bytes)), b"\r\n")
            }
        }
    }

    pub fn reply(self, protocol: Protocol, value_bytes: usize) -> ReplyShape {
        match (self, protocol) {
            (Operation::Get, Protocol::Resp) => {
                ReplyShape::value(format!("${value_bytes}\r\n"), None, value_bytes, "\r\n", "$-1\r\n")
            }
            (Operation::Get, Protocol::Memcached) => {
                let head = format!("VALUE key:000000000000 0 {value_bytes}\r\n");
                ReplyShape::value(head, Some("VALUE ".len()), value_bytes, "\r\nEND\r\n", "END\r\n")
            }
            (Operation::Set, Protocol::Resp) => ReplyShape::line("+OK\r\n"),
            (Operation::Set, Protocol::Memcached) => ReplyShape::line("STORED\r\n"),
        }
    }
}

impl RequestShape {
    /// `value` is what stands between key and value, and the value's length.
    fn new(before: &[u8], value: Option<(&str, usize)>, after: &[u8]) -> RequestShape {
        let mut bytes = before.to_vec();
        let key_start = bytes.len();
        bytes.extend(key(0));
        let key = key_start..bytes.len();
        let value = value.map(|(between, len)| {
            bytes.extend(between.as_bytes());
            let start = bytes.len();
            bytes.resize(start + len, 0);
            fill_value(&mut bytes[start..]);
            start..start + len
        });
        bytes.extend(after);
        RequestShape { bytes, key, value, more_keys: Vec::new(), step: (0, 1) }
    }

    /// A RESP command; every [`KEY_PLACE`] among its words becomes a key of its own of `keys` keys.
    pub fn command(words: &[String], keys: u64) -> RequestShape {
        RequestShape::commands(std::slice::from_ref(&words), keys)
    }

    /// Several RESP commands in a row as one request, as [`Self::command`].
    pub fn commands<W: AsRef<[String]>>(commands: &[W], keys: u64) -> RequestShape {
        let (mut bytes, mut places) = (Vec::new(), Vec::new());
        for words in commands.iter().map(AsRef::as_ref) {
            bytes.extend(format!("*{}\r\n", words.len()).bytes());
            for word in words {
                let filled = word.replace(KEY_PLACE, std::str::from_utf8(&key(0)).unwrap_or_default());
                bytes.extend(format!("${}\r\n", filled.len()).bytes());
                if let Some(at) = word.find(KEY_PLACE) {
                    places.push(bytes.len() + at);
                }
                bytes.extend(filled.bytes());
                bytes.extend(b"\r\n");
            }
        }
        // Without a place nothing is written: an empty range.
        let first = places.first().map_or(0..0, |at| *at..at + KEY_BYTES);
        let more_keys = places.into_iter().skip(1).collect();
        RequestShape { bytes, key: first, value: None, more_keys, step: (KEY_STEP, keys.max(1)) }
    }

    /// Room for `requests` requests of this shape.
    pub fn batch(&self, requests: usize) -> Batch {
        Batch { bytes: self.bytes.repeat(requests), shape: self.clone() }
    }
}

impl Batch {
    /// Makes the request at `index`, which must be inside the batch, ask for key `id`.
    #[inline]
    pub fn aim(&mut self, index: usize, id: u64) {
        let stride = self.shape.bytes.len();
        let request = &mut self.bytes[index * stride..(index + 1) * stride];
        if !self.shape.key.is_empty() {
            request[self.shape.key.clone()].copy_from_slice(&key(id));
        }
        let mut next = id;
        for &start in &self.shape.more_keys {
            next = (next + self.shape.step.0) % self.shape.step.1;
            request[start..start + KEY_BYTES].copy_from_slice(&key(next));
        }
        if let Some(value) = &self.shape.value {
            stamp_value(id, &mut request[value.clone()]);
        }
    }

    /// The bytes of the first `requests` requests.
    pub fn first(&self, requests: usize) -> &[u8] {
        &self.bytes[..requests * self.shape.bytes.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(operation: Operation, protocol: Protocol, id: u64, value_bytes: usize) -> String {
        let mut batch = operation.request(protocol, value_bytes).batch(2);
        batch.aim(0, id);
        String::from_utf8(batch.first(1).to_vec()).expect("ASCII")
    }

    #[test]
    fn requests_are_what_the_protocols_say() {
        assert_eq!(one(Operation::Get, Protocol::Resp, 7, 100), "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000007\r\n");
        assert_eq!(one(Operation::Get, Protocol::Memcached, 7, 100), "get key:000000000007\r\n");
        assert_eq!(
            one(Operation::Set, Protocol::Resp, 12, 3),
            "*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000012\r\n$3\r\n012\r\n"
        );
        assert_eq!(
            one(Operation::Set, Protocol::Memcached, 12, 18),
            "set key:000000000012 0 0 18\r\nkey:000000000012ip\r\n"
        );
    }

    #[test]
    fn each_request_of_a_batch_is_aimed_on_its_own() {
        let mut batch = Operation::Get.request(Protocol::Memcached, 1).batch(3);
        batch.aim(0, 1);
        batch.aim(1, 222_222);
        batch.aim(1, 2);
        assert_eq!(batch.first(2), b"get key:000000000001\r\nget key:000000000002\r\n");
    }
}
