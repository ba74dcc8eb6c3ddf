//! Slots that move from node to node, and nodes that leave, because a person wants it.

use std::thread::{JoinHandle, spawn};

use swell_node::control::{Answer, Ask, Progress};
use swell_ring::{NodeId, SlotSet};
use swell_scaler::Scaler;

use crate::fake::{BOUND, FakeNode, Folder, join, person, proxy};

/// A node on a thread of its own; tells whether it was told to leave.
fn running(mut node: FakeNode) -> JoinHandle<bool> {
    spawn(move || node.serve())
}

/// A scaler with nodes 1 (which owns everything) to `count`.
fn cluster(count: u32) -> (Folder, Scaler, Vec<JoinHandle<bool>>) {
    let folder = Folder::new();
    let scaler = folder.start();
    let nodes = (1..=count).map(|at| running(FakeNode::join(&scaler, join(&format!("n{at}"))))).collect();
    (folder, scaler, nodes)
}

fn done(answer: Answer) -> Progress {
    match answer {
        Answer::Done(progress) => progress,
        other => panic!("{other:?}"),
    }
}

fn refused(answer: Answer) -> String {
    match answer {
        Answer::Refused { why } => why,
        other => panic!("{other:?}"),
    }
}

fn slots(text: &str) -> SlotSet {
    text.parse().unwrap()
}

#[test]
fn a_move_changes_the_owner_and_says_how_long_it_took() {
    let (_folder, scaler, _nodes) = cluster(2);
    let (mut proxy, _) = proxy(&scaler);
    let mut asker = person(&scaler);
    let wanted = slots("0-999");
    let (steps, last) = asker.ask_all(Ask::Move { slots: wanted.clone(), to: NodeId(2) });
    let progress = done(last);
    assert_eq!((progress.slots_done, progress.slots_total, progress.retries), (1000, 1000, 0), "{progress:?}");
    assert_eq!((progress.sealed_us.len(), progress.commit_us.len()), (4, 4), "one for each group of 256");
    assert_eq!((progress.keys, progress.bytes), (40, 4000));
    assert!(steps.iter().all(|step| step.slots_done <= 1000));
    let map = proxy.map_where("the last map", |map| map.slots_of(NodeId(2)) == wanted);
    assert_eq!(map, asker.map());
    asker.event_with("a move is over: 1000 of 1000 slots, 40 keys");
    // Moving what is there already is nothing to do.
    let again = done(asker.ask(Ask::Move { slots: wanted, to: NodeId(2) }));
    assert_eq!((again.slots_done, again.keys), (1000, 0));
    assert_eq!(asker.map(), map);
}

#[test]
fn a_copy_that_fails_is_tried_again() {
    let folder = Folder::new();
    let scaler = folder.start();
    let mut one = FakeNode::join(&scaler, join("one"));
    let two = FakeNode::join(&scaler, join("two"));
    one.failures = 2;
    let _nodes = [running(one), running(two)];
    let progress = done(person(&scaler).ask(Ask::Move { slots: slots("5,7"), to: NodeId(2) }));
    assert_eq!((progress.slots_done, progress.retries), (2, 2), "{progress:?}");
}

#[test]
fn a_drained_node_leaves_when_the_others_have_its_slots() {
    let (_folder, scaler, mut nodes) = cluster(3);
    let mut asker = person(&scaler);
    let progress = done(asker.ask(Ask::Drain { node: NodeId(1) }));
    assert_eq!((progress.slots_done, progress.slots_total), (16384, 16384), "{progress:?}");
    assert_eq!(progress.sealed_us.len(), progress.commit_us.len());
    assert!(nodes.remove(0).join().unwrap(), "it was told to leave");
    let map = asker.map_until("a map without node 1", |map| map.node(NodeId(1)).is_none());
    assert!(map.orphans().is_empty());
    let shares: Vec<usize> = [2, 3].map(|id| map.slots_of(NodeId(id)).len()).to_vec();
    assert!(shares.iter().all(|share| *share > 6000), "{shares:?}");
    asker.event_with("node 1 has left");
    let why = refused(asker.ask(Ask::Drain { node: NodeId(1) }));
    assert_eq!(why, "there is no node 1");
}

#[test]
fn what_cannot_be_moved_is_said() {
    let (_folder, scaler, _nodes) = cluster(1);
    let mut asker = person(&scaler);
    for (ask, words) in [
        (Ask::Move { slots: slots("1"), to: NodeId(7) }, "there is no node 7"),
        (Ask::Move { slots: slots(""), to: NodeId(1) }, "no slots were named"),
        (Ask::Drain { node: NodeId(7) }, "there is no node 7"),
        (Ask::Drain { node: NodeId(1) }, "there is no other node for the slots of node 1"),
    ] {
        assert_eq!(refused(asker.ask(ask)), words);
    }
    assert_eq!(asker.nodes()[0].state, "serving");
}

#[test]
fn a_move_goes_on_when_nobody_asks_any_more() {
    let (_folder, scaler, _nodes) = cluster(2);
    let mut asker = person(&scaler);
    asker.ask_only(Ask::Move { slots: slots("0-511"), to: NodeId(2) });
    drop(asker);
    let mut later = person(&scaler);
    later.event_with("a move is over: 512 of 512 slots");
    assert_eq!(later.map().slots_of(NodeId(2)), slots("0-511"));
    scaler.wait_ready(BOUND).unwrap();
}
