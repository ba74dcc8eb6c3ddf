//! What INFO adds up over all proxies: connections, bytes, errors, calls, how long commands take.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;

use serde::{Deserialize, Serialize};
use swell_engine::commands::table::{Command, tables};
use swell_meter::counters::Usage;

use super::Told;
use crate::clients::ClientInfo;
use crate::core::Core;
use crate::observe::Histograms;
use crate::rates::Rate;
use crate::session::commands::memory;
use crate::shared::Shared;
use crate::stats::Counts;

/// Of one proxy, or of several together.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    pub counts: Counts,
    pub rate: Rate,
    pub clients: ClientFigures,
    /// By command: calls, how many failed, thousandths of ECPUs.
    commands: Vec<(String, u64, u64, u64)>,
    /// By command: nanoseconds together, and how many calls took how many nanoseconds.
    times: Vec<(String, u64, Vec<(u64, u64)>)>,
    /// How often what was refused by users' rules.
    pub denied: Vec<(String, u64)>,
    pub ecpu_milli: u64,
    pub tracked_prefixes: u64,
}

/// Who is connected, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientFigures {
    pub connected: u64,
    pub input_bytes_max: u64,
    pub output_bytes_max: u64,
    pub blocked: u64,
    pub tracking: u64,
    pub subscribed: u64,
    pub watching: u64,
    pub watched_keys: u64,
    pub buffer_bytes: u64,
}

impl Figures {
    /// This proxy's. `times`: with how long commands take.
    pub fn of(core: &Core, now_ms: u64, times: bool) -> Figures {
        let shared = &core.shared;
        let commands = shared.command_stats(now_ms);
        let row = |(command, usage): (Command, Usage)| {
            (swell_meter::label(command), usage.calls, usage.failed, usage.ecpu_milli)
        };
        Figures {
            counts: shared.totals.get(),
            rate: shared.rates.get(),
            clients: ClientFigures::of(core),
            commands: commands.into_iter().map(row).collect(),
            times: if times { spans(shared) } else { Vec::new() },
            denied: shared.access.log.counts().map(|(name, count)| (name.to_owned(), count)).collect(),
            ecpu_milli: shared.ledger.totals(now_ms).usage_total().ecpu_milli,
            tracked_prefixes: shared.tracking.prefix_count() as u64,
        }
    }

    /// This proxy's and the others' together.
    pub fn all(core: &Core, now_ms: u64, times: bool, told: &[Told]) -> Figures {
        let mut all = Figures::of(core, now_ms, times);
        for told in told {
            if let Told::Figures(other) = told {
                all.add(other);
            }
        }
        all
    }

    fn add(&mut self, other: &Figures) {
        self.counts.add(&other.counts);
        self.rate.commands += other.rate.commands;
        self.rate.bytes_in += other.rate.bytes_in;
        self.rate.bytes_out += other.rate.bytes_out;
        self.clients.add(&other.clients);
        self.commands.extend_from_slice(&other.commands);
        self.times.extend_from_slice(&other.times);
        for (name, count) in &other.denied {
            match self.denied.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => *sum += count,
                None => self.denied.push((name.clone(), *count)),
            }
        }
        self.ecpu_milli += other.ecpu_milli;
        self.tracked_prefixes += other.tracked_prefixes;
    }

    /// Calls of each command, in the table's order. Of commands that this version does not know nothing is said.
    pub fn calls(&self) -> Vec<(Command, Usage)> {
        let mut sums: HashMap<&str, Usage> = HashMap::new();
        for (label, calls, failed, ecpu_milli) in &self.commands {
            let sum = sums.entry(label).or_default();
            sum.calls += calls;
            sum.failed += failed;
            sum.ecpu_milli += ecpu_milli;
        }
        let find = |command: Command| Some((command, *sums.get(swell_meter::label(command).as_str())?));
        tables().iter().filter_map(find).collect()
    }

    /// How long commands take.
    pub fn histograms(&self) -> Histograms {
        let ids: HashMap<String, Command> =
            tables().iter().map(|command| (swell_meter::label(command), command)).collect();
        let mut sums = Histograms::default();
        for (label, total_ns, spans) in &self.times {
            if let Some(command) = ids.get(label) {
                sums.add_spans(command.id, *total_ns, spans);
            }
        }
        sums
    }
}

fn spans(shared: &Shared) -> Vec<(String, u64, Vec<(u64, u64)>)> {
    let histograms = shared.watch.histograms();
    let row = |command: Command| {
        let times = histograms.get(command.id)?;
        Some((swell_meter::label(command), times.total_ns(), times.spans()))
    };
    tables().iter().filter_map(row).collect()
}

impl ClientFigures {
    fn of(core: &Core) -> ClientFigures {
        let clients = core.shared.clients.list();
        let most = |bytes: fn(&ClientInfo) -> u64| clients.iter().map(|client| bytes(client)).max().unwrap_or(0);
        let count = |is: fn(&ClientInfo) -> bool| clients.iter().filter(|client| is(client)).count() as u64;
        ClientFigures {
            connected: clients.len() as u64,
            input_bytes_max: most(|client| client.query_buffer_bytes.load(Relaxed)),
            output_bytes_max: most(|client| client.output_bytes.load(Relaxed)),
            blocked: count(ClientInfo::is_blocked),
            tracking: count(|client| client.redirect.load(Relaxed) >= 0),
            subscribed: count(ClientInfo::is_subscribed),
            watching: count(|client| client.watch.load(Relaxed) > 0),
            watched_keys: clients.iter().map(|client| client.watch.load(Relaxed)).sum(),
            buffer_bytes: memory::client_bytes(core),
        }
    }

    fn add(&mut self, other: &ClientFigures) {
        self.connected += other.connected;
        self.input_bytes_max = self.input_bytes_max.max(other.input_bytes_max);
        self.output_bytes_max = self.output_bytes_max.max(other.output_bytes_max);
        self.blocked += other.blocked;
        self.tracking += other.tracking;
        self.subscribed += other.subscribed;
        self.watching += other.watching;
        self.watched_keys += other.watched_keys;
        self.buffer_bytes += other.buffer_bytes;
    }
}
