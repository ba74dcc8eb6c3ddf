//! The one writer of the slot map and of the cache state: a task that owns all that changes, and reads one input after
//! the other. What it decides is durable before anybody acts on it.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use swell_node::control::{Event, FromMember, ToMember};
use swell_node::handover::driver::Input as Step;
use swell_node::link::socket::Listener;
use swell_ring::{CacheState, Epoch, Member, NodeId, SlotMap, SlotSet, all_slots};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, sleep_until};

use crate::ask::Change;
use crate::charges::Charges;
use crate::drive::Drive;
use crate::error::{ScalerError, StoreError};
use crate::events::Events;
use crate::lost::Looks;
use crate::members::{self, Link, LinkId, encoded};
use crate::nodes::{Node, Origin, Party, Seen, Who};
use crate::provider::process::{Did, Process};
use crate::provider::records::{Leftovers, Records};
use crate::proxies::Questions;
use crate::ready::Ready;
use crate::scale::Scale;
use crate::scaler::ScalerConfig;
use crate::store::{Kept, Record, Store};

/// What reaches the writer.
#[derive(Debug)]
pub(crate) enum Input {
    /// Somebody who knows the secret.
    Linked(Rc<Link>),
    Said(LinkId, Box<FromMember>),
    Lost(LinkId, String),
    /// A child was reaped.
    ChildEnded {
        pid: u32,
        how: String,
    },
}

/// Everything.
pub(crate) struct Writer {
    pub(crate) hash_seed: u64,
    pub(crate) virtual_node: String,
    pub(crate) embedded: Option<Member>,
    pub(crate) store: Box<dyn Store>,
    /// As the store has it: the slot map, the cache state.
    pub(crate) kept: Kept,
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    pub(crate) parties: BTreeMap<LinkId, Party>,
    pub(crate) provider: Option<Process>,
    pub(crate) changes: Vec<Change>,
    charges: Charges,
    pub(crate) drive: Drive,
    pub(crate) scale: Scale,
    pub(crate) events: Events,
    /// The slots that nobody has by the map with this epoch.
    pub(crate) orphans: (Epoch, SlotSet),
    /// Slots wait until all children that were asked for have joined for the first time.
    pub(crate) is_first_spread_due: bool,
    pub(crate) looks: Looks,
    /// What proxies ask each other.
    pub(crate) questions: Questions,
    pub(crate) ready: Arc<Ready>,
    /// What all nodes hold: for whoever meters it.
    pub(crate) stored_bytes: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl Writer {
    /// Reads the store and makes the first map. Needs the scaler's runtime.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub(crate) fn begin(
        config: ScalerConfig,
        store: Box<dyn Store>,
        listener: Listener,
        inputs: mpsc::Sender<Input>,
        ready: Arc<Ready>,
    ) -> Result<Writer, ScalerError> {
        let join = listener.address();
        let records = Records::new(config.data_dir.as_deref());
        let outlive = config.process.as_ref().is_some_and(|process| process.outlives);
        // Before any slot of theirs is given away.
        let left = records.settle(if outlive { Leftovers::Adopt } else { Leftovers::Refuse })?;
        let accepting = spawn_local(members::serve(listener, config.secret.clone(), inputs.clone()));
        let is_first_spread_due = config.embedded.is_none()
            && left.is_empty()
            && config.process.as_ref().is_some_and(|process| process.count > 0);
        let provider = config.process.map(|process| Process::new(process, join, config.secret, inputs, records, left));
        let mut writer = Writer {
            hash_seed: config.hash_seed,
            virtual_node: config.virtual_node,
            embedded: config.embedded,
            store,
            kept: Kept::default(),
            nodes: BTreeMap::new(),
            parties: BTreeMap::new(),
            provider,
            changes: Vec::new(),
            charges: config.charges,
            drive: Drive::new(&Kept::default(), Instant::now()),
            scale: Scale::new(config.scaling, Instant::now()),
            events: Events::default(),
            orphans: (Epoch(0), SlotSet::all()),
            is_first_spread_due,
            looks: Looks::new(Instant::now()),
            questions: Questions::default(),
            ready,
            stored_bytes: Arc::default(),
            accepting,
        };
        writer.take_up(config.state)?;
        Ok(writer)
    }

    /// Works until it is told to stop, or nobody is left who could.
    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<Input>, mut stop: oneshot::Receiver<()>) {
        loop {
            self.tick(Instant::now());
            let due = self.next_due();
            tokio::select! {
                biased;
                _ = &mut stop => break,
                input = inbox.recv() => match input {
                    Some(input) => self.take(input, Instant::now()),
                    None => break,
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
        }
        self.accepting.abort();
        // Children that end report to nobody from here on.
        drop(inbox);
        if let Some(provider) = &mut self.provider {
            provider.stop().await;
        }
    }

    /// Makes records durable, and what is kept as they say.
    ///
    /// # Errors
    /// The store failed: nothing has changed.
    pub(crate) fn keep(&mut self, records: &[Record]) -> Result<(), StoreError> {
        self.store.append(records)?;
        for record in records {
            if let Record::Map(map) = record {
                self.scale.totals.slots += moved(&self.kept.map, map);
            }
            self.kept.apply(record);
        }
        Ok(())
    }

    /// Sends the cache state to all members.
    pub(crate) fn push_state(&self) {
        self.push(&encoded(&ToMember::State(self.kept.state.clone())), &[]);
    }

    /// The link of a node.
    pub(crate) fn link_of(&self, id: NodeId) -> Option<&Rc<Link>> {
        let link = self.nodes.get(&id)?.link?;
        self.parties.get(&link).map(|party| &party.link)
    }

    /// Sends bytes to all members, to `first` before anybody else.
    pub(crate) fn push(&self, bytes: &[u8], first: &[NodeId]) {
        let first = first.iter().filter_map(|id| self.nodes.get(id)?.link);
        let members = self.parties.iter().filter(|(_, party)| party.who.is_member()).map(|(id, _)| *id);
        for party in in_order(first, members).iter().filter_map(|id| self.parties.get(id)) {
            party.link.send_bytes(bytes);
        }
    }

    /// A new start: an incarnation of its own, an epoch that goes on from the last one.
    fn take_up(&mut self, configured: CacheState) -> Result<(), ScalerError> {
        self.kept = self.store.load()?;
        let now = Instant::now();
        for guest in &self.kept.guests {
            let Some(member) = self.kept.map.node(guest.id) else { continue };
            let node = Node::new(member.clone(), Origin::Guest, guest.pid, now);
            self.nodes.insert(guest.id, node);
        }
        for (id, pid) in self.provider.as_ref().map(Process::nodes).unwrap_or_default() {
            let Some(member) = self.kept.map.node(id) else { continue };
            let mut node = Node::new(member.clone(), Origin::Child, pid, now);
            (node.has_joined, node.is_pid_certain) = (true, true);
            self.nodes.insert(id, node);
        }
        let mut next_node = self.kept.next_node;
        if let Some(member) = &self.embedded {
            next_node = next_node.max(member.id.0 + 1);
            let node = Node::new(member.clone(), Origin::Embedded, std::process::id(), now);
            self.nodes.insert(member.id, node);
        }
        let mut records = vec![Record::Incarnation(self.kept.incarnation + 1), Record::NextNode(next_node)];
        records.extend(self.state_at_start(configured));
        records.extend(self.take_up_mode());
        self.keep(&records)?;
        let (incarnation, epoch) = (self.kept.incarnation, self.kept.map.epoch());
        self.events.news(format!("the scaler has started, incarnation {incarnation}, after epoch {epoch}"));
        self.drive_on(now);
        match self.drive.is_stuck() {
            true => Err(ScalerError::NotKept),
            false => Ok(()),
        }
    }

    /// Goes on from what is kept: whoever was a part of the last process is gone, and children of it that do not run any
    /// more; hand-overs between others are taken up.
    fn drive_on(&mut self, now: Instant) {
        self.drive = Drive::new(&self.kept, now);
        let names: Vec<NodeId> = self.kept.map.nodes().iter().map(|member| member.id).collect();
        let lives_on = |id: &NodeId| self.nodes.get(id).is_some_and(|node| node.origin != Origin::Embedded);
        let gone: Vec<NodeId> = names.into_iter().filter(|id| !lives_on(id)).collect();
        for node in gone {
            self.step(Step::Gone { node, keys: 0, bytes: 0 }, now);
        }
        if let Some(member) = self.embedded.clone() {
            self.step(Step::Joined(member), now);
        }
        self.place_orphans(now);
    }

    /// What clients have changed holds over a restart; what was configured anew since, or no longer is, holds over that.
    fn state_at_start(&self, configured: CacheState) -> Option<Record> {
        let kept = &self.kept;
        let mut entries = if kept.state.version == 0 { BTreeMap::new() } else { kept.state.entries.clone() };
        let is_as_configured = |name: &String, value: &String| kept.configured.get(name) == Some(value);
        entries.retain(|name, value| configured.entries.contains_key(name) || !is_as_configured(name, value));
        for (name, value) in &configured.entries {
            if !is_as_configured(name, value) || !entries.contains_key(name) {
                entries.insert(name.clone(), value.clone());
            }
        }
        let has_changed = entries != kept.state.entries;
        let version = kept.state.version + u64::from(has_changed && kept.state.version > 0);
        let state = CacheState { version: version.max(configured.version), entries };
        let is_new = state != kept.state || configured.entries != kept.configured;
        is_new.then_some(Record::State { state, configured: configured.entries })
    }

    fn take(&mut self, input: Input, now: Instant) {
        match input {
            Input::Linked(link) => {
                self.parties
                    .insert(link.id, Party { link, who: Who::Stranger, has_charged: false, has_monitors: false });
            }
            Input::Said(id, message) => self.said(id, *message, now),
            Input::Lost(id, why) => self.lost(id, &why, now),
            Input::ChildEnded { pid, how } => self.child_ended(pid, how, now),
        }
    }

    fn said(&mut self, id: LinkId, message: FromMember, now: Instant) {
        let Some(who) = self.parties.get(&id).map(|party| party.who) else { return };
        if let Who::Node(node) = who {
            self.heard(node);
        }
        match (message, who) {
            (FromMember::Join(join), Who::Stranger) => self.join(id, join, now),
            (_, Who::Stranger) => self.refuse(id, "the first message must be a join".to_owned()),
            (FromMember::Join(_), _) => self.refuse(id, "it has joined already".to_owned()),
            (FromMember::Ask { id: number, ask }, _) => self.asked(id, number, ask, now),
            (FromMember::Seen { epoch, state }, _) => self.seen(id, Seen { epoch, state }, now),
            // A proxy that leaves tells the rest as a person's command: its own link has ended.
            (FromMember::Account(charged), Who::Proxy(_) | Who::Person) => {
                if let Some(party) = self.parties.get(&id) {
                    self.charges.pass_on(&party.link, *charged);
                }
            }
            (FromMember::Account(_), Who::Node(_)) => self.refuse(id, "only proxies say that".to_owned()),
            (FromMember::Stats(stats), Who::Node(node)) => {
                self.scale.observer.report(node, &stats, now);
                self.scale.noticed(now);
                if let Some(node) = self.nodes.get_mut(&node) {
                    node.stats = *stats;
                }
                self.sum_stored();
            }
            (FromMember::Charged { ecpu_milli }, Who::Proxy(_)) => self.charged(id, &ecpu_milli, now),
            (FromMember::Told { id: number, told }, Who::Proxy(_)) => self.proxy_told(id, number, told, now),
            (FromMember::Shown { lines }, Who::Proxy(_)) => self.show_commands(id, lines),
            (FromMember::Source(message), Who::Node(node)) => self.step(Step::Source { node, message }, now),
            (FromMember::Target(message), Who::Node(node)) => self.step(Step::Target { node, message }, now),
            (FromMember::Charged { .. } | FromMember::Told { .. } | FromMember::Shown { .. }, _) => {
                self.refuse(id, "only proxies say that".to_owned())
            }
            (FromMember::Stats(_) | FromMember::Source(_) | FromMember::Target(_), _) => {
                self.refuse(id, "only nodes say that".to_owned());
            }
        }
    }

    /// Nodes have reported, or are gone.
    pub(crate) fn sum_stored(&self) {
        self.stored_bytes.store(self.nodes.values().map(|node| node.stats.used_bytes).sum(), Relaxed);
    }

    /// A proxy has charged for nodes' replies. Its first report is over a time that nobody knows.
    fn charged(&mut self, id: LinkId, ecpu_milli: &[(NodeId, u64)], now: Instant) {
        let Some(party) = self.parties.get_mut(&id) else { return };
        let is_backlog = !std::mem::replace(&mut party.has_charged, true);
        for (node, milli) in ecpu_milli.iter().filter(|(node, _)| self.nodes.contains_key(node)) {
            self.scale.observer.charged(*node, *milli, is_backlog, now);
        }
        self.scale.noticed(now);
    }

    fn seen(&mut self, id: LinkId, seen: Seen, now: Instant) {
        let Some(party) = self.parties.get_mut(&id) else { return };
        match &mut party.who {
            Who::Proxy(known) => *known = seen,
            Who::Node(node) => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.seen.epoch = seen.epoch.max(node.seen.epoch);
                    node.seen.state = seen.state.max(node.seen.state);
                    let node = node.member.id;
                    self.step(Step::Seen { node, epoch: seen.epoch }, now);
                }
            }
            Who::Stranger | Who::Person => {}
        }
        self.confirm_changes();
    }

    fn lost(&mut self, id: LinkId, why: &str, now: Instant) {
        let Some(party) = self.parties.remove(&id) else { return };
        self.changes.retain(|change| change.asker != id);
        if let Who::Node(node) = party.who
            && let Some(node) = self.nodes.get_mut(&node)
            && node.link == Some(id)
        {
            (node.link, node.lost_since) = (None, now);
            let (node, has_left) = (node.member.id, node.is_leaving && node.origin == Origin::Guest);
            tracing::info!(%node, why, "the control link is lost");
            if has_left {
                self.gone(node, "it was drained", now);
            }
        }
        if let Who::Proxy(_) = party.who {
            self.events.news(format!("a proxy is lost: {why}"));
            self.proxies_have_changed(Some(id), now);
        }
        // A proxy that is not linked routes by an old state at worst, and newer nodes refuse that.
        self.confirm_changes();
    }

    fn tick(&mut self, now: Instant) {
        self.tick_children(now);
        self.look_for_lost(now);
        self.expire_changes(now);
        self.end_questions(now);
        self.tick_drive(now);
        self.place_orphans(now);
        if !self.ready.is() {
            self.ready.missing(self.missing());
        }
        self.tick_scale(now);
    }

    fn next_due(&self) -> Option<Instant> {
        let change = self.changes.iter().map(|change| change.until).min();
        let child = self.provider.as_ref().and_then(Process::next_due);
        [self.look_due(), change, child, self.drive.due(), self.scale_due(), self.questions.due()]
            .into_iter()
            .flatten()
            .min()
    }

    fn tick_children(&mut self, now: Instant) {
        let Some(provider) = &mut self.provider else { return };
        for did in provider.tick(now) {
            match did {
                Did::Started { pid, address } => {
                    self.events.news(format!("started a node: process {pid}, {address}"));
                }
                Did::NotStarted { why, again_ms } => {
                    let text = format!("cannot start a node: {why}; again in {again_ms} ms");
                    self.events.add(true, Event { kind: "node-not-started".to_owned(), text, ..Event::default() });
                }
                Did::Killed { pid } => {
                    self.events.trouble(format!("the node in process {pid} did not join, or leave, in time: killed"));
                }
                Did::Adopted { pid, node } => {
                    let which = node.map_or("a node that has not joined yet".to_owned(), |id| format!("node {id}"));
                    self.events.news(format!("process {pid} was left by an earlier scaler and is taken over: {which}"));
                }
                Did::Limited(limits) => self.events.news(format!("each node is held to {limits} by a control group")),
                Did::Without { what, why } => self.events.trouble(format!("nodes go without {what}: {why}")),
            }
        }
    }

    fn child_ended(&mut self, pid: u32, how: String, now: Instant) {
        let Some(ended) = self.provider.as_mut().and_then(|provider| provider.ended(pid, how, now)) else { return };
        let again = match ended.again_ms {
            Some(again_ms) => format!("; another starts in {again_ms} ms"),
            None => String::new(),
        };
        match ended.node {
            Some(node) if self.nodes.contains_key(&node) => {
                self.gone(node, &format!("process {pid} {}{again}", ended.how), now);
            }
            _ if ended.again_ms.is_none() => self.events.news(format!("process {pid} {} as it should", ended.how)),
            _ => self.events.trouble(format!("process {pid} {} and was no node yet{again}", ended.how)),
        }
    }

    /// What is still missing before the scaler is ready, for a person.
    fn missing(&self) -> String {
        let Some((wanted, joined)) = self.provider.as_ref().map(Process::counts) else { return String::new() };
        if joined < wanted || self.is_first_spread_due {
            return format!("{joined} of {wanted} nodes have joined");
        }
        let is_behind = |node: &&Node| node.origin == Origin::Child && node.seen.epoch < self.kept.map.epoch();
        match self.nodes.values().find(is_behind) {
            Some(node) => format!("node {} has not seen epoch {}", node.member.id, self.kept.map.epoch()),
            None => String::new(),
        }
    }
}

/// Slots that have another living owner than before.
fn moved(before: &SlotMap, after: &SlotMap) -> u64 {
    let has_moved =
        |(before, after): (Option<NodeId>, Option<NodeId>)| before.is_some() && after.is_some() && before != after;
    all_slots().filter(|slot| has_moved((before.owner(*slot), after.owner(*slot)))).count() as u64
}

/// Each of the members once, `first` before the others.
fn in_order(first: impl Iterator<Item = LinkId>, members: impl Iterator<Item = LinkId>) -> Vec<LinkId> {
    let mut all: Vec<LinkId> = Vec::new();
    for id in first.chain(members) {
        if !all.contains(&id) {
            all.push(id);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_goes_to_the_first_first_and_to_each_once() {
        let ids = |ids: &[u64]| ids.iter().copied().map(LinkId).collect::<Vec<_>>().into_iter();
        assert_eq!(in_order(ids(&[3, 1, 3]), ids(&[1, 2, 3, 4])), ids(&[3, 1, 2, 4]).collect::<Vec<_>>());
        assert_eq!(in_order(ids(&[]), ids(&[1, 2])), ids(&[1, 2]).collect::<Vec<_>>());
    }
}
