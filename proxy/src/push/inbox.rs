//! What waits to be written to one client, and the inboxes of a worker's clients. Used on that worker's thread only.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use swell_wire::{Out, Proto};

use super::limits::{Class, Excess};
use super::message::{Bytes, Message};
use crate::shared::{Shared, unix_ms};

/// What a message in an inbox costs besides its bytes, which it may share with other inboxes: the limits count it.
const ENTRY_BYTES: u64 = 16;
/// So many messages are freed on a helper thread.
const FREED_AT_ONCE: usize = 4_096;
/// Bytes that are moved into the client's output at once.
const TAKEN_BYTES_MAX: usize = 1024 * 1024;

/// What one client is to be sent besides its replies.
pub struct Inbox {
    id: u64,
    shared: Arc<Shared>,
    proto: Cell<Proto>,
    class: Cell<Class>,
    queue: RefCell<VecDeque<Bytes>>,
    /// Bytes of the queue, as the limits count them.
    bytes: Cell<u64>,
    /// Bytes of replies that the socket has not taken.
    unsent: Cell<u64>,
    excess: Cell<Excess>,
    waker: RefCell<Option<Waker>>,
}

/// The inboxes of one worker's clients, by the clients' numbers.
#[derive(Debug, Default)]
pub struct Inboxes(HashMap<u64, Rc<Inbox>>);

impl Inbox {
    fn new(id: u64, shared: Arc<Shared>, proto: Proto) -> Inbox {
        Inbox {
            id,
            shared,
            proto: Cell::new(proto),
            class: Cell::new(Class::Normal),
            queue: RefCell::default(),
            bytes: Cell::new(0),
            unsent: Cell::new(0),
            excess: Cell::default(),
            waker: RefCell::default(),
        }
    }

    /// Whose it is.
    #[inline]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The version its client speaks.
    #[inline]
    pub fn proto(&self) -> Proto {
        self.proto.get()
    }

    /// The client speaks this version from now on; what waits already stays as it is.
    pub fn set_proto(&self, proto: Proto) {
        self.proto.set(proto);
    }

    /// Which limits hold for the client.
    pub fn class(&self) -> Class {
        self.class.get()
    }

    /// Other limits hold from now on.
    pub fn set_class(&self, class: Class) {
        self.class.set(class);
    }

    /// Adds a message, in the client's version, and wakes the client. A client over its limit gets nothing more: it ends.
    #[inline]
    pub fn push(&self, bytes: Bytes) {
        if self.excess.get().is_final() {
            return;
        }
        let mut queue = self.queue.borrow_mut();
        let was_empty = queue.is_empty();
        self.bytes.set(self.bytes.get() + bytes.len() as u64 + ENTRY_BYTES);
        queue.push_back(bytes);
        drop(queue);
        if was_empty {
            self.wake();
        }
        self.check();
    }

    /// The same from a message in both versions.
    pub fn push_message(&self, message: &Message) {
        self.push(message.bytes(self.proto()).clone());
    }

    /// Whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.get() == 0
    }

    /// Moves what waits to the end of `out`: everything, or a good part of very much.
    pub fn take(&self, out: &mut Out) {
        let (mut queue, before) = (self.queue.borrow_mut(), out.len());
        while out.len() - before < TAKEN_BYTES_MAX {
            let Some(bytes) = queue.pop_front() else { break };
            self.bytes.set(self.bytes.get() - bytes.len() as u64 - ENTRY_BYTES);
            out.raw_shared(&bytes);
        }
        if queue.is_empty() && queue.capacity() > 1024 {
            queue.shrink_to(64);
        }
    }

    /// Bytes that wait here and in the client's output.
    pub fn held_bytes(&self) -> u64 {
        self.bytes.get() + self.unsent.get()
    }

    /// So many bytes of the client's output the socket has not taken.
    pub fn set_unsent(&self, bytes: u64) {
        self.unsent.set(bytes);
    }

    /// Looks at the limits: some are about time.
    #[inline]
    pub fn check(&self) {
        let held = self.held_bytes();
        let limits = &self.shared.settings.output_limits;
        if self.excess.get() == Excess::None && !limits.is_over_any(self.class.get(), held) {
            return;
        }
        // Without a hard limit the client is not read while its replies are too many; what it has not asked for is bounded.
        let is_bounded = self.bytes.get() <= self.shared.settings.output_buffer_bytes_max();
        let excess = limits.judge(self.class.get(), held, is_bounded, self.excess.get(), unix_ms());
        self.excess.set(excess);
        if excess.is_final() {
            self.forget();
            self.bytes.set(0);
            self.wake();
        }
    }

    /// Forgets what waits: millions of messages are freed elsewhere.
    fn forget(&self) {
        let queue = self.queue.take();
        if queue.len() > FREED_AT_ONCE {
            self.shared.node.engine().free_elsewhere(Box::new(queue));
        }
    }

    /// Whether the client held more than it may: it has to end.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.excess.get().is_final()
    }

    /// Whom to wake.
    #[inline]
    pub fn listen(&self, waker: &Waker) {
        let mut known = self.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.forget();
    }
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").field("id", &self.id).field("bytes", &self.bytes.get()).finish_non_exhaustive()
    }
}

impl Inboxes {
    /// The inbox of a client of this worker, made if need be.
    pub fn open(&mut self, id: u64, shared: &Arc<Shared>, proto: Proto) -> Rc<Inbox> {
        self.0.entry(id).or_insert_with(|| Rc::new(Inbox::new(id, shared.clone(), proto))).clone()
    }

    /// The client has gone.
    pub fn close(&mut self, id: u64) {
        self.0.remove(&id);
    }

    /// The inbox of this client, if it has one.
    pub fn get(&self, id: u64) -> Option<&Rc<Inbox>> {
        self.0.get(&id)
    }

    /// Looks at everybody's limits.
    pub fn check(&self) {
        self.0.values().for_each(|inbox| inbox.check());
    }
}
