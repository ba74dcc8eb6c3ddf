//! What every key must be, by the writes that were acknowledged: each read is held against it.
//!
//! A key's requests go over one connection, whose replies come in the order of its requests: when a reply is looked at,
//! all earlier writes of that key have been answered, so that *the last acknowledged write* is exact. A write whose
//! outcome nobody knows may take effect at any later time: until it is seen, it stays among what the key may be.

use std::collections::HashMap;

use super::value::Damage;

/// All slots of a cache.
pub const SLOTS: usize = 16_384;
/// Writes of unknown outcome that are remembered for one key; of more, the oldest are forgotten.
pub const DOUBTS_MAX: usize = 256;

/// What a key may hold: the version of a write, 0 for nothing, and when it ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    pub version: u32,
    /// Milliseconds of the run when the write was sent and when it was acknowledged.
    pub sent_ms: u32,
    pub done_ms: u32,
    /// Seconds that it lives; 0 is for ever.
    pub ttl_s: u32,
}

/// A read as it is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The value that it must be.
    Hit,
    /// Nothing, as it must be.
    Miss,
    /// Nothing, because the node that held it was killed on purpose.
    LostByKill,
    Wrong(Wrong),
}

/// What is wrong with a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// Bytes that were never written together.
    Torn,
    /// Another key's value.
    OtherKey,
    /// Older than the last acknowledged write.
    Stale,
    /// Nothing, although a write was acknowledged.
    Lost,
    /// Something, although it was deleted or has expired, or was never written.
    Risen,
}

impl Wrong {
    /// One word for tables and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Wrong::Torn => "torn",
            Wrong::OtherKey => "other-key",
            Wrong::Stale => "stale",
            Wrong::Lost => "lost",
            Wrong::Risen => "risen",
        }
    }
}

/// A node that was killed on purpose: which slots it had, and until when an acknowledged write may have been lost with it.
#[derive(Debug, Clone)]
pub struct Killed {
    slots: Vec<bool>,
    /// Milliseconds of the run.
    pub at_ms: u32,
    pub until_ms: u32,
}

/// The keys.
#[derive(Debug, Default)]
pub struct Model {
    known: Vec<Written>,
    doubts: HashMap<u64, Vec<Written>>,
    killed: Vec<Killed>,
    /// Milliseconds by which a server may end a value early or late: its clock's steps.
    slack_ms: u32,
}

impl Killed {
    /// `slots` has a place for every slot. What was acknowledged up to `grace_ms` after the kill may be gone: replies
    /// that were on their way, writes before the node was seen to be dead.
    pub fn new(slots: Vec<bool>, at_ms: u32, grace_ms: u32) -> Killed {
        Killed { slots, at_ms, until_ms: at_ms.saturating_add(grace_ms) }
    }

    pub fn has(&self, slot: u16) -> bool {
        self.slots.get(usize::from(slot)).copied().unwrap_or(false)
    }
}

impl Model {
    pub fn new(slack_ms: u32) -> Model {
        Model { slack_ms, ..Model::default() }
    }

    /// From now on, reads may miss what this node had.
    pub fn kill(&mut self, killed: Killed) {
        self.killed.push(killed);
    }

    /// Milliseconds since the kill that may have made a request fail which failed now: its slot was there, and the
    /// kill's grace is not over. None where there is no such kill.
    pub fn kill_age_ms(&self, slot: u16, now_ms: u32) -> Option<u32> {
        let explains = |killed: &&Killed| killed.has(slot) && (killed.at_ms..=killed.until_ms).contains(&now_ms);
        self.killed.iter().rev().find(explains).map(|killed| now_ms - killed.at_ms)
    }

    /// A write (version 0: a deletion) was acknowledged.
    pub fn done(&mut self, id: u64, write: Written) {
        *self.place(id) = write;
    }

    /// Nobody knows whether this write has been, or will be, carried out.
    pub fn doubt(&mut self, id: u64, write: Written) {
        let doubts = self.doubts.entry(id).or_default();
        if doubts.len() >= DOUBTS_MAX {
            doubts.remove(0);
        }
        doubts.push(write);
    }

    /// Judges what a read that was sent at `sent_ms` and answered at `now_ms` said: nothing, or a version.
    pub fn judge(&mut self, id: u64, got: Option<Result<u32, Damage>>, sent_ms: u32, now_ms: u32) -> Verdict {
        let known = *self.place(id);
        match got {
            Some(Err(Damage::Torn)) => Verdict::Wrong(Wrong::Torn),
            Some(Err(Damage::OtherKey)) => Verdict::Wrong(Wrong::OtherKey),
            Some(Ok(version)) => self.judge_value(id, known, version, sent_ms),
            None => self.judge_miss(id, known, now_ms),
        }
    }

    fn judge_value(&mut self, id: u64, known: Written, version: u32, sent_ms: u32) -> Verdict {
        if version == known.version && version != 0 {
            return if self.has_ended(known, sent_ms) { Verdict::Wrong(Wrong::Risen) } else { Verdict::Hit };
        }
        if let Some(write) = self.settle(id, |write| write.version == version) {
            *self.place(id) = write;
            return Verdict::Hit;
        }
        Verdict::Wrong(if known.version == 0 || self.has_ended(known, sent_ms) { Wrong::Risen } else { Wrong::Stale })
    }

    fn judge_miss(&mut self, id: u64, known: Written, now_ms: u32) -> Verdict {
        if known.version == 0 || self.may_have_ended(known, now_ms) {
            return Verdict::Miss;
        }
        let slack = self.slack_ms;
        if let Some(write) = self.settle(id, |write| write.version == 0 || ends_from(write, slack) <= u64::from(now_ms))
        {
            *self.place(id) = Written { version: 0, ..write };
            return Verdict::Miss;
        }
        let slot = slot_of(&super::value::key(id));
        if self.killed.iter().any(|killed| killed.has(slot) && known.done_ms <= killed.until_ms) {
            *self.place(id) = Written::default();
            return Verdict::LostByKill;
        }
        Verdict::Wrong(Wrong::Lost)
    }

    /// Takes the first doubtful write of the key that explains a read: it has been carried out.
    fn settle(&mut self, id: u64, explains: impl Fn(&Written) -> bool) -> Option<Written> {
        let doubts = self.doubts.get_mut(&id)?;
        let at = doubts.iter().position(explains)?;
        let write = doubts.remove(at);
        if doubts.is_empty() {
            self.doubts.remove(&id);
        }
        Some(write)
    }

    fn may_have_ended(&self, write: Written, now_ms: u32) -> bool {
        ends_from(&write, self.slack_ms) <= u64::from(now_ms)
    }

    fn has_ended(&self, write: Written, sent_ms: u32) -> bool {
        let end = u64::from(write.done_ms) + u64::from(write.ttl_s) * 1_000 + u64::from(self.slack_ms);
        write.ttl_s > 0 && u64::from(sent_ms) > end
    }

    fn place(&mut self, id: u64) -> &mut Written {
        let at = id as usize;
        if at >= self.known.len() {
            self.known.resize(at + 1, Written::default());
        }
        &mut self.known[at]
    }
}

/// The slot of a key that has no hash tag: CRC16 (XMODEM) modulo the number of slots.
pub fn slot_of(key: &[u8]) -> u16 {
    let mut sum = 0u16;
    for byte in key {
        sum ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            sum = if sum & 0x8000 != 0 { sum << 1 ^ 0x1021 } else { sum << 1 };
        }
    }
    sum % SLOTS as u16
}

/// From when on a value may be gone, in milliseconds of the run.
fn ends_from(write: &Written, slack_ms: u32) -> u64 {
    match write.ttl_s {
        0 => u64::MAX,
        ttl => (u64::from(write.sent_ms) + u64::from(ttl) * 1_000).saturating_sub(u64::from(slack_ms)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::value::key;
    use super::*;

    const SLACK: u32 = 100;

    fn at(version: u32, ms: u32) -> Written {
        Written { version, sent_ms: ms, done_ms: ms + 1, ttl_s: 0 }
    }

    fn judge(model: &mut Model, got: Option<u32>, ms: u32) -> Verdict {
        model.judge(5, got.map(Ok), ms, ms + 1)
    }

    #[test]
    fn the_last_acknowledged_write_is_what_a_read_must_find() {
        let mut model = Model::new(SLACK);
        assert_eq!(judge(&mut model, None, 0), Verdict::Miss);
        assert_eq!(judge(&mut model, Some(1), 0), Verdict::Wrong(Wrong::Risen), "never written");
        model.done(5, at(1, 0));
        model.done(5, at(2, 5));
        assert_eq!(judge(&mut model, Some(2), 10), Verdict::Hit);
        assert_eq!(judge(&mut model, Some(1), 10), Verdict::Wrong(Wrong::Stale));
        assert_eq!(judge(&mut model, Some(9), 10), Verdict::Wrong(Wrong::Stale), "a version that nobody wrote");
        assert_eq!(judge(&mut model, None, 10), Verdict::Wrong(Wrong::Lost));
        assert_eq!(model.judge(5, Some(Err(Damage::Torn)), 10, 11), Verdict::Wrong(Wrong::Torn));
        assert_eq!(model.judge(5, Some(Err(Damage::OtherKey)), 10, 11), Verdict::Wrong(Wrong::OtherKey));
        model.done(5, at(0, 20));
        assert_eq!(judge(&mut model, None, 30), Verdict::Miss);
        assert_eq!(judge(&mut model, Some(2), 30), Verdict::Wrong(Wrong::Risen), "it was deleted");
    }

    #[test]
    fn a_write_of_unknown_outcome_widens_what_a_key_may_be_until_it_is_seen() {
        let mut model = Model::new(SLACK);
        model.done(5, at(1, 0));
        model.doubt(5, at(2, 5));
        assert_eq!(judge(&mut model, Some(1), 10), Verdict::Hit, "not carried out yet");
        model.done(5, at(3, 15));
        assert_eq!(judge(&mut model, Some(3), 20), Verdict::Hit);
        assert_eq!(judge(&mut model, Some(2), 30), Verdict::Hit, "carried out late");
        assert_eq!(judge(&mut model, Some(3), 40), Verdict::Wrong(Wrong::Stale), "it has been seen to be over");
        assert_eq!(judge(&mut model, Some(1), 40), Verdict::Wrong(Wrong::Stale));
        model.doubt(5, at(0, 50));
        assert_eq!(judge(&mut model, None, 60), Verdict::Miss, "a deletion of unknown outcome");
        assert_eq!(judge(&mut model, Some(2), 70), Verdict::Wrong(Wrong::Risen));
    }

    #[test]
    fn values_end_in_time_neither_early_nor_late() {
        let mut model = Model::new(SLACK);
        model.done(5, Written { version: 1, sent_ms: 1_000, done_ms: 1_010, ttl_s: 2 });
        assert_eq!(judge(&mut model, None, 2_890), Verdict::Wrong(Wrong::Lost));
        assert_eq!(judge(&mut model, Some(1), 2_890), Verdict::Hit);
        for ms in [2_900, 3_000, 3_110] {
            assert_eq!(judge(&mut model, None, ms), Verdict::Miss, "{ms}");
            assert_eq!(judge(&mut model, Some(1), ms), Verdict::Hit, "{ms}");
        }
        assert_eq!(judge(&mut model, None, 3_111), Verdict::Miss);
        assert_eq!(judge(&mut model, Some(1), 3_111), Verdict::Wrong(Wrong::Risen));
    }

    #[test]
    fn only_what_a_killed_node_had_may_be_gone_and_only_what_was_written_before() {
        let mut model = Model::new(SLACK);
        let slot = slot_of(&key(5));
        let mut slots = vec![false; SLOTS];
        slots[usize::from(slot)] = true;
        for id in [5, 6] {
            model.done(id, at(1, 0));
        }
        model.kill(Killed::new(slots, 100, 50));
        assert_eq!([99, 120, 151].map(|ms| model.kill_age_ms(slot, ms)), [None, Some(20), None]);
        assert_eq!(model.kill_age_ms(slot_of(&key(6)), 120), None);
        assert_eq!(judge(&mut model, None, 200), Verdict::LostByKill);
        assert_eq!(judge(&mut model, None, 200), Verdict::Miss, "it is known to be gone");
        assert_eq!(judge(&mut model, Some(1), 210), Verdict::Wrong(Wrong::Risen));
        assert_eq!(model.judge(6, None, 200, 201), Verdict::Wrong(Wrong::Lost), "another node's");
        model.done(5, at(2, 160));
        assert_eq!(judge(&mut model, None, 220), Verdict::Wrong(Wrong::Lost), "written after the kill");
    }

    #[test]
    fn slots_are_those_of_the_protocol() {
        // From the cluster specification: CRC16 of 123456789 is 0x31C3.
        assert_eq!(slot_of(b"123456789"), 0x31C3);
        assert_eq!(slot_of(b""), 0);
    }
}
