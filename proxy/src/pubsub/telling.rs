//! Tells every node what this worker's clients have subscribed to: the node of this process by a call, others over their
//! links. A client's confirmation waits until all have it, so that a message published after it, at whichever node,
//! reaches the client.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use swell_node::broker::{Peer, Told, Topic};
use swell_node::embedded::Node;
use swell_node::link::frame;
use swell_node::link::news::{self, SUBSCRIBE_BYTES, SubscribeHead};
use swell_ring::Epoch;

use super::table::Table;
use crate::upstream::link::Link;

type Name = (Topic, Arc<[u8]>);

/// Everything that is not told yet, and who waits for it.
#[derive(Default)]
pub struct Telling {
    /// Rises with every change.
    version: u64,
    /// The slot map whose nodes are told.
    epoch: Epoch,
    here: Way,
    links: Vec<(Rc<Link>, Way)>,
    next_frame: u32,
    waiting: HashMap<u64, Waker>,
    /// Of the task that goes on when a link or the map changes.
    task: Option<Waker>,
}

/// What one node has still to be told.
#[derive(Default)]
struct Way {
    /// Of the link that has been told so far.
    incarnation: u64,
    untold: BTreeSet<Name>,
    /// The frame that is not answered yet, and what it says.
    under_way: Option<(u32, Vec<Name>)>,
    /// The node did not take it: a group of slots is just moving, or the map here is old.
    is_late: bool,
    /// It knows all changes up to this one.
    told: u64,
}

impl Way {
    fn of_new(table: &Table, incarnation: u64) -> Way {
        Way { incarnation, untold: table.all().collect(), ..Way::default() }
    }

    fn note(&mut self, version: u64) {
        if self.untold.is_empty() && self.under_way.is_none() {
            self.told = version;
        }
    }
}

impl Telling {
    /// A number of subscribers has changed.
    pub fn change(&mut self, topic: Topic, name: &Arc<[u8]>) {
        self.version += 1;
        let ways = self.links.iter_mut().map(|(_, way)| way).chain([&mut self.here]);
        ways.for_each(|way| {
            way.untold.insert((topic, name.clone()));
        });
    }

    /// The number of the last change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether all nodes know all changes up to this one.
    pub fn is_told(&self, version: u64) -> bool {
        self.here.told >= version && self.links.iter().all(|(_, way)| way.told >= version)
    }

    /// Wakes this client when something has been told.
    pub fn wait(&mut self, client: u64, waker: &Waker) {
        self.waiting.insert(client, waker.clone());
    }

    /// The client waits no more.
    pub fn stop_waiting(&mut self, client: u64) {
        self.waiting.remove(&client);
    }

    /// These are the nodes from now on.
    pub(super) fn set_links(&mut self, epoch: Epoch, links: &[Rc<Link>], table: &Table) {
        let mut old = std::mem::take(&mut self.links);
        self.epoch = epoch;
        for link in links {
            let known = old.iter().position(|(known, _)| Rc::ptr_eq(known, link));
            let way = known.map(|at| old.swap_remove(at).1);
            let way = way.unwrap_or_else(|| Way::of_new(table, link.incarnation()));
            self.links.push((link.clone(), way));
        }
        self.wake_all();
    }

    /// The map that the links are for.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whom to wake when there is something to tell over links.
    pub fn set_task(&mut self, waker: &Waker) {
        if !self.task.as_ref().is_some_and(|task| task.will_wake(waker)) {
            self.task = Some(waker.clone());
        }
    }

    /// Tells what can be told now. `is_current`: this process's node has seen no newer map.
    pub(super) fn tell(&mut self, table: &Table, peer: &Arc<Peer>, node: &Node, is_current: bool) {
        if !self.here.untold.is_empty() {
            let counts = self.here.untold.iter().map(|(topic, name)| (*topic, &**name, table.count(*topic, name)));
            match node.tell_broker(peer, is_current, counts, true) {
                Told::Done => self.here.untold.clear(),
                Told::Later => self.here.is_late = true,
            }
        }
        self.here.note(self.version);
        for at in 0..self.links.len() {
            self.tell_link(at, table, peer);
            self.links[at].1.note(self.version);
        }
        self.wake_all();
    }

    fn tell_link(&mut self, at: usize, table: &Table, peer: &Arc<Peer>) {
        let (link, way) = &mut self.links[at];
        if way.incarnation != link.incarnation() {
            *way = Way { told: 0, ..Way::of_new(table, link.incarnation()) };
        }
        if !link.is_up() || way.under_way.is_some() || way.untold.is_empty() || way.is_late {
            return;
        }
        let (mut bytes, mut names) = (Vec::new(), Vec::new());
        let mut head = SubscribeHead { peer: peer.id(), number: self.next_frame, epoch: self.epoch.0, is_last: false };
        let mut entries = Vec::new();
        while entries.len() < SUBSCRIBE_BYTES {
            let Some(name) = way.untold.pop_first() else { break };
            news::entry(name.0, &name.1, table.count(name.0, &name.1), &mut entries);
            names.push(name);
        }
        head.is_last = way.untold.is_empty();
        let at = head.begin(&mut bytes);
        bytes.extend_from_slice(&entries);
        frame::end(at, &mut bytes);
        link.send_frame(&bytes);
        way.under_way = Some((head.number, names));
        self.next_frame = self.next_frame.wrapping_add(1);
    }

    /// A node has answered.
    pub fn on_answer(&mut self, link: &Rc<Link>, number: u32, told: Told) {
        let Some((_, way)) = self.links.iter_mut().find(|(known, _)| Rc::ptr_eq(known, link)) else { return };
        match way.under_way.take() {
            Some((expected, names)) if expected == number => {
                if told == Told::Later {
                    way.untold.extend(names);
                    way.is_late = true;
                }
            }
            other => way.under_way = other,
        }
        if let Some(task) = &self.task {
            task.wake_by_ref();
        }
    }

    /// Whether a node has to be told again, a little later.
    pub fn is_late(&self) -> bool {
        self.here.is_late || self.links.iter().any(|(_, way)| way.is_late)
    }

    /// The little later has come.
    pub fn try_again(&mut self) {
        self.here.is_late = false;
        self.links.iter_mut().for_each(|(_, way)| way.is_late = false);
    }

    fn wake_all(&mut self) {
        self.waiting.drain().for_each(|(_, waker)| waker.wake());
    }
}
