//! Client-side caching at a node: whom the engine means when it says that somebody's copy is stale, and the way to them.
//!
//! A client whose requests come over a link is known by the link's number and its session's; what it has to know goes back
//! over that link, behind the replies that are there already. Whoever the proxy of this process serves by calls is known by
//! its own number and told by a call. Who wants to know of all keys that begin in some way has told the
//! [broker](crate::broker), like a subscription.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use swell_engine::track::{Stale, TellStale};
use swell_engine::unit::Unit;

use crate::broker::{Broker, Peer, PeerId, Published, Told, Topic};
use crate::embedded::Node;
use crate::link::SESSIONS_MAX;

/// Set in the number of a tracker that stands for a session of a link.
const OF_A_LINK: u64 = 1 << 63;
/// Bits of a session's number.
const SESSION_BITS: u32 = SESSIONS_MAX.trailing_zeros();

/// Names a link for as long as the node lives; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkNumber(pub(crate) u64);

/// Whose request has changed a key, as its proxy knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Nobody of the reader's.
    Nobody,
    /// A client by its own number: one that runs in the node's process.
    Client(u64),
    /// A session of the link over which this is told.
    Session(u32),
}

/// Who keeps copies of a node's keys.
#[derive(Default)]
pub struct Copies {
    links: RwLock<HashMap<LinkNumber, Place>>,
    next: AtomicU64,
    here: OnceLock<TellStale>,
    /// Held while it is changed.
    broadcast: Mutex<Broadcast>,
    /// Transactions that run and may name prefixes.
    expected: AtomicUsize,
}

/// While it is there, every change is told to the broker: somebody is about to name prefixes.
pub struct Expected(Arc<Node>);

/// Whether the engine tells every change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Broadcast {
    #[default]
    Off,
    On,
    /// Some stripes do: one was taken when it was changed.
    Partly,
}

struct Place {
    peer: Arc<Peer>,
    /// It ends in this process, whose proxy hears of flushes by a call.
    is_here: bool,
}

impl LinkNumber {
    /// What the engine knows a session of it as.
    #[inline]
    pub fn tracker(self, session: u32) -> u64 {
        OF_A_LINK | self.0 << SESSION_BITS | u64::from(session)
    }

    fn of(tracker: u64) -> Option<(LinkNumber, u32)> {
        let session = tracker & ((1 << SESSION_BITS) - 1);
        (tracker & OF_A_LINK != 0).then_some((LinkNumber((tracker & !OF_A_LINK) >> SESSION_BITS), session as u32))
    }
}

impl By {
    /// What the engine calls it, to those behind this peer.
    pub(crate) fn told_to(tracker: u64, peer: &Peer) -> By {
        match LinkNumber::of(tracker) {
            Some((link, session)) if peer.link() == Some(link) => By::Session(session),
            None if tracker != 0 && peer.is_here() => By::Client(tracker),
            _ => By::Nobody,
        }
    }

    pub(crate) fn to_u64(self) -> u64 {
        match self {
            By::Nobody => 0,
            By::Client(id) => id,
            By::Session(session) => OF_A_LINK | u64::from(session),
        }
    }

    pub(crate) fn from_u64(by: u64) -> By {
        match by {
            0 => By::Nobody,
            _ if by & OF_A_LINK != 0 => By::Session(by as u32),
            client => By::Client(client),
        }
    }
}

/// From now on the node's engine tells its clients' copies.
pub(crate) fn attach(node: &Arc<Node>) {
    let weak = Arc::downgrade(node);
    node.engine().tell_stale(Box::new(move |stale| {
        if let Some(node) = weak.upgrade() {
            node.copies().tell(stale, node.broker());
        }
    }));
}

impl Copies {
    /// The proxy of this process is told by a call what its clients have read, and of flushes. Only the first counts.
    pub fn tell_here(&self, tell: TellStale) {
        let _ = self.here.set(tell);
    }

    /// A link begins: its number, and what waits for it.
    pub(crate) fn join(&self, is_here: bool) -> (LinkNumber, Arc<Peer>) {
        let link = LinkNumber(self.next.fetch_add(1, Relaxed) + 1);
        let peer = Arc::new(Peer::new(PeerId(link.0)));
        peer.set_link(link);
        let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
        links.insert(link, Place { peer: peer.clone(), is_here });
        (link, peer)
    }

    /// The link has ended: its proxy declares everything stale, and what is noted here for it means nobody.
    pub(crate) fn leave(&self, link: LinkNumber) {
        self.links.write().unwrap_or_else(PoisonError::into_inner).remove(&link);
    }

    /// The engine says what is stale. A stripe may be locked.
    fn tell(&self, stale: Stale<'_>, broker: &Broker) {
        match stale {
            Stale::Any { key, by } => broker.tell_any(key, by),
            Stale::All => {
                for place in self.links.read().unwrap_or_else(PoisonError::into_inner).values() {
                    if !place.is_here {
                        place.peer.send(&Arc::new(Published::all_stale()));
                    }
                }
                self.tell_proxy(stale);
            }
            Stale::Read { key, readers, by } => {
                if readers.iter().any(|reader| reader & OF_A_LINK != 0) {
                    self.tell_links(key, readers, by);
                }
                // It knows none of the others.
                if readers.iter().any(|reader| reader & OF_A_LINK == 0) {
                    self.tell_proxy(stale);
                }
            }
        }
    }

    fn tell_links(&self, key: &[u8], readers: &[u64], by: u64) {
        let mut sessions: HashMap<LinkNumber, Vec<u32>> = HashMap::new();
        for (link, session) in readers.iter().filter_map(|reader| LinkNumber::of(*reader)) {
            sessions.entry(link).or_default().push(session);
        }
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        for (link, sessions) in sessions {
            if let Some(Place { peer, .. }) = links.get(&link) {
                peer.send(&Arc::new(Published::stale_read(key, &sessions, By::told_to(by, peer))));
            }
        }
    }

    fn tell_proxy(&self, stale: Stale<'_>) {
        if let Some(tell) = self.here.get() {
            tell(stale);
        }
    }

    fn broadcast(&self) -> MutexGuard<'_, Broadcast> {
        self.broadcast.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    /// As [`Broker::tell`]; before somebody is taken on who wants to know of all keys that begin in some way, the engine is
    /// asked to tell them. It may be put off by a stripe that is taken.
    pub fn tell_broker<'a>(
        &self,
        peer: &Arc<Peer>,
        is_current: bool,
        counts: impl Iterator<Item = (Topic, &'a [u8], u32)> + Clone,
        is_last: bool,
    ) -> Told {
        if !counts.clone().any(|(topic, _, count)| topic == Topic::Prefix && count > 0) {
            return self.broker().tell(peer, is_current, counts, is_last);
        }
        let mut broadcast = self.copies().broadcast();
        if *broadcast != Broadcast::On && self.engine().set_broadcast(true).is_err() {
            *broadcast = Broadcast::Partly;
            return Told::Later;
        }
        *broadcast = Broadcast::On;
        self.broker().tell(peer, is_current, counts, is_last)
    }

    /// A transaction that holds all locks is about to name prefixes, and to change keys behind that.
    pub fn expect_prefixes(self: &Arc<Node>, unit: &Unit<'_>) -> Expected {
        let mut broadcast = self.copies().broadcast();
        if *broadcast != Broadcast::On {
            unit.broadcast();
        }
        *broadcast = Broadcast::On;
        self.copies().expected.fetch_add(1, Relaxed);
        Expected(self.clone())
    }

    /// Spares the engine telling every change when nobody wants to know any longer. Workers call this now and then.
    pub fn settle_broadcast(&self) {
        let mut broadcast = self.copies().broadcast();
        let is_wanted = self.broker().has_prefixes() || self.copies().expected.load(Relaxed) > 0;
        if *broadcast != Broadcast::Off && !is_wanted {
            *broadcast = match self.engine().set_broadcast(false) {
                Ok(()) => Broadcast::Off,
                Err(_) => Broadcast::Partly,
            };
        }
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.0.copies().expected.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swell_engine::unit::Needs;

    fn taken(peer: &Peer) -> Vec<String> {
        let mut taken = Vec::new();
        assert!(peer.take(&mut taken));
        let text = |published: &Arc<Published>| {
            let sessions: Vec<_> = published.sessions().collect();
            format!("{:?} {} {sessions:?} {:?}", published.matter(), published.channel().escape_ascii(), published.by())
        };
        taken.iter().map(text).collect()
    }

    #[test]
    fn each_link_hears_of_its_own_readers() {
        let (copies, broker) = (Copies::default(), Broker::default());
        let here: Arc<Mutex<Vec<String>>> = Arc::default();
        let told = here.clone();
        copies.tell_here(Box::new(move |stale| told.lock().unwrap().push(format!("{stale:?}"))));
        let ((one, first), (two, second)) = (copies.join(false), copies.join(true));
        let readers = [one.tracker(7), 5, two.tracker(7), one.tracker(8)];
        copies.tell(Stale::Read { key: b"k", readers: &readers, by: one.tracker(7) }, &broker);
        assert_eq!(taken(&first), ["StaleRead k [7, 8] Session(7)"]);
        assert_eq!(taken(&second), ["StaleRead k [7] Nobody"]);
        assert_eq!(here.lock().unwrap().len(), 1);
        copies.tell(Stale::All, &broker);
        assert_eq!((taken(&first), taken(&second)), (vec!["AllStale  [] Nobody".to_owned()], Vec::new()));
        assert_eq!(here.lock().unwrap().len(), 2, "this process hears by its call");
        copies.leave(one);
        copies.tell(Stale::Read { key: b"k", readers: &[one.tracker(7)], by: 0 }, &broker);
        assert!(first.is_empty() && here.lock().unwrap().len() == 2);
    }

    #[test]
    fn prefixes_hear_of_every_key_that_begins_so() {
        let (node, peer) = (Node::new(1), Arc::new(Peer::new(PeerId(9))));
        let tell = |count| node.tell_broker(&peer, true, [(Topic::Prefix, &b"us"[..], count)].into_iter(), true);
        assert_eq!(tell(1), Told::Done);
        peer.set_here();
        for key in [&b"user"[..], b"other"] {
            node.copies().tell(Stale::Any { key, by: 3 }, node.broker());
        }
        assert_eq!(taken(&peer), ["StaleAny user [] Client(3)"]);
        peer.set_link(LinkNumber(4));
        node.copies().tell(Stale::Any { key: b"us", by: LinkNumber(4).tracker(2) }, node.broker());
        node.copies().tell(Stale::Any { key: b"us", by: LinkNumber(5).tracker(2) }, node.broker());
        assert_eq!(taken(&peer), ["StaleAny us [] Session(2)", "StaleAny us [] Nobody"]);
        node.settle_broadcast();
        assert_eq!(*node.copies().broadcast(), Broadcast::On);
        tell(0);
        node.settle_broadcast();
        assert_eq!(*node.copies().broadcast(), Broadcast::Off);
    }

    #[test]
    fn a_stripe_that_is_taken_leaves_no_other_silent() {
        let (node, peer) = (Node::new(1), Arc::new(Peer::new(PeerId(9))));
        let tell = |count| node.tell_broker(&peer, true, [(Topic::Prefix, &b""[..], count)].into_iter(), true);
        assert_eq!(tell(1), Told::Done);
        tell(0);
        let held = node.engine().stripe(7).hold_patiently();
        node.settle_broadcast();
        assert_eq!(*node.copies().broadcast(), Broadcast::Partly);
        assert_eq!(tell(1), Told::Later, "some are off");
        drop(held);
        assert_eq!(tell(1), Told::Done);
        assert_eq!(*node.copies().broadcast(), Broadcast::On);
    }

    #[test]
    fn a_transaction_that_may_name_prefixes_has_every_change_told() {
        let (node, mut needs) = (Node::new(1), Needs::default());
        let mut handle = node.handle(1);
        needs.lock_all();
        let unit = handle.begin_unit(&node, &needs, None, 1, None).unwrap();
        let expected = node.expect_prefixes(&unit);
        handle.end_unit(unit);
        node.settle_broadcast();
        assert_eq!(*node.copies().broadcast(), Broadcast::On, "it runs");
        drop(expected);
        node.settle_broadcast();
        assert_eq!(*node.copies().broadcast(), Broadcast::Off);
    }
}
