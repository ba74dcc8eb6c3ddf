//! AUTH, and the check that HELLO shares with it.

use swell_engine::Fault;
use swell_engine::acl::DEFAULT_USER;
use swell_wire::{Args, Out};

use super::done;
use crate::error::ProxyError;
use crate::session::{Flow, SessionCx, note_refused};

pub fn auth(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let result = match args.len() {
        2 if cx.core.shared.access.users().default_user().takes_any_password() => Err(ProxyError::NoPasswordSet),
        2 => authenticate(cx, args, DEFAULT_USER, args.slice(1)),
        3 => authenticate(cx, args, args.slice(1), args.slice(2)),
        _ => Err(Fault::Syntax.into()),
    };
    done(result.map(|()| out.ok()), out)
}

/// Lets the client in if user and password fit. A failure takes nothing back. `args`: of the request that asks.
///
/// # Errors
/// [`ProxyError::WrongPassword`], which is also counted.
pub fn authenticate(cx: &mut SessionCx<'_>, args: Args<'_>, user: &[u8], password: &[u8]) -> Result<(), ProxyError> {
    let users = cx.core.shared.access.users();
    let Some(user) = users.authenticate(user, password) else {
        cx.core.counts.auth_failures += 1;
        note_refused(cx.core, cx.session, "auth", args.slice(0).to_vec(), user.to_vec());
        return Err(ProxyError::WrongPassword);
    };
    cx.session.log_in(user.clone());
    Ok(())
}
