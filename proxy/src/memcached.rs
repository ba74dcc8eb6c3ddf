//! What is particular to memcached clients: authentication on a port that has only text, and items over the limit.

use swell_wire::{Args, Out};

use crate::core::Core;
use crate::session::{Flow, Session};

/// A client that has not authenticated sends `set KEY FLAGS EXPTIME BYTES` with "user password" as its data
/// (memcached's ascii authentication); anything else is refused.
pub fn authenticate(core: &mut Core, session: &mut Session, args: Args<'_>, out: &mut Out) -> Flow {
    if !args.slice(0).eq_ignore_ascii_case(b"set") || args.len() != 6 {
        out.raw(b"CLIENT_ERROR unauthenticated\r\n");
        return Flow::Done;
    }
    let data = args.slice(5);
    let password = data.splitn(2, |byte| *byte == b' ').nth(1).unwrap_or(b"");
    if core.shared.settings.is_password(password) {
        session.authenticated = true;
        out.raw(b"STORED\r\n");
    } else {
        core.counts.auth_failures += 1;
        out.raw(b"CLIENT_ERROR authentication failure\r\n");
    }
    Flow::Done
}

/// An item over the limit: refused, and a `set` removes the old item, lest a client read what it meant to replace.
pub fn too_large(core: &mut Core, session: &mut Session, args: Args<'_>, out: &mut Out) -> Flow {
    out.raw(b"SERVER_ERROR object too large for cache\r\n");
    core.counts.error(b"SERVER_ERROR");
    if !session.authenticated || !args.slice(0).eq_ignore_ascii_case(b"set") || args.len() < 2 {
        return Flow::Done;
    }
    let Some(delete) = session.table().by_name(b"delete") else { return Flow::Done };
    let mut delete_args = swell_wire::OwnedArgs::default();
    delete_args.push(b"delete");
    delete_args.push(args.slice(1));
    let mut ignored = Out::new(session.proto);
    match crate::session::run_engine(core, session, delete, delete_args.as_args(), None, &mut ignored) {
        Flow::Done => Flow::Done,
        late => late,
    }
}
