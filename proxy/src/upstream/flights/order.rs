//! Replies leave in the order of the requests: the parts of one are merged, and what waits for others lies in the stash.

use swell_engine::spec::Merge;
use swell_wire::Out;

use super::{Flights, KEPT_BYTES, Need, Role, STASH_SLACK_BYTES, State};
use crate::core::Core;
use crate::upstream::{merge, reply};

impl Flights {
    /// Moves replies whose turn it is to `ready`.
    #[inline]
    pub(super) fn advance(&mut self, core: &mut Core) {
        self.pop_answered(core);
        if self.frames.iter().any(|frame| frame.partial.is_some()) {
            self.grant_first();
        }
        if self.requests.is_empty() {
            self.rest();
        } else if self.stash.bytes.len() > 2 * self.stash.live + STASH_SLACK_BYTES {
            self.tidy_stash();
        }
        if self.refused == 0 {
            self.refused_since = None;
        }
        self.tell_waiting(core);
    }

    fn pop_answered(&mut self, core: &mut Core) {
        while let Some(front) = self.requests.front() {
            match (front.role, front.state) {
                (Role::Join(parts, merge), _) => {
                    if !self.join(core, parts, merge) {
                        break;
                    }
                }
                (_, State::Answered { at, len, .. }) => {
                    if !front.noreply {
                        self.ready.raw(self.stash.get(at, len));
                    }
                    self.stash.live -= len;
                    self.requests.pop_front();
                    self.first += 1;
                }
                _ => break,
            }
        }
    }

    /// The first `count` requests of the queue are answered and gone.
    #[inline]
    pub(super) fn pop_sent(&mut self, count: usize) {
        self.requests.drain(..count.min(self.requests.len()));
        self.first += count as u64;
        self.under_way -= count;
    }

    /// Merges the parts of the request at the front, if all have come.
    fn join(&mut self, core: &mut Core, parts: usize, merge: Merge) -> bool {
        let answers = self.requests.iter().skip(1).take(parts).map(|part| match part.state {
            State::Answered { at, len, entry } => Some((at, len, entry)),
            _ => None,
        });
        let Some(answers) = answers.collect::<Option<Vec<_>>>() else { return false };
        let replies = answers.iter().map(|(at, len, entry)| (self.stash.get(*at, *len), entry.failed));
        let mut out = Out::new(self.ready.proto());
        let failed = merge::parts(merge, replies, &mut out);
        let request = &self.requests[0];
        let (data, work) =
            answers.iter().fold((0, 0), |(data, work), (.., entry)| (data + entry.data_bytes, work + entry.work));
        let ecpu_milli = request.charge(core, data, work, failed);
        // The price is of the whole, which is rounded once: each part's node has an equal share of it.
        let share = ecpu_milli / answers.len().max(1) as u64;
        answers.iter().for_each(|(.., entry)| core.charged_for(entry.node, share));
        core.counts.commands += 1;
        if failed {
            core.counts.error(reply::error_code(out.as_contiguous().unwrap_or_default()));
        }
        if !request.noreply {
            self.ready.append(&mut out);
        }
        self.stash.live -= answers.iter().map(|(_, len, _)| len).sum::<usize>();
        self.requests.drain(..=parts);
        self.first += 1 + parts as u64;
        true
    }

    /// Forgets the answers that have left: a client that always has something under way would gather all it ever read.
    #[cold]
    fn tidy_stash(&mut self) {
        let old = std::mem::take(&mut self.stash);
        for request in &mut self.requests {
            if let State::Answered { at, len, .. } = &mut request.state {
                *at = self.stash.push(old.get(*at, *len));
            }
        }
    }

    /// Nothing is under way: buffers are forgotten, and given back where they have grown.
    #[inline]
    fn rest(&mut self) {
        self.kept.clear();
        self.stash.bytes.clear();
        if self.kept.capacity() > KEPT_BYTES {
            self.kept.shrink_to(KEPT_BYTES);
        }
        if self.stash.bytes.capacity() > KEPT_BYTES {
            self.stash.bytes.shrink_to(KEPT_BYTES);
        }
        self.need = Need::default();
    }
}
