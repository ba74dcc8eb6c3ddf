//! Client-side caching: which clients of this proxy keep copies, and who is told when these are stale. The node notes what
//! they read ([`swell_engine::track`]) and says what has changed; here that becomes messages in their inboxes.

mod delivery;
mod options;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use swell_engine::track::Stale;
use swell_node::copies::By;
use swell_wire::{Out, Proto};

use crate::clients::{ClientInfo, Registry};
use crate::push::Message;
use crate::shared::{Mail, Shared};
use crate::upstream::NOBODY;

pub use delivery::Flushes;
pub(crate) use delivery::all_stale;
pub use options::{Caching, Mode, Options};

/// The channel by which clients that speak RESP2 get what others' copies are stale (Redis's name for it).
pub const INVALIDATE_CHANNEL: &[u8] = b"__redis__:invalidate";

/// Keys that may wait to be told in one message; over it everything counts as stale.
const PENDING_KEYS_MAX: usize = 10_000;

/// A client that keeps copies.
#[derive(Debug)]
pub struct Tracked {
    info: Arc<ClientInfo>,
    options: Options,
    /// For [`Mode::Broadcast`]: what has changed since its worker looked last, by prefix. It is told in one message each.
    pending: Mutex<Pending>,
    /// Whom it wants told is gone.
    is_broken: AtomicBool,
    /// Its number on its worker's links, once it has one.
    session: AtomicU32,
    /// It may have read something since it was told last that all is stale.
    has_copies: AtomicBool,
    /// The last flush of the node in this process that is not its business any more: it began after it, or was told.
    flushed: AtomicU64,
}

#[derive(Debug, Default)]
struct Pending {
    keys: BTreeMap<usize, BTreeSet<Box<[u8]>>>,
    count: usize,
}

/// All clients of this proxy that keep copies.
#[derive(Debug, Default)]
pub struct Tracking {
    clients: RwLock<Clients>,
    /// How many, for those who look at every request.
    count: AtomicUsize,
    /// How often the node in this process was flushed.
    flushes: AtomicU64,
}

#[derive(Debug, Default)]
struct Clients {
    by_id: HashMap<u64, Arc<Tracked>>,
    /// Clients that want to know of all keys that begin so, each with its own prefixes.
    broadcasts: Vec<Arc<Tracked>>,
}

impl Tracked {
    /// What it has asked for.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The worker that serves it.
    pub fn worker(&self) -> usize {
        self.info.worker.load(Relaxed)
    }

    /// Whether the client that it wants told is gone.
    pub fn is_broken(&self) -> bool {
        self.is_broken.load(Relaxed)
    }
}

impl Tracking {
    /// A client keeps copies from now on, in this way.
    pub fn begin(&self, info: &Arc<ClientInfo>, options: Options) -> Arc<Tracked> {
        let tracked = Arc::new(Tracked {
            info: info.clone(),
            options,
            pending: Mutex::default(),
            is_broken: AtomicBool::new(false),
            session: AtomicU32::new(NOBODY),
            has_copies: AtomicBool::new(true),
            flushed: AtomicU64::new(self.flushes.load(Relaxed)),
        });
        let mut clients = self.clients.write().unwrap_or_else(PoisonError::into_inner);
        clients.remove(info.id);
        if tracked.options.mode == Mode::Broadcast {
            clients.broadcasts.push(tracked.clone());
        }
        clients.by_id.insert(info.id, tracked.clone());
        self.count.store(clients.by_id.len(), Relaxed);
        tracked
    }

    /// A client keeps no copies any more.
    pub fn end(&self, id: u64) {
        let mut clients = self.clients.write().unwrap_or_else(PoisonError::into_inner);
        clients.remove(id);
        self.count.store(clients.by_id.len(), Relaxed);
    }

    /// Whether a client has still to be told of a flush of the node in this process; once.
    pub fn owes_flush(&self, tracked: &Tracked) -> bool {
        tracked.hears_of_flush(self.flushes.load(Relaxed))
    }

    /// How many clients keep copies.
    pub fn len(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// Whether nobody does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Prefixes of all clients that want to know of every key that begins so.
    pub fn prefix_count(&self) -> usize {
        let clients = self.clients.read().unwrap_or_else(PoisonError::into_inner);
        clients.broadcasts.iter().map(|tracked| tracked.options.prefixes.len()).sum()
    }

    /// The clients of one worker that keep copies.
    pub fn of_worker(&self, worker: usize) -> Vec<Arc<Tracked>> {
        let clients = self.clients.read().unwrap_or_else(PoisonError::into_inner);
        clients.by_id.values().filter(|tracked| tracked.worker() == worker).cloned().collect()
    }

    /// The node in this process says what is stale that clients have read by calls, or that it was flushed. A stripe may be
    /// locked.
    pub fn tell(&self, shared: &Shared, stale: Stale<'_>) {
        match stale {
            Stale::Read { key, readers, by } => {
                let clients = self.clients.read().unwrap_or_else(PoisonError::into_inner);
                let mut message: Option<Message> = None;
                let mut parcel: Vec<(Arc<ClientInfo>, Message)> = Vec::new();
                for tracked in readers.iter().filter_map(|reader| clients.by_id.get(reader)) {
                    // Who has come to want every key since hears of this one so.
                    let hears_of_all = tracked.options.mode == Mode::Broadcast;
                    if !hears_of_all && (!tracked.options.noloop || by != tracked.info.id) {
                        let message = message.get_or_insert_with(|| invalidation(Keys::One(key)));
                        tracked.post(&shared.clients, message, |info, message| parcel.push((info.clone(), message)));
                    }
                }
                if !parcel.is_empty() {
                    shared.push(parcel.iter().map(|(info, message)| (&**info, message.clone())));
                }
            }
            Stale::All => {
                let number = self.flushes.fetch_add(1, Relaxed) + 1;
                shared.tell_all(|| Mail::Flushed(number));
            }
            // Every worker is told by the broker.
            Stale::Any { .. } => {}
        }
    }

    /// A key has changed: notes it for the clients of this worker that want to know. `first` gets those for whom nothing
    /// waited before.
    pub fn note_any(&self, worker: usize, key: &[u8], by: By, first: &mut Vec<Arc<Tracked>>) {
        let clients = self.clients.read().unwrap_or_else(PoisonError::into_inner);
        let is_first = |tracked: &&Arc<Tracked>| tracked.worker() == worker && tracked.cares(by) && tracked.note(key);
        first.extend(clients.broadcasts.iter().filter(is_first).cloned());
    }
}

impl Clients {
    fn remove(&mut self, id: u64) {
        if self.by_id.remove(&id).is_some() {
            self.broadcasts.retain(|tracked| tracked.info.id != id);
        }
    }
}

impl Tracked {
    /// Whether it wants to know what this client has changed.
    fn cares(&self, by: By) -> bool {
        !self.options.noloop
            || match by {
                By::Nobody => true,
                By::Client(id) => id != self.info.id,
                By::Session(session) => session != self.session(),
            }
    }

    /// The node in this process was flushed, for the time with this number: whether that is news to it.
    fn hears_of_flush(&self, number: u64) -> bool {
        self.flushed.fetch_max(number, Relaxed) < number
    }

    /// Its number on its worker's links, or none that there is.
    fn session(&self) -> u32 {
        self.session.load(Relaxed)
    }

    /// It sends requests by this number from now on.
    pub fn sends_by(&self, session: u32) {
        self.session.store(session, Relaxed);
    }

    /// It sends something that may bring it copies.
    pub fn reads(&self) {
        self.has_copies.store(true, Relaxed);
    }

    /// Notes that a key has changed, if it begins as one of the prefixes; true: it is the first that waits to be told.
    fn note(&self, key: &[u8]) -> bool {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = pending.count == 0;
        for at in self.options.matches(key) {
            if pending.count <= PENDING_KEYS_MAX && pending.keys.entry(at).or_default().insert(key.into()) {
                pending.count += 1;
            }
        }
        was_empty && pending.count > 0
    }

    /// What has changed since the last time, in a message for each prefix.
    fn take_pending(&self) -> Vec<Message> {
        let pending = std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        if pending.count > PENDING_KEYS_MAX {
            return vec![invalidation(Keys::All)];
        }
        pending.keys.values().map(|keys| invalidation(Keys::Many(keys))).collect()
    }

    /// Hands a message to whoever is told in its place, if anybody can be.
    pub fn post(&self, registry: &Registry, message: &Message, mut push: impl FnMut(&Arc<ClientInfo>, Message)) {
        match self.recipient(registry) {
            Recipient::Nobody => {}
            Recipient::Client(info) => push(&info, message.clone()),
            Recipient::Gone => {
                self.is_broken.store(true, Relaxed);
                self.info.tracking_broken.store(true, Relaxed);
                if proto(&self.info) == Proto::Resp3 {
                    push(&self.info, broken(self.options.redirect));
                }
            }
        }
    }

    /// Who is told in its place, and how; nobody if that client could not read it.
    fn recipient(&self, registry: &Registry) -> Recipient {
        if self.options.redirect == 0 {
            return match proto(&self.info) {
                Proto::Resp3 => Recipient::Client(self.info.clone()),
                Proto::Resp2 => Recipient::Nobody,
            };
        }
        match registry.get(self.options.redirect) {
            None => Recipient::Gone,
            Some(other) if proto(&other) == Proto::Resp3 || other.is_subscribed() => Recipient::Client(other),
            Some(_) => Recipient::Nobody,
        }
    }
}

/// What is stale.
#[derive(Clone, Copy)]
enum Keys<'a> {
    One(&'a [u8]),
    Many(&'a BTreeSet<Box<[u8]>>),
    All,
}

enum Recipient {
    Client(Arc<ClientInfo>),
    Nobody,
    /// It was another client, which has left.
    Gone,
}

fn proto(info: &ClientInfo) -> Proto {
    if info.resp.load(Relaxed) == 3 { Proto::Resp3 } else { Proto::Resp2 }
}

/// Tells that these keys are stale.
fn invalidation(keys: Keys<'_>) -> Message {
    Message::new(|out: &mut Out| {
        match out.proto() {
            Proto::Resp3 => {
                out.push(2);
                out.bulk(b"invalidate");
            }
            Proto::Resp2 => {
                out.array(3);
                out.bulk(b"message");
                out.bulk(INVALIDATE_CHANNEL);
            }
        }
        match keys {
            Keys::One(key) => {
                out.array(1);
                out.bulk(key);
            }
            Keys::Many(keys) => {
                out.array(keys.len());
                keys.iter().for_each(|key| out.bulk(key));
            }
            Keys::All => out.null(),
        }
    })
}

/// Whom it wants told is gone.
fn broken(redirect: u64) -> Message {
    Message::new(|out: &mut Out| {
        out.push(2);
        out.bulk(b"tracking-redir-broken");
        out.int(redirect as i64);
    })
}
