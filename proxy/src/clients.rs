//! Who is connected: what CLIENT LIST shows and CLIENT KILL ends. Written by the connection, read by anyone.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU16, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use swell_engine::waiters::{GaveUp, Waiter};

use swell_engine::acl::User;

/// Which port a client came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Resp,
    Memcached,
}

/// What is known of one client.
#[derive(Debug)]
pub struct ClientInfo {
    pub id: u64,
    pub door: Door,
    pub addr: SocketAddr,
    pub laddr: SocketAddr,
    pub connected_at_ms: u64,
    pub fd: i32,
    /// The worker that serves it.
    pub worker: AtomicUsize,
    /// Bytes that other threads have sent it and its worker has not taken.
    pub mail_bytes: AtomicU64,
    /// Channels, patterns and shard channels that it has subscribed to.
    pub subscriptions: [AtomicU64; 3],
    pub last_active_ms: AtomicU64,
    pub db: AtomicU8,
    pub resp: AtomicU8,
    /// Number of the last command; `u16::MAX`: none yet.
    pub last_command: AtomicU16,
    /// Requests queued by MULTI; -1 outside.
    pub multi: AtomicI64,
    /// Whom invalidations go to (CLIENT TRACKING): -1: it keeps no copies; 0: itself.
    pub redirect: AtomicI64,
    /// It keeps copies of all keys with its prefixes.
    pub tracks_prefixes: AtomicBool,
    /// Whom they were to go to is gone.
    pub tracking_broken: AtomicBool,
    /// Keys watched.
    pub watch: AtomicU64,
    pub query_buffer_bytes: AtomicU64,
    pub output_bytes: AtomicU64,
    pub no_evict: AtomicBool,
    pub no_touch: AtomicBool,
    pub killed: AtomicBool,
    /// CLIENT PAUSE holds its request back.
    pub paused: AtomicBool,
    /// It is shown every command.
    pub monitors: AtomicBool,
    /// It said so by CLIENT CAPA.
    pub can_redirect: AtomicBool,
    pub bytes_in: AtomicU64,
    pub bytes_out: AtomicU64,
    pub commands: AtomicU64,
    names: Mutex<Names>,
    /// Who it is, as of its last request.
    user: Mutex<Arc<User>>,
    wait: Mutex<Option<Wait>>,
}

/// What a client that waits can be reached by.
#[derive(Debug)]
struct Wait {
    /// Wakes its connection.
    waker: Waker,
    /// Its request, where that waits at the node in this process.
    waiter: Option<Arc<Waiter>>,
    /// What CLIENT UNBLOCK wants, until its connection comes round to it.
    ended: Option<GaveUp>,
}

/// The names a client gave itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub name: String,
    pub lib_name: String,
    pub lib_version: String,
}

/// All clients of a proxy.
#[derive(Debug, Default)]
pub struct Registry {
    next_id: AtomicU64,
    clients: Mutex<BTreeMap<u64, Arc<ClientInfo>>>,
}

impl ClientInfo {
    /// Whether it has subscribed to anything.
    pub fn is_subscribed(&self) -> bool {
        self.subscriptions.iter().any(|count| count.load(Relaxed) > 0)
    }

    /// The names it gave itself.
    pub fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who it is.
    pub fn user(&self) -> Arc<User> {
        self.user.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It is somebody else now, or may do something else.
    pub fn set_user(&self, user: Arc<User>) {
        *self.user.lock().unwrap_or_else(PoisonError::into_inner) = user;
    }

    /// Whether it waits for what is not there (BLPOP and its like).
    pub fn is_blocked(&self) -> bool {
        self.wait().is_some()
    }

    /// It waits; `waker` wakes its connection, `waiter` is its request, where that is in this process.
    pub fn block(&self, waker: &Waker, waiter: Option<&Arc<Waiter>>) {
        let mut wait = self.wait();
        let ended = wait.as_ref().and_then(|wait| wait.ended);
        *wait = Some(Wait { waker: waker.clone(), waiter: waiter.cloned(), ended });
    }

    /// It waits no longer.
    pub fn unblocked(&self) {
        *self.wait() = None;
    }

    /// Ends its wait (CLIENT UNBLOCK); says whether there was one that did not have its end already, as far as is known
    /// here: one at another process may have got its answer a moment ago, and reads that.
    pub fn unblock(&self, how: GaveUp) -> bool {
        let mut guard = self.wait();
        let Some(wait) = guard.as_mut().filter(|wait| wait.ended.is_none()) else { return false };
        if let Some(waiter) = &wait.waiter {
            return waiter.give_up(how);
        }
        wait.ended = Some(how);
        let waker = wait.waker.clone();
        drop(guard);
        waker.wake();
        true
    }

    /// What CLIENT UNBLOCK has asked for.
    pub fn is_unblocked(&self) -> Option<GaveUp> {
        self.wait().as_ref()?.ended
    }

    fn wait(&self) -> MutexGuard<'_, Option<Wait>> {
        self.wait.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new(
        id: u64,
        door: Door,
        user: Arc<User>,
        addr: SocketAddr,
        laddr: SocketAddr,
        fd: i32,
        now_ms: u64,
    ) -> ClientInfo {
        ClientInfo {
            id,
            door,
            addr,
            laddr,
            connected_at_ms: now_ms,
            fd,
            worker: AtomicUsize::new(0),
            mail_bytes: AtomicU64::new(0),
            subscriptions: Default::default(),
            last_active_ms: AtomicU64::new(now_ms),
            db: AtomicU8::new(0),
            resp: AtomicU8::new(2),
            last_command: AtomicU16::new(u16::MAX),
            multi: AtomicI64::new(-1),
            redirect: AtomicI64::new(-1),
            tracks_prefixes: AtomicBool::new(false),
            tracking_broken: AtomicBool::new(false),
            watch: AtomicU64::new(0),
            query_buffer_bytes: AtomicU64::new(0),
            output_bytes: AtomicU64::new(0),
            no_evict: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
            killed: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            monitors: AtomicBool::new(false),
            can_redirect: AtomicBool::new(false),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            names: Mutex::default(),
            user: Mutex::new(user),
            wait: Mutex::default(),
        }
    }

    /// Of a script that calls a command for this user: no connection, and in no list.
    pub fn of_script(user: Arc<User>) -> ClientInfo {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        ClientInfo::new(0, Door::Resp, user, nowhere, nowhere, -1, 0)
    }
}

impl Registry {
    /// Nobody is connected; ids follow this number.
    pub fn starting_at(first: u64) -> Registry {
        Registry { next_id: AtomicU64::new(first), ..Registry::default() }
    }

    /// Adds a client and gives it an id; ids only grow.
    pub fn add(
        &self,
        door: Door,
        user: Arc<User>,
        addr: SocketAddr,
        laddr: SocketAddr,
        fd: i32,
        now_ms: u64,
    ) -> Arc<ClientInfo> {
        let id = self.next_id.fetch_add(1, Relaxed) + 1;
        let info = Arc::new(ClientInfo::new(id, door, user, addr, laddr, fd, now_ms));
        self.lock().insert(info.id, info.clone());
        info
    }

    /// Removes a client. Must happen before its socket is closed: see [`Registry::kill`].
    pub fn remove(&self, id: u64) {
        self.lock().remove(&id);
    }

    /// A client by its id.
    pub fn get(&self, id: u64) -> Option<Arc<ClientInfo>> {
        self.lock().get(&id).cloned()
    }

    /// All clients, by id.
    pub fn list(&self) -> Vec<Arc<ClientInfo>> {
        self.lock().values().cloned().collect()
    }

    /// Number of clients.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nobody is connected.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends a client's connection: its socket reads as closed. Says whether the client was there.
    pub fn kill(&self, id: u64) -> bool {
        let clients = self.lock();
        let Some(info) = clients.get(&id) else { return false };
        info.killed.store(true, Relaxed);
        // The client is in the map, and leaves it before its socket is closed: the descriptor is still its own.
        shut_down(info.fd, libc::SHUT_RDWR);
        true
    }

    /// Stops reading from everybody: what has arrived is still served, then connections end.
    pub fn stop_reading(&self) {
        self.lock().values().for_each(|info| shut_down(info.fd, libc::SHUT_RD));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<ClientInfo>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address as people write it: IPv4 as such, though the socket is one of IPv6.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn shut_down(fd: i32, how: i32) {
    // SAFETY: a system call on a descriptor that the caller knows to be open; failing is harmless.
    unsafe { libc::shutdown(fd, how) };
}
