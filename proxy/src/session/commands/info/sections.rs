//! The sections of INFO. Fields that Redis has and Swell has no figure for are left out, not made up; those of features
//! that are not there (replication, persistence) say so in Redis's way, because clients look at them.

use std::sync::atomic::Ordering::Relaxed;

use swell_engine::clock::lru_clock;
use swell_engine::commands::table::{Command, tables};

use super::text::Text;
use super::{Figures, process};
use crate::pause::Paused;
use crate::session::commands::hello::REDIS_VERSION;

/// Seconds in a day.
const DAY_SECONDS: u64 = 86_400;
const KILOBYTE: f64 = 1024.0;
const NO_REPLICATION_ID: &str = "0000000000000000000000000000000000000000";

pub fn server(figures: &Figures<'_>, text: &mut Text) {
    let shared = &figures.core.shared;
    let uptime = shared.started.elapsed().as_secs();
    text.field("redis_version", REDIS_VERSION);
    text.field("server_name", "swell");
    text.field("swell_version", shared.version);
    text.field("redis_git_sha1", "00000000");
    text.field("redis_git_dirty", 0);
    text.field("redis_build_id", 0);
    // Redis's name of it, and Valkey's.
    text.field("redis_mode", "standalone");
    text.field("server_mode", "standalone");
    text.field("os", process::system_name());
    text.field("arch_bits", usize::BITS);
    text.field("multiplexing_api", if cfg!(target_os = "linux") { "epoll" } else { "kqueue" });
    text.field("process_id", std::process::id());
    text.field("process_supervised", "no");
    text.field("run_id", &shared.run_id);
    text.field("tcp_port", shared.resp_port.load(Relaxed));
    text.field("server_time_usec", u128::from(figures.now_ms) * 1000);
    text.field("uptime_in_seconds", uptime);
    text.field("uptime_in_days", uptime / DAY_SECONDS);
    text.field("hz", 10);
    text.field("configured_hz", 10);
    text.field("clients_hz", 10);
    text.field("lru_clock", lru_clock(figures.now_ms));
    let executable = std::env::current_exe().unwrap_or_default();
    text.field("executable", executable.display());
    text.field("config_file", "");
    text.field("io_threads_active", u8::from(shared.workers > 1));
    text.field("availability_zone", "");
    if let Some(bind) = shared.resp_bind.get() {
        let port = shared.resp_port.load(Relaxed);
        text.field("listener0", format_args!("name=tcp,bind={bind},port={port}"));
    }
}

/// There is none yet.
pub fn tls(_: &Figures<'_>, text: &mut Text) {
    for name in ["tls_server_cert", "tls_client_cert", "tls_ca_cert"] {
        text.field(&format!("{name}_serial"), "none");
        text.field(&format!("{name}_expires_in_seconds"), 0);
    }
}

pub fn clients(figures: &Figures<'_>, text: &mut Text) {
    let shared = &figures.core.shared;
    let clients = &figures.all.clients;
    text.field("connected_clients", clients.connected);
    text.field("cluster_connections", 0);
    text.field("maxclients", shared.settings.maxclients.load(Relaxed));
    text.field("client_recent_max_input_buffer", clients.input_bytes_max);
    text.field("client_recent_max_output_buffer", clients.output_bytes_max);
    text.field("blocked_clients", clients.blocked);
    text.field("tracking_clients", clients.tracking);
    text.field("pubsub_clients", clients.subscribed);
    text.field("watching_clients", clients.watching);
    text.field("clients_in_timeout_table", 0);
    text.field("total_watched_keys", clients.watched_keys);
    text.field("total_blocking_keys", figures.node.waited_keys);
    text.field("total_blocking_keys_on_nokey", figures.node.waited_keys_on_missing);
    let paused = shared.pause.holding(figures.now_ms);
    let actions = match paused {
        None => "none",
        Some((Paused::Write, _)) => "write",
        Some((Paused::All, _)) => "all",
    };
    text.field("paused_reason", if paused.is_some() { "client_pause" } else { "none" });
    text.field("paused_actions", actions);
    text.field("paused_timeout_milliseconds", paused.map_or(0, |(_, until)| until.saturating_sub(figures.now_ms)));
}

pub fn memory(figures: &Figures<'_>, text: &mut Text) {
    let engine = figures.core.handle.engine();
    let (used, heap) = (figures.node.used_bytes, figures.node.heap);
    let peak = figures.node.used_peak_bytes.max(used);
    let resident = process::resident_bytes().unwrap_or(0);
    text.size("used_memory", used);
    text.size("used_memory_rss", resident);
    text.size("used_memory_peak", peak);
    text.field("used_memory_peak_perc", format_args!("{:.2}%", 100.0 * ratio(used, peak)));
    // What an empty cache takes is not counted as used, so that nothing but keys and values is.
    text.field("used_memory_overhead", figures.all.clients.buffer_bytes);
    text.field("used_memory_startup", 0);
    text.field("used_memory_dataset", used);
    text.field("used_memory_dataset_perc", format_args!("{:.2}%", if used == 0 { 0.0 } else { 100.0 }));
    text.field("allocator_allocated", heap.live_bytes);
    text.field("allocator_active", heap.held_bytes);
    text.field("allocator_resident", heap.held_bytes);
    text.field("allocator_muzzy", 0);
    text.size("total_system_memory", process::memory_bytes().unwrap_or(0));
    text.size("maxmemory", engine.settings().maxmemory_total_bytes());
    text.field("maxmemory_policy", engine.settings().policy().name());
    text.field("allocator_frag_ratio", format_args!("{:.2}", ratio(heap.held_bytes as u64, heap.live_bytes as u64)));
    text.field("allocator_frag_bytes", heap.held_bytes.saturating_sub(heap.live_bytes));
    text.field("allocator_rss_ratio", "1.00");
    text.field("allocator_rss_bytes", 0);
    text.field("rss_overhead_ratio", format_args!("{:.2}", ratio(resident, heap.held_bytes as u64)));
    text.field("rss_overhead_bytes", i128::from(resident) - heap.held_bytes as i128);
    text.field("mem_fragmentation_ratio", format_args!("{:.2}", ratio(resident, used)));
    text.field("mem_fragmentation_bytes", i128::from(resident) - i128::from(used));
    text.field("mem_not_counted_for_evict", 0);
    text.field("mem_replication_backlog", 0);
    text.field("mem_total_replication_buffers", 0);
    text.field("mem_replicas_repl_buffer", 0);
    text.field("mem_clients_slaves", 0);
    text.field("mem_clients_normal", figures.all.clients.buffer_bytes);
    text.field("mem_cluster_links", 0);
    text.field("mem_aof_buffer", 0);
    text.field("mem_overhead_db_hashtable_rehashing", 0);
    text.field("mem_allocator", "swell");
    text.field("active_defrag_running", 0);
    text.field("lazyfree_pending_objects", 0);
}

/// Nothing is kept on disk, so nothing waits to be saved.
pub fn persistence(figures: &Figures<'_>, text: &mut Text) {
    let zeroes = |names: &[&str], text: &mut Text| names.iter().for_each(|name| text.field(name, 0));
    zeroes(&["loading", "async_loading", "current_cow_peak", "current_cow_size", "current_cow_size_age"], text);
    text.field("current_fork_perc", "0.00");
    zeroes(&["current_save_keys_processed", "current_save_keys_total"], text);
    zeroes(&["rdb_changes_since_last_save", "rdb_bgsave_in_progress"], text);
    text.field("rdb_last_save_time", figures.core.shared.started_at_ms / 1000);
    text.field("rdb_last_bgsave_status", "ok");
    text.field("rdb_last_bgsave_time_sec", -1);
    text.field("rdb_current_bgsave_time_sec", -1);
    zeroes(&["rdb_saves", "rdb_last_cow_size", "rdb_last_load_keys_expired", "rdb_last_load_keys_loaded"], text);
    zeroes(&["aof_enabled", "aof_rewrite_in_progress", "aof_rewrite_scheduled"], text);
    text.field("aof_last_rewrite_time_sec", -1);
    text.field("aof_current_rewrite_time_sec", -1);
    text.field("aof_last_bgrewrite_status", "ok");
    zeroes(&["aof_rewrites", "aof_rewrites_consecutive_failures"], text);
    text.field("aof_last_write_status", "ok");
    zeroes(
        &[
            "aof_last_cow_size",
            "module_fork_in_progress",
            "module_fork_last_cow_size",
            "slot_migration_fork_in_progress",
        ],
        text,
    );
}

pub fn stats(figures: &Figures<'_>, text: &mut Text) {
    let (counts, keys) = (&figures.all.counts, &figures.node.stats);
    let rate = figures.all.rate;
    text.field("total_connections_received", counts.connections_received);
    text.field("total_commands_processed", counts.commands);
    text.field("instantaneous_ops_per_sec", rate.commands.round() as u64);
    text.field("total_net_input_bytes", counts.bytes_in);
    text.field("total_net_output_bytes", counts.bytes_out);
    text.field("total_net_repl_input_bytes", 0);
    text.field("total_net_repl_output_bytes", 0);
    text.field("instantaneous_input_kbps", format_args!("{:.2}", rate.bytes_in / KILOBYTE));
    text.field("instantaneous_output_kbps", format_args!("{:.2}", rate.bytes_out / KILOBYTE));
    text.field("instantaneous_input_repl_kbps", "0.00");
    text.field("instantaneous_output_repl_kbps", "0.00");
    text.field("rejected_connections", counts.connections_rejected);
    for name in ["sync_full", "sync_partial_ok", "sync_partial_err"] {
        text.field(name, 0);
    }
    text.field("expired_keys", keys.expired_keys);
    text.field("evicted_keys", keys.evicted_keys);
    text.field("evicted_clients", 0);
    text.field("keyspace_hits", keys.hits);
    text.field("keyspace_misses", keys.misses);
    let names = ["pubsub_channels", "pubsub_patterns", "pubsubshard_channels"];
    names.into_iter().zip(figures.node.subscriptions).for_each(|(name, count)| text.field(name, count));
    for name in ["latest_fork_usec", "total_forks", "migrate_cached_sockets", "slave_expires_tracked_keys"] {
        text.field(name, 0);
    }
    for name in ["active_defrag_hits", "active_defrag_misses", "active_defrag_key_hits", "active_defrag_key_misses"] {
        text.field(name, 0);
    }
    text.field("tracking_total_keys", figures.core.handle.engine().tracked_keys());
    text.field("tracking_total_prefixes", figures.all.tracked_prefixes);
    text.field("client_output_buffer_limit_disconnections", counts.output_limit_closed);
    text.field("unexpected_error_replies", 0);
    text.field("total_error_replies", counts.errors);
    text.field("total_reads_processed", counts.batches);
    text.field("acl_access_denied_auth", counts.auth_failures);
    for (name, count) in &figures.all.denied {
        text.field(&format!("acl_access_denied_{name}"), count);
    }
}

pub fn replication(figures: &Figures<'_>, text: &mut Text) {
    text.field("role", "master");
    text.field("connected_slaves", 0);
    text.field("replicas_waiting_psync", 0);
    text.field("master_failover_state", "no-failover");
    text.field("master_replid", &figures.core.shared.run_id);
    text.field("master_replid2", NO_REPLICATION_ID);
    text.field("master_repl_offset", 0);
    text.field("second_repl_offset", -1);
    text.field("repl_backlog_active", 0);
    text.field("repl_backlog_size", 0);
    text.field("repl_backlog_first_byte_offset", 0);
    text.field("repl_backlog_histlen", 0);
}

pub fn cpu(_: &Figures<'_>, text: &mut Text) {
    let (own, children) = (process::cpu_time(), process::cpu_time_of_children());
    for (name, time) in [
        ("used_cpu_sys", own.system),
        ("used_cpu_user", own.user),
        ("used_cpu_sys_children", children.system),
        ("used_cpu_user_children", children.user),
    ] {
        text.field(name, format_args!("{:.6}", time.as_secs_f64()));
    }
}

/// Calls come from the meter, so there are none with metering off; what they cost in ECPUs stands behind. Microseconds are
/// the mean of the calls that were timed (all but some of those that came in pipelines) times all calls. Requests that are
/// refused before they run are in the error statistics, not here.
pub fn command_stats(figures: &Figures<'_>, text: &mut Text) {
    let histograms = figures.all.histograms();
    for (command, usage) in figures.all.calls() {
        let (calls, failed) = (usage.calls, usage.failed);
        let usec = histograms.get(command.id).map_or(0, |times| times.micros_of(calls));
        let per_call = usec as f64 / calls.max(1) as f64;
        let ecpu = usage.ecpu_milli as f64 / 1000.0;
        text.field(
            &format!("cmdstat_{}", field_name(command)),
            format_args!(
                "calls={calls},usec={usec},usec_per_call={per_call:.2},rejected_calls=0,failed_calls={failed},\
                 ecpu={ecpu:.3}"
            ),
        );
    }
}

/// Percentiles of the time that commands take, microseconds.
pub fn latency_stats(figures: &Figures<'_>, text: &mut Text) {
    let watch = &figures.core.shared.watch;
    let (percentiles, histograms) = (watch.percentiles(), figures.all.histograms());
    for command in tables().iter() {
        let Some(times) = histograms.get(command.id) else { continue };
        let values: Vec<String> =
            percentiles.iter().map(|percent| format!("p{percent}={:.3}", times.percentile_us(*percent))).collect();
        text.field(&format!("latency_percentiles_usec_{}", field_name(command)), values.join(","));
    }
}

/// memcached's verbs stand beside RESP's commands; a colon would end the field's name.
fn field_name(command: Command) -> String {
    swell_meter::label(command).replace(':', "_")
}

pub fn error_stats(figures: &Figures<'_>, text: &mut Text) {
    for (code, count) in &figures.all.counts.error_codes {
        text.field(&format!("errorstat_{code}"), format_args!("count={count}"));
    }
}

/// What Redis has no words for.
pub fn swell(figures: &Figures<'_>, text: &mut Text) {
    let shared = &figures.core.shared;
    let totals = shared.ledger.totals(figures.now_ms);
    text.field("swell_version", shared.version);
    text.field("workers", shared.workers);
    text.field("nodes", 1);
    text.field("node0", format_args!("id={},place=embedded,slots={}", shared.node_id, swell_ring::SLOTS));
    text.field("metering", if shared.metering { "on" } else { "off" });
    text.field("price_profile", shared.tariff.profile().name());
    text.field("ecpu_total", format_args!("{:.3}", figures.all.ecpu_milli as f64 / 1000.0));
    text.field("gigabyte_hours", format_args!("{:.9}", totals.gigabyte_hours));
    text.field("requests_parked", figures.all.counts.parked);
    text.field("replies_late", figures.all.counts.late);
    text.field("protocol_errors", figures.all.counts.protocol_errors);
}

pub fn cluster(_: &Figures<'_>, text: &mut Text) {
    text.field("cluster_enabled", 0);
}

/// Databases that have keys. How long keys have yet to live on average is not kept.
pub fn keyspace(figures: &Figures<'_>, text: &mut Text) {
    for db in &figures.node.databases {
        let (keys, volatile) = (db.keys, db.volatile);
        text.field(&format!("db{}", db.db), format_args!("keys={keys},expires={volatile},avg_ttl=0"));
    }
}

/// Of nothing, everything is one.
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}
