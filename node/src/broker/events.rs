//! Keyspace notifications: what the engine tells of keys goes to channels like any message, from the node where the key
//! lives. Every node knows every subscription, so it reaches whoever has subscribed.

use std::sync::Arc;

use swell_engine::channels::{ChannelKind, Channels};
use swell_engine::notify::{Class, KeyEvent};

use super::{Broker, Topic};
use crate::embedded::Node;

/// From now on the node's engine tells its broker.
pub(crate) fn attach(node: &Arc<Node>) {
    let weak = Arc::downgrade(node);
    node.engine().use_notifier(Box::new(move |event| {
        if let Some(node) = weak.upgrade() {
            node.broker().announce(&event, node.engine().settings().notified());
        }
    }));
}

impl Broker {
    /// Sends an event on its channels, as far as `on` has `K` and `E`. The key's stripe is locked.
    fn announce(&self, event: &KeyEvent<'_>, on: Class) {
        {
            let table = self.read();
            if table.names(Topic::Channel).is_empty() && table.names(Topic::Pattern).is_empty() {
                return;
            }
        }
        let KeyEvent { event, db, key, .. } = *event;
        let send = |prefix: &str, name: &[u8], message: &[u8]| {
            let channel = [format!("{prefix}@{db}__:").as_bytes(), name].concat();
            self.publish(ChannelKind::Plain, &channel, message);
        };
        if on.meets(Class::KEYSPACE) {
            send("__keyspace", key, event.as_bytes());
        }
        if on.meets(Class::KEYEVENT) {
            send("__keyevent", event.as_bytes(), key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{Peer, PeerId};

    #[test]
    fn events_go_to_the_channels_that_are_asked_for() {
        let (broker, peer) = (Broker::default(), Arc::new(Peer::new(PeerId(1))));
        let event = KeyEvent { class: Class::STRING, event: "set", db: 3, key: b"k:\xff" };
        let both = Class::KEYSPACE.and(Class::KEYEVENT);
        broker.announce(&event, both);
        broker.tell(&peer, true, [(Topic::Pattern, &b"__key*__:*"[..], 1)].into_iter(), true);
        let told = |on| {
            broker.announce(&event, on);
            let mut taken = Vec::new();
            peer.take(&mut taken);
            taken.iter().map(|message| (message.channel().to_vec(), message.message().to_vec())).collect::<Vec<_>>()
        };
        let keyspace = (b"__keyspace@3__:k:\xff".to_vec(), b"set".to_vec());
        let keyevent = (b"__keyevent@3__:set".to_vec(), b"k:\xff".to_vec());
        assert_eq!(told(both), [keyspace.clone(), keyevent.clone()]);
        assert_eq!(told(Class::KEYSPACE), [keyspace]);
        assert_eq!(told(Class::KEYEVENT), [keyevent]);
    }
}
