//! What the cache says of itself over HTTP while a load runs: nodes, moves, ECPUs, cost, events.
//!
//! Fields that are not there count as zero, so that a test against another version still shows what there is.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::Value;

use crate::bench::sys;

/// Between two looks.
pub const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A page larger than this is refused.
const PAGE_BYTES_MAX: u64 = 8 << 20;
/// A page that takes longer counts as not there.
const PAGE_WAIT_MAX: Duration = Duration::from_secs(2);
/// Looks and events that are kept; a test is shorter.
const KEPT_MAX: usize = 100_000;

/// One node at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct NodeLook {
    pub id: u64,
    pub state: String,
    pub pid: u32,
    pub slots: u64,
    pub keys: u64,
    pub used_bytes: u64,
    pub resident_bytes: u64,
    pub cpu_us: u64,
    pub requests: u64,
    pub loop_delay_us: u64,
}

/// The cache at one moment. Totals count from its start.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Look {
    /// Seconds since the load began.
    pub at_s: f64,
    pub nodes: Vec<NodeLook>,
    pub slots_moved: u64,
    pub keys_moved: u64,
    pub slots_moving: u64,
    pub ecpu_total: f64,
    pub bill_total: f64,
    /// CPU time that all processes of the cache have used, microseconds, also of those that have ended; 0 for one that
    /// somebody else has started.
    pub cpu_us: u64,
}

/// Something that the scaler has said, with when it was said, in seconds since the load began.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Event {
    pub number: u64,
    pub at_s: f64,
    pub kind: String,
    pub text: String,
}

/// Everything seen so far.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub looks: Vec<Look>,
    pub events: Vec<Event>,
}

/// Looks again and again, on a thread of its own, until it is dropped.
pub struct Watch {
    seen: Arc<Mutex<Seen>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl NodeLook {
    /// It is there for requests, also while it gives its slots away.
    pub fn is_up(&self) -> bool {
        !matches!(self.state.as_str(), "starting" | "joining" | "lost" | "gone" | "left")
    }
}

impl Look {
    pub fn nodes_up(&self) -> usize {
        self.nodes.iter().filter(|node| node.is_up()).count()
    }

    /// The cores that the cache has used since an earlier look.
    pub fn cores_since(&self, before: &Look) -> f64 {
        self.cpu_us.saturating_sub(before.cpu_us) as f64 / 1e6 / (self.at_s - before.at_s).max(0.001)
    }

    /// Nodes that own slots.
    pub fn owners(&self) -> usize {
        self.nodes.iter().filter(|node| node.slots > 0).count()
    }
}

impl Seen {
    pub fn last(&self) -> Option<&Look> {
        self.looks.last()
    }
}

impl Watch {
    /// Begins to look. `pid`: the cache's first process, if it is our own. `began` is the zero of all times.
    pub fn start(http: Option<SocketAddr>, pid: Option<u32>, began: Instant) -> Watch {
        let (seen, ends) = (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicBool::new(false)));
        let thread = http.map(|http| {
            let (seen, ends) = (Arc::clone(&seen), Arc::clone(&ends));
            thread::spawn(move || watch(http, pid, began, &seen, &ends))
        });
        Watch { seen, ends, thread }
    }

    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What `of` makes of it, without a copy of all.
    pub fn with<T>(&self, of: impl FnOnce(&Seen) -> T) -> T {
        of(&self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // If it failed, there was less to see.
            let _ = thread.join();
        }
    }
}

/// GETs a page.
///
/// # Errors
/// Nobody answers in time, or not with 200.
pub fn get(http: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&http, PAGE_WAIT_MAX)?;
    stream.set_read_timeout(Some(PAGE_WAIT_MAX))?;
    stream.set_write_timeout(Some(PAGE_WAIT_MAX))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.take(PAGE_BYTES_MAX).read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").context("no HTTP reply")?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        status => bail!("{path} answers {}", status.unwrap_or("nothing")),
    }
}

fn watch(http: SocketAddr, pid: Option<u32>, began: Instant, seen: &Mutex<Seen>, ends: &AtomicBool) {
    let page = |path: &str| -> Option<Value> { serde_json::from_str(&get(http, path).ok()?).ok() };
    let clock_ms = unix_ms().saturating_sub(began.elapsed().as_millis() as u64);
    let (mut after, mut usage, mut cpu) = (0, Value::Null, CpuTimes::default());
    let mut round = 0_u64;
    while !ends.load(Ordering::Relaxed) {
        // The bill changes slowly and costs more to make.
        if round.is_multiple_of(5) {
            usage = page("/usage").unwrap_or(usage);
        }
        round += 1;
        let mut look = page("/status").map(|status| look(&status, &usage, began.elapsed().as_secs_f64()));
        if let (Some(look), Some(pid)) = (&mut look, pid) {
            look.cpu_us = cpu.add(pid, &look.nodes);
        }
        let events = page(&format!("/events?after={after}")).map(|page| events(&page, clock_ms)).unwrap_or_default();
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.looks.len() < KEPT_MAX {
            seen.looks.extend(look);
        }
        for event in events {
            // A page that does not know `after` tells all of them again.
            if event.number > after && seen.events.len() < KEPT_MAX {
                after = event.number;
                seen.events.push(event);
            }
        }
        drop(seen);
        thread::sleep(LOOK_EVERY);
    }
}

/// What each process of the cache had used when it was last looked at.
#[derive(Default)]
struct CpuTimes(BTreeMap<u32, u64>);

impl CpuTimes {
    /// Looks again; microseconds of all together.
    fn add(&mut self, first: u32, nodes: &[NodeLook]) -> u64 {
        for pid in nodes.iter().map(|node| node.pid).filter(|pid| *pid != 0).chain([first]) {
            // One that has ended keeps what it had.
            if let Ok(used) = sys::process_cpu(pid) {
                self.0.insert(pid, used.as_micros() as u64);
            }
        }
        self.0.values().sum()
    }
}

fn look(status: &Value, usage: &Value, at_s: f64) -> Look {
    let nodes = status["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let or = |first: f64, second: f64| if first > 0.0 { first } else { second };
    Look {
        at_s,
        nodes: nodes.iter().map(node).collect(),
        slots_moved: number(&status["slots_moved_total"]) as u64,
        keys_moved: number(&status["keys_moved_total"]) as u64,
        slots_moving: number(&status["slots_moving"]) as u64,
        ecpu_total: or(number(&status["ecpu_total"]), number(&usage["ecpu_milli_total"]) / 1e3),
        bill_total: or(number(&status["bill_total"]), number(&usage["cost"]["total"])),
        cpu_us: 0,
    }
}

fn node(node: &Value) -> NodeLook {
    // Figures may stand beside the node's number or among its statistics.
    let figure = |name: &str| match &node[name] {
        Value::Null => number(&node["stats"][name]) as u64,
        found => number(found) as u64,
    };
    NodeLook {
        id: figure("id"),
        state: node["state"].as_str().unwrap_or_default().to_lowercase(),
        pid: figure("pid") as u32,
        slots: figure("slots"),
        keys: figure("keys"),
        used_bytes: figure("used_bytes"),
        resident_bytes: figure("resident_bytes"),
        cpu_us: figure("cpu_us"),
        requests: figure("requests"),
        loop_delay_us: figure("loop_delay_us"),
    }
}

fn events(page: &Value, clock_ms: u64) -> Vec<Event> {
    let list = page.as_array().or_else(|| page["events"].as_array()).map(Vec::as_slice).unwrap_or_default();
    let text = |event: &Value| ["text", "message"].iter().find_map(|name| event[*name].as_str()).map(str::to_owned);
    let event = |event: &Value| Event {
        number: number(&event["number"]) as u64,
        at_s: (number(&event["at_ms"]) - clock_ms as f64) / 1e3,
        kind: event["kind"].as_str().unwrap_or_default().to_owned(),
        text: text(event).unwrap_or_default(),
    };
    list.iter().map(event).collect()
}

/// A number, also one that is written as text; 0 for all else.
fn number(value: &Value) -> f64 {
    value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0.0)
}

fn unix_ms() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_with_whatever_fields_it_has() {
        let status = serde_json::json!({
            "nodes": [
                {"id": 1, "state": "Serving", "slots": 9, "stats": {"used_bytes": 7}},
                {"id": 2, "state": "starting", "used_bytes": 3, "pid": 12}
            ],
            "slots_moved_total": 5, "ecpu_total": "12.5"
        });
        let seen = look(&status, &serde_json::json!({"ecpu_milli_total": 9, "cost": {"total": 0.25}}), 1.5);
        assert_eq!((seen.nodes_up(), seen.owners(), seen.nodes.len()), (1, 1, 2));
        assert_eq!((seen.nodes[0].used_bytes, seen.nodes[1].used_bytes, seen.nodes[1].pid), (7, 3, 12));
        assert_eq!((seen.slots_moved, seen.ecpu_total, seen.bill_total, seen.at_s), (5, 12.5, 0.25, 1.5));
        assert_eq!(look(&Value::Null, &Value::Null, 0.0), Look::default());
    }

    #[test]
    fn what_an_ended_process_has_used_stays_counted() {
        let mut cpu = CpuTimes(BTreeMap::from([(u32::MAX - 1, 5_000_000)]));
        let gone = NodeLook { pid: u32::MAX - 1, ..NodeLook::default() };
        let first = cpu.add(std::process::id(), &[gone]);
        assert!(first > 5_000_000, "{first}");
        assert!(cpu.add(std::process::id(), &[]) >= first);
        let look = |at_s, cpu_us| Look { at_s, cpu_us, ..Look::default() };
        assert_eq!(look(3.0, 900_000).cores_since(&look(1.0, 400_000)), 0.25);
    }

    #[test]
    fn events_are_read_from_a_list_or_an_object() {
        let event = serde_json::json!({"number": 3, "at_ms": 5_500, "text": "two nodes more", "kind": "scale-out"});
        let expected = Event { number: 3, at_s: 0.5, kind: "scale-out".into(), text: "two nodes more".into() };
        for page in [serde_json::json!([event]), serde_json::json!({"events": [event]})] {
            assert_eq!(events(&page, 5_000), std::slice::from_ref(&expected));
        }
        assert!(events(&Value::Null, 0).is_empty());
    }
}
