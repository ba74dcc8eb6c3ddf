//! CLIENT PAUSE, UNPAUSE, CAPA, IMPORT-SOURCE.

use swell_engine::number::parse_i64;
use swell_wire::{Args, Out};

use crate::error::ProxyError;
use crate::pause::Paused;
use crate::session::commands::done;
use crate::session::{Flow, SessionCx};

/// A pause on top of another ends no earlier than that one, and is of the stronger kind while both hold.
pub fn pause(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let result = parse(args).map(|(ms, paused)| {
        cx.core.shared.pause.begin(cx.core.now_ms.saturating_add(ms), paused, cx.core.now_ms);
        cx.core.shared.pausing_has_changed();
        out.ok();
    });
    done(result, out)
}

pub fn unpause(cx: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
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
