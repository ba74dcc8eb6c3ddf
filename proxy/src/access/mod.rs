//! Who may do what at this proxy: the users, compiled, and what was refused.
//!
//! Users are part of the cache state, so that every proxy has the same ones. A proxy begins with those that it was
//! configured with; from the first cache state on that has users, these hold.

pub mod change;
pub mod file;
pub mod log;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use swell_engine::acl::{User, Users};
use swell_ring::CacheState;

use crate::clients::Registry;
use crate::config::ProxyConfig;
use log::Log;

/// The entry of the cache state that has the users.
pub const USERS: &str = "users";

/// A file of users that the proxy was started with.
#[derive(Clone, Debug)]
pub struct AclFile {
    pub path: PathBuf,
    /// What it said then.
    pub users: Users,
}

/// Users and log of a proxy, shared by its workers. Sessions look at the generation once for each group of requests.
pub struct Access {
    users: ArcSwap<Users>,
    /// Counts the changes of `users`.
    generation: AtomicU64,
    path: Option<PathBuf>,
    /// What `requirepass` was set to here; the users have its hash.
    requirepass: Mutex<String>,
    /// What new users and selectors begin with (`acl-pubsub-default`).
    all_channels: AtomicBool,
    /// Clients whose own change of the users is under way.
    changing: Mutex<Vec<u64>>,
    pub log: Log,
}

impl Access {
    /// As configured.
    pub fn new(config: &ProxyConfig) -> Access {
        let requirepass = config.requirepass.clone().unwrap_or_default();
        let users = match &config.acl_file {
            Some(file) => file.users.clone(),
            None => Users::with_password(requirepass.as_bytes()),
        };
        Access {
            users: ArcSwap::from_pointee(users),
            generation: AtomicU64::new(1),
            path: config.acl_file.as_ref().map(|file| file.path.clone()),
            requirepass: Mutex::new(requirepass),
            all_channels: AtomicBool::new(false),
            changing: Mutex::default(),
            log: Log::default(),
        }
    }

    /// Changes with every change of the users.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// All users.
    pub fn users(&self) -> Arc<Users> {
        self.users.load_full()
    }

    /// Whether whoever comes needs no password.
    pub fn is_open(&self) -> bool {
        self.users.load().default_user().is_open()
    }

    /// The user who gives this password. A name that no user has stands for the default user: for doors where any name
    /// went before there were users (memcached, HTTP).
    pub fn let_in(&self, name: &[u8], password: &[u8]) -> Option<Arc<User>> {
        let users = self.users.load();
        let user = users.get(name).unwrap_or_else(|| users.default_user());
        user.lets_in(password).then(|| user.clone())
    }

    /// Where ACL SAVE and ACL LOAD write and read.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// What `requirepass` was set to here.
    pub fn requirepass(&self) -> MutexGuard<'_, String> {
        self.requirepass.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether new users and selectors begin with all channels.
    pub fn all_channels(&self) -> bool {
        self.all_channels.load(Ordering::Relaxed)
    }

    pub fn set_all_channels(&self, all: bool) {
        self.all_channels.store(all, Ordering::Relaxed);
    }

    /// These are the users from now on. Connections of users who are gone end; a client's whose own change this is ends
    /// when it has its answer. True: some may hear of other channels than before, see `pubsub::end_strangers`.
    #[must_use]
    pub fn replace(&self, users: Users, clients: &Registry) -> bool {
        if *self.users.load_full() == users {
            return false;
        }
        let before = self.users.swap(Arc::new(users));
        self.generation.fetch_add(1, Ordering::AcqRel);
        let users = self.users.load();
        let is_gone = |name: &[u8]| users.get(name).is_none();
        if before.iter().any(|user| is_gone(user.name())) {
            let changing = self.changing();
            for client in clients.list() {
                if is_gone(client.user().name()) && !changing.contains(&client.id) {
                    clients.kill(client.id);
                }
            }
        }
        before.iter().any(|user| users.get(user.name()).is_some_and(|now| !now.hears_as(user)))
    }

    /// Takes over the users of a cache state, if it has any. As [`Access::replace`].
    #[must_use]
    pub fn follow(&self, state: &CacheState, clients: &Registry) -> bool {
        let Some(entry) = state.entries.get(USERS) else { return false };
        match Users::from_entry(entry) {
            Ok(users) => self.replace(users, clients),
            Err(error) => {
                tracing::error!(%error, "users in the cache state that cannot be read");
                false
            }
        }
    }

    /// Spares a client while its own change is under way.
    fn begin_change(&self, client: u64) {
        self.changing().push(client);
    }

    fn end_change(&self, client: u64) {
        self.changing().retain(|known| *known != client);
    }

    fn changing(&self) -> MutexGuard<'_, Vec<u64>> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
