//! From a node's CPU time to a decision: reports, rates, the policy's smoothing, each at its own beat. A step must be
//! seen within a second however the beats fall.

use std::time::Duration;

use swell_node::control::NodeStats;
use swell_ring::{Epoch, Member, NodeId, SlotMap, SlotSet};
use tokio::time::Instant;

use super::observe::Observer;
use super::{READY_MS, TICK};
use crate::policy::view::{Action, Bounds, Free, NodeState, NodeView, Snapshot};
use crate::policy::{Policy, Tuning};

const NODE: NodeId = NodeId(1);
/// A node's reports are so far apart (`STATS_TICK` of its executor), and come late by so much at most where its control
/// thread waits for a control group that is held back.
const REPORT_EVERY_MS: u64 = 200;
const REPORT_LATE_MS: u64 = 10;
const CORES: f64 = 0.1;
const STEP_AT_MS: u64 = 10_000;

/// Milliseconds from a step of the busy share until nodes are added. `beats`: when reports and looks come.
fn seen_after(before: f64, beats: (u64, u64)) -> u64 {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let cpu_us = |ms: u64| {
        let (quiet, busy) = (ms.min(STEP_AT_MS), ms.saturating_sub(STEP_AT_MS));
        ((quiet as f64 * before + busy as f64) * CORES * 1e3) as u64
    };
    let map = SlotMap::single(Epoch(1), Member { id: NODE, address: "unix:/1".to_owned(), zone: String::new() });
    let (mut observer, mut policy) = (Observer::default(), Policy::new(bounds(), Tuning::for_ready_ms(READY_MS)));
    for ms in 0..2 * STEP_AT_MS {
        if ms % REPORT_EVERY_MS == beats.0 {
            let late = (ms / REPORT_EVERY_MS * 7) % (REPORT_LATE_MS + 1);
            let (at_us, requests) = (ms * 1_000 + 1, ms);
            observer.report(
                NODE,
                &NodeStats { at_us, cpu_us: cpu_us(ms), requests, ..Default::default() },
                at(ms + late),
            );
        }
        if ms > 2_000 && ms % TICK.as_millis() as u64 == beats.1 {
            let node = NodeView {
                state: NodeState::Serving,
                slots: swell_ring::SLOTS as u32,
                busy_share: observer.rates(NODE, at(ms)).cpu / CORES,
                ..NodeView::starting(NODE)
            };
            let free = Free { cores: 8.0, memory_bytes: 1 << 40 };
            let step = policy.step(&Snapshot { at_ms: ms, nodes: vec![node], map: &map, moving: SlotSet::new(), free });
            if step.decisions.iter().any(|decision| matches!(decision.action, Action::AddNodes { .. })) {
                return ms.checked_sub(STEP_AT_MS).expect("nothing is added before the step");
            }
        }
    }
    panic!("a step from {before} is not seen at all with {beats:?}");
}

fn bounds() -> Bounds {
    Bounds {
        nodes_min: 1,
        nodes_max: 8,
        node_memory_bytes: 64 << 20,
        node_ecpu_per_second: 0.0,
        node_network_bytes_per_second: 0.0,
        node_cores: CORES,
    }
}

#[test]
fn a_step_is_seen_within_a_second_however_the_beats_fall() {
    let beats =
        (0..REPORT_EVERY_MS).step_by(20).flat_map(|report| (0..250).step_by(25).map(move |look| (report, look)));
    for before in [0.05, 0.3, 0.6] {
        let worst = beats.clone().map(|beats| seen_after(before, beats)).max();
        assert!(worst.is_some_and(|ms| ms <= 900), "from {before}: {worst:?} ms");
    }
}
