//! While slots move from node to node, nobody notices: no error of any kind, and every history holds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use swell_ring::Slot;

use super::cells::Cells;
use super::cluster::{Cluster, MIDDLE, Moves, keep_moving};
use super::history::Key;
use super::run::{self, Role, Speaks, Watch, goes_on};
use crate::harness::{Rng, Server, Swell};

/// RESP clients; every other one at the second proxy.
const RESP: usize = 4;

/// memcached clients.
const MEMCACHED: usize = 2;

/// Roles for all clients, each with one proxy to begin with and the others to turn to.
pub fn roles(keys: &[Key], proxies: &[&Server]) -> Vec<Role> {
    let resp: Vec<String> = proxies.iter().map(|proxy| proxy.resp.clone()).collect();
    let memcached: Vec<String> = proxies.iter().map(|proxy| proxy.memcached.clone()).collect();
    let role = |client: usize| {
        let (speaks, doors) = if client < RESP { (Speaks::Resp, &resp) } else { (Speaks::Memcached, &memcached) };
        Role { doors: doors.clone(), speaks, keys: run::of_client(keys, client, speaks) }
    };
    (0..RESP + MEMCACHED).map(role).collect()
}

/// Keys for these roles, in any slot.
pub fn keys(name: &str) -> Vec<Key> {
    run::keys(name, &(0..RESP).collect::<Vec<_>>(), |_| true)
}

/// Moves slots of these keys on two links while `goes_on` says so: the lower half on one, the upper on the other.
pub fn move_in_pairs(cluster: &Cluster, seed: u64, keys: &[Key], goes_on: impl Fn() -> bool + Sync) -> Moves {
    let (low, high): (Vec<Slot>, Vec<Slot>) = keys.iter().map(|key| key.slot).partition(|slot| slot.index() < MIDDLE);
    let work =
        |salt: u64, hot: &[Slot]| keep_moving(cluster, &mut Rng::new(seed + salt), |rng| rng.pick(hot), &goes_on);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| work(1, &high));
        let own = work(2, &low);
        own.and(other.join().expect("the other mover goes on"))
    })
}

/// The same while something else is done to the processes.
pub fn while_moving<T>(
    cluster: &Cluster,
    seed: u64,
    keys: &[Key],
    watch: &Watch,
    meanwhile: impl FnOnce() -> T,
) -> (T, Moves) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let goes_on = || !over.load(Ordering::Relaxed) && !watch.is_over();
        let movers = scope.spawn(move || move_in_pairs(cluster, seed, keys, goes_on));
        let end = OnEnd(&over);
        let result = meanwhile();
        drop(end);
        (result, movers.join().expect("the movers go on"))
    })
}

/// Tells movers to end, also when a check has panicked.
struct OnEnd<'a>(&'a AtomicBool);

impl Drop for OnEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn nobody_notices_that_slots_move() {
    let seed = run::seed(11);
    let cluster = Cluster::start();
    let second = Swell::join(&cluster.server, &[]);
    let keys = keys("move");
    let roles = roles(&keys, &[&cluster.server, &second]);
    let watch = Watch::new(roles.len());
    let began = Instant::now();
    let meanwhile = || move_in_pairs(&cluster, seed, &keys, || goes_on(began, &watch));
    let (events, moves) = run::run(seed, &keys, &roles, &watch, meanwhile);
    let held = run::held(&keys, &[cluster.server.resp.clone(), second.resp.clone()]);
    println!("{moves:?}");
    run::conclude("moving", &keys, &events, &held, |_| None);
    moves.refuse_nobody(&run::refused(&events));
    run::none("of unknown outcome", &run::unknown(&events));
    assert!(moves.count > 10 && moves.keys > 0 && moves.failures.is_empty(), "{moves:?}");
}

#[test]
fn histories_are_linearizable_while_slots_move() {
    let seed = run::seed(12);
    let cluster = Cluster::start();
    let second = Swell::join(&cluster.server, &[]);
    let cells = Cells::new("cell");
    let doors = [cluster.server.resp.clone(), second.resp.clone()];
    let began = Instant::now();
    let meanwhile = || keep_moving(&cluster, &mut Rng::new(seed), |_| cells.slot(), || goes_on(began, cells.watch()));
    let (events, moves) = cells.run(seed, &doors, meanwhile);
    println!("{moves:?}");
    cells.conclude("moving", &events, &[]);
    moves.refuse_nobody(&run::refused(&events));
    run::none("of unknown outcome", &run::unknown(&events));
    assert!(moves.count > 10 && moves.keys > 0 && moves.failures.is_empty(), "{moves:?}");
}
