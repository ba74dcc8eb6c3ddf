//! Who may run what: the only way from a parsed request to one that runs.

use swell_wire::Args;

use crate::exec::{Call, Context};
use crate::key::KeyHash;
use crate::spec::{Flags, Spec};

/// The client behind a request, as far as permission goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Whether it has given the password, or none is set.
    pub authenticated: bool,
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
}

impl Caller {
    /// Checks authentication, then arity: who has not authenticated learns nothing of the commands (Valkey's order).
    #[inline]
    pub fn admit<'buf>(&self, spec: &'static Spec, args: Args<'buf>) -> Result<Admitted<'buf>, Denied> {
        if !self.authenticated && !spec.flags.has(Flags::NO_AUTH) {
            return Err(Denied::Unauthenticated);
        }
        if !spec.arity_fits(args.len()) {
            return Err(Denied::Arity(spec.name));
        }
        Ok(Admitted { spec, args })
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
