//! Nodes and proxies that are killed: what is lost, what is not, and how long anybody waits.

use std::time::{Duration, Instant};

use swell_node::control::NodeLine;
use swell_ring::NodeId;

use super::cells::Cells;
use super::clients::slowest;
use super::cluster::{Cluster, await_end, await_reaped, kill};
use super::history::{Death, Event};
use super::moves;
use super::run::{self, Role, Speaks, Watch, budget, goes_on};
use crate::harness::{DEADLINE, Rng, Server, Swell, wait_for};

/// How soon the death of a child must be known.
const NOTICED_MAX: Duration = Duration::from_secs(1);

/// How long a request may wait for a slot whose node has died, with time for the answer on a busy machine.
const WAIT_MAX: Duration = Duration::from_millis(2500);

/// How long a request for another node's slot may take meanwhile: nothing but a busy machine delays it.
const OTHERS_WAIT_MAX: Duration = Duration::from_secs(1);

/// Requests that every client finishes before a death, and after it.
const REQUESTS: u64 = 100;

/// Of a killed node's keys, clients: two RESP, one memcached; the same of the others'.
const SIDE: usize = 3;

/// Proxies that are killed in turn; another stays.
const PROXIES: usize = 2;

/// A node's death, as the cluster shows it.
#[derive(Debug)]
struct Seen {
    death: Death,
    reaped: Duration,
    noticed: Duration,
    reassigned: Duration,
}

/// A node that holds slots.
fn victim(cluster: &Cluster, rng: &mut Rng) -> NodeLine {
    let mut nodes = cluster.nodes();
    nodes.retain(|node| node.slots > 0);
    nodes.swap_remove(rng.below(nodes.len()))
}

/// Kills a node and watches what the scaler makes of it.
fn kill_node(cluster: &Cluster, node: &NodeLine, is_certain: bool) -> Seen {
    let last = cluster.events(0).last().map_or(0, |event| event.number);
    let before = Instant::now();
    kill(node.pid);
    let after = await_end(node.pid);
    let reaped = await_reaped(node.pid, before);
    let told = |words: &str| {
        wait_for(words, DEADLINE, || {
            cluster.events(last).iter().any(|event| event.text.contains(words)).then(|| before.elapsed())
        })
    };
    let noticed = told(&format!("node {} is gone: process {}", node.id, node.pid));
    told(&format!("node {} is gone: what it held of", node.id));
    let reassigned = wait_for("its slots to have owners", DEADLINE, || {
        let map = cluster.map();
        (map.node(node.id).is_none() && map.orphans().is_empty()).then(|| before.elapsed())
    });
    Seen { death: Death { before, after, is_certain }, reaped, noticed, reassigned }
}

/// The keys of a node that is going to be killed, and those of the others; clients of their own for each.
fn one_dies(cluster: &Cluster, second: &Server, seed: u64, round: u64) {
    let mut rng = Rng::new(seed + round);
    let (node, map) = (victim(cluster, &mut rng), cluster.map());
    let is_of = |id: NodeId| move |slot| map.owner(slot) == Some(id);
    let (dies, map) = (is_of(node.id), cluster.map());
    let mut keys = run::keys(&format!("dies{round}"), &[0, 1], &dies);
    let border = keys.len();
    keys.extend(run::keys(&format!("lives{round}"), &[SIDE, SIDE + 1], |slot| !dies(slot)));
    let role = |client: usize| {
        let speaks = if client % SIDE == SIDE - 1 { Speaks::Memcached } else { Speaks::Resp };
        let doors = [&cluster.server, second].map(|proxy| match speaks {
            Speaks::Resp => proxy.resp.clone(),
            Speaks::Memcached => proxy.memcached.clone(),
        });
        let mut mine = run::of_client(&keys, client, speaks);
        mine.retain(|key| (*key < border) == (client < SIDE));
        Role { doors: doors.into(), speaks, keys: mine }
    };
    let roles: Vec<Role> = (0..2 * SIDE).map(role).collect();
    let watch = Watch::new(roles.len());
    let (events, seen) = run::run(seed + round, &keys, &roles, &watch, || {
        watch.progress(REQUESTS);
        let seen = kill_node(cluster, &node, true);
        watch.progress(REQUESTS);
        seen
    });
    println!("round {round}: node {} of {} slots: {seen:?}", node.id, map.slots_of(node.id).len());
    let held = run::held(&keys, &[cluster.server.resp.clone(), second.resp.clone()]);
    run::conclude("a node's death", &keys, &events, &held, |key| dies(key.slot).then_some(seen.death));
    let (theirs, others): (Vec<Event>, Vec<Event>) = events.into_iter().partition(|event| event.key < border);
    run::none("refused at other nodes", &run::refused(&others));
    run::none("of unknown outcome at other nodes", &run::unknown(&others));
    let (waited, others) = (slowest(theirs.iter()), slowest(others.iter()));
    println!("slowest request to the dead node's slots {waited:?}, to others {others:?}");
    assert!(waited <= WAIT_MAX && others <= OTHERS_WAIT_MAX);
    assert!(seen.reaped <= NOTICED_MAX && seen.noticed <= NOTICED_MAX && seen.reassigned <= NOTICED_MAX, "{seen:?}");
}

#[test]
fn a_dead_nodes_slots_begin_empty_and_others_are_untouched() {
    let seed = run::seed(21);
    let cluster = Cluster::start();
    let second = Swell::join(&cluster.server, &[]);
    let began = Instant::now();
    for round in 0.. {
        one_dies(&cluster, &second, seed, round);
        if began.elapsed() > budget() {
            break;
        }
        cluster.spread();
    }
}

#[test]
fn nothing_is_applied_twice_when_nodes_die_while_slots_move() {
    let seed = run::seed(22);
    let cluster = Cluster::start();
    let second = Swell::join(&cluster.server, &[]);
    let began = Instant::now();
    for round in 0.. {
        let mut rng = Rng::new(seed + round);
        let keys = moves::keys(&format!("both{round}"));
        let roles = moves::roles(&keys, &[&cluster.server, &second]);
        let watch = Watch::new(roles.len());
        let meanwhile = || {
            moves::while_moving(&cluster, seed + round, &keys, &watch, || {
                watch.progress(REQUESTS);
                let seen = kill_node(&cluster, &victim(&cluster, &mut rng), false);
                watch.progress(REQUESTS);
                seen
            })
        };
        let (events, (seen, moved)) = run::run(seed + round, &keys, &roles, &watch, meanwhile);
        println!("round {round}: {seen:?}, {moved:?}");
        let held = run::held(&keys, &[cluster.server.resp.clone(), second.resp.clone()]);
        run::conclude("a death among moves", &keys, &events, &held, |_| Some(seen.death));
        assert!(slowest(events.iter()) <= WAIT_MAX && seen.noticed <= NOTICED_MAX, "{seen:?}");
        if began.elapsed() > budget() {
            break;
        }
        cluster.spread();
    }
}

#[test]
fn histories_are_linearizable_but_for_what_dies_with_its_node() {
    let seed = run::seed(23);
    let cluster = Cluster::start();
    let second = Swell::join(&cluster.server, &[]);
    let cells = Cells::new("mortal");
    let doors = [cluster.server.resp.clone(), second.resp.clone()];
    let began = Instant::now();
    let (events, deaths) = cells.run(seed, &doors, || {
        let (mut rng, mut deaths) = (Rng::new(seed), Vec::new());
        while goes_on(began, cells.watch()) {
            cells.watch().progress(REQUESTS);
            deaths.push(kill_node(&cluster, &victim(&cluster, &mut rng), true).death);
            cells.watch().progress(REQUESTS);
            cluster.spread();
        }
        deaths
    });
    println!("{} deaths", deaths.len());
    cells.conclude("nodes' deaths", &events, &deaths);
    assert!(!deaths.is_empty());
}

#[test]
fn clients_of_a_killed_proxy_find_everything_at_another() {
    let seed = run::seed(24);
    let cluster = Cluster::start();
    let mut proxies: Vec<Server> = (0..PROXIES).map(|_| Swell::join(&cluster.server, &[])).collect();
    let keys = moves::keys("proxy");
    let roles = moves::roles(&keys, &proxies.iter().chain([&cluster.server]).collect::<Vec<_>>());
    let watch = Watch::new(roles.len());
    let began = Instant::now();
    let meanwhile = || {
        let deaths = || {
            for death in 1.. {
                watch.progress(REQUESTS);
                let proxy = &mut proxies[death % PROXIES];
                proxy.signal("KILL");
                proxy.exited(DEADLINE);
                watch.progress(REQUESTS);
                let doors = ["--resp", &proxy.resp, "--memcached", &proxy.memcached];
                *proxy = Swell::join(&cluster.server, &doors);
                if !goes_on(began, &watch) {
                    return death;
                }
            }
            0
        };
        moves::while_moving(&cluster, seed, &keys, &watch, deaths)
    };
    let (events, (deaths, moved)) = run::run(seed, &keys, &roles, &watch, meanwhile);
    println!("{deaths} deaths, {moved:?}");
    let held = run::held(&keys, &[cluster.server.resp.clone(), proxies[0].resp.clone(), proxies[1].resp.clone()]);
    run::conclude("proxies' deaths", &keys, &events, &held, |_| None);
    moved.refuse_nobody(&run::refused(&events));
    assert!(moved.count > 0 && moved.failures.is_empty(), "{moved:?}");
}
