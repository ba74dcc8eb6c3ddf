//! CLIENT KILL.

use std::sync::atomic::Ordering::Relaxed;

use swell_wire::{Args, Out};

use super::filter::Filter;
use crate::error::ProxyError;
use crate::others::{self, Question};
use crate::session::commands::done;
use crate::session::{Flow, SessionCx};

/// With one argument an address, answered by OK; else options, answered by how many connections it ended.
pub fn kill(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let users = cx.core.shared.access.users();
    if args.len() > 3
        && let Err(error) = Filter::parse(args, 2).and_then(|filter| filter.known_to(&users))
    {
        return done(Err(error), out);
    }
    let elsewhere = match others::ask(cx, args, out, || Question::Kill(args.iter().map(<[u8]>::to_vec).collect())) {
        Ok(told) => others::sum(&told),
        Err(flow) => return flow,
    };
    if args.len() == 3 {
        let is_known = end(cx, &Filter::by_address(args.slice(2))) + elsewhere > 0;
        let result = if is_known { Ok(()) } else { Err(ProxyError::NoSuchClient) };
        return done(result.map(|()| out.ok()), out);
    }
    let result = Filter::parse(args, 2).and_then(|filter| filter.known_to(&users)).map(|mut filter| {
        filter.skip_me = filter.skip_me.or(Some(true));
        out.int(end(cx, &filter) + elsewhere);
    });
    done(result, out)
}

/// Ends all whom the filter fits; says how many. The caller's own connection ends when its reply is sent.
fn end(cx: &mut SessionCx<'_>, filter: &Filter) -> i64 {
    let (me, now_ms) = (cx.session.info.id, cx.core.now_ms);
    let clients = &cx.core.shared.clients;
    let mut ended = 0;
    for info in clients.list() {
        if info.killed.load(Relaxed) || !filter.fits(&info, now_ms, info.id == me) {
            continue;
        }
        if info.id == me {
            cx.session.closing = true;
            ended += 1;
        } else {
            ended += i64::from(clients.kill(info.id));
        }
    }
    ended
}
