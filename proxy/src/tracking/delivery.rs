//! What a worker is told of stale copies becomes messages for its clients: behind the replies of what was under way when it
//! came, so that nobody ends with a copy that an earlier reply brings after the message.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use swell_node::broker::{Matter, Published};
use swell_node::copies::By;
use swell_ring::NodeId;

use super::{Keys, Mode, Tracked, invalidation};
use crate::core::Core;
use crate::push::Message;
use crate::upstream::link::Link;
use crate::worker::Worker;

/// How often each node has told that it was flushed. A flush of all nodes comes from each of them, and is told once.
#[derive(Debug, Default)]
pub struct Flushes {
    /// The node of this process, which tells by a call.
    here: u64,
    links: HashMap<NodeId, u64>,
    told: u64,
}

impl Flushes {
    /// A link to this node begins.
    pub fn meet(&mut self, node: NodeId) {
        self.links.insert(node, self.told);
    }

    /// A node was flushed. Whether it is the first to say so; if it is not, those need not be told again who have read
    /// nothing since.
    fn is_first(&mut self, node: Option<NodeId>) -> bool {
        let told = self.told;
        let count = match node {
            None => &mut self.here,
            Some(node) => self.links.entry(node).or_insert(told),
        };
        *count += 1;
        let is_first = *count > told;
        self.told = told.max(*count);
        is_first
    }
}

impl Worker {
    /// A message about copies has come over a link.
    #[cold]
    pub fn on_stale(&self, core: &mut Core, link: &Rc<Link>, published: &Published) {
        match published.matter() {
            Matter::StaleRead => self.tell_readers(core, published),
            Matter::StaleAny => core.note_any(published),
            Matter::AllStale => self.on_flushed(core, link.node()),
            Matter::Channel(_) => {}
        }
    }

    /// The node at the other end of a link was flushed.
    fn on_flushed(&self, core: &mut Core, node: NodeId) {
        let is_first = core.desk.flushes.is_first(Some(node)) || self.shared.route.is_direct();
        self.tell_all_stale(core, |tracked| is_first || tracked.has_copies.load(Relaxed));
    }

    /// The node of this process was flushed, for the time with this number: whoever has begun since has no old copies.
    pub fn on_flushed_here(&self, core: &mut Core, number: u64) {
        let is_first = core.desk.flushes.is_first(None) || self.shared.route.is_direct();
        self.tell_all_stale(core, |tracked| {
            tracked.hears_of_flush(number) && (is_first || tracked.has_copies.load(Relaxed))
        });
    }

    /// A link was lost: nobody will say any more which of the copies of that node's keys are stale.
    pub fn on_link_lost(&self, core: &Core) {
        self.tell_all_stale(core, |_| true);
    }

    /// Requests go over links from now on, and whatever was read before has left no trace there.
    pub fn expect_copies(&self) {
        if !self.shared.tracking.is_empty() {
            let tracked = self.shared.tracking.of_worker(self.core.borrow().index);
            tracked.iter().for_each(|tracked| tracked.reads());
        }
    }

    /// Tells clients with prefixes what has changed since the last time.
    pub fn tell_pending(&self, core: &mut Core) {
        for tracked in std::mem::take(&mut core.desk.stale) {
            tracked.take_pending().iter().for_each(|message| self.tell_stale(core, &tracked, message));
        }
    }

    fn tell_all_stale(&self, core: &Core, which: impl Fn(&Tracked) -> bool) {
        if self.shared.tracking.is_empty() {
            return;
        }
        let message = invalidation(Keys::All);
        for tracked in self.shared.tracking.of_worker(core.index).iter().filter(|tracked| which(tracked)) {
            tracked.has_copies.store(false, Relaxed);
            self.tell_stale(core, tracked, &message);
        }
    }

    fn tell_readers(&self, core: &Core, published: &Published) {
        let (mut message, by) = (None, published.by());
        for session in published.sessions() {
            let Some(flights) = self.upstreams.seat(session) else { continue };
            let mut flights = flights.borrow_mut();
            let is_told = |tracked: &&Arc<Tracked>| {
                tracked.options.mode != Mode::Broadcast && (by != By::Session(session) || !tracked.options.noloop)
            };
            if flights.tracked().filter(is_told).is_some() {
                flights.tell(core, message.get_or_insert_with(|| invalidation(Keys::One(published.channel()))));
            }
        }
    }

    /// Behind what is under way for this client, if anything is.
    fn tell_stale(&self, core: &Core, tracked: &Arc<Tracked>, message: &Message) {
        let flights = self.upstreams.seat(tracked.session());
        let mut flights = flights.as_ref().map(|flights| flights.borrow_mut());
        match &mut flights {
            Some(flights) if flights.tracked().is_some_and(|known| Arc::ptr_eq(known, tracked)) => {
                flights.tell(core, message);
            }
            _ => core.post(tracked, message),
        }
    }
}

impl Core {
    /// Hands a message about copies to whoever is told in a client's place.
    pub fn post(&self, tracked: &Tracked, message: &Message) {
        tracked.post(&self.shared.clients, message, |info, message| self.push(info, &message));
    }

    /// A key has changed that somebody here may want to know of.
    pub fn note_any(&mut self, published: &Published) {
        self.shared.tracking.note_any(self.index, published.channel(), published.by(), &mut self.desk.stale);
    }
}

/// What everybody is told who may have copies of anything.
pub(crate) fn all_stale() -> Message {
    invalidation(Keys::All)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_of_all_nodes_counts_once() {
        let (mut flushes, [one, two]) = (Flushes::default(), [NodeId(1), NodeId(2)]);
        flushes.meet(one);
        flushes.meet(two);
        let mut told = |nodes: &[Option<NodeId>]| nodes.iter().map(|node| flushes.is_first(*node)).collect::<Vec<_>>();
        assert_eq!(told(&[Some(two), Some(one), None]), [true, false, false]);
        assert_eq!(told(&[None, Some(one), None]), [true, false, true], "the next one, before the first is through");
        assert_eq!(told(&[Some(one), Some(two), Some(two)]), [false, false, false]);
        flushes.meet(NodeId(3));
        assert!(flushes.is_first(Some(NodeId(3))));
        assert!(!flushes.is_first(Some(one)));
    }
}
