//! Who has subscribed to what, as one node knows it: all subscriptions of all peers. A peer is one worker of a proxy, of
//! this process or at the other end of a link; it says how many of its clients have subscribed to each channel and
//! pattern, and gets each message once.
//!
//! Every node knows every subscription, so that a message may be published at any node, inside a transaction or a script
//! too, and reaches each subscriber once. What this asks for when slots move stands in ARCHITECTURE.md.

pub(crate) mod events;
pub mod peer;
mod table;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use swell_engine::channels::{ChannelKind, Channels};
use swell_engine::glob;

pub use peer::{Matter, Peer, PeerId, Published};
use table::Table;

use crate::copies::By;

/// What one may subscribe to, or want to know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    Channel,
    Pattern,
    Shard,
    /// All keys that begin so, when they change (CLIENT TRACKING with BCAST).
    Prefix,
}

/// The subscriptions of a node's peers.
#[derive(Debug, Default)]
pub struct Broker {
    table: RwLock<Table>,
    peers: Mutex<Peers>,
    /// Some peer had much waiting when it was looked at last.
    crowded: AtomicBool,
}

/// Who is there.
#[derive(Debug, Default)]
struct Peers {
    known: HashMap<PeerId, Arc<Peer>>,
    /// Slots are just leaving: their target has been told who has subscribed here.
    is_moving: bool,
}

/// Whether subscriptions were taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Done,
    /// Not yet: to be told again a little later, or with a newer map.
    Later,
}

impl Topic {
    /// All kinds of channels.
    pub const ALL: [Topic; 3] = [Topic::Channel, Topic::Pattern, Topic::Shard];
    /// Everything that nodes are told.
    pub const EVERY: [Topic; 4] = [Topic::Channel, Topic::Pattern, Topic::Shard, Topic::Prefix];

    fn of(kind: ChannelKind) -> Topic {
        match kind {
            ChannelKind::Plain => Topic::Channel,
            ChannelKind::Shard => Topic::Shard,
        }
    }
}

impl Broker {
    /// A peer has gone, and all its subscriptions with it.
    pub fn leave(&self, peer: &Peer) {
        self.peers().known.remove(&peer.id());
        self.write().forget(peer.id());
    }

    /// A peer tells for names how many of its clients have subscribed from now on; 0: none any more. `is_current`: it
    /// knows a map as new as this node's, and so tells all nodes of that map. `is_last`: with this all is told.
    ///
    /// Who has subscribed to nothing so far is put off while slots leave: their target knows who has, and takes nobody's
    /// place over whom it does not know.
    pub fn tell<'a>(
        &self,
        peer: &Arc<Peer>,
        is_current: bool,
        counts: impl Iterator<Item = (Topic, &'a [u8], u32)>,
        is_last: bool,
    ) -> Told {
        let mut peers = self.peers();
        if !peer.has_names() && (peers.is_moving || !is_current) {
            return Told::Later;
        }
        peers.known.insert(peer.id(), peer.clone());
        let mut table = self.write();
        counts.for_each(|(topic, name, count)| table.set(peer, topic, name, count));
        if is_last {
            peer.set_complete();
        }
        Told::Done
    }

    /// Slots are about to leave, or have left (or stayed) for good.
    pub fn set_moving(&self, is_moving: bool) {
        self.peers().is_moving = is_moving;
    }

    /// Who has subscribed to anything.
    pub fn subscribed(&self) -> Vec<PeerId> {
        self.peers().known.values().filter(|peer| peer.has_names()).map(|peer| peer.id()).collect()
    }

    /// Whether all of them have told this node everything.
    pub fn knows(&self, all: &[PeerId]) -> bool {
        let peers = self.peers();
        all.iter().all(|id| peers.known.get(id).is_some_and(|peer| peer.is_complete()))
    }

    /// Numbers of channels, patterns and shard channels that somebody has subscribed to.
    pub fn sizes(&self) -> [usize; 3] {
        let table = self.read();
        Topic::ALL.map(|topic| table.names(topic).len())
    }

    /// A key has changed: whoever has named a prefix of it is told, once. The key's stripe is locked.
    pub(crate) fn tell_any(&self, key: &[u8], by: u64) {
        let table = self.read();
        let mut to: Vec<Arc<Peer>> = Vec::new();
        table.each_prefix(key, |peer| {
            if !to.iter().any(|known| known.id() == peer.id()) {
                to.push(peer.clone());
            }
        });
        let mut by_nobody = None;
        for peer in to {
            match By::told_to(by, &peer) {
                By::Nobody => {
                    peer.send(by_nobody.get_or_insert_with(|| Arc::new(Published::stale_any(key, By::Nobody))));
                }
                by => peer.send(&Arc::new(Published::stale_any(key, by))),
            }
        }
    }

    /// Whether somebody wants to know of all keys that begin in some way.
    pub(crate) fn has_prefixes(&self) -> bool {
        !self.read().names(Topic::Prefix).is_empty()
    }

    /// Whether a peer is so far behind that whoever publishes should wait for it.
    #[inline]
    pub fn is_crowded(&self) -> bool {
        self.crowded.load(Relaxed) && self.look_at_crowd()
    }

    #[cold]
    fn look_at_crowd(&self) -> bool {
        let is_crowded = self.peers().known.values().any(|peer| peer.is_crowded());
        self.crowded.store(is_crowded, Relaxed);
        is_crowded
    }

    fn peers(&self) -> MutexGuard<'_, Peers> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Channels for Broker {
    fn publish(&self, kind: ChannelKind, channel: &[u8], message: &[u8]) -> u64 {
        let table = self.read();
        let mut reached = 0;
        let mut to: Vec<Arc<Peer>> = Vec::new();
        table.each_match(kind, channel, |peer, count| {
            reached += u64::from(count);
            if !to.iter().any(|known| known.id() == peer.id()) {
                to.push(peer.clone());
            }
        });
        if !to.is_empty() {
            let published = Arc::new(Published::new(kind, channel, message));
            // Under the table's lock, so that each peer gets the messages of one publisher in order, and none that was
            // published before it has subscribed.
            to.iter().for_each(|peer| peer.send(&published));
            if to.iter().any(|peer| peer.is_crowded()) {
                self.crowded.store(true, Relaxed);
            }
        }
        reached
    }

    fn list(&self, kind: ChannelKind, pattern: Option<&[u8]>) -> Vec<Arc<[u8]>> {
        let table = self.read();
        let names = table.names(Topic::of(kind)).keys();
        let mut found: Vec<_> =
            names.filter(|name| pattern.is_none_or(|pattern| glob::matches(pattern, name))).cloned().collect();
        found.sort_unstable();
        found
    }

    fn subscribers(&self, kind: ChannelKind, channel: &[u8]) -> u64 {
        self.read().count(Topic::of(kind), channel)
    }

    fn patterns(&self) -> u64 {
        self.read().names(Topic::Pattern).len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(id: u64) -> Arc<Peer> {
        Arc::new(Peer::new(PeerId(id)))
    }

    fn set(broker: &Broker, peer: &Arc<Peer>, topic: Topic, name: &[u8], count: u32) {
        assert_eq!(broker.tell(peer, true, [(topic, name, count)].into_iter(), true), Told::Done);
    }

    fn taken(peer: &Peer) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut messages = Vec::new();
        peer.take(&mut messages);
        messages.iter().map(|message| (message.channel().to_vec(), message.message().to_vec())).collect()
    }

    #[test]
    fn each_peer_gets_a_message_once_and_all_subscriptions_count() {
        let (broker, one, two) = (Broker::default(), peer(1), peer(2));
        set(&broker, &one, Topic::Channel, b"news", 3);
        set(&broker, &one, Topic::Pattern, b"n*", 2);
        set(&broker, &two, Topic::Pattern, b"*s", 1);
        set(&broker, &two, Topic::Shard, b"news", 5);
        assert_eq!(broker.publish(ChannelKind::Plain, b"news", b"m"), 6);
        assert_eq!(broker.publish(ChannelKind::Shard, b"news", b"s"), 5);
        assert_eq!(broker.publish(ChannelKind::Plain, b"other", b"m"), 0);
        assert_eq!(taken(&one), [(b"news".to_vec(), b"m".to_vec())]);
        assert_eq!(taken(&two), [(b"news".to_vec(), b"m".to_vec()), (b"news".to_vec(), b"s".to_vec())]);
        assert_eq!(broker.subscribers(ChannelKind::Plain, b"news"), 3);
        assert_eq!((broker.patterns(), broker.sizes()), (2, [1, 2, 1]));
        set(&broker, &one, Topic::Channel, b"news", 0);
        broker.leave(&two);
        assert_eq!(broker.publish(ChannelKind::Plain, b"news", b"m"), 2);
        assert_eq!(broker.sizes(), [0, 1, 0]);
        assert!(broker.list(ChannelKind::Plain, None).is_empty());
    }

    #[test]
    fn who_comes_while_slots_leave_is_put_off() {
        let (broker, one, two) = (Broker::default(), peer(1), peer(2));
        let tell = |peer: &Arc<Peer>, is_current, is_last| {
            broker.tell(peer, is_current, [(Topic::Channel, &b"c"[..], 1)].into_iter(), is_last)
        };
        assert_eq!(tell(&one, false, true), Told::Later, "its map is old");
        assert_eq!(tell(&one, true, false), Told::Done);
        assert_eq!((broker.subscribed(), broker.knows(&[one.id()])), (vec![one.id()], false));
        assert_eq!(tell(&one, true, true), Told::Done);
        assert!(broker.knows(&[one.id()]) && !broker.knows(&[one.id(), two.id()]));
        broker.set_moving(true);
        assert_eq!((tell(&one, false, true), tell(&two, true, true)), (Told::Done, Told::Later));
        broker.set_moving(false);
        assert_eq!(tell(&two, true, true), Told::Done);
        broker.leave(&one);
        assert_eq!(broker.subscribed(), [two.id()]);
    }

    #[test]
    fn channels_are_listed_once_and_by_pattern() {
        let (broker, one) = (Broker::default(), peer(1));
        for name in ["b", "a1", "a2"] {
            set(&broker, &one, Topic::Channel, name.as_bytes(), 1);
            set(&broker, &peer(2), Topic::Channel, name.as_bytes(), 1);
        }
        let list = |pattern: Option<&[u8]>| {
            broker.list(ChannelKind::Plain, pattern).iter().map(|name| name.to_vec()).collect::<Vec<_>>()
        };
        assert_eq!(list(None), [b"a1".to_vec(), b"a2".to_vec(), b"b".to_vec()]);
        assert_eq!(list(Some(b"a*")), [b"a1".to_vec(), b"a2".to_vec()]);
    }
}
