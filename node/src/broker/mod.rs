//! Who has subscribed to what, as one node knows it: all subscriptions of all peers. A peer is one worker of a proxy, of
//! this process or at the other end of a link; it says how many of its clients have subscribed to each channel and
//! pattern, and gets each message once.
//!
//! Every node knows every subscription, so that a message may be published at any node, inside a transaction or a script
//! too, and reaches each subscriber once. What this asks for when slots move stands in ARCHITECTURE.md.

pub mod peer;
mod table;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use swell_engine::channels::{ChannelKind, Channels};
use swell_engine::glob;

pub use peer::{Peer, PeerId, Published};
use table::Table;

/// What one may subscribe to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    Channel,
    Pattern,
    Shard,
}

/// The subscriptions of a node's peers.
#[derive(Debug, Default)]
pub struct Broker {
    table: RwLock<Table>,
    peers: Mutex<HashMap<PeerId, Arc<Peer>>>,
}

impl Topic {
    /// All of them.
    pub const ALL: [Topic; 3] = [Topic::Channel, Topic::Pattern, Topic::Shard];

    fn of(kind: ChannelKind) -> Topic {
        match kind {
            ChannelKind::Plain => Topic::Channel,
            ChannelKind::Shard => Topic::Shard,
        }
    }
}

impl Broker {
    /// A peer begins; it has subscribed to nothing.
    pub fn join(&self, peer: Arc<Peer>) {
        self.peers().insert(peer.id(), peer);
    }

    /// A peer has gone, and all its subscriptions with it.
    pub fn leave(&self, peer: &Peer) {
        self.peers().remove(&peer.id());
        self.write().forget(peer.id());
    }

    /// So many clients of this peer have subscribed from now on; 0: none any more.
    pub fn set(&self, peer: &Arc<Peer>, topic: Topic, name: &[u8], count: u32) {
        self.write().set(peer, topic, name, count);
    }

    /// Numbers of channels, patterns and shard channels that somebody has subscribed to.
    pub fn sizes(&self) -> [usize; 3] {
        let table = self.read();
        Topic::ALL.map(|topic| table.names(topic).len())
    }

    /// Who is there.
    pub fn peer_ids(&self) -> Vec<PeerId> {
        self.peers().keys().copied().collect()
    }

    /// Whether a worker of this process is so far behind that whoever publishes should wait for it.
    pub fn is_crowded(&self) -> bool {
        self.peers().values().any(|peer| peer.is_crowded())
    }

    fn peers(&self) -> MutexGuard<'_, HashMap<PeerId, Arc<Peer>>> {
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

    fn taken(peer: &Peer) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut messages = Vec::new();
        peer.take(&mut messages);
        messages.iter().map(|message| (message.channel().to_vec(), message.message().to_vec())).collect()
    }

    #[test]
    fn each_peer_gets_a_message_once_and_all_subscriptions_count() {
        let (broker, one, two) = (Broker::default(), peer(1), peer(2));
        broker.join(one.clone());
        broker.join(two.clone());
        broker.set(&one, Topic::Channel, b"news", 3);
        broker.set(&one, Topic::Pattern, b"n*", 2);
        broker.set(&two, Topic::Pattern, b"*s", 1);
        broker.set(&two, Topic::Shard, b"news", 5);
        assert_eq!(broker.publish(ChannelKind::Plain, b"news", b"m"), 6);
        assert_eq!(broker.publish(ChannelKind::Shard, b"news", b"s"), 5);
        assert_eq!(broker.publish(ChannelKind::Plain, b"other", b"m"), 0);
        assert_eq!(taken(&one), [(b"news".to_vec(), b"m".to_vec())]);
        assert_eq!(taken(&two), [(b"news".to_vec(), b"m".to_vec()), (b"news".to_vec(), b"s".to_vec())]);
        assert_eq!(broker.subscribers(ChannelKind::Plain, b"news"), 3);
        assert_eq!((broker.patterns(), broker.sizes()), (2, [1, 2, 1]));
        broker.set(&one, Topic::Channel, b"news", 0);
        broker.leave(&two);
        assert_eq!(broker.publish(ChannelKind::Plain, b"news", b"m"), 2);
        assert_eq!(broker.sizes(), [0, 1, 0]);
        assert!(broker.list(ChannelKind::Plain, None).is_empty());
    }

    #[test]
    fn channels_are_listed_once_and_by_pattern() {
        let (broker, one) = (Broker::default(), peer(1));
        for name in ["b", "a1", "a2"] {
            broker.set(&one, Topic::Channel, name.as_bytes(), 1);
            broker.set(&peer(2), Topic::Channel, name.as_bytes(), 1);
        }
        let list = |pattern: Option<&[u8]>| {
            broker.list(ChannelKind::Plain, pattern).iter().map(|name| name.to_vec()).collect::<Vec<_>>()
        };
        assert_eq!(list(None), [b"a1".to_vec(), b"a2".to_vec(), b"b".to_vec()]);
        assert_eq!(list(Some(b"a*")), [b"a1".to_vec(), b"a2".to_vec()]);
    }
}
