//! Bytes that wait to be sent: taken from the front and added at the end, both at little cost however many there are.

/// What was sent is kept until it is this much and half of all: so each byte is moved once at most.
const KEPT_MIN: usize = 64 << 10;

/// A queue of bytes in one piece.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    /// So many of them are gone.
    gone: usize,
}

impl Outbox {
    /// Those that wait.
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.gone..]
    }

    /// Adds what `write` appends; how many bytes that was.
    pub fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        let before = self.bytes.len();
        write(&mut self.bytes);
        self.bytes.len() - before
    }

    /// So many are gone, or all if there are fewer.
    pub fn skip(&mut self, count: usize) {
        self.gone = (self.gone + count).min(self.bytes.len());
        if self.gone == self.bytes.len() {
            self.bytes.clear();
            self.gone = 0;
        } else if self.gone >= KEPT_MIN && 2 * self.gone >= self.bytes.len() {
            self.bytes.drain(..self.gone);
            self.gone = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_the_order_in_which_they_came() {
        let (mut outbox, mut sent) = (Outbox::default(), Vec::new());
        for round in 0..50_usize {
            let more: Vec<u8> = (0..7_000).map(|at| ((round * 7_000 + at) % 251) as u8).collect();
            assert_eq!(outbox.append(|out| out.extend_from_slice(&more)), 7_000);
            let count = outbox.rest().len().min(round * 211);
            sent.extend_from_slice(&outbox.rest()[..count]);
            outbox.skip(count);
            assert!(
                outbox.gone < KEPT_MIN.max(outbox.bytes.len() / 2 + 1),
                "{} of {}",
                outbox.gone,
                outbox.bytes.len()
            );
        }
        sent.extend_from_slice(outbox.rest());
        outbox.skip(usize::MAX / 2);
        assert!(outbox.rest().is_empty() && outbox.bytes.is_empty());
        assert_eq!(sent.len(), 350_000);
        assert!(sent.iter().enumerate().all(|(at, byte)| *byte == (at % 251) as u8));
    }
}
