//! Client-side caching: which clients of this proxy keep copies, and who is told when these are stale. The node notes what
//! they read ([`swell_engine::track`]) and says what has changed; here that becomes messages in their inboxes.

mod options;

use std::collections::HashMap;
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

/// A client that keeps copies.
#[derive(Debug)]
pub struct Tracked {
    info: Arc<ClientInfo>,
    options: Options,
    /// Whom it wants told is gone.
    is_broken: AtomicBool,
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
        let tracked = Arc::new(Tracked { info: info.clone(), options, is_broken: AtomicBool::new(false) });
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
                tell_each(shared, readers.filter(|tracked| tracked.cares(by)), Some(key));
            }
            Stale::Any { key, by } => {
                let fits = |tracked: &&Arc<Tracked>| tracked.cares(by) && tracked.options.wants(key);
                tell_each(shared, clients.broadcasts.iter().filter(fits), Some(key));
            }
            Stale::All => tell_each(shared, clients.by_id.values(), None),
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

enum Recipient {
    Client(Arc<ClientInfo>),
    Nobody,
    /// It was another client, which has left.
    Gone,
}

fn tell_each<'a>(shared: &Shared, tracked: impl Iterator<Item = &'a Arc<Tracked>>, key: Option<&[u8]>) {
    let mut message: Option<Message> = None;
    let mut parcel: Vec<(Arc<ClientInfo>, Message)> = Vec::new();
    for tracked in tracked {
        match tracked.recipient(&shared.clients) {
            Recipient::Nobody => {}
            Recipient::Client(info) => {
                let message = message.get_or_insert_with(|| invalidation(key));
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

/// What is stale: a key, or everything.
fn invalidation(key: Option<&[u8]>) -> Message {
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
        match key {
            Some(key) => {
                out.array(1);
                out.bulk(key);
            }
            None => out.null(),
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
