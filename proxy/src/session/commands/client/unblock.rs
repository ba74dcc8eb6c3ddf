//! CLIENT UNBLOCK.

use swell_engine::Fault;
use swell_engine::number::parse_i64;
use swell_engine::waiters::GaveUp;
use swell_wire::{Args, Out};

use crate::error::ProxyError;
use crate::others::{self, Question};
use crate::session::commands::done;
use crate::session::{Flow, SessionCx};

/// Answers whether the client was waiting for what is not there.
pub fn unblock(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let (id, how) = match parse(args) {
        Ok(parsed) => parsed,
        Err(error) => return done(Err(error), out),
    };
    let Ok(id) = u64::try_from(id) else {
        out.int(0);
        return Flow::Done;
    };
    if let Some(info) = cx.core.shared.clients.get(id) {
        out.int(i64::from(info.unblock(how)));
        return Flow::Done;
    }
    match others::ask(cx, args, out, || Question::Unblock { id, error: how == GaveUp::Error }) {
        Ok(told) => out.int(others::sum(&told)),
        Err(flow) => return flow,
    }
    Flow::Done
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
