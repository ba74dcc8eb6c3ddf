//! The best victims seen so far: what a sample found and did not use helps the next eviction.

use super::Policy;
use crate::key::Db;

/// Candidates kept (Redis: `EVPOOL_SIZE`).
const POOL: usize = 32;

/// A key that may be evicted, found again by slot and hash; `clock` tells whether it was used since.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    pub score: u64,
    pub hash: u64,
    pub slot: u16,
    pub db: Db,
    pub clock: u32,
}

/// Candidates by ascending score; one per worker.
#[derive(Debug, Default)]
pub struct Pool {
    candidates: Vec<Candidate>,
    policy: Policy,
}

impl Pool {
    /// Whether a candidate of this score would be kept.
    #[inline]
    pub fn wants(&self, score: u64) -> bool {
        self.candidates.len() < POOL || self.candidates[0].score < score
    }

    /// Adds a candidate if it is better than the worst or there is room.
    pub fn offer(&mut self, candidate: Candidate) {
        if self.candidates.iter().any(|known| known.hash == candidate.hash && known.slot == candidate.slot) {
            return;
        }
        if self.candidates.len() == POOL {
            if self.candidates[0].score >= candidate.score {
                return;
            }
            self.candidates.remove(0);
        }
        let at = self.candidates.partition_point(|known| known.score < candidate.score);
        self.candidates.insert(at, candidate);
    }

    /// The best candidate.
    pub fn pop(&mut self) -> Option<Candidate> {
        self.candidates.pop()
    }

    /// Says by which policy the next candidates are scored; those of another one are forgotten.
    pub fn follow(&mut self, policy: Policy) {
        if self.policy != policy {
            self.policy = policy;
            self.candidates.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_of_another_policy_are_forgotten() {
        let mut pool = Pool::default();
        pool.follow(Policy::AllKeysLru);
        pool.offer(Candidate { score: 1, hash: 1, slot: 1, db: Db::default(), clock: 0 });
        pool.follow(Policy::AllKeysLru);
        assert!(pool.pop().is_some());
        pool.offer(Candidate { score: 1, hash: 1, slot: 1, db: Db::default(), clock: 0 });
        pool.follow(Policy::VolatileTtl);
        assert!(pool.pop().is_none());
    }

    #[test]
    fn keeps_the_best_in_order_and_once() {
        let mut pool = Pool::default();
        for score in (0..100).chain(50..60) {
            pool.offer(Candidate { score, hash: score, slot: 1, db: Db::default(), clock: 0 });
        }
        let order: Vec<u64> = std::iter::from_fn(|| pool.pop()).map(|candidate| candidate.score).collect();
        assert_eq!(order, (100 - POOL as u64..100).rev().collect::<Vec<_>>());
    }
}
