//! CLIENT TRACKING, CLIENT CACHING, CLIENT TRACKINGINFO, CLIENT GETREDIR.

use swell_engine::Fault;
use swell_wire::{Args, Out};

use crate::error::ProxyError;
use crate::pubsub;
use crate::session::commands::done;
use crate::session::{Flow, Late, SessionCx};
use crate::tracking::{Caching, Mode, Options};

/// With prefixes the answer waits until all nodes know them.
pub fn tracking(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let before = cx.session.tracked().map(|tracked| tracked.options().clone());
    let clients = &cx.core.shared.clients;
    let options = match Options::read(args, before.as_ref(), |id| clients.get(id).is_some()) {
        Ok(options) => options,
        Err(error) => return done(Err(error), out),
    };
    let Some(options) = options else {
        cx.session.stop_tracking(cx.core);
        out.ok();
        return Flow::Done;
    };
    if options.prefixes.iter().any(|prefix| prefix.len() > pubsub::NAME_BYTES_MAX) {
        return done(Err(ProxyError::TrackingPrefixTooLong(pubsub::NAME_BYTES_MAX)), out);
    }
    let has_prefixes = cx.session.start_tracking(cx.core, options);
    let mark = out.mark();
    out.ok();
    if !has_prefixes {
        return Flow::Done;
    }
    if cx.session.in_exec {
        pubsub::tell(cx.core);
        cx.session.is_telling = true;
        return Flow::Done;
    }
    match pubsub::untold(cx.core) {
        Some(version) => Flow::Late(Late::Told(version, out.split_off(mark))),
        None => Flow::Done,
    }
}

pub fn caching(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let mode = cx.session.tracked().map(|tracked| tracked.options().mode);
    let word = args.slice(2);
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    let result = match mode {
        None => Err(ProxyError::CachingWithoutTracking),
        Some(Mode::OptIn) if is("YES") => Ok(Caching::Yes),
        Some(Mode::OptOut) if is("NO") => Ok(Caching::No),
        Some(_) if is("YES") => Err(ProxyError::CachingYesWithoutOptIn),
        Some(_) if is("NO") => Err(ProxyError::CachingNoWithoutOptOut),
        Some(_) => Err(Fault::Syntax.into()),
    };
    let result = result.map(|caching| {
        cx.session.set_caching(Some(caching));
        out.ok();
    });
    done(result, out)
}

/// Whom invalidations go to: -1 without tracking, 0 for the client itself.
pub fn get_redir(cx: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    out.int(cx.session.tracked().map_or(-1, |tracked| tracked.options().redirect as i64));
    Flow::Done
}

pub fn tracking_info(cx: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    let (caching, tracked) = (cx.session.caching(), cx.session.tracked());
    let flags = match tracked {
        None => vec!["off"],
        Some(tracked) => {
            let options = tracked.options();
            let shown = [
                ("on", true),
                ("bcast", options.mode == Mode::Broadcast),
                ("optin", options.mode == Mode::OptIn),
                ("caching-yes", caching == Some(Caching::Yes)),
                ("optout", options.mode == Mode::OptOut),
                ("caching-no", caching == Some(Caching::No)),
                ("noloop", options.noloop),
                ("broken_redirect", tracked.is_broken()),
            ];
            shown.into_iter().filter(|(_, holds)| *holds).map(|(flag, _)| flag).collect()
        }
    };
    out.map(3);
    out.bulk(b"flags");
    out.set(flags.len());
    flags.iter().for_each(|flag| out.bulk(flag.as_bytes()));
    out.bulk(b"redirect");
    out.int(tracked.map_or(-1, |tracked| tracked.options().redirect as i64));
    out.bulk(b"prefixes");
    let prefixes = tracked.map_or(&[][..], |tracked| &tracked.options().prefixes);
    out.array(prefixes.len());
    prefixes.iter().for_each(|prefix| out.bulk(prefix));
    Flow::Done
}
