//! What clients did and what they were told: the raw material of every check.

use std::time::Instant;

use swell_ring::{Slot, slot_of};

/// A key and what is done to it.
#[derive(Clone, Debug)]
pub struct Key {
    pub name: String,
    pub kind: Kind,
    pub slot: Slot,
}

/// What is done to a key: always the same, so that its history can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// INCR.
    Counter,
    /// APPEND of tokens that are never the same.
    Log,
    /// SETNX of such tokens.
    Once,
    /// SET and GET by this client alone.
    Own(usize),
    /// memcached's incr.
    MemcachedCounter,
    /// memcached's gets and cas, which add one.
    Cas,
}

/// One request and its outcome.
#[derive(Clone, Debug)]
pub struct Event {
    /// Index of the key.
    pub key: usize,
    pub client: usize,
    pub op: Op,
    pub outcome: Outcome,
    /// Before it was sent.
    pub invoked: Instant,
    /// After its reply was read, or after it was given up.
    pub returned: Instant,
}

/// A request, as far as a check cares: a cas that was stored counts as `Add`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Add,
    Append(String),
    SetOnce(String),
    Set(u64),
    Get,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done(Answer),
    /// It was told not to have run.
    Refused(String),
    /// Nobody can say whether it ran.
    Unknown(String),
}

/// What a request that ran was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Ok,
    Number(u64),
    Value(Option<u64>),
}

/// When a node was killed on which keys may have been.
#[derive(Clone, Copy, Debug)]
pub struct Death {
    /// Just before the signal.
    pub before: Instant,
    /// Once the process was there no more.
    pub after: Instant,
    /// Whether the keys were there for sure.
    pub is_certain: bool,
}

impl Key {
    pub fn new(name: String, kind: Kind) -> Key {
        let slot = slot_of(name.as_bytes());
        Key { name, kind, slot }
    }
}

impl Event {
    /// The number it was answered, if it ran and was.
    pub fn number(&self) -> Option<u64> {
        match self.outcome {
            Outcome::Done(Answer::Number(number)) => Some(number),
            _ => None,
        }
    }

    pub fn is_done(&self) -> bool {
        matches!(self.outcome, Outcome::Done(_))
    }

    /// Whether its effect must be there in the end.
    pub fn stays(&self, death: Option<Death>) -> bool {
        self.is_done() && death.is_none_or(|death| self.invoked > death.after)
    }

    /// Whether its effect may be there in the end.
    pub fn may_stay(&self, death: Option<Death>) -> bool {
        match self.outcome {
            Outcome::Done(_) => !death.is_some_and(|death| death.is_certain && self.returned < death.before),
            Outcome::Unknown(_) => true,
            Outcome::Refused(_) => false,
        }
    }
}
