//! Clients: each has a connection to a proxy and up to a few requests under way.

use std::collections::VecDeque;

use super::proxy::{Answer, Op, What};
use super::world::{Event, PROXIES, SLOTS_USED, World};

const PIPELINE_MAX: usize = 5;
const KEYS: u64 = 3;

/// One client.
pub struct Client {
    pub proxy: usize,
    /// Rises with every connection.
    pub connection: u64,
    /// Asked, not answered, in order.
    pub waiting: VecDeque<Op>,
}

impl Client {
    pub fn new(proxy: usize) -> Client {
        Client { proxy, connection: 0, waiting: VecDeque::new() }
    }
}

impl World {
    /// A client asks something, if it may have more under way.
    pub fn issue(&mut self, client: usize) {
        if !self.has_clients() {
            return;
        }
        let after_us = self.random.within(200..12_000);
        self.later(after_us, Event::Issue { client });
        let proxy = self.clients[client].proxy;
        if !self.proxies[proxy].alive || self.clients[client].waiting.len() >= PIPELINE_MAX {
            return;
        }
        let op = self.op(client);
        self.clients[client].waiting.push_back(op.clone());
        self.proxy_takes(proxy, op);
    }

    fn op(&mut self, client: usize) -> Op {
        let id = self.proxies.iter_mut().map(|proxy| proxy.asked).sum::<u64>() + 1;
        let key = self.random.within(0..KEYS) as u8;
        let slot = self.random.within(0..SLOTS_USED as u64) as usize;
        let what = match self.random.within(0..10) {
            0..6 => What::Incr,
            6 if key == 0 => What::Set(1_000_000 * id),
            _ => What::Get,
        };
        let connection = self.clients[client].connection;
        Op { id, client, connection, slot, key, what, issued_us: self.now_us }
    }

    /// The next answer of a connection.
    pub fn client_hears(&mut self, op: &Op, answer: Answer) {
        let client = &mut self.clients[op.client];
        if client.connection != op.connection {
            return;
        }
        match client.waiting.pop_front() {
            Some(asked) if asked.id == op.id => {}
            other => return self.check.fail(format!("the answer to {op:?} comes when {other:?} is asked")),
        }
        self.seen.answered += 1;
        match answer {
            Answer::Done { .. } => {}
            Answer::Unknown => self.seen.unknown += 1,
            Answer::Error => self.seen.errors += 1,
        }
        self.check.answered(self.now_us, op, answer);
    }

    /// The proxy is gone: what was asked has an unknown outcome; the client goes to another.
    pub fn client_loses_proxy(&mut self, client: usize) {
        let now_us = self.now_us;
        for op in std::mem::take(&mut self.clients[client].waiting) {
            self.check.answered(now_us, &op, Answer::Unknown);
        }
        let client = &mut self.clients[client];
        client.connection += 1;
        client.proxy = (client.proxy + 1) % PROXIES;
    }
}
