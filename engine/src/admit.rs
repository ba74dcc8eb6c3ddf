//! Who may run what: the only way from a parsed request to one that runs.

use swell_wire::Args;

use crate::acl::{self, User};
use crate::commands::table::Command;
use crate::exec::{Call, Context};
use crate::key::{Db, KeyHash};
use crate::spec::{Flags, Spec};

/// The client behind a request, as far as permission goes.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'u> {
    /// Nothing is forbidden: authenticated, as a user who may do everything. Then nothing else is looked at.
    is_trusted: bool,
    is_authenticated: bool,
    /// Nobody: not a client's request.
    user: Option<&'u User>,
    db: Db,
}

/// A request that has passed. Nothing below the proxy accepts a bare one.
#[derive(Clone, Copy, Debug)]
pub struct Admitted<'buf> {
    spec: &'static Spec,
    args: Args<'buf>,
}

/// Why a request has not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error("NOAUTH Authentication required.")]
    Unauthenticated,
    #[error("ERR wrong number of arguments for '{0}' command")]
    Arity(&'static str),
    #[error("NOPERM User {user} has no permissions to run the '{name}' command")]
    Command { user: String, name: &'static str },
    /// The key at this argument.
    #[error("NOPERM No permissions to access a key")]
    Key(usize),
    /// The channel at this argument.
    #[error("NOPERM No permissions to access a channel")]
    Channel(usize),
    /// The database at this argument; 0: the selected one.
    #[error("NOPERM No permissions to access database")]
    Database(usize),
    /// A pattern of SORT, which may reach any key.
    #[error("ERR {0} option of SORT denied due to insufficient ACL permissions.")]
    SortPattern(&'static str),
}

impl<'u> Caller<'u> {
    /// A client that is `user`, with `db` selected. `is_authenticated`: whether it has given a password, or needs none.
    #[inline]
    pub fn new(user: &'u User, is_authenticated: bool, db: Db) -> Caller<'u> {
        Caller { is_trusted: is_authenticated && user.is_unrestricted(), is_authenticated, user: Some(user), db }
    }

    /// Swell itself.
    pub fn trusted() -> Caller<'static> {
        Caller { is_trusted: true, is_authenticated: true, user: None, db: Db::default() }
    }

    /// Checks authentication, then arity, then what the user may do: who has not authenticated learns nothing of the
    /// commands (Valkey's order).
    ///
    /// # Errors
    /// What stands in the way.
    #[inline]
    pub fn admit<'buf>(&self, command: Command, args: Args<'buf>) -> Result<Admitted<'buf>, Denied> {
        let spec = command.spec;
        if !self.is_trusted {
            self.check(command, args)?;
        }
        if !spec.arity_fits(args.len()) {
            return Err(Denied::Arity(spec.name));
        }
        Ok(Admitted { spec, args })
    }

    #[cold]
    #[inline(never)]
    fn check(&self, command: Command, args: Args<'_>) -> Result<(), Denied> {
        if !self.is_authenticated && !command.spec.flags.has(Flags::NO_AUTH) {
            return Err(Denied::Unauthenticated);
        }
        // A call that makes no sense is refused as such.
        match self.user.filter(|_| command.spec.arity_fits(args.len())) {
            Some(user) => {
                acl::check(user, self.db, command, args).and_then(|()| acl::check_sort(user, self.db, command, args))
            }
            None => Ok(()),
        }
    }
}

impl Denied {
    /// What was forbidden, as ACL LOG calls it. Nothing: it is no matter of permission.
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Denied::Unauthenticated | Denied::Arity(_) | Denied::SortPattern(_) => None,
            Denied::Command { .. } => Some("command"),
            Denied::Key(_) => Some("key"),
            Denied::Channel(_) => Some("channel"),
            Denied::Database(_) => Some("database"),
        }
    }

    /// The command, key, channel or database that it is about.
    pub fn object<'a>(&self, args: Args<'a>) -> std::borrow::Cow<'a, [u8]> {
        match self {
            Denied::Key(at) | Denied::Channel(at) | Denied::Database(at) if *at < args.len() => {
                args.get(*at).to_bytes()
            }
            Denied::Command { name, .. } | Denied::Arity(name) => name.as_bytes().into(),
            _ => b"".as_slice().into(),
        }
    }

    /// What a command of a transaction answers that may not run any more.
    pub fn in_exec(&self) -> String {
        let reason = match self {
            Denied::Command { .. } => "no permission to execute the command or subcommand",
            Denied::Key(_) => "no permission to touch the specified keys",
            Denied::Channel(_) => "no permission to access one of the channels used as arguments",
            _ => "no permission",
        };
        format!(
            "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command \
             is no longer allowed for the following reason: {reason}"
        )
    }

    /// What ACL DRYRUN says of this user.
    pub fn in_dryrun(&self, user: &str, args: Args<'_>) -> Vec<u8> {
        let object = self.object(args);
        let (before, after): (&str, &str) = match self {
            Denied::Command { .. } => ("run the '", "' command"),
            Denied::Key(_) => ("access the '", "' key"),
            Denied::Channel(_) => ("access the '", "' channel"),
            Denied::Database(_) => ("access database ", ""),
            Denied::Unauthenticated | Denied::Arity(_) | Denied::SortPattern(_) => {
                return self.to_string().into_bytes();
            }
        };
        let mut text = format!("User {user} has no permissions to {before}").into_bytes();
        text.extend_from_slice(&object);
        text.extend_from_slice(after.as_bytes());
        text
    }
}

impl<'buf> Admitted<'buf> {
    /// The call of it. `keys`: hashed by [`Spec::hash_keys`] from these arguments.
    #[inline]
    pub fn call(self, keys: &'buf [KeyHash], context: Context) -> Call<'buf> {
        Call { spec: self.spec, args: self.args, keys, context }
    }

    /// A request from a frame that the cluster's secret vouches for: its proxy has admitted it.
    pub fn from_link(spec: &'static Spec, args: Args<'buf>) -> Admitted<'buf> {
        Admitted { spec, args }
    }
}
