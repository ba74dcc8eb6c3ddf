//! A cache under a memory limit: how many reads of a Zipf load find their key, and how well the limit is kept.

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::Bench;
use super::args::Protocol;
use super::client::Client;
use super::dialect::{Batch, Operation};
use super::peer::Server;
use super::replies::{Counts, Reply, ReplyShape, Step, excerpt};
use super::report::Report;
use super::sys;
use super::template::PeerSpec;
use crate::workload::KeySource;

/// Hits and memory of one server.
#[derive(Debug, Clone, Serialize)]
pub struct HitRatioRow {
    pub server: String,
    pub policy: String,
    pub reads: u64,
    pub hits: u64,
    pub hit_percent: f64,
    pub keys_held: u64,
    pub maxmemory_bytes: u64,
    pub resident_bytes: u64,
    pub resident_over_maxmemory: f64,
    /// Hit ratio less the yardstick's, in percentage points. None for the yardstick itself.
    pub points: Option<f64>,
}

/// Reads are sent in batches of so many; the keys that a batch misses are written before the next batch.
const PIPELINE: usize = 64;
/// More bytes than any reply to such a batch has.
const REPLIES_BYTES_MAX: usize = 256 << 20;

/// Gives each server in turn the same reads, of which only the second half is counted.
pub fn measure(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let mut rows = Vec::new();
    for spec in &bench.specs {
        let row = measure_one(bench, report, spec)?;
        bench.progress(&format!("{} finds {:.2} % of its reads", row.server, row.hit_percent));
        rows.push(row);
    }
    if let Some(yardstick) = bench.yardstick() {
        let hit_percent = rows[yardstick].hit_percent;
        for (_, row) in rows.iter_mut().enumerate().filter(|(at, _)| *at != yardstick) {
            row.points = Some(row.hit_percent - hit_percent);
        }
    }
    report.hit_ratio.append(&mut rows);
    Ok(())
}

fn measure_one(bench: &Bench<'_>, report: &mut Report, spec: &PeerSpec) -> Result<HitRatioRow> {
    let args = bench.args;
    let server = bench.start_limited(spec, report, args.hit_maxmemory, &args.hit_policy)?;
    if !spec.takes_maxmemory() {
        limit(&server, args.hit_maxmemory, &args.hit_policy)?;
    }
    let mut cache = ReadThrough::new(&server, args.value_bytes)?;
    let mut keys = KeySource::zipf(args.hit_keys, args.zipf, args.seed);
    let failed = || format!("{} failed under the Zipf load; it printed: {}", server.name, server.last_lines());
    cache.read(&mut keys, args.hit_requests).with_context(failed)?;
    let warm = std::mem::take(&mut cache.reads);
    cache.read(&mut keys, args.hit_requests).with_context(failed)?;
    let resident_bytes = server.resident_bytes()?;
    let (counted, mut replies) = (cache.reads, warm);
    replies.merge(&counted);
    replies.merge(&cache.writes);
    // Misses are what the test is about.
    replies.misses = 0;
    report.fail_on(&format!("{} hit ratio", server.name), &replies);
    let reads = counted.good + counted.misses;
    Ok(HitRatioRow {
        server: server.name.clone(),
        policy: args.hit_policy.clone(),
        reads,
        hits: counted.good,
        hit_percent: 100.0 * counted.good as f64 / reads.max(1) as f64,
        keys_held: server.client()?.keys()?,
        maxmemory_bytes: args.hit_maxmemory,
        resident_bytes,
        resident_over_maxmemory: resident_bytes as f64 / args.hit_maxmemory as f64,
        points: None,
    })
}

fn limit(server: &Server, maxmemory_bytes: u64, policy: &str) -> Result<()> {
    if server.protocol == Protocol::Memcached {
        bail!("{}: memcached takes its limit from the command line: add -m {{maxmemory_mb}}", server.name);
    }
    let mut client = server.client()?;
    let set = |client: &mut Client, name, value: &str| {
        client.configure(name, value).with_context(|| format!("cannot limit the memory of {}", server.name))
    };
    set(&mut client, "maxmemory-policy", policy)?;
    set(&mut client, "maxmemory", &maxmemory_bytes.to_string())
}

/// An application that reads through the cache: what it does not find, it writes.
struct ReadThrough {
    client: Client,
    get: Batch,
    get_reply: ReplyShape,
    set: Batch,
    set_reply: ReplyShape,
    reads: Counts,
    writes: Counts,
}

impl ReadThrough {
    fn new(server: &Server, value_bytes: usize) -> Result<ReadThrough> {
        let protocol = server.protocol;
        Ok(ReadThrough {
            client: server.client()?,
            get: Operation::Get.request(protocol, value_bytes).batch(PIPELINE),
            get_reply: Operation::Get.reply(protocol, value_bytes),
            set: Operation::Set.request(protocol, value_bytes).batch(PIPELINE),
            set_reply: Operation::Set.reply(protocol, value_bytes),
            reads: Counts::default(),
            writes: Counts::default(),
        })
    }

    fn read(&mut self, keys: &mut KeySource, requests: u64) -> Result<()> {
        let (mut asked, mut missed) = (Vec::with_capacity(PIPELINE), Vec::with_capacity(PIPELINE));
        let mut left = requests;
        while left > 0 {
            sys::check_interrupt()?;
            asked.clear();
            asked.extend((0..left.min(PIPELINE as u64)).map_while(|_| keys.draw()));
            missed.clear();
            exchange(&mut self.client, &mut self.get, &self.get_reply, &asked, &mut self.reads, |id, reply| {
                if reply == Reply::Miss {
                    missed.push(id);
                }
            })?;
            if !missed.is_empty() {
                exchange(&mut self.client, &mut self.set, &self.set_reply, &missed, &mut self.writes, |_, _| {})?;
            }
            left -= asked.len() as u64;
        }
        Ok(())
    }
}

/// Sends one batch for the keys `ids` and counts its replies.
fn exchange(
    client: &mut Client,
    batch: &mut Batch,
    shape: &ReplyShape,
    ids: &[u64],
    counts: &mut Counts,
    mut seen: impl FnMut(u64, Reply),
) -> Result<()> {
    for (index, &id) in ids.iter().enumerate() {
        batch.aim(index, id);
    }
    client.send(batch.first(ids.len()))?;
    let mut answered = 0;
    while answered < ids.len() {
        let mut used = 0;
        while answered < ids.len() {
            let rest = &client.arrived()[used..];
            match shape.step(rest, ids[answered], answered as u64) {
                Step::Reply(reply, len) => {
                    counts.add(reply, &rest[..len]);
                    seen(ids[answered], reply);
                    used += len;
                    answered += 1;
                }
                Step::Partial => break,
                Step::Garbage => bail!("a reply is of no known shape: {}", excerpt(rest)),
            }
        }
        client.take(used);
        if answered < ids.len() {
            client.fill(REPLIES_BYTES_MAX)?;
        }
    }
    Ok(())
}
