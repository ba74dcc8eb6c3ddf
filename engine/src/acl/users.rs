//! All users of a cache, by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::user::User;
use super::words::RuleError;

/// Whoever has not said who it is.
pub const DEFAULT_USER: &[u8] = b"default";
/// Bytes of all users' lines: they are one entry of the cache state, which goes over links in one frame.
pub const USERS_BYTES_MAX: usize = 512 * 1024;

/// All users. Cheap to copy; a change is made on a copy, which then replaces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Users {
    by_name: BTreeMap<Box<[u8]>, Arc<User>>,
    /// Always there.
    default: Arc<User>,
}

impl Default for Users {
    fn default() -> Users {
        let default = Arc::new(User::default_user());
        Users { by_name: BTreeMap::from([(DEFAULT_USER.into(), default.clone())]), default }
    }
}

impl Users {
    /// With this password for the default user; an empty one: it needs none.
    pub fn with_password(password: &[u8]) -> Users {
        let mut users = Users::default();
        users.set_default_password(password);
        users
    }

    /// Whoever has not said who it is.
    #[inline]
    pub fn default_user(&self) -> &Arc<User> {
        &self.default
    }

    /// The user with this name.
    pub fn get(&self, name: &[u8]) -> Option<&Arc<User>> {
        self.by_name.get(name)
    }

    /// All users, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<User>> {
        self.by_name.values()
    }

    /// The user with this name, if the password is one of its own.
    pub fn authenticate(&self, name: &[u8], password: &[u8]) -> Option<&Arc<User>> {
        self.get(name).filter(|user| user.lets_in(password))
    }

    /// Changes a user, or makes one. `all_channels`: what new ones begin with.
    ///
    /// # Errors
    /// A rule that does not fit; then nothing has changed.
    pub fn set<W: AsRef<[u8]>>(&mut self, name: &[u8], words: &[W], all_channels: bool) -> Result<(), RuleError> {
        let user = match self.get(name) {
            Some(user) => user.changed(words, all_channels)?,
            None => User::new(name, all_channels).changed(words, all_channels)?,
        };
        self.put(user);
        Ok(())
    }

    /// Takes a user away. False: there is none; the default user stays.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        name != DEFAULT_USER && self.by_name.remove(name).is_some()
    }

    /// The default user's only password; an empty one: it needs none.
    pub fn set_default_password(&mut self, password: &[u8]) {
        let mut user = User::clone(&self.default);
        user.set_password(password);
        self.put(user);
    }

    /// Whether a user may be called so.
    pub fn is_name(name: &[u8]) -> bool {
        !super::words::has_spaces(name)
    }

    pub(super) fn put(&mut self, user: User) {
        let user = Arc::new(user);
        if user.name() == DEFAULT_USER {
            self.default = user.clone();
        }
        self.by_name.insert(user.name().into(), user);
    }
}
