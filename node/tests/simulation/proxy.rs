//! A proxy: routes by its own map, which may be old; keeps each connection's order per slot; sends again only what
//! provably did not run.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use swell_ring::{Epoch, NodeId, SlotMap};

use super::Broken;
use super::world::{Event, PROXIES, World, used};

/// A request that has not been sent by then is answered with an error.
pub const WAIT_US: u64 = 2_000_000;
const TICK_US: u64 = 50_000;

/// One request of a client.
#[derive(Clone, Debug)]
pub struct Op {
    pub id: u64,
    pub client: usize,
    pub connection: u64,
    pub slot: usize,
    pub key: u8,
    pub what: What,
    pub issued_us: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Get,
    Incr,
    Set(u64),
}

/// What a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `run`: which of all runs it was.
    Done { value: u64, run: u64 },
    /// It may have run.
    Unknown,
    /// It did not run.
    Error,
}

/// A request on its way to a node.
#[derive(Clone, Debug)]
pub struct Frame {
    pub link: u64,
    pub proxy: usize,
    pub number: u64,
    pub restart: bool,
    pub epoch: Epoch,
    pub op: Op,
}

/// And what comes back.
#[derive(Clone, Debug)]
pub struct Reply {
    pub link: u64,
    pub node: NodeId,
    pub number: u64,
    pub client: usize,
    pub status: Status,
}

#[derive(Clone, Copy, Debug)]
pub enum Status {
    Done { value: u64, run: u64 },
    Moved(Epoch),
    Paused,
    Behind,
}

pub struct Proxy {
    pub alive: bool,
    map: SlotMap,
    pub links: BTreeMap<NodeId, u64>,
    sessions: BTreeMap<usize, Session>,
    /// Requests taken, ever: for their ids.
    pub asked: u64,
}

#[derive(Default)]
struct Session {
    queue: VecDeque<Pending>,
    next_frame: u64,
    /// Nodes that have refused a frame of this session: the next one restarts it.
    refused: BTreeSet<NodeId>,
}

struct Pending {
    op: Op,
    sent: Option<Sent>,
    /// Not before a map at least this new.
    wait_for: Epoch,
    answer: Option<Answer>,
}

#[derive(Clone, Copy)]
struct Sent {
    node: NodeId,
    link: u64,
    number: u64,
}

impl Op {
    /// The value after it has run.
    pub fn after(&self, before: u64) -> u64 {
        match self.what {
            What::Get => before,
            What::Incr => before + 1,
            What::Set(value) => value,
        }
    }
}

impl Proxy {
    pub fn new() -> Proxy {
        Proxy { alive: true, map: SlotMap::empty(), links: BTreeMap::new(), sessions: BTreeMap::new(), asked: 0 }
    }
}

impl World {
    pub fn proxy_takes(&mut self, proxy: usize, op: Op) {
        let client = op.client;
        self.proxies[proxy].asked += 1;
        let session = self.proxies[proxy].sessions.entry(client).or_default();
        session.queue.push_back(Pending { op, sent: None, wait_for: Epoch(0), answer: None });
        self.pump(proxy, client);
    }

    pub fn proxy_map(&mut self, proxy: usize, map: SlotMap) {
        let proxy_now = &mut self.proxies[proxy];
        if proxy_now.alive && map.epoch() > proxy_now.map.epoch() {
            proxy_now.map = map;
            self.pump_all(proxy);
        }
    }

    /// Deadlines; and the link to the scaler, which brings the newest map sooner or later.
    pub fn proxy_tick(&mut self, proxy: usize) {
        self.later(TICK_US, Event::ProxyTick { proxy });
        let newest = self.scaler.driver.as_ref().map(|driver| driver.map().clone());
        if let Some(map) = newest.filter(|map| map.epoch() > self.proxies[proxy].map.epoch()) {
            self.send(Event::ProxyMap { proxy, map });
        }
        self.pump_all(proxy);
    }

    pub fn proxy_crashes(&mut self, proxy: usize) {
        if !self.proxies[proxy].alive || self.proxies.iter().filter(|proxy| proxy.alive).count() < PROXIES {
            return;
        }
        self.seen.crashes += 1;
        let asked = self.proxies[proxy].asked;
        let links = std::mem::take(&mut self.proxies[proxy].links);
        self.proxies[proxy] = Proxy { alive: false, asked, ..Proxy::new() };
        links.into_iter().for_each(|(node, link)| self.cut_link(proxy, node, link));
        for client in 0..self.clients.len() {
            if self.clients[client].proxy == proxy {
                self.client_loses_proxy(client);
            }
        }
        let after_us = self.random.within(10_000..400_000);
        self.later(after_us, Event::ProxyStarts { proxy });
    }

    pub fn proxy_starts(&mut self, proxy: usize) {
        self.proxies[proxy].alive = true;
    }

    pub fn reply_comes(&mut self, proxy: usize, reply: Reply) {
        if !self.proxies[proxy].alive || self.cut.contains_key(&reply.link) {
            return;
        }
        let Some(session) = self.proxies[proxy].sessions.get_mut(&reply.client) else { return };
        let is_it = |sent: &Sent| sent.link == reply.link && sent.number == reply.number;
        let Some(at) = session.queue.iter().position(|pending| pending.sent.as_ref().is_some_and(is_it)) else {
            return;
        };
        match reply.status {
            Status::Done { value, run } => {
                session.queue[at].answer = Some(Answer::Done { value, run });
                session.queue[at].sent = None;
            }
            Status::Moved(epoch) => {
                session.queue[at].wait_for = epoch;
                session.refuse(&reply);
            }
            Status::Paused | Status::Behind => session.refuse(&reply),
        }
        self.pump(proxy, reply.client);
    }

    pub fn link_lost(&mut self, proxy: usize, node: NodeId, link: u64) {
        if let Some(node) = self.nodes.get_mut(&node) {
            node.forget_link(link);
        }
        if self.proxies[proxy].links.get(&node) != Some(&link) {
            return;
        }
        self.proxies[proxy].links.remove(&node);
        let goes_again = self.broken == Broken::SentWritesGoAgain;
        self.proxies[proxy].sessions.values_mut().for_each(|session| session.lose(node, link, goes_again));
        self.pump_all(proxy);
    }

    fn pump_all(&mut self, proxy: usize) {
        for client in self.proxies[proxy].sessions.keys().copied().collect::<Vec<_>>() {
            self.pump(proxy, client);
        }
    }

    /// Sends what may be sent, answers what can be answered.
    fn pump(&mut self, proxy: usize, client: usize) {
        let mut blocked = BTreeSet::new();
        let mut under_way: BTreeMap<usize, NodeId> = BTreeMap::new();
        let mut at = 0;
        while let Some(pending) = self.proxies[proxy].sessions.get(&client).and_then(|session| session.queue.get(at)) {
            let slot = pending.op.slot;
            match (pending.answer, pending.sent) {
                (Some(_), _) => {}
                (None, Some(sent)) => drop(under_way.insert(slot, sent.node)),
                (None, None) => {
                    let (is_late, wait_for) = (pending.op.issued_us + WAIT_US <= self.now_us, pending.wait_for);
                    let owner = used().nth(slot).and_then(|slot| self.proxies[proxy].map.owner(slot));
                    let elsewhere = under_way.get(&slot).is_some_and(|node| Some(*node) != owner);
                    let waits = wait_for > self.proxies[proxy].map.epoch() || blocked.contains(&slot) || elsewhere;
                    match owner {
                        _ if is_late => self.give_up(proxy, client, at),
                        Some(owner) if !waits => {
                            self.send_frame(proxy, client, at, owner);
                            under_way.insert(slot, owner);
                        }
                        _ => drop(blocked.insert(slot)),
                    }
                }
            }
            at += 1;
        }
        self.answer_front(proxy, client);
    }

    fn give_up(&mut self, proxy: usize, client: usize, at: usize) {
        if let Some(session) = self.proxies[proxy].sessions.get_mut(&client) {
            session.queue[at].answer = Some(Answer::Error);
        }
    }

    fn send_frame(&mut self, proxy: usize, client: usize, at: usize, node: NodeId) {
        let next_link = self.next_link;
        let link = *self.proxies[proxy].links.entry(node).or_insert(next_link);
        if link == next_link {
            self.next_link += 1;
        }
        let epoch = self.proxies[proxy].map.epoch();
        let Some(session) = self.proxies[proxy].sessions.get_mut(&client) else { return };
        session.next_frame += 1;
        let (number, restart) = (session.next_frame, session.refused.remove(&node));
        session.queue[at].sent = Some(Sent { node, link, number });
        let frame = Frame { link, proxy, number, restart, epoch, op: session.queue[at].op.clone() };
        // To a dead node nothing connects.
        if self.nodes.get(&node).is_none_or(|node| !node.alive) && !self.cut.contains_key(&link) {
            self.cut_link(proxy, node, link);
        }
        let at_us = self.in_order_us(link, true);
        self.at(at_us, Event::Frame { node, frame });
    }

    fn answer_front(&mut self, proxy: usize, client: usize) {
        while let Some(session) = self.proxies[proxy].sessions.get_mut(&client) {
            let Some(answer) = session.queue.front().and_then(|pending| pending.answer) else { return };
            if let Some(pending) = session.queue.pop_front() {
                self.client_hears(&pending.op, answer);
            }
        }
    }
}

impl Session {
    /// The node refused this frame, and so all later ones of the session there: they go again, in order.
    fn refuse(&mut self, reply: &Reply) {
        self.refused.insert(reply.node);
        for pending in &mut self.queue {
            if pending.sent.is_some_and(|sent| sent.link == reply.link && sent.number >= reply.number) {
                pending.sent = None;
            }
        }
    }

    /// A link is lost: reads go again unless a write was sent there after them and has no answer.
    fn lose(&mut self, node: NodeId, link: u64, writes_go_again: bool) {
        self.refused.remove(&node);
        let mut write_behind = false;
        for pending in self.queue.iter_mut().rev() {
            if pending.sent.is_none_or(|sent| sent.link != link) {
                continue;
            }
            let is_read = pending.op.what == What::Get;
            write_behind |= !is_read;
            pending.sent = None;
            if !writes_go_again && write_behind {
                pending.answer = Some(Answer::Unknown);
            }
        }
    }
}
