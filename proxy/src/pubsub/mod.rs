//! Channels, as a worker sees them: which of its clients have subscribed to what, and the way of a message to them. A
//! worker subscribes once for all its clients (it is one peer of each node's broker, see `swell_node::broker`), gets each
//! message once, and hands it on without a lock.

mod strangers;
mod table;
mod telling;

use std::collections::{BTreeSet, HashMap};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use swell_engine::channels::ChannelKind;
use swell_node::broker::{Matter, Peer, PeerId, Published, Topic};
use swell_node::link::frame::BadFrame;
use swell_node::link::news::{self, Arriving};
use swell_ring::NodeId;
use swell_wire::Out;
use tokio::time::{Sleep, sleep};

use crate::core::Core;
use crate::push::{Class, Encoded, Inbox};
use crate::session::Session;
use crate::shared::random_u64;
use crate::tracking::{Flushes, Tracked};
use crate::upstream::link::{Link, Upstream};
use crate::upstream::{Lines, THE_DESK};
use crate::worker::Worker;
pub use strangers::end_strangers;
use table::Table;
use telling::Telling;

/// Topics that one client may have subscribed to.
pub const SUBSCRIPTIONS_MAX: usize = 1 << 20;
/// Longest name of a channel or pattern that one may subscribe to: it goes to every node.
pub const NAME_BYTES_MAX: usize = 64 * 1024;
/// Until a node that could not take a subscription is asked again.
const LATER: Duration = Duration::from_millis(2);

/// What one client has subscribed to.
#[derive(Debug, Default)]
pub struct Subscriptions([BTreeSet<Arc<[u8]>>; 3]);

/// One worker's subscribers.
pub struct Desk {
    /// What the brokers know this worker as.
    peer: Arc<Peer>,
    table: Table,
    /// What nodes have still to be told.
    telling: Telling,
    /// Messages on their way from `peer` to clients; empty between two calls.
    taken: Vec<Arc<Published>>,
    /// Messages that are arriving over links, by node.
    arriving: HashMap<NodeId, Arriving>,
    /// Clients with prefixes for whom there is something to be told.
    pub(crate) stale: Vec<Arc<Tracked>>,
    /// Which nodes have said that they were flushed.
    pub(crate) flushes: Flushes,
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
            Topic::Prefix => 0,
        }
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(BTreeSet::is_empty)
    }
}

impl Desk {
    /// Nobody has subscribed to anything.
    pub fn new() -> Desk {
        let peer = Peer::new(PeerId(random_u64()));
        peer.set_here();
        Desk {
            peer: Arc::new(peer),
            table: Table::default(),
            telling: Telling::default(),
            taken: Vec::new(),
            arriving: HashMap::new(),
            stale: Vec::new(),
            flushes: Flushes::default(),
        }
    }

    /// What nodes have still to be told, and who waits for it.
    pub fn telling(&mut self) -> &mut Telling {
        &mut self.telling
    }

    /// A frame with a message, or a part of one, has come over a link; returns the message if it is whole.
    ///
    /// # Errors
    /// What no node sends.
    pub fn on_push(&mut self, link: &Link, rest: &[u8]) -> Result<Option<Published>, BadFrame> {
        self.arriving.entry(link.node()).or_default().take(rest)
    }

    /// A node has answered what it was told.
    ///
    /// # Errors
    /// What no node sends.
    pub fn on_subscribed(&mut self, link: &Rc<Link>, rest: &[u8]) -> Result<(), BadFrame> {
        let (number, told) = news::read_subscribed(rest)?;
        self.telling.on_answer(link, number, told);
        Ok(())
    }

    /// A link was lost: what was arriving over it never will.
    pub fn on_lost(&mut self, link: &Link) {
        self.arriving.remove(&link.node());
    }

    /// What the brokers know this worker as.
    pub fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// Hands a message to all clients that have subscribed to its channel or to a pattern that it matches.
    pub fn deliver(&self, published: &Published) {
        let (channel, message) = (published.channel(), published.message());
        let topic = match published.matter() {
            Matter::Channel(ChannelKind::Plain) => Topic::Channel,
            Matter::Channel(ChannelKind::Shard) => Topic::Shard,
            Matter::StaleRead | Matter::StaleAny | Matter::AllStale => return,
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
    for published in taken.drain(..) {
        match published.matter() {
            Matter::Channel(_) => core.desk.deliver(&published),
            _ => core.note_any(&published),
        }
    }
    core.desk.taken = taken;
}

/// Hands out what comes, and tells nodes what there is to tell, for as long as the worker lives.
pub async fn serve(worker: Rc<Worker>) {
    let peer = worker.core.borrow().desk.peer.clone();
    let mut later: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|cx| {
        worker.upstreams.wait_for_change(THE_DESK, cx.waker());
        let lines = worker.lines();
        let mut core = worker.core.borrow_mut();
        let core = &mut *core;
        receive(core);
        worker.tell_pending(core);
        core.desk.telling.set_task(cx.waker());
        if let Some(timer) = &mut later
            && timer.as_mut().poll(cx).is_ready()
        {
            later = None;
            core.desk.telling.try_again();
        }
        follow(core, &lines);
        tell(core);
        if core.desk.telling.is_late() {
            let timer = later.get_or_insert_with(|| Box::pin(sleep(LATER)));
            if timer.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
        if peer.wait(cx.waker()) {
            // Clients write what they have got before there is more.
            cx.waker().wake_by_ref();
        }
        Poll::<()>::Pending
    })
    .await;
}

/// The nodes of this map are to be told.
fn follow(core: &mut Core, lines: &Lines) {
    let Desk { telling, table, .. } = &mut core.desk;
    if telling.epoch() != lines.map().epoch() {
        let links: Vec<_> = lines.links().iter().filter(|link| link.upstream() == Upstream::Link).cloned().collect();
        telling.set_links(lines.map().epoch(), &links, table);
    }
}

/// Tells what can be told now.
pub fn tell(core: &mut Core) {
    let is_current = core.desk.telling.epoch().0 >= core.shared.view.epoch();
    let Desk { telling, table, peer, .. } = &mut core.desk;
    telling.tell(table, peer, &core.shared.node, is_current);
}

/// Whether all nodes know all that clients of this worker have subscribed to; if not, up to which change a client has to
/// wait that has just subscribed.
pub fn untold(core: &mut Core) -> Option<u64> {
    tell(core);
    let version = core.desk.telling.version();
    (!core.desk.telling.is_told(version)).then_some(version)
}

/// Subscribes a client; false: it had already.
pub fn subscribe(core: &mut Core, session: &mut Session, topic: Topic, name: &[u8]) -> bool {
    let inbox = session.open_inbox(core).clone();
    let subscriptions = session.subscriptions.get_or_insert_default();
    if subscriptions.names(topic).contains(name) {
        return false;
    }
    // What was published before, by the same transaction perhaps, is for those who had subscribed then.
    receive(core);
    let subscriptions = session.subscriptions.get_or_insert_default();
    let name: Arc<[u8]> = name.into();
    subscriptions.0[topic as usize].insert(name.clone());
    core.desk.table.add(topic, &name, &inbox);
    core.desk.telling.change(topic, &name);
    show(session);
    true
}

/// Ends a subscription of a client; false: there was none.
pub fn unsubscribe(core: &mut Core, session: &mut Session, topic: Topic, name: &[u8]) -> bool {
    let Some(subscriptions) = &mut session.subscriptions else { return false };
    let Some(name) = subscriptions.0[topic as usize].take(name) else { return false };
    receive(core);
    if subscriptions.is_empty() {
        session.subscriptions = None;
    }
    core.desk.table.remove(topic, &name, session.info.id);
    core.desk.telling.change(topic, &name);
    show(session);
    true
}

/// Ends all subscriptions of a client, without a word.
pub fn unsubscribe_all(core: &mut Core, session: &mut Session) {
    let Some(subscriptions) = session.subscriptions.take() else { return };
    receive(core);
    for topic in Topic::ALL {
        for name in subscriptions.names(topic) {
            core.desk.table.remove(topic, name, session.info.id);
            core.desk.telling.change(topic, name);
        }
    }
    tell(core);
    show(session);
}

/// A client wants to know of all keys that begin so.
pub fn follow_prefix(core: &mut Core, inbox: &Rc<Inbox>, prefix: &[u8]) {
    let name: Arc<[u8]> = prefix.into();
    core.desk.table.add(Topic::Prefix, &name, inbox);
    core.desk.telling.change(Topic::Prefix, &name);
}

/// It does no longer.
pub fn leave_prefix(core: &mut Core, client: u64, prefix: &[u8]) {
    core.desk.table.remove(Topic::Prefix, prefix, client);
    core.desk.telling.change(Topic::Prefix, &prefix.into());
    tell(core);
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
