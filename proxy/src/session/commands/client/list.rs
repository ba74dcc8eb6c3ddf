//! CLIENT LIST, CLIENT INFO.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use swell_engine::commands::table::tables;
use swell_engine::spec::CommandId;
use swell_wire::{Args, Out};

use super::filter::Filter;
use crate::clients::{ClientInfo, canonical};
use crate::others::{self, Question, Told};
use crate::session::commands::done;
use crate::session::{Flow, SessionCx};

pub fn info(cx: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    let mut line = String::new();
    describe(&cx.session.info, cx.core.now_ms, &mut line);
    out.verbatim(line.as_bytes());
    Flow::Done
}

pub fn list(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let (me, now_ms) = (cx.session.info.id, cx.core.now_ms);
    let users = cx.core.shared.access.users();
    let filter = match Filter::parse(args, 2).and_then(|filter| filter.known_to(&users)) {
        Ok(filter) => filter,
        Err(error) => return done(Err(error), out),
    };
    let told = match others::ask(cx, args, out, || Question::Clients(args.iter().map(<[u8]>::to_vec).collect())) {
        Ok(told) => told,
        Err(flow) => return flow,
    };
    let mut lines = String::new();
    for info in cx.core.shared.clients.list() {
        if filter.fits(&info, now_ms, info.id == me) {
            describe(&info, now_ms, &mut lines);
        }
    }
    for told in told.iter() {
        if let Told::Text(text) = told {
            lines.push_str(text);
        }
    }
    out.verbatim(lines.as_bytes());
    Flow::Done
}

/// One line, its fields in the order of Valkey 9.1. A client here owns no query buffer beyond an unfinished request and
/// no reply buffer beyond what its socket did not take, so fields about their parts are 0.
fn describe(info: &ClientInfo, now_ms: u64, line: &mut String) {
    let seconds_since = |ms: u64| now_ms.saturating_sub(ms) / 1000;
    let (unread, unsent) = (info.query_buffer_bytes.load(Relaxed), info.output_bytes.load(Relaxed));
    let names = info.names().clone();
    // Writing to a String cannot fail.
    let _ = writeln!(
        line,
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} capa={} db={} sub={} psub={} ssub={} multi={} watch={} \
         qbuf={unread} qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll={} omem={unsent} tot-mem={} \
         events={} cmd={} user={} redir={} resp={} lib-name={} lib-ver={} tot-net-in={} tot-net-out={} tot-cmds={}",
        info.id,
        canonical(info.addr),
        canonical(info.laddr),
        info.fd,
        names.name,
        seconds_since(info.connected_at_ms),
        seconds_since(info.last_active_ms.load(Relaxed)),
        flags(info),
        if info.can_redirect.load(Relaxed) { "r" } else { "" },
        info.db.load(Relaxed),
        info.subscriptions[0].load(Relaxed),
        info.subscriptions[1].load(Relaxed),
        info.subscriptions[2].load(Relaxed),
        info.multi.load(Relaxed),
        info.watch.load(Relaxed),
        u8::from(unsent > 0),
        unread + unsent,
        if unsent > 0 { "rw" } else { "r" },
        last_command(info),
        String::from_utf8_lossy(info.user().name()),
        info.redirect.load(Relaxed),
        info.resp.load(Relaxed),
        names.lib_name,
        names.lib_version,
        info.bytes_in.load(Relaxed),
        info.bytes_out.load(Relaxed),
        info.commands.load(Relaxed),
    );
}

/// A client's line without its end, as ACL LOG keeps it.
pub fn line(info: &ClientInfo, now_ms: u64) -> String {
    let mut line = String::new();
    describe(info, now_ms, &mut line);
    line.truncate(line.trim_end().len());
    line
}

/// One letter for each thing that is particular about a client; N: nothing.
pub fn flags(info: &ClientInfo) -> String {
    let letters = [
        ('O', info.monitors.load(Relaxed)),
        ('P', info.is_subscribed()),
        ('x', info.multi.load(Relaxed) >= 0),
        ('b', info.is_blocked() || info.paused.load(Relaxed)),
        ('t', info.redirect.load(Relaxed) >= 0),
        ('R', info.tracking_broken.load(Relaxed)),
        ('B', info.tracks_prefixes.load(Relaxed)),
        ('e', info.no_evict.load(Relaxed)),
        ('T', info.no_touch.load(Relaxed)),
    ];
    let flags: String = letters.iter().filter(|(_, holds)| *holds).map(|(letter, _)| *letter).collect();
    if flags.is_empty() { "N".to_owned() } else { flags }
}

/// Redis calls it NULL where there is none yet.
fn last_command(info: &ClientInfo) -> &'static str {
    tables().by_id(CommandId(info.last_command.load(Relaxed))).map_or("NULL", |command| command.spec.name)
}
