//! Links that break at any byte, between proxies and nodes and between nodes that hand slots over.

use std::path::Path;
use std::time::Instant;

use super::cells::Cells;
use super::cluster::{Cluster, keep_moving};
use super::cutter::Cutter;
use super::moves;
use super::run::{self, Watch, goes_on};
use crate::harness::{Rng, Server, Swell};

/// A cluster, two proxies whose links to its nodes are cut time and again, and what cuts them.
fn start(seed: u64) -> (Cluster, [Server; 2], Vec<Cutter>) {
    let cluster = Cluster::start();
    let cut = |(index, node): (usize, swell_node::control::NodeLine)| {
        let path = node.address.strip_prefix("unix:").expect("the node listens at a socket");
        Cutter::at(Path::new(path), seed + index as u64)
    };
    let cutters = cluster.nodes().into_iter().enumerate().map(cut).collect();
    let proxies = [(); 2].map(|()| Swell::join(&cluster.server, &[]));
    (cluster, proxies, cutters)
}

#[test]
fn what_is_on_a_link_that_breaks_is_applied_once_or_never() {
    let seed = run::seed(31);
    let (cluster, proxies, cutters) = start(seed);
    let keys = moves::keys("reset");
    let roles = moves::roles(&keys, &[&proxies[0], &proxies[1]]);
    let watch = Watch::new(roles.len());
    let began = Instant::now();
    let meanwhile = || {
        let moved = moves::move_in_pairs(&cluster, seed, &keys, || goes_on(began, &watch));
        cutters.iter().for_each(Cutter::rest);
        moved
    };
    let (events, moved) = run::run(seed, &keys, &roles, &watch, meanwhile);
    let cuts: u64 = cutters.iter().map(Cutter::count).sum();
    println!("{cuts} cuts, {moved:?}");
    // Not through the cutters, which may hold something back.
    let held = run::held(&keys, std::slice::from_ref(&cluster.server.resp));
    run::conclude("resets", &keys, &events, &held, |_| None);
    moved.refuse_nobody(&run::refused(&events));
    assert!(cuts > 3 && moved.keys > 0 && !run::unknown(&events).is_empty(), "{cuts} cuts, {moved:?}");
}

#[test]
fn histories_are_linearizable_while_links_break() {
    let seed = run::seed(32);
    let (cluster, proxies, cutters) = start(seed);
    let cells = Cells::new("broken");
    let doors = proxies.each_ref().map(|proxy| proxy.resp.clone());
    let began = Instant::now();
    let meanwhile = || keep_moving(&cluster, &mut Rng::new(seed), |_| cells.slot(), || goes_on(began, cells.watch()));
    let (events, moved) = cells.run(seed, &doors, meanwhile);
    let cuts: u64 = cutters.iter().map(Cutter::count).sum();
    println!("{cuts} cuts, {moved:?}");
    cells.conclude("resets", &events, &[]);
    moved.refuse_nobody(&run::refused(&events));
    assert!(cuts > 3 && moved.count > 0, "{cuts} cuts, {moved:?}");
}
