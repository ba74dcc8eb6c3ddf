//! AUTH, and the check that HELLO shares with it.

use swell_engine::Fault;
use swell_wire::{Args, Out};

use super::done;
use crate::error::ProxyError;
use crate::session::{Flow, SessionCx};

/// The only user there is.
pub const DEFAULT_USER: &str = "default";

pub fn auth(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let result = match args.len() {
        2 if cx.core.shared.settings.password().is_none() => Err(ProxyError::NoPasswordSet),
        2 => authenticate(cx, DEFAULT_USER.as_bytes(), args.slice(1)),
        3 => authenticate(cx, args.slice(1), args.slice(2)),
        _ => Err(Fault::Syntax.into()),
    };
    done(result.map(|()| out.ok()), out)
}

/// Lets the client in if user and password fit. Without a password set, any will do. A failure takes nothing back.
///
/// # Errors
/// [`ProxyError::WrongPassword`], which is also counted.
pub fn authenticate(cx: &mut SessionCx<'_>, user: &[u8], password: &[u8]) -> Result<(), ProxyError> {
    let settings = &cx.core.shared.settings;
    let fits = settings.password().is_none() || settings.is_password(password);
    if user != DEFAULT_USER.as_bytes() || !fits {
        cx.core.counts.auth_failures += 1;
        return Err(ProxyError::WrongPassword);
    }
    cx.session.authenticated = true;
    Ok(())
}
