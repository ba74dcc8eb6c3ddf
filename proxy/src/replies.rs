//! The reply queue: replies leave in request order, though an answer may be late.

use std::collections::VecDeque;

use swell_wire::{Out, Proto};

/// Names one late answer of one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u64);

/// Replies behind the first late answer, in request order. While nothing is late it is empty, and replies are written
/// straight into the connection's output.
#[derive(Debug, Default)]
pub struct Replies {
    /// Number of the first entry.
    first: u64,
    late: VecDeque<Late>,
}

#[derive(Debug)]
struct Late {
    answer: Option<Out>,
    /// Replies that were ready at once and stand behind this answer.
    behind: Out,
}

impl Replies {
    /// Whether no answer is late.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.late.is_empty()
    }

    /// Keeps a place for an answer that will come.
    pub fn reserve(&mut self, proto: Proto) -> Place {
        self.late.push_back(Late { answer: None, behind: Out::new(proto) });
        Place(self.first + self.late.len() as u64 - 1)
    }

    /// Where the next ready reply goes: behind the last late answer, or straight to `out`.
    pub fn tail<'a>(&'a mut self, out: &'a mut Out) -> &'a mut Out {
        self.late.back_mut().map_or(out, |late| &mut late.behind)
    }

    /// The answer for a place has come; whatever is no longer held up moves to `out`.
    pub fn fill(&mut self, place: Place, answer: Out, out: &mut Out) {
        let Some(late) = self.late.get_mut((place.0 - self.first) as usize) else { return };
        late.answer = Some(answer);
        while self.late.front().is_some_and(|late| late.answer.is_some()) {
            let Some(Late { answer, mut behind }) = self.late.pop_front() else { return };
            self.first += 1;
            if let Some(mut answer) = answer {
                out.append(&mut answer);
            }
            out.append(&mut behind);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(n: i64) -> Out {
        let mut out = Out::new(Proto::Resp2);
        out.int(n);
        out
    }

    #[test]
    fn replies_leave_in_request_order_whenever_they_come() {
        let mut replies = Replies::default();
        let mut out = Out::new(Proto::Resp2);
        replies.tail(&mut out).int(0);
        let one = replies.reserve(Proto::Resp2);
        replies.tail(&mut out).int(2);
        let three = replies.reserve(Proto::Resp2);
        replies.tail(&mut out).int(4);
        assert_eq!(out.to_vec(), b":0\r\n");
        replies.fill(three, answer(3), &mut out);
        assert_eq!(out.to_vec(), b":0\r\n", "held up by the first");
        replies.fill(one, answer(1), &mut out);
        assert_eq!(out.to_vec(), b":0\r\n:1\r\n:2\r\n:3\r\n:4\r\n");
        assert!(replies.is_empty());
        replies.tail(&mut out).int(5);
        let six = replies.reserve(Proto::Resp2);
        replies.fill(six, answer(6), &mut out);
        assert!(out.to_vec().ends_with(b":5\r\n:6\r\n"));
    }
}
