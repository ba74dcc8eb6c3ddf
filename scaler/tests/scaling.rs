//! The live loop: nodes that report, and what the scaler makes of it.

use std::thread::{JoinHandle, spawn};

use swell_node::control::{Answer, Ask, FromMember, NodeStats, ScalingMode, Status};
use swell_ring::{NodeId, SlotSet};
use swell_scaler::policy::Tuning;
use swell_scaler::policy::view::Bounds;
use swell_scaler::{ProcessConfig, Scaler, ScalerConfig, ScalingConfig};

use crate::children::program;
use crate::fake::{BOUND, FakeNode, Folder, Peer, join, person, proxy};

/// What a node is planned to hold.
const NODE_BYTES: u64 = 1_000_000;

fn config(folder: &Folder, mode: ScalingMode, nodes: (u32, u32)) -> ScalerConfig {
    let bounds = Bounds {
        nodes_min: nodes.0,
        nodes_max: nodes.1,
        node_memory_bytes: NODE_BYTES,
        node_ecpu_per_second: 0.0,
        node_network_bytes_per_second: 0.0,
        node_cores: 0.01,
    };
    // Fewer nodes after a second in which they would have been enough: people wait longer than tests.
    let tuning = Tuning { stable_ms: 1_000, in_pause_ms: 500, ..Tuning::for_ready_ms(1_000) };
    let run_dir = folder.path().join("run");
    let process = ProcessConfig { binary: program(folder), run_dir, node_cores: 0.01, ..ProcessConfig::default() };
    ScalerConfig { process: Some(process), scaling: ScalingConfig { mode, bounds, tuning }, ..folder.config() }
}

/// A node that says once that it holds so much, and then does as it is told; tells whether it was told to leave.
fn node_with(scaler: &Scaler, name: &str, used_bytes: u64) -> JoinHandle<bool> {
    let mut node = FakeNode::join(scaler, join(name));
    let stats = NodeStats { at_us: 1, used_bytes, keys: 5, ..NodeStats::default() };
    node.peer.say(&FromMember::Stats(Box::new(stats)));
    spawn(move || node.serve())
}

fn status(asker: &mut Peer, ask: Ask) -> Status {
    match asker.ask(ask) {
        Answer::Status(status) => *status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_full_node_gets_others_and_their_share_moves_to_them() {
    let folder = Folder::new();
    let scaler = Scaler::start(config(&folder, ScalingMode::On, (1, 3))).unwrap();
    scaler.wait_ready(BOUND).unwrap();
    let _node = node_with(&scaler, "one", 3_500_000);
    let mut asker = person(&scaler);
    let event = asker.event_with("add 2 nodes: memory");
    let why = event.why.unwrap();
    assert_eq!((event.kind.as_str(), why.signal.as_str(), why.is_dry_run), ("scale-out", "memory", false));
    assert!((why.value - 3.5).abs() < 0.01 && why.limit < 1.0 && why.forecast >= why.value, "{why:?}");
    assert_eq!(event.message, "Increasing number of requested nodes");
    let map = asker.map_until("three nodes with a third each", |map| {
        map.nodes().len() == 3 && map.nodes().iter().all(|node| map.slots_of(node.id).len() > 4000)
    });
    assert!(map.orphans().is_empty());
    assert_eq!(asker.event_with("there are 3 nodes now").message, "Finished modifying number of nodes from 1 to 3");
    assert_eq!(asker.event_with("node 2 has joined").message, "Added cache node 0002 in availability zone none");
    // Four would be needed.
    let held = asker.event_with("held: at the maximum of 3 nodes");
    assert_eq!(held.kind, "held");
    let status = status(&mut asker, Ask::Status);
    assert_eq!(status.nodes.len(), 3);
    // It goes on moving: the node goes on saying that it is full.
    assert!(status.slots_moved_total >= 16384 - map.slots_of(NodeId(1)).len() as u64, "{status:?}");
    assert!(status.keys_moved_total > 0);
    assert_eq!(
        status.scaling.decisions.iter().find(|row| row.1 == "scale-out"),
        Some(&("memory".into(), "scale-out".into(), 1))
    );
    assert_eq!(status.scaling.last_decision.unwrap().kind, "move");
}

#[test]
fn a_dry_run_only_says_and_a_pause_says_nothing() {
    let folder = Folder::new();
    let scaler = Scaler::start(config(&folder, ScalingMode::DryRun, (1, 3))).unwrap();
    scaler.wait_ready(BOUND).unwrap();
    let _node = node_with(&scaler, "one", 2_200_000);
    let mut asker = person(&scaler);
    let event = asker.event_with("would add 2 nodes");
    assert!(event.why.unwrap().is_dry_run && event.message.is_empty());
    let paused = status(&mut asker, Ask::Scale(ScalingMode::Paused));
    assert_eq!((paused.scaling.mode, paused.scaling.nodes_starting), (ScalingMode::Paused, 0));
    assert_eq!(paused.nodes.len(), 1);
    assert!(paused.scaling.decisions.is_empty(), "it has carried out nothing");
    assert_eq!(asker.map().slots_of(NodeId(1)), SlotSet::all());
    asker.event_with("scaling is paused");
    status(&mut asker, Ask::Scale(ScalingMode::On));
    asker.map_until("more nodes", |map| map.nodes().len() == 3);
    let said = asker.events().iter().filter(|event| event.text.starts_with("would add")).count();
    assert_eq!(said, 1, "once, and not at every look");
}

#[test]
fn a_node_that_is_not_needed_is_drained_and_told_to_leave() {
    let folder = Folder::new();
    let scaler = Scaler::start(config(&folder, ScalingMode::On, (1, 3))).unwrap();
    scaler.wait_ready(BOUND).unwrap();
    let nodes = ["one", "two"].map(|name| node_with(&scaler, name, 1000));
    let mut asker = person(&scaler);
    let event = asker.event_with("go: 1 of 2 nodes");
    assert_eq!((event.kind.as_str(), event.why.unwrap().signal.as_str()), ("scale-in", "idle"));
    let map = asker.map_until("one node", |map| map.nodes().len() == 1);
    assert_eq!(map.orphans(), SlotSet::new());
    let left = NodeId(3 - map.nodes()[0].id.0);
    let [one, two] = nodes;
    let gone = if left == NodeId(1) { one } else { two };
    assert!(gone.join().unwrap(), "it was told to leave");
    asker.event_with(&format!("node {left} has left"));
    let status = status(&mut asker, Ask::Status);
    assert_eq!(status.nodes.len(), 1);
}

#[test]
fn too_few_nodes_are_filled_up_and_slots_spread() {
    let folder = Folder::new();
    let scaler = Scaler::start(config(&folder, ScalingMode::On, (2, 2))).unwrap();
    scaler.wait_ready(BOUND).unwrap();
    let _node = node_with(&scaler, "one", 0);
    let mut asker = person(&scaler);
    let event = asker.event_with("add a node");
    assert_eq!(event.why.unwrap().signal, "bounds");
    asker.map_until("half of the slots each", |map| map.slots_of(NodeId(2)).len() > 7000);
}

#[test]
fn a_node_that_gave_slots_away_for_their_heat_is_not_filled_up_by_a_drain() {
    let folder = Folder::new();
    let off = config(&folder, ScalingMode::On, (3, 3));
    let tuning = Tuning { heat_ms: 500, ..off.scaling.tuning.clone() };
    let scaling = ScalingConfig { tuning, ..off.scaling.clone() };
    let scaler = Scaler::start(ScalerConfig { process: None, scaling, ..off }).unwrap();
    scaler.wait_ready(BOUND).unwrap();
    let nodes = ["one", "two", "three"].map(|name| FakeNode::join(&scaler, join(name)));
    let hot = swell_ring::all_slots().next().unwrap();
    for node in &nodes {
        // Node 1 has all it can do, half of it for one slot; the others next to nothing.
        let is_hot = node.id == NodeId(1);
        let (busy, heat) = if is_hot { (100, vec![(hot.number(), 500)]) } else { (10, Vec::new()) };
        node.peer.report_on(move |at_us| NodeStats {
            cpu_us: at_us * busy / 10_000,
            work: at_us / 200,
            heat: heat.clone(),
            ..NodeStats::default()
        });
    }
    let _nodes = nodes.map(|mut node| spawn(move || node.serve()));
    let mut asker = person(&scaler);
    let event = asker.event_with("node 1 is at 125 % of a full node's work");
    assert_eq!(event.why.unwrap().signal, "heat");
    let before = asker.map_until("some to be moved", |map| map.slots_of(NodeId(1)).len() < 4000);
    // Who is hot is not forgotten meanwhile: that is when people drain nodes.
    status(&mut asker, Ask::Scale(ScalingMode::Paused));
    let drained = asker.ask(Ask::Drain { node: NodeId(3) });
    assert!(matches!(&drained, Answer::Done(progress) if progress.slots_done == progress.slots_total), "{drained:?}");
    let kept = asker.map().slots_of(NodeId(1)).len();
    assert!(kept < 5500, "it had {}, has {kept}, and half of all are 8192", before.slots_of(NodeId(1)).len());
}

#[test]
fn what_proxies_charge_is_the_nodes() {
    let folder = Folder::new();
    let scaler = Scaler::start(config(&folder, ScalingMode::Off, (1, 1))).unwrap();
    scaler.wait_ready(BOUND).unwrap();
    let _node = node_with(&scaler, "one", 0);
    let ((mut first, _), (mut second, _)) = (proxy(&scaler), proxy(&scaler));
    first.say(&FromMember::Charged { ecpu_milli: vec![(NodeId(1), 1500), (NodeId(99), 7)] });
    second.say(&FromMember::Charged { ecpu_milli: vec![(NodeId(1), 500)] });
    // Their links are read in order: what follows on each is answered after it.
    for proxy in [&mut first, &mut second] {
        status(proxy, Ask::Status);
    }
    let status = status(&mut person(&scaler), Ask::Status);
    assert_eq!(
        status.nodes.iter().map(|node| (node.line.id, node.ecpu_milli)).collect::<Vec<_>>(),
        [(NodeId(1), 2000)]
    );
    assert_eq!(status.scaling.mode, ScalingMode::Off);
    // Only proxies charge.
    let mut asker = person(&scaler);
    asker.say(&FromMember::Charged { ecpu_milli: vec![(NodeId(1), 1)] });
    assert!(asker.is_closed());
}
