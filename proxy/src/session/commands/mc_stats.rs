//! memcached: stats, general and by topic. What there is no figure for is left out.

use std::fmt::Display;
use std::sync::atomic::Ordering::Relaxed;

use swell_engine::commands::memcached::stat::McStat;
use swell_engine::evict::Policy;
use swell_wire::{Args, Out};

use super::info::process;
use super::mc_version::MEMCACHED_VERSION;
use crate::memcached::refuse;
use crate::session::{Flow, SessionCx, remote};
use crate::shared::unix_ms;

pub fn stats(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    if !cx.is_informed() {
        return remote::after_reports(cx, args);
    }
    match args.opt(1) {
        None => general(cx, out),
        Some(b"settings") => settings(cx, out),
        // Items are not kept by size class in lists of their own.
        Some(b"items") => {}
        Some(b"slabs") => slabs(cx, out),
        Some(b"sizes") => stat(out, "sizes_status", "disabled"),
        Some(b"reset") => {
            cx.core.report();
            cx.core.shared.reset_stats(cx.core.now_ms);
            out.raw(b"RESET\r\n");
            return Flow::Done;
        }
        Some(_) => return refuse(cx.core, b"ERROR\r\n", out),
    }
    out.raw(b"END\r\n");
    Flow::Done
}

/// As of now for this worker, at most a tenth of a second old for the others.
fn general(cx: &mut SessionCx<'_>, out: &mut Out) {
    cx.core.report();
    let shared = cx.core.shared.clone();
    let (figures, counts) = (shared.figures(), shared.totals.get());
    let stats = &figures.stats;
    let cpu = process::cpu_time();
    stat(out, "pid", std::process::id());
    stat(out, "uptime", shared.started.elapsed().as_secs());
    stat(out, "time", unix_ms() / 1000);
    stat(out, "version", MEMCACHED_VERSION);
    stat(out, "swell_version", shared.version);
    stat(out, "pointer_size", usize::BITS);
    stat(out, "rusage_user", format_args!("{:.6}", cpu.user.as_secs_f64()));
    stat(out, "rusage_system", format_args!("{:.6}", cpu.system.as_secs_f64()));
    stat(out, "max_connections", shared.settings.maxclients.load(Relaxed));
    stat(out, "curr_connections", shared.clients.len());
    stat(out, "total_connections", counts.connections_received);
    stat(out, "rejected_connections", counts.connections_rejected);
    for row in McStat::ALL {
        stat(out, row.name(), stats.memcached[row.index()]);
    }
    stat(out, "bytes_read", counts.bytes_in);
    stat(out, "bytes_written", counts.bytes_out);
    stat(out, "limit_maxbytes", figures.maxmemory_bytes);
    stat(out, "accepting_conns", 1);
    stat(out, "threads", shared.workers);
    stat(out, "bytes", figures.used_bytes);
    let items = figures.databases.first().filter(|db| db.db == 0).map_or(0, |db| db.keys);
    stat(out, "curr_items", items);
    // Data blocks that came, stored or not: items are not counted as they are linked.
    stat(out, "total_items", stats.memcached[McStat::CmdSet.index()]);
    stat(out, "evictions", stats.evicted_keys);
    stat(out, "reclaimed", stats.expired_keys);
}

fn settings(cx: &mut SessionCx<'_>, out: &mut Out) {
    let shared = &cx.core.shared;
    let settings = shared.node.engine().settings();
    stat(out, "maxbytes", settings.maxmemory_total_bytes());
    stat(out, "maxconns", shared.settings.maxclients.load(Relaxed));
    stat(out, "tcpport", cx.session.info.laddr.port());
    stat(out, "udpport", 0);
    stat(out, "verbosity", 0);
    stat(out, "evictions", on_or_off(settings.policy() != Policy::NoEviction, "on", "off"));
    stat(out, "num_threads", shared.workers);
    stat(out, "cas_enabled", "yes");
    stat(out, "binding_protocol", "ascii");
    stat(out, "auth_enabled_sasl", "no");
    stat(out, "auth_enabled_ascii", on_or_off(!shared.access.is_open(), "yes", "no"));
    stat(out, "item_size_max", settings.item_bytes_max());
    stat(out, "flush_enabled", "yes");
    stat(out, "idle_timeout", shared.settings.timeout_seconds.load(Relaxed));
}

fn slabs(cx: &mut SessionCx<'_>, out: &mut Out) {
    let heap = cx.core.shared.figures().heap;
    stat(out, "active_slabs", heap.spans);
    stat(out, "total_malloced", heap.held_bytes);
}

fn on_or_off(is_on: bool, on: &'static str, off: &'static str) -> &'static str {
    if is_on { on } else { off }
}

fn stat(out: &mut Out, name: &str, value: impl Display) {
    out.raw(format!("STAT {name} {value}\r\n").as_bytes());
}
