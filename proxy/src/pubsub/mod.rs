//! Channels, as a worker sees them: which of its clients have subscribed to what, and the way of a message to them. A
//! worker subscribes once for all its clients (it is one peer of each node's broker, see `swell_node::broker`), gets each
//! message once, and hands it on without a lock.

mod table;

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;

use swell_engine::channels::ChannelKind;
use swell_node::broker::{Peer, PeerId, Published, Topic};
use swell_wire::Out;

use crate::core::Core;
use crate::push::{Class, Encoded, Inbox};
use crate::session::Session;
use crate::shared::random_u64;
use crate::worker::Worker;
use table::Table;

/// Topics that one client may have subscribed to.
pub const SUBSCRIPTIONS_MAX: usize = 1 << 20;

/// What one client has subscribed to.
#[derive(Debug, Default)]
pub struct Subscriptions([BTreeSet<Arc<[u8]>>; 3]);

/// One worker's subscribers.
pub struct Desk {
    /// What the brokers know this worker as.
    peer: Arc<Peer>,
    table: Table,
    /// Messages on their way from `peer` to clients; empty between two calls.
    taken: Vec<Arc<Published>>,
}

impl Subscriptions {
    /// Names subscribed to.
    pub fn names(&self, topic: Topic) -> &BTreeSet<Arc<[u8]>> {
        &self.0[topic as usize]
    }

    /// What a confirmation tells: how many there are of the kind that this topic belongs to.
    pub fn count(&self, topic: Topic) -> usize {
        match topic {
            Topic::Channel | Topic::Pattern => self.names(Topic::Channel).len() + self.names(Topic::Pattern).len(),
            Topic::Shard => self.names(Topic::Shard).len(),
        }
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(BTreeSet::is_empty)
    }
}

impl Desk {
    /// Nobody has subscribed to anything.
    pub fn new() -> Desk {
        Desk { peer: Arc::new(Peer::new(PeerId(random_u64()))), table: Table::default(), taken: Vec::new() }
    }

    /// What the brokers know this worker as.
    pub fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// Hands a message to all clients that have subscribed to its channel or to a pattern that it matches.
    pub fn deliver(&self, published: &Published) {
        let (channel, message) = (published.channel(), published.message());
        let topic = match published.kind() {
            ChannelKind::Plain => Topic::Channel,
            ChannelKind::Shard => Topic::Shard,
        };
        if let Some(inboxes) = self.table.subscribers(topic, channel) {
            let word: &[u8] = if topic == Topic::Shard { b"smessage" } else { b"message" };
            let mut encoded = Encoded::new(|out: &mut Out| {
                out.push(3);
                [word, channel, message].into_iter().for_each(|part| out.bulk(part));
            });
            inboxes.values().for_each(|inbox| inbox.push(encoded.bytes(inbox.proto()).clone()));
        }
        if topic == Topic::Channel {
            self.table.each_pattern(channel, |pattern, inboxes| {
                let mut encoded = Encoded::new(|out: &mut Out| {
                    out.push(4);
                    [b"pmessage", pattern, channel, message].into_iter().for_each(|part| out.bulk(part));
                });
                inboxes.values().for_each(|inbox| inbox.push(encoded.bytes(inbox.proto()).clone()));
            });
        }
    }
}

impl Default for Desk {
    fn default() -> Desk {
        Desk::new()
    }
}

/// Hands out what has come for this worker's clients.
pub fn receive(core: &mut Core) {
    let mut taken = std::mem::take(&mut core.desk.taken);
    if !core.desk.peer.take(&mut taken) {
        tracing::error!("this worker was so far behind with messages of channels that some were dropped");
    }
    taken.drain(..).for_each(|published| core.desk.deliver(&published));
    core.desk.taken = taken;
}

/// Hands out what comes for as long as the worker lives.
pub async fn serve(worker: Rc<Worker>) {
    let peer = worker.core.borrow().desk.peer().clone();
    let broker = worker.shared.node.broker().clone();
    broker.join(peer.clone());
    poll_fn(|cx| {
        receive(&mut worker.core.borrow_mut());
        if peer.wait(cx.waker()) {
            // Clients write what they have got before there is more.
            cx.waker().wake_by_ref();
        }
        Poll::<()>::Pending
    })
    .await;
}

/// Subscribes a client; false: it had already.
pub fn subscribe(core: &mut Core, session: &mut Session, topic: Topic, name: &[u8]) -> bool {
    let inbox = session.open_inbox(core).clone();
    let subscriptions = session.subscriptions.get_or_insert_default();
    if subscriptions.names(topic).contains(name) {
        return false;
    }
    let name: Arc<[u8]> = name.into();
    subscriptions.0[topic as usize].insert(name.clone());
    let count = core.desk.table.add(topic, &name, &inbox);
    tell(core, topic, &name, count);
    show(session);
    true
}

/// Ends a subscription of a client; false: there was none.
pub fn unsubscribe(core: &mut Core, session: &mut Session, topic: Topic, name: &[u8]) -> bool {
    let Some(subscriptions) = &mut session.subscriptions else { return false };
    if !subscriptions.0[topic as usize].remove(name) {
        return false;
    }
    if subscriptions.is_empty() {
        session.subscriptions = None;
    }
    let count = core.desk.table.remove(topic, name, session.info.id);
    tell(core, topic, name, count);
    show(session);
    true
}

/// Ends all subscriptions of a client, without a word.
pub fn unsubscribe_all(core: &mut Core, session: &mut Session) {
    let Some(subscriptions) = session.subscriptions.take() else { return };
    for topic in Topic::ALL {
        for name in subscriptions.names(topic) {
            let count = core.desk.table.remove(topic, name, session.info.id);
            tell(core, topic, name, count);
        }
    }
    show(session);
}

/// So many clients of this worker have subscribed from now on.
fn tell(core: &mut Core, topic: Topic, name: &[u8], count: usize) {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    core.shared.node.broker().set(&core.desk.peer, topic, name, count);
}

/// Copies what CLIENT LIST shows, and sees to the limits that hold now.
fn show(session: &Session) {
    let names =
        |topic| session.subscriptions.as_ref().map_or(0, |subscriptions| subscriptions.names(topic).len() as u64);
    for topic in Topic::ALL {
        session.info.subscriptions[topic as usize].store(names(topic), Relaxed);
    }
    if let Some(inbox) = &session.inbox {
        Inbox::set_class(inbox, if session.subscriptions.is_some() { Class::PubSub } else { Class::Normal });
    }
}
