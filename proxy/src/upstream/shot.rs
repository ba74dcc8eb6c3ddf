//! A frame of a job: something that a client waits for by itself (a transaction, a walk over the key space, a long value,
//! a node's figures).

use std::sync::Arc;

use swell_node::link::frame::{BadFrame, CHUNK_BYTES, Entry, Kind, ReplyHead, Status};
use swell_ring::{NodeId, Slot};

use crate::upstream::encode::Piece;

/// Bytes before the request in a frame of one that waits.
const SINCE_BYTES: usize = 8;

/// Where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// To the owner of this slot, whoever that is when it goes.
    Slot(Slot),
    Node(NodeId),
}

/// What it carries.
#[derive(Clone, Debug)]
pub enum Payload {
    Bytes(Vec<u8>),
    /// Goes out in chunks.
    Pieces(Vec<Piece>),
}

/// One frame of a job.
#[derive(Debug)]
pub struct Shot {
    pub kind: Kind,
    pub target: Target,
    /// Requests in it.
    pub count: u16,
    /// Running it twice makes no difference.
    pub repeatable: bool,
    pub payload: Payload,
    state: ShotState,
}

#[derive(Debug)]
enum ShotState {
    /// Not sent yet, or refused, or lost and repeatable.
    Waiting,
    Sent(u32),
    /// It has waited at its node for as long as anything may, and did not run.
    Paused,
    /// It may have run; nobody knows.
    Unknown,
    Done(ShotAnswer),
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct ShotAnswer {
    pub entries: Vec<Entry>,
    /// The replies one behind the other.
    pub bytes: Vec<u8>,
    /// The node has no memory for this transaction: nothing of it ran.
    pub is_full: bool,
    /// A key that was watched for this transaction has changed: nothing of it ran.
    pub is_stale: bool,
}

impl Shot {
    /// A frame to be sent; a long one goes in chunks.
    pub fn new(kind: Kind, target: Target, count: u16, repeatable: bool, payload: Payload) -> Shot {
        let payload = match payload {
            Payload::Bytes(bytes) if bytes.len() > CHUNK_BYTES => {
                Payload::Pieces(vec![Piece::Segment(Arc::new(bytes))])
            }
            payload => payload,
        };
        Shot { kind, target, count, repeatable, payload, state: ShotState::Waiting }
    }

    /// It goes out as this frame.
    pub fn sent(&mut self, frame: u32) {
        self.state = ShotState::Sent(frame);
    }

    /// Whether it is on its way as this frame.
    pub fn is_frame(&self, frame: u32) -> bool {
        matches!(self.state, ShotState::Sent(id) if id == frame)
    }

    /// Whether it is on its way.
    pub fn is_sent(&self) -> bool {
        matches!(self.state, ShotState::Sent(_))
    }

    /// Whether it goes in chunks: no other frame of its session may stand between them.
    pub fn is_long(&self) -> bool {
        matches!(self.payload, Payload::Pieces(_))
    }

    /// Whether it has waited at its node for too long.
    pub fn is_paused(&self) -> bool {
        matches!(self.state, ShotState::Paused)
    }

    /// Whether it has to go (again).
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, ShotState::Waiting)
    }

    /// Whether nobody knows what became of it.
    pub fn is_unknown(&self) -> bool {
        matches!(self.state, ShotState::Unknown)
    }

    /// What came back.
    pub fn into_answer(self) -> Option<ShotAnswer> {
        match self.state {
            ShotState::Done(answer) => Some(answer),
            _ => None,
        }
    }

    /// The answer has come; a refusal sends it again.
    ///
    /// # Errors
    /// A body that is not what its head says.
    pub fn answer(&mut self, head: &ReplyHead, body: &[u8]) -> Result<(), BadFrame> {
        match head.status {
            Status::Done => {}
            Status::Full => {
                self.state = ShotState::Done(ShotAnswer { is_full: true, ..ShotAnswer::default() });
                return Ok(());
            }
            Status::Stale => {
                self.state = ShotState::Done(ShotAnswer { is_stale: true, ..ShotAnswer::default() });
                return Ok(());
            }
            Status::Paused => {
                self.state = ShotState::Paused;
                return Ok(());
            }
            Status::Moved | Status::Behind => {
                self.state = ShotState::Waiting;
                if let (Kind::Block, Payload::Bytes(bytes), false) = (self.kind, &mut self.payload, body.is_empty()) {
                    // It has waited there, and says what to go on with; since when it does so stays.
                    bytes.truncate(SINCE_BYTES);
                    bytes.extend_from_slice(body);
                }
                return Ok(());
            }
        }
        if self.kind == Kind::Stats {
            // JSON, and no entries.
            self.state = ShotState::Done(ShotAnswer { bytes: body.to_vec(), ..ShotAnswer::default() });
            return Ok(());
        }
        let entries = (0..head.done as usize).map(|index| Entry::read(body, index)).collect::<Result<Vec<_>, _>>()?;
        let bytes = body.get(entries.len() * Entry::BYTES..).ok_or(BadFrame::TooShort)?.to_vec();
        let sum = entries.iter().fold(0, |sum: u64, entry| sum.saturating_add(entry.reply_bytes));
        if sum != bytes.len() as u64 {
            return Err(BadFrame::TooShort);
        }
        self.state = ShotState::Done(ShotAnswer { entries, bytes, ..ShotAnswer::default() });
        Ok(())
    }

    /// Its link was lost. `sent`: completely handed over, so that the node may have run it.
    pub fn lost(&mut self, sent: bool) {
        self.state = if sent && !self.repeatable { ShotState::Unknown } else { ShotState::Waiting };
    }
}

impl ShotAnswer {
    /// Each request's entry with its reply.
    pub fn replies(&self) -> impl Iterator<Item = (Entry, &[u8])> {
        let mut at = 0;
        self.entries.iter().map(move |entry| {
            let from = at;
            at += entry.reply_bytes as usize;
            (*entry, &self.bytes[from..at])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swell_node::link::frame::Flags;

    fn shot(repeatable: bool) -> Shot {
        Shot::new(Kind::Request, Target::Node(NodeId(1)), 1, repeatable, Payload::Bytes(Vec::new()))
    }

    fn head(status: Status, done: u16) -> ReplyHead {
        ReplyHead { status, flags: Flags::default(), session: 0, id: 7, done, epoch: 0, state: 0 }
    }

    #[test]
    fn a_lost_write_is_unknown_and_all_else_goes_again() {
        for (repeatable, sent, unknown) in [(true, true, false), (false, false, false), (false, true, true)] {
            let mut shot = shot(repeatable);
            shot.sent(7);
            shot.lost(sent);
            assert_eq!(shot.is_unknown(), unknown, "{repeatable} {sent}");
            assert_eq!(shot.is_waiting(), !unknown);
        }
    }

    #[test]
    fn a_report_is_taken_as_it_is() {
        let mut one = Shot::new(Kind::Stats, Target::Node(NodeId(1)), 0, true, Payload::Bytes(Vec::new()));
        one.sent(7);
        one.answer(&head(Status::Done, 0), b"{}").unwrap();
        assert_eq!(one.into_answer().unwrap().bytes, b"{}");
    }

    #[test]
    fn no_memory_is_an_answer() {
        let mut one = shot(false);
        one.sent(7);
        one.answer(&head(Status::Full, 0), b"").unwrap();
        assert!(!one.is_waiting());
        let answer = one.into_answer().unwrap();
        assert!(answer.is_full && answer.entries.is_empty());
    }

    #[test]
    fn an_answer_is_taken_apart_and_checked() {
        let mut one = shot(false);
        one.sent(7);
        assert!(one.is_frame(7) && !one.is_frame(8));
        one.answer(&head(Status::Moved, 0), b"").unwrap();
        assert!(one.is_waiting() && !one.is_paused());
        one.answer(&head(Status::Paused, 0), b"").unwrap();
        assert!(!one.is_waiting() && one.is_paused());
        let mut body = vec![0; Entry::BYTES];
        Entry { reply_bytes: 5, data_bytes: 0, work: 3, failed: false }.overwrite(0, &mut body);
        body.extend_from_slice(b"+OK\r\n");
        assert!(one.answer(&head(Status::Done, 1), &body[..body.len() - 1]).is_err());
        one.answer(&head(Status::Done, 1), &body).unwrap();
        let answer = one.into_answer().unwrap();
        let replies: Vec<_> = answer.replies().map(|(entry, bytes)| (entry.work, bytes.to_vec())).collect();
        assert_eq!(replies, [(3, b"+OK\r\n".to_vec())]);
    }
}
