//! What a transaction has queued. Requests lie in chunks, each with their bytes: a transaction of a million is never
//! copied as a whole, what has run is freed as it goes, and a short one uses the memory of the one before it.

use std::collections::VecDeque;

use swell_engine::admit::Denied;
use swell_engine::commands::table::Command;
use swell_engine::key::KeyHash;
use swell_engine::number::parse_i64;
use swell_engine::spec::{Body, Spec};
use swell_engine::unit::Needs;
use swell_engine::{Db, Engine};
use swell_wire::{Args, OwnedArgs};

use crate::core::Core;
use crate::session::{Session, remote};

/// A chunk with so many bytes of arguments is full,
const CHUNK_BYTES: usize = 16 * 1024;
/// and so is one with so many requests.
const CHUNK_REQUESTS: usize = 512;
/// A queue of so many requests is freed on a helper thread.
const FREED_AT_ONCE: usize = 4_096;

/// Requests queued since MULTI.
#[derive(Debug, Default)]
pub struct Queue {
    chunks: VecDeque<Chunk>,
    len: usize,
    /// What those need that run on the data.
    pub(super) needs: Needs,
    bytes: usize,
    /// A request could not be queued: EXEC will refuse.
    pub(super) is_spoiled: bool,
    pub(super) has_scripts: bool,
    /// One of them may ask to hear of every change (CLIENT TRACKING).
    pub(super) has_tracking: bool,
    /// The nodes were asked for those that are not known here.
    pub(super) has_asked: bool,
    /// The first that changes the state of the cache.
    pub(super) changes_state: Option<&'static Spec>,
    /// What its client may not do any more, by request; found when EXEC begins, empty where it may do everything.
    denied: Vec<Option<Denied>>,
}

/// Some of them, in order.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    args: OwnedArgs,
    /// The hashes of their keys, one request's behind the other's.
    hashes: Vec<KeyHash>,
    requests: Vec<Place>,
}

/// Where a request ends in its chunk.
#[derive(Clone, Copy, Debug)]
struct Place {
    command: Command,
    args_end: u32,
    keys_end: u32,
}

/// One of them.
#[derive(Clone, Copy)]
pub(super) struct Queued<'q> {
    pub command: Command,
    pub args: Args<'q>,
    pub keys: &'q [KeyHash],
}

impl Queue {
    /// Requests queued.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether this is true of a command in it.
    pub fn any(&self, is: fn(&Spec) -> bool) -> bool {
        self.iter().any(|queued| is(queued.command.spec))
    }

    /// EXEC will refuse.
    pub fn spoil(&mut self) {
        self.is_spoiled = true;
    }

    /// Adds a request.
    pub(super) fn push(&mut self, engine: &Engine, command: Command, args: Args<'_>) {
        if self.chunks.back().is_none_or(Chunk::is_full) {
            self.chunks.push_back(Chunk::default());
        }
        let (Some(chunk), spec) = (self.chunks.back_mut(), command.spec) else { return };
        let queued = match spec.flatten(args) {
            Some(flat) => chunk.push(engine, command, flat.as_args()),
            None => chunk.push(engine, command, args),
        };
        self.needs.add(spec, queued.args, queued.keys);
        self.bytes += queued.args.payload_bytes() + OwnedArgs::bytes_beside(queued.args.len()) + size_of::<Place>();
        if spec.name == "client|tracking" {
            self.has_tracking = true;
            self.needs.lock_all();
        }
        self.has_scripts |= matches!(spec.body, Body::Script(_));
        self.changes_state = self.changes_state.or(Some(spec).filter(|spec| remote::changes_state(spec)));
        self.len += 1;
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Queued<'_>> {
        self.chunks.iter().flat_map(|chunk| (0..chunk.requests.len()).filter_map(|at| chunk.get(at)))
    }

    /// Takes the first chunk out.
    pub(super) fn next_chunk(&mut self) -> Option<Chunk> {
        self.chunks.pop_front()
    }

    /// Looks again at what was permitted when it was queued: the client's user may have changed since.
    pub(super) fn check_again(&mut self, session: &Session) {
        self.denied.clear();
        if session.is_trusted() {
            return;
        }
        let (mut db, mut denied) = (session.db, Vec::with_capacity(self.len));
        for queued in self.iter() {
            let refused = session.caller_in(db).admit(queued.command, queued.args).err();
            if refused.is_none() {
                db = queued.database(db);
            }
            denied.push(refused);
        }
        self.denied = denied;
    }

    /// What forbids its request with this number, by [`Queue::check_again`].
    #[inline]
    pub(super) fn denied(&self, number: usize) -> Option<&Denied> {
        self.denied.get(number).and_then(Option::as_ref)
    }

    /// Forgets everything, and keeps the memory of one chunk.
    fn clear(&mut self) {
        self.chunks.truncate(1);
        self.chunks.retain(|chunk| !chunk.is_large());
        self.chunks.iter_mut().for_each(Chunk::clear);
        let chunks = std::mem::take(&mut self.chunks);
        let mut needs = std::mem::take(&mut self.needs);
        needs.clear();
        *self = Queue { chunks, needs, ..Queue::default() };
    }
}

impl Chunk {
    /// Request `at`.
    #[inline]
    pub fn get(&self, at: usize) -> Option<Queued<'_>> {
        let place = self.requests.get(at)?;
        let before = at.checked_sub(1).and_then(|before| self.requests.get(before));
        let (args_from, keys_from) = before.map_or((0, 0), |before| (before.args_end, before.keys_end));
        let args = self.args.as_args().part(args_from as usize..place.args_end as usize);
        let keys = self.hashes.get(keys_from as usize..place.keys_end as usize).unwrap_or_default();
        Some(Queued { command: place.command, args, keys })
    }

    fn push(&mut self, engine: &Engine, command: Command, args: Args<'_>) -> Queued<'_> {
        let args_from = self.args.len();
        self.args.extend(args);
        // A channel is no key: a transaction may name any.
        if !matches!(command.spec.body, Body::Free(_)) {
            let own = self.args.as_args().from(args_from);
            command.spec.hash_keys(engine, own, &mut self.hashes);
        }
        let keys_from = self.requests.last().map_or(0, |last| last.keys_end as usize);
        let (args_end, keys_end) = (self.args.len() as u32, self.hashes.len() as u32);
        self.requests.push(Place { command, args_end, keys_end });
        let keys = self.hashes.get(keys_from..).unwrap_or_default();
        Queued { command, args: self.args.as_args().from(args_from), keys }
    }

    fn is_full(&self) -> bool {
        self.args.bytes() >= CHUNK_BYTES || self.requests.len() >= CHUNK_REQUESTS
    }

    /// Whether its memory is more than is kept.
    fn is_large(&self) -> bool {
        self.args.heap_bytes() > 4 * CHUNK_BYTES
    }

    fn clear(&mut self) {
        self.args.clear();
        self.hashes.clear();
        self.requests.clear();
    }
}

impl Queued<'_> {
    /// The database of what stands behind it, where this has `db`.
    pub fn database(&self, db: Db) -> Db {
        match self.command.spec.name {
            "select" => self.args.opt(1).and_then(parse_i64).and_then(Db::new).unwrap_or(db),
            _ => db,
        }
    }
}

/// Forgets a queue; what is long is freed elsewhere.
pub fn forget(engine: &Engine, queue: Option<Box<Queue>>) {
    if let Some(queue) = queue.filter(|queue| queue.len() > FREED_AT_ONCE) {
        engine.free_elsewhere(queue);
    }
}

/// A queue is needed no more: the next transaction uses its memory.
pub(super) fn give_back(core: &mut Core, mut queue: Box<Queue>, last: Chunk) {
    if queue.len() > FREED_AT_ONCE {
        return core.handle.engine().free_elsewhere(queue);
    }
    if queue.chunks.is_empty() {
        queue.chunks.push_back(last);
    }
    queue.clear();
    core.spare_queue = Some(queue);
}
