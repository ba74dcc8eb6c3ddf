//! Names that somebody has subscribed to, and for each the peers with their counts.

use std::collections::HashMap;
use std::sync::Arc;

use swell_engine::channels::ChannelKind;
use swell_engine::glob;

use super::{Peer, PeerId, Topic};

/// Peers with how many of their clients have subscribed: a few, so a list.
type Counts = Vec<(Arc<Peer>, u32)>;

/// Subscriptions by name.
#[derive(Debug, Default)]
pub(super) struct Table {
    topics: [HashMap<Arc<[u8]>, Counts>; Topic::EVERY.len()],
}

impl Table {
    /// The names of a topic.
    pub fn names(&self, topic: Topic) -> &HashMap<Arc<[u8]>, Counts> {
        &self.topics[topic as usize]
    }

    /// Sets a peer's count for a name; 0 takes it out.
    pub fn set(&mut self, peer: &Arc<Peer>, topic: Topic, name: &[u8], count: u32) {
        let names = &mut self.topics[topic as usize];
        let Some(counts) = names.get_mut(name) else {
            if count > 0 {
                names.insert(name.into(), vec![(peer.clone(), count)]);
                peer.count_name(true);
            }
            return;
        };
        match counts.iter().position(|(known, _)| known.id() == peer.id()) {
            Some(at) if count == 0 => {
                counts.swap_remove(at);
                peer.count_name(false);
            }
            Some(at) => counts[at] = (peer.clone(), count),
            None if count == 0 => {}
            None => {
                counts.push((peer.clone(), count));
                peer.count_name(true);
            }
        }
        if counts.is_empty() {
            names.remove(name);
        }
    }

    /// Takes a peer out everywhere.
    pub fn forget(&mut self, peer: PeerId) {
        for names in &mut self.topics {
            names.retain(|_, counts| {
                counts.retain(|(known, _)| known.id() != peer);
                !counts.is_empty()
            });
        }
    }

    /// How many have subscribed to this name.
    pub fn count(&self, topic: Topic, name: &[u8]) -> u64 {
        self.names(topic).get(name).map_or(0, |counts| counts.iter().map(|(_, count)| u64::from(*count)).sum())
    }

    /// Calls `each` with everybody who wants to know of this key; the same peer may come several times.
    pub fn each_prefix(&self, key: &[u8], mut each: impl FnMut(&Arc<Peer>)) {
        let prefixes = self.names(Topic::Prefix).iter().filter(|(prefix, _)| key.starts_with(prefix));
        prefixes.for_each(|(_, counts)| counts.iter().for_each(|(peer, _)| each(peer)));
    }

    /// Calls `each` with everybody whom a message on this channel reaches; the same peer may come several times.
    pub fn each_match(&self, kind: ChannelKind, channel: &[u8], mut each: impl FnMut(&Arc<Peer>, u32)) {
        let mut all = |counts: &Counts| counts.iter().for_each(|(peer, count)| each(peer, *count));
        if let Some(counts) = self.names(Topic::of(kind)).get(channel) {
            all(counts);
        }
        if kind == ChannelKind::Plain {
            let patterns = self.names(Topic::Pattern).iter();
            patterns.filter(|(pattern, _)| glob::matches(pattern, channel)).for_each(|(_, counts)| all(counts));
        }
    }
}
