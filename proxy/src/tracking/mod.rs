//! Client-side caching: which clients of this proxy keep copies, and who is told when these are stale. The node notes what
//! they read ([`swell_engine::track`]) and says what has changed; here that becomes messages in their inboxes.

mod options;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use swell_engine::Engine;
use swell_engine::track::Stale;
use swell_wire::{Out, Proto};

use crate::clients::{ClientInfo, Registry};
use crate::push::Message;
use crate::shared::Shared;

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
    /// Whether the engine was asked to tell every change; held while that is changed.
    is_broadcasting: Mutex<bool>,
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
    ///
    /// # Errors
    /// This stripe is taken: to be tried again.
    pub fn begin(&self, engine: &Engine, info: &Arc<ClientInfo>, options: Options) -> Result<Arc<Tracked>, usize> {
        if options.mode != Mode::Broadcast {
            return Ok(self.add(info, options));
        }
        let mut is_broadcasting = self.is_broadcasting.lock().unwrap_or_else(PoisonError::into_inner);
        engine.set_broadcast(true)?;
        *is_broadcasting = true;
        Ok(self.add(info, options))
    }

    /// Spares the engine telling every change when nobody wants to know any longer. A worker calls this at its ticks.
    pub fn settle(&self, engine: &Engine) {
        let mut is_broadcasting = self.is_broadcasting.lock().unwrap_or_else(PoisonError::into_inner);
        if *is_broadcasting && !self.wants_all() {
            *is_broadcasting = engine.set_broadcast(false).is_err();
        }
    }

    fn add(&self, info: &Arc<ClientInfo>, options: Options) -> Arc<Tracked> {
        let tracked = Arc::new(Tracked {
            info: info.clone(),
            options,
            pending: Mutex::default(),
            is_broken: AtomicBool::new(false),
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

    /// Keys are on other nodes now, of whose changes nobody here hears: whoever keeps copies is closed, and drops them.
    pub fn leave(&self, registry: &Registry) {
        if self.is_empty() {
            return;
        }
        for id in self.clients.read().unwrap_or_else(PoisonError::into_inner).by_id.keys() {
            tracing::warn!(client = id, "closed a client that keeps copies: its keys go to other nodes");
            registry.kill(*id);
        }
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

    /// Whether somebody wants to know of all keys.
    pub fn wants_all(&self) -> bool {
        !self.is_empty() && !self.clients.read().unwrap_or_else(PoisonError::into_inner).broadcasts.is_empty()
    }

    /// The node says what is stale. Called under a stripe's lock.
    pub fn tell(&self, shared: &Shared, stale: Stale<'_>) {
        let clients = self.clients.read().unwrap_or_else(PoisonError::into_inner);
        match stale {
            Stale::Read { key, readers, by } => {
                let readers = readers.iter().filter_map(|reader| clients.by_id.get(reader));
                tell_each(shared, readers.filter(|tracked| tracked.cares(by)), Keys::One(key));
            }
            Stale::Any { key, by } => {
                let is_first = |tracked: &&Arc<Tracked>| tracked.cares(by) && tracked.note(key);
                shared.mail_stale(clients.broadcasts.iter().filter(is_first));
            }
            Stale::All => tell_each(shared, clients.by_id.values(), Keys::All),
        }
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
    fn cares(&self, by: u64) -> bool {
        !(self.options.noloop && by == self.info.id)
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

    /// Tells what has changed since the last time. Its worker calls this.
    pub fn tell_pending(self: &Arc<Self>, shared: &Shared) {
        let pending = std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        if pending.count > PENDING_KEYS_MAX {
            return tell_each(shared, [self].into_iter(), Keys::All);
        }
        for keys in pending.keys.values() {
            tell_each(shared, [self].into_iter(), Keys::Many(keys));
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

fn tell_each<'a>(shared: &Shared, tracked: impl Iterator<Item = &'a Arc<Tracked>>, keys: Keys<'_>) {
    let mut message: Option<Message> = None;
    let mut parcel: Vec<(Arc<ClientInfo>, Message)> = Vec::new();
    for tracked in tracked {
        match tracked.recipient(&shared.clients) {
            Recipient::Nobody => {}
            Recipient::Client(info) => {
                let message = message.get_or_insert_with(|| invalidation(keys));
                parcel.push((info, message.clone()));
            }
            Recipient::Gone => {
                tracked.is_broken.store(true, Relaxed);
                tracked.info.tracking_broken.store(true, Relaxed);
                if proto(&tracked.info) == Proto::Resp3 {
                    parcel.push((tracked.info.clone(), broken(tracked.options.redirect)));
                }
            }
        }
    }
    if !parcel.is_empty() {
        shared.push(parcel.iter().map(|(info, message)| (&**info, message.clone())));
    }
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
