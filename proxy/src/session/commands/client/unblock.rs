//! CLIENT UNBLOCK.

use swell_engine::Fault;
use swell_engine::number::parse_i64;
use swell_engine::waiters::GaveUp;
use swell_wire::{Args, Out};

use crate::error::ProxyError;
use crate::session::commands::done;
use crate::session::{Flow, SessionCx};

/// Answers whether the client was waiting for what is not there.
pub fn unblock(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let result = parse(args).map(|(id, how)| {
        let info = u64::try_from(id).ok().and_then(|id| cx.core.shared.clients.get(id));
        out.int(i64::from(info.is_some_and(|info| info.unblock(how))));
    });
    done(result, out)
}

/// The reason is judged first. What stands behind it is not looked at.
fn parse(args: Args<'_>) -> Result<(i64, GaveUp), ProxyError> {
    let how = match args.opt(3) {
        None => GaveUp::Timeout,
        Some(word) if word.eq_ignore_ascii_case(b"timeout") => GaveUp::Timeout,
        Some(word) if word.eq_ignore_ascii_case(b"error") => GaveUp::Error,
        Some(_) => return Err(ProxyError::UnblockReason),
    };
    Ok((parse_i64(args.slice(2)).ok_or(Fault::NotInteger)?, how))
}
