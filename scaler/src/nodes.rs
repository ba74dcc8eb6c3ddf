//! What the scaler knows of each living node, and who is at the other end of each control link.

use std::rc::Rc;

use swell_node::control::{NodeLine, NodeStats};
use swell_ring::{Epoch, Member, NodeId, SlotMap};
use tokio::time::Instant;

use crate::lost::Silence;
use crate::members::{Link, LinkId};

/// Who started a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It is in this process.
    Embedded,
    /// It is a child of this process.
    Child,
    /// Somebody else: its process is not ours to reap.
    Guest,
}

/// A node that lives, as far as is known.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) member: Member,
    pub(crate) origin: Origin,
    /// In this process's namespace if that is known, else as it says itself; 0: not known.
    pub(crate) pid: u32,
    /// Whether `pid` was told by the system: only then its absence proves anything.
    pub(crate) is_pid_certain: bool,
    /// Whether it has joined since this scaler started, or was a child of the one before.
    pub(crate) has_joined: bool,
    pub(crate) link: Option<LinkId>,
    /// Since when it has had no link.
    pub(crate) lost_since: Instant,
    /// Whether an event says that it is lost.
    pub(crate) is_told_lost: bool,
    pub(crate) silence: Silence,
    pub(crate) seen: Seen,
    pub(crate) stats: NodeStats,
    pub(crate) is_draining: bool,
    /// It was told to leave.
    pub(crate) is_leaving: bool,
}

/// What a member has taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) epoch: Epoch,
    pub(crate) state: u64,
}

/// A control link, and who is at its other end.
#[derive(Debug)]
pub(crate) struct Party {
    pub(crate) link: Rc<Link>,
    pub(crate) who: Who,
    /// Whether it has said what it charged.
    pub(crate) has_charged: bool,
    /// Clients of this proxy monitor.
    pub(crate) has_monitors: bool,
}

/// Who is at the other end of a control link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// It has not joined.
    Stranger,
    Node(NodeId),
    Proxy(Seen),
    Person,
}

impl Node {
    /// A node that has not joined yet.
    pub(crate) fn new(member: Member, origin: Origin, pid: u32, now: Instant) -> Node {
        Node {
            member,
            origin,
            pid,
            is_pid_certain: false,
            has_joined: false,
            link: None,
            lost_since: now,
            is_told_lost: false,
            silence: Silence::default(),
            seen: Seen::default(),
            stats: NodeStats::default(),
            is_draining: false,
            is_leaving: false,
        }
    }

    /// Whether slots may be given to it.
    pub(crate) fn may_get_slots(&self) -> bool {
        self.link.is_some() && !self.is_draining && !self.silence.is_told()
    }

    /// Its line in `swell nodes`.
    pub(crate) fn line(&self, map: &SlotMap) -> NodeLine {
        let slots = map.slots_of(self.member.id).len() as u32;
        let state = match (self.link, self.is_draining, slots) {
            (None, _, _) => "gone",
            (Some(_), _, _) if self.silence.is_told() => "silent",
            (Some(_), true, _) => "draining",
            (Some(_), false, 0) => "empty",
            (Some(_), false, _) => "serving",
        };
        NodeLine {
            id: self.member.id,
            address: self.member.address.clone(),
            zone: self.member.zone.clone(),
            pid: self.pid,
            state: state.to_owned(),
            slots,
            stats: self.stats.clone(),
        }
    }
}

impl Who {
    /// Whether it follows the slot map and the cache state.
    pub(crate) fn is_member(self) -> bool {
        matches!(self, Who::Node(_) | Who::Proxy(_))
    }
}
