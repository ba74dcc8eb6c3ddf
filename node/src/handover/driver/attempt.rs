//! One attempt as the driver sees it, and what it needs next.

use swell_ring::{Epoch, NodeId, SlotMap};

use super::jobs::Waiting;
use crate::handover::message::{Failure, Group, HandoverId};

/// The furthest that was heard from a source. A later one is never taken back by an earlier one that comes late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceFact {
    /// Nothing, by this driver.
    Unheard,
    Copying,
    Sealed,
    Released,
    /// It has ended the attempt for good and serves the slots.
    Over,
    /// The process is dead.
    Gone,
}

/// The furthest that was heard from a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TargetFact {
    /// Nothing, by this driver.
    Unheard,
    Prepared,
    Ready,
    /// It has forgotten the attempt for good.
    Over,
    /// The process is dead.
    Gone,
}

/// What an attempt needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The target prepares, or says how far it is.
    Prepare,
    /// The source copies, or says how far it is.
    Copy,
    /// Both say how far they are.
    Watch,
    Release,
    /// The next map gives the group to the target.
    Commit,
    /// The next map, and a message, give it back to the source.
    Return,
    CancelSource,
    CancelTarget,
    /// Both sides are through with it, without a commit.
    End,
}

/// What an attempt needs next, by what was heard of it.
///
/// The source is always settled before the target is told to forget: as long as the source may have released, the
/// target's copy may be the only one.
pub fn need(source: SourceFact, target: TargetFact, cancelled: bool) -> Need {
    use SourceFact as S;
    use TargetFact as T;
    match (source, target) {
        (S::Over | S::Gone, T::Over | T::Gone) => Need::End,
        (S::Released | S::Gone, T::Ready) => Need::Commit,
        (S::Released, T::Over | T::Gone) => Need::Return,
        // Only a driver that started anew: the target knows more.
        (S::Released | S::Gone, T::Unheard) => Need::Prepare,
        // A source releases only after Ready; so this is a late word, and the next one will say more.
        (S::Released, T::Prepared) => Need::Watch,
        (S::Over | S::Gone, _) => Need::CancelTarget,
        (_, T::Over | T::Gone) => Need::CancelSource,
        _ if cancelled => Need::CancelSource,
        (_, T::Ready) => Need::Release,
        (_, T::Unheard) => Need::Prepare,
        (S::Unheard, T::Prepared) => Need::Copy,
        (S::Copying | S::Sealed, T::Prepared) => Need::Watch,
    }
}

/// One attempt.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) group: Group,
    /// Whose request it is, unless an earlier driver's.
    pub(super) ticket: Option<u64>,
    /// How many attempts at this group were made before it.
    pub(super) tries: u32,
    pub(super) source: SourceFact,
    pub(super) target: TargetFact,
    /// Its intent is durable; nothing goes out before.
    pub(super) is_durable: bool,
    /// Its pair of nodes is busy with another: it goes on when that one is through, and its intent is durable by then.
    pub(super) is_held: bool,
    pub(super) cancelled: bool,
    /// The map that commits it is becoming durable: nothing can be changed about it any more.
    pub(super) in_map: bool,
    /// The map with this epoch gives it back.
    pub(super) returned: Option<Epoch>,
    /// The first reason for failing that was heard.
    pub(super) why: Option<Failure>,
    pub(super) keys: u64,
    pub(super) bytes: u64,
    pub(super) asked_us: u64,
    pub(super) sealed_us: u64,
}

impl Attempt {
    /// A group that has waited begins.
    pub(super) fn new(id: HandoverId, waiting: Waiting, now_us: u64) -> Attempt {
        let Waiting { slots, from, to, ticket, tries, .. } = waiting;
        let group = Group { id, slots, from, to };
        Attempt { ticket, tries, is_durable: false, asked_us: now_us, ..Attempt::of(group) }
    }

    /// One that an earlier driver has begun. Nodes that the map does not name any more are dead.
    pub(super) fn recovered(group: Group, map: &SlotMap) -> Attempt {
        let mut attempt = Attempt::of(group);
        for node in [attempt.group.from, attempt.group.to] {
            if map.node(node).is_none() {
                attempt.gone(node);
            }
        }
        attempt
    }

    /// A node is dead.
    pub(super) fn gone(&mut self, node: NodeId) {
        self.is_held = false;
        self.why.get_or_insert(Failure::NodeGone);
        if self.group.from == node {
            self.source = SourceFact::Gone;
        }
        if self.group.to == node {
            self.target = TargetFact::Gone;
        }
    }

    /// The pair of nodes that it keeps busy, while it copies.
    pub(super) fn copies(&self) -> Option<(NodeId, NodeId)> {
        let copies = !self.is_held && self.source < SourceFact::Released && self.target < TargetFact::Ready;
        copies.then(|| self.pair())
    }

    /// Where from and where to.
    pub(super) fn pair(&self) -> (NodeId, NodeId) {
        (self.group.from, self.group.to)
    }

    fn of(group: Group) -> Attempt {
        Attempt {
            group,
            ticket: None,
            tries: 0,
            source: SourceFact::Unheard,
            target: TargetFact::Unheard,
            is_durable: true,
            is_held: false,
            cancelled: false,
            in_map: false,
            returned: None,
            why: None,
            keys: 0,
            bytes: 0,
            asked_us: 0,
            sealed_us: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCES: [SourceFact; 6] = [
        SourceFact::Unheard,
        SourceFact::Copying,
        SourceFact::Sealed,
        SourceFact::Released,
        SourceFact::Over,
        SourceFact::Gone,
    ];
    const TARGETS: [TargetFact; 5] =
        [TargetFact::Unheard, TargetFact::Prepared, TargetFact::Ready, TargetFact::Over, TargetFact::Gone];

    #[test]
    fn nothing_is_committed_or_forgotten_that_could_be_the_only_copy() {
        for source in SOURCES {
            for target in TARGETS {
                for cancelled in [false, true] {
                    let need = need(source, target, cancelled);
                    let case = format!("{source:?} {target:?} {cancelled}: {need:?}");
                    let settled = matches!(source, SourceFact::Released | SourceFact::Gone);
                    assert_eq!(need == Need::Commit, settled && target == TargetFact::Ready, "{case}");
                    let source_has_it = source == SourceFact::Over || source == SourceFact::Gone;
                    assert!(need != Need::CancelTarget || source_has_it, "{case}");
                    assert!(need != Need::Release || target == TargetFact::Ready && !cancelled, "{case}");
                    assert!(need != Need::Return || source == SourceFact::Released, "{case}");
                }
            }
        }
    }
}
