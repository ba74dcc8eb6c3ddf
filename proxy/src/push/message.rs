//! One message for many clients: written once for each RESP version, shared by all who get it.

use std::sync::Arc;

use swell_wire::{Out, Proto};

/// A message as it goes out, shared by everybody who gets it.
pub type Bytes = Arc<Vec<u8>>;

/// A message in both versions, to be sent from any thread.
#[derive(Clone, Debug)]
pub struct Message(Arc<Forms>);

#[derive(Debug)]
struct Forms {
    resp2: Bytes,
    resp3: Bytes,
}

impl Message {
    /// `write` writes one reply (a push as a rule), and is called once for each version.
    pub fn new(write: impl Fn(&mut Out)) -> Message {
        let (resp2, resp3) = (form(Proto::Resp2, &write), form(Proto::Resp3, &write));
        Message(Arc::new(Forms { resp2, resp3 }))
    }

    /// Its bytes for a client that speaks this version.
    pub fn bytes(&self, proto: Proto) -> &Bytes {
        match proto {
            Proto::Resp2 => &self.0.resp2,
            Proto::Resp3 => &self.0.resp3,
        }
    }

    /// Bytes of the longer form.
    pub fn len(&self) -> usize {
        self.0.resp2.len().max(self.0.resp3.len())
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A message that is written when the first client of a version gets it: for many clients of one worker.
pub struct Encoded<W> {
    write: W,
    resp2: Option<Bytes>,
    resp3: Option<Bytes>,
}

impl<W: Fn(&mut Out)> Encoded<W> {
    /// Nothing is written yet.
    pub fn new(write: W) -> Encoded<W> {
        Encoded { write, resp2: None, resp3: None }
    }

    /// Its bytes for a client that speaks this version.
    pub fn bytes(&mut self, proto: Proto) -> &Bytes {
        let known = match proto {
            Proto::Resp2 => &mut self.resp2,
            Proto::Resp3 => &mut self.resp3,
        };
        known.get_or_insert_with(|| form(proto, &self.write))
    }
}

fn form(proto: Proto, write: impl Fn(&mut Out)) -> Bytes {
    let mut out = Out::new(proto);
    write(&mut out);
    Arc::new(out.into_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(out: &mut Out) {
        out.push(2);
        out.bulk(b"invalidate");
        out.null();
    }

    #[test]
    fn each_version_is_written_once() {
        let message = Message::new(write);
        assert_eq!(message.bytes(Proto::Resp2).as_slice(), b"*2\r\n$10\r\ninvalidate\r\n$-1\r\n");
        assert_eq!(message.bytes(Proto::Resp3).as_slice(), b">2\r\n$10\r\ninvalidate\r\n_\r\n");
        let written = std::cell::Cell::new(0);
        let mut encoded = Encoded::new(|out: &mut Out| {
            written.set(written.get() + 1);
            write(out);
        });
        for _ in 0..3 {
            assert!(encoded.bytes(Proto::Resp3).starts_with(b">2"));
        }
        assert_eq!(written.get(), 1);
    }
}
