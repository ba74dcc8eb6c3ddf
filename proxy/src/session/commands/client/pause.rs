//! CLIENT PAUSE, UNPAUSE, CAPA, IMPORT-SOURCE.

use swell_engine::number::parse_i64;
use swell_wire::{Args, Out};

use crate::error::ProxyError;
use crate::others::{self, Question};
use crate::pause::Paused;
use crate::session::commands::done;
use crate::session::{Flow, SessionCx};

/// A pause on top of another ends no earlier than that one, and is of the stronger kind while both hold.
pub fn pause(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let (ms, paused) = match parse(args) {
        Ok(parsed) => parsed,
        Err(error) => return done(Err(error), out),
    };
    let until_ms = cx.core.now_ms.saturating_add(ms);
    let question = || Question::Pause { until_ms, all: paused == Paused::All };
    if let Err(flow) = others::ask(cx, args, out, question) {
        return flow;
    }
    cx.core.shared.pause.begin(until_ms, paused, cx.core.now_ms);
    cx.core.shared.pausing_has_changed();
    out.ok();
    Flow::Done
}

pub fn unpause(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    if let Err(flow) = others::ask(cx, args, out, || Question::Unpause) {
        return flow;
    }
    cx.core.shared.pause.end();
    cx.core.shared.pausing_has_changed();
    out.ok();
    Flow::Done
}

/// Nothing here depends on what a client is capable of: words that are not known are let pass, as in Valkey.
pub fn capa(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    if args.from(2).iter().any(|word| word.eq_ignore_ascii_case(b"redirect")) {
        cx.session.info.can_redirect.store(true, std::sync::atomic::Ordering::Relaxed);
    }
    out.ok();
    Flow::Done
}

/// There is no import mode (`import-mode no`): only OFF is true.
pub fn import_source(_: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    match args.slice(2).eq_ignore_ascii_case(b"off") {
        true => out.ok(),
        false => return done(Err(ProxyError::NotImporting), out),
    }
    Flow::Done
}

fn parse(args: Args<'_>) -> Result<(u64, Paused), ProxyError> {
    let paused = match args.opt(3) {
        None => Paused::All,
        Some(word) if word.eq_ignore_ascii_case(b"all") => Paused::All,
        Some(word) if word.eq_ignore_ascii_case(b"write") => Paused::Write,
        Some(_) => return Err(ProxyError::BadPauseMode),
    };
    let ms = parse_i64(args.slice(2)).ok_or(ProxyError::BadTimeout)?;
    Ok((u64::try_from(ms).map_err(|_| ProxyError::NegativeTimeout)?, paused))
}
