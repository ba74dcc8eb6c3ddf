//! A user: who it is, how it proves that, what it may do.

use super::password::PasswordHash;
use super::selector::Selector;

/// One user, compiled. Changes are made on a copy, which then replaces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub(super) name: Box<[u8]>,
    pub(super) is_on: bool,
    /// Any password will do.
    pub(super) no_password: bool,
    pub(super) passwords: Vec<PasswordHash>,
    pub(super) root: Selector,
    /// Further ones: what any of them allows is allowed.
    pub(super) selectors: Vec<Selector>,
    /// Nothing is forbidden.
    unrestricted: bool,
}

impl User {
    /// One that is off and may do nothing.
    pub fn new(name: &[u8], all_channels: bool) -> User {
        User {
            name: name.into(),
            is_on: false,
            no_password: false,
            passwords: Vec::new(),
            root: Selector::new(all_channels),
            selectors: Vec::new(),
            unrestricted: false,
        }
    }

    /// The default user of a new server: on, without a password, may do everything.
    pub fn default_user() -> User {
        let mut user = User::new(super::DEFAULT_USER, true);
        (user.is_on, user.no_password) = (true, true);
        user.root.set_all_commands(true);
        user.root.keys = super::patterns::Keys::All;
        user.compile();
        user
    }

    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Whether it may do everything: then nothing else has to be asked.
    #[inline]
    pub fn is_unrestricted(&self) -> bool {
        self.unrestricted
    }

    /// Whether it may authenticate.
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// Whether it takes any password.
    pub fn takes_any_password(&self) -> bool {
        self.no_password
    }

    /// Whether whoever comes is this user without a word (where it is the default user).
    pub fn is_open(&self) -> bool {
        self.is_on && self.no_password
    }

    /// Whether this is one of its passwords, and it is on. Every password is compared, whichever fits.
    pub fn lets_in(&self, password: &[u8]) -> bool {
        let given = PasswordHash::of(password);
        let fits = self.passwords.iter().fold(false, |fits, known| known.is(&given) | fits);
        self.is_on && (fits || self.no_password)
    }

    /// Whether both may hear of the same channels.
    pub fn hears_as(&self, other: &User) -> bool {
        self.each_selector()
            .map(|selector| &selector.channels)
            .eq(other.each_selector().map(|selector| &selector.channels))
    }

    /// Whether it may look at how the cache is: what INFO tells, and pages that tell as much.
    pub fn may_look(&self) -> bool {
        let info = crate::commands::table::tables().resp.by_name(b"info");
        self.unrestricted || info.is_some_and(|info| self.each_selector().any(|selector| selector.may_call(info, None)))
    }

    /// Its only password from now on; an empty one: any will do (`requirepass`).
    pub fn set_password(&mut self, password: &[u8]) {
        self.no_password = password.is_empty();
        self.passwords = if password.is_empty() { Vec::new() } else { vec![PasswordHash::of(password)] };
    }

    /// Selectors in the order in which they are asked.
    #[inline]
    pub(super) fn each_selector(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.root).chain(&self.selectors)
    }

    /// Notes what follows from its rules. After every change.
    pub(super) fn compile(&mut self) {
        let unrestricted = self.each_selector().any(Selector::is_unrestricted);
        self.unrestricted = unrestricted;
    }
}
