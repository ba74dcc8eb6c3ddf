//! Nodes that do not answer: whose link is lost, and who have a link and say nothing over it. A child of this scaler's is
//! killed then, and its slots go to others when it was reaped. Any other node's process is not ours to end: it keeps its
//! slots, and events say so.

use std::time::Duration;

use swell_node::host::STATS_IDLE_TICK;
use swell_ring::NodeId;
use tokio::time::Instant;

use crate::nodes::{Node, Origin};
use crate::provider::identity::has_ended;
use crate::provider::process::Process;
use crate::writer::Writer;

/// A node without a link for so long is told of as lost.
pub const LOST_AFTER: Duration = Duration::from_secs(10);
/// A node that has said nothing for so long does not answer. One that is idle says how it is three times as often.
pub const SILENCE_MAX: Duration = Duration::from_secs(3 * STATS_IDLE_TICK.as_secs());
/// Of a node that still does not answer events tell again after so long.
pub const TELL_AGAIN: Duration = Duration::from_secs(60);
/// How often silent nodes are looked for.
const SILENCE_LOOK: Duration = Duration::from_secs(1);
/// Looks without a word that make [`SILENCE_MAX`]. They are counted, and not the time: a scaler that was itself stopped,
/// or starved, has heard nobody meanwhile, and must not take all its nodes for dead when it goes on.
const SILENT_LOOKS_MAX: u32 = (SILENCE_MAX.as_secs() / SILENCE_LOOK.as_secs()) as u32;
/// After so many it is unclear whether it lives: even an idle node would have said something.
const UNCLEAR_LOOKS: u32 = ((STATS_IDLE_TICK.as_secs() + 2) / SILENCE_LOOK.as_secs()) as u32;
/// How often what cannot announce itself is looked at, while there is such a thing.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What is known of a node's silence.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Silence {
    /// Looks since its last word.
    looks: u32,
    /// Whether it has said anything to this scaler.
    was_heard: bool,
    /// When an event told last that it does not answer; none: it does.
    told: Option<Instant>,
}

/// When the writer looks again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looks {
    for_lost: Instant,
    for_silent: Instant,
}

impl Silence {
    /// Whether it counts as not answering.
    pub(crate) fn is_told(&self) -> bool {
        self.told.is_some()
    }

    /// Whether nobody can say if it lives, and no event has told so.
    pub(crate) fn is_unclear(&self) -> bool {
        self.looks >= UNCLEAR_LOOKS && self.told.is_none()
    }

    /// It has said something. Whether it was taken for silent before.
    fn heard(&mut self) -> bool {
        (self.looks, self.was_heard) = (0, true);
        self.told.take().is_some()
    }

    /// One more look has found nothing new. Whether it is time to do something about it.
    fn looked(&mut self, now: Instant) -> bool {
        self.looks = self.looks.saturating_add(1);
        let is_due = self.told.is_none_or(|told| now.duration_since(told) >= TELL_AGAIN);
        if self.looks < SILENT_LOOKS_MAX || !is_due {
            return false;
        }
        self.told = Some(now);
        true
    }
}

impl Looks {
    pub(crate) fn new(now: Instant) -> Looks {
        Looks { for_lost: now, for_silent: now + SILENCE_LOOK }
    }
}

impl Writer {
    /// When [`Writer::look_for_lost`] has something to do.
    pub(crate) fn look_due(&self) -> Option<Instant> {
        let lost = self.nodes.values().any(is_unclear).then_some(self.looks.for_lost);
        let silent = self.nodes.values().any(is_watched).then_some(self.looks.for_silent);
        lost.into_iter().chain(silent).min()
    }

    /// A node has said something.
    pub(crate) fn heard(&mut self, id: NodeId) {
        if self.nodes.get_mut(&id).is_some_and(|node| node.silence.heard()) {
            self.events.of_node(false, "node-answers", id, String::new(), format!("node {id} answers again"));
        }
    }

    /// Looks for nodes without a link, and for those that say nothing.
    pub(crate) fn look_for_lost(&mut self, now: Instant) {
        if now >= self.looks.for_lost {
            self.looks.for_lost = now + LOOK_EVERY;
            self.look_for_unlinked(now);
        }
        if now >= self.looks.for_silent {
            self.looks.for_silent = now + SILENCE_LOOK;
            self.look_for_silent(now);
        }
    }

    /// A node without a link that is not ours to kill keeps its slots, and after a while an event says so. Guests are not ours to reap: those
    /// whose process is certainly gone are treated as if they were.
    fn look_for_unlinked(&mut self, now: Instant) {
        let mut ended = Vec::new();
        for node in self.nodes.values_mut().filter(|node| is_unclear(node)) {
            if node.origin == Origin::Guest && node.is_pid_certain && has_ended(node.pid) {
                ended.push(node.member.id);
            } else if !is_ours(node) && now.duration_since(node.lost_since) >= LOST_AFTER {
                node.is_told_lost = true;
                node.silence.told = Some(now);
                let (id, address) = (node.member.id, &node.member.address);
                let slots = self.kept.map.slots_of(id).len();
                let text = format!(
                    "node {id} ({address}) has had no link to the scaler for {LOST_AFTER:?}; it keeps its {slots} slots"
                );
                self.events.of_node(true, "node-unreachable", id, String::new(), text);
            }
        }
        for id in ended {
            self.gone(id, "its process has ended", now);
        }
    }

    fn look_for_silent(&mut self, now: Instant) {
        let silent: Vec<NodeId> = self
            .nodes
            .values_mut()
            .filter(|node| is_watched(node))
            .filter_map(|node| node.silence.looked(now).then_some(node.member.id))
            .collect();
        for id in silent {
            match self.nodes.get(&id).is_some_and(is_ours) {
                true => self.kill_silent(id),
                false => self.tell_silent(id),
            }
        }
    }

    /// When it was reaped, [`Writer::gone`] gives its slots away: not before.
    fn kill_silent(&mut self, id: NodeId) {
        let Some(pid) = self.provider.as_mut().and_then(|provider: &mut Process| provider.kill(id)) else { return };
        let slots = self.kept.map.slots_of(id).len();
        let text = format!(
            "node {id} (process {pid}) has not answered for {SILENCE_MAX:?}: it is killed, and its {slots} slots go to \
             others when it has ended"
        );
        self.events.of_node(true, "node-killed", id, String::new(), text);
    }

    fn tell_silent(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get(&id) else { return };
        let (slots, address, pid) = (self.kept.map.slots_of(id).len(), &node.member.address, node.pid);
        let text = format!(
            "node {id} ({address}, process {pid}) has not answered for {SILENCE_MAX:?} or longer; the scaler does not end \
             processes that it has not started, so it keeps its {slots} slots: end it, or give it up with `swell drain {id}`"
        );
        self.events.of_node(true, "node-silent", id, String::new(), text);
    }
}

/// A node without a link, of which no event has told yet.
pub(crate) fn is_unclear(node: &Node) -> bool {
    let is_waited_for = node.has_joined || node.origin == Origin::Guest;
    node.link.is_none() && !node.is_told_lost && is_waited_for
}

/// A node that has to say something now and then: not the one in this process, which cannot be ended without it.
fn is_watched(node: &Node) -> bool {
    node.origin != Origin::Embedded && (node.has_joined || node.origin == Origin::Guest)
}

/// A node that is killed when it does not answer. One that an earlier scaler has left and that has never spoken to this
/// one is not: it may look for the scaler elsewhere, and serve all the same.
fn is_ours(node: &Node) -> bool {
    node.origin == Origin::Child && node.silence.was_heard
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_counted_in_looks_and_told_of_once_a_minute() {
        let (mut silence, mut now, mut told) = (Silence::default(), Instant::now(), Vec::new());
        // The scaler has stood still for an hour: that is one look.
        now += Duration::from_secs(3600);
        for second in 1..=140 {
            now += SILENCE_LOOK;
            if silence.looked(now) {
                told.push(second);
            }
            assert_eq!(silence.is_unclear(), (UNCLEAR_LOOKS as u64..15).contains(&second), "{second}");
        }
        assert_eq!(told, [15, 75, 135]);
        assert!(silence.is_told() && silence.heard() && !silence.is_told());
        assert!(!silence.heard(), "told once");
        assert!(!(1..15).any(|_| silence.looked(now)) && silence.looked(now));
    }
}
