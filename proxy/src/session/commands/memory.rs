//! MEMORY STATS, DOCTOR, PURGE, MALLOC-STATS: where the memory of the whole cache goes. MEMORY USAGE is the engine's.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use swell_node::metrics::Figures;
use swell_wire::{Args, Out, lazy};

use super::info::process;
use crate::core::Core;
use crate::session::{Flow, SessionCx, remote};

/// A cache with less than this has no problem with memory.
const SMALL_BYTES: u64 = 5 * 1024 * 1024;
/// More of what the heap holds than this times what is stored is notable.
const FRAGMENTED: f64 = 1.4;
/// So is more client memory than this for each client.
const CLIENT_BYTES: u64 = 200 * 1024;

/// A value in MEMORY STATS.
enum Value {
    Bytes(u64),
    Ratio(f64),
    /// One database: what tables beyond its entries take is in no figure of its own.
    Database,
}

pub fn stats(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    if !cx.is_informed() {
        return remote::after_reports(cx, args);
    }
    cx.core.report();
    let rows = rows(cx.core, &cx.core.shared.figures());
    out.map(rows.len());
    for (name, value) in rows {
        out.bulk(name.as_bytes());
        match value {
            Value::Bytes(bytes) => out.int(bytes as i64),
            Value::Ratio(ratio) => out.double(&ratio.to_string()),
            Value::Database => {
                out.map(2);
                for name in ["overhead.hashtable.main", "overhead.hashtable.expires"] {
                    out.bulk(name.as_bytes());
                    out.int(0);
                }
            }
        }
    }
    Flow::Done
}

pub fn doctor(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    if !cx.is_informed() {
        return remote::after_reports(cx, args);
    }
    cx.core.report();
    out.verbatim(diagnosis(cx.core, &cx.core.shared.figures()).as_bytes());
    Flow::Done
}

/// What this worker can give back at once; the others and upkeep do so by themselves when they rest.
pub fn purge(cx: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    lazy::free_some();
    cx.core.handle.trim_if_idle(false);
    lazy::give_back_all();
    out.ok();
    Flow::Done
}

pub fn malloc_stats(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    if !cx.is_informed() {
        return remote::after_reports(cx, args);
    }
    cx.core.report();
    let heap = cx.core.shared.figures().heap;
    let mut text = String::from("Heap of keys and values (what else there is comes from mimalloc):\n");
    for (name, figure) in [
        ("held bytes", heap.held_bytes),
        ("live bytes", heap.live_bytes),
        ("spans in use", heap.spans),
        ("free spans", heap.free_spans),
    ] {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}: {figure}");
    }
    out.verbatim(text.as_bytes());
    Flow::Done
}

/// Bytes of requests and replies that are not done with.
pub fn client_bytes(core: &Core) -> u64 {
    let clients = core.shared.clients.list();
    clients.iter().map(|client| client.query_buffer_bytes.load(Relaxed) + client.output_bytes.load(Relaxed)).sum()
}

/// In Redis's order. What does not exist here (replicas, a cluster bus, an append-only file) takes nothing.
fn rows(core: &Core, figures: &Figures) -> Vec<(String, Value)> {
    let used = figures.used_bytes;
    let peak = figures.used_peak_bytes.max(used);
    let clients = client_bytes(core);
    let (held, live) = (figures.heap.held_bytes as u64, figures.heap.live_bytes as u64);
    let resident = process::resident_bytes().unwrap_or(0);
    let keys: u64 = figures.databases.iter().map(|db| db.keys).sum();
    let percent = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 };
    let ratio = |part: u64, whole: u64| if whole == 0 { 1.0 } else { part as f64 / whole as f64 };
    let bytes = |name: &str, value: u64| (name.to_owned(), Value::Bytes(value));
    let of = |name: &str, value: f64| (name.to_owned(), Value::Ratio(value));
    let mut rows = vec![bytes("peak.allocated", peak), bytes("total.allocated", used), bytes("startup.allocated", 0)];
    rows.extend(["replication.backlog", "replicas.repl.buffer", "clients.slaves"].map(|name| bytes(name, 0)));
    rows.push(bytes("clients.normal", clients));
    rows.extend(
        ["cluster.links", "cluster.slot_import", "cluster.slot_export", "aof.buffer"].map(|name| bytes(name, 0)),
    );
    rows.extend(figures.databases.iter().map(|db| (format!("db.{}", db.db), Value::Database)));
    rows.extend([
        bytes("overhead.total", clients),
        bytes("keys.count", keys),
        bytes("keys.bytes-per-key", used.checked_div(keys).unwrap_or(0)),
        bytes("dataset.bytes", used),
        of("dataset.percentage", percent(used, used + clients)),
        of("peak.percentage", percent(used, peak)),
        bytes("allocator.allocated", live),
        bytes("allocator.active", held),
        bytes("allocator.resident", held),
        bytes("allocator.muzzy", 0),
        of("allocator-fragmentation.ratio", ratio(held, live)),
        bytes("allocator-fragmentation.bytes", held.saturating_sub(live)),
        of("allocator-rss.ratio", 1.0),
        bytes("allocator-rss.bytes", 0),
        of("rss-overhead.ratio", ratio(resident, held)),
        bytes("rss-overhead.bytes", resident.saturating_sub(held)),
        of("fragmentation", ratio(resident, used)),
        bytes("fragmentation.bytes", resident.saturating_sub(used)),
    ]);
    rows
}

fn diagnosis(core: &Core, figures: &Figures) -> String {
    let (used, limit) = (figures.used_bytes, figures.maxmemory_bytes);
    if used < SMALL_BYTES {
        return "There is hardly anything stored: nothing to say about memory.\n".to_owned();
    }
    let mut found = Vec::new();
    let (held, live) = (figures.heap.held_bytes as f64, figures.heap.live_bytes.max(1) as f64);
    if held / live > FRAGMENTED {
        found.push(format!(
            "The heap holds {:.1} times what is stored. Packing goes on by itself while slots stand still; MEMORY PURGE \
             gives back what is free.",
            held / live
        ));
    }
    if figures.used_peak_bytes > used + used / 2 {
        found.push(format!("At its peak the cache held {} bytes, half as much again as now.", figures.used_peak_bytes));
    }
    if limit > 0 && used > limit / 10 * 9 {
        found.push(format!("{used} of {limit} bytes (maxmemory) are in use: writes evict or are refused."));
    }
    let clients = core.shared.clients.len() as u64;
    if clients > 0 && client_bytes(core) / clients > CLIENT_BYTES {
        found.push("Clients hold much: long requests that are not complete, or replies that are not read.".to_owned());
    }
    if found.is_empty() {
        return "Nothing is wrong with memory.\n".to_owned();
    }
    found.iter().map(|line| format!("- {line}\n")).collect()
}
