//! CLIENT REPLY, CLIENT NO-EVICT, CLIENT NO-TOUCH.

use std::sync::atomic::Ordering::Relaxed;

use swell_engine::Fault;
use swell_wire::{Args, Out};

use crate::error::ProxyError;
use crate::session::commands::done;
use crate::session::{Flow, ReplyMode, SessionCx};

/// ON is answered, OFF and SKIP are not.
pub fn reply(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let (session, word) = (&mut *cx.session, args.slice(2));
    if word.eq_ignore_ascii_case(b"ON") {
        session.reply = ReplyMode::On;
        out.ok();
    } else if word.eq_ignore_ascii_case(b"OFF") {
        session.reply = ReplyMode::Off;
    } else if word.eq_ignore_ascii_case(b"SKIP") {
        if session.reply != ReplyMode::Off {
            session.reply = ReplyMode::SkipNext;
        }
    } else {
        return done(Err(Fault::Syntax.into()), out);
    }
    Flow::Done
}

/// Kept for the list; clients are not closed to save memory here.
pub fn no_evict(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let result = on_or_off(args.slice(2)).map(|on| {
        cx.session.info.no_evict.store(on, Relaxed);
        out.ok();
    });
    done(result, out)
}

pub fn no_touch(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let result = on_or_off(args.slice(2)).map(|on| {
        cx.session.no_touch = on;
        cx.session.show();
        out.ok();
    });
    done(result, out)
}

fn on_or_off(word: &[u8]) -> Result<bool, ProxyError> {
    if word.eq_ignore_ascii_case(b"ON") {
        Ok(true)
    } else if word.eq_ignore_ascii_case(b"OFF") {
        Ok(false)
    } else {
        Err(Fault::Syntax.into())
    }
}
