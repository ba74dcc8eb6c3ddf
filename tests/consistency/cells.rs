//! Short histories of many keys, one after another, each worked on by all clients at once: for the tester of
//! linearizability, whose work grows fast with a history's length.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use swell_ring::Slot;

use super::clients::{Client, slowest};
use super::history::{Death, Event, Key, Kind};
use super::linear;
use super::run::{self, Watch};
use crate::harness::DEADLINE;

/// Clients, each with one request at a time.
const CLIENTS: usize = 4;

/// Requests of each client to each key.
const REQUESTS: usize = 12;

/// More keys than any run gets through.
const KEYS: usize = 100_000;

/// The keys, and how far the clients are.
pub struct Cells {
    keys: Vec<Key>,
    /// How often a client was done with a key.
    passed: AtomicUsize,
    watch: Watch,
}

impl Cells {
    pub fn new(name: &str) -> Cells {
        let keys = (0..KEYS).map(|number| Key::new(format!("{name}:{number}"), Kind::Counter)).collect();
        Cells { keys, passed: AtomicUsize::new(0), watch: Watch::new(CLIENTS) }
    }

    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// The slot of the key that clients are at.
    pub fn slot(&self) -> Slot {
        self.keys[self.passed.load(Ordering::Relaxed) / CLIENTS % KEYS].slot
    }

    /// Lets clients work while `meanwhile` goes on.
    pub fn run<T>(&self, seed: u64, doors: &[String], meanwhile: impl FnOnce() -> T) -> (Vec<Event>, T) {
        std::thread::scope(|scope| {
            let stop = self.watch.stop_at_end();
            let begin = |id: usize| {
                let client = Client::new(id, seed, &self.keys, doors, &self.watch.done()[id]);
                scope.spawn(move || self.work(client))
            };
            let threads: Vec<_> = (0..CLIENTS).map(begin).collect();
            let result = meanwhile();
            drop(stop);
            (threads.into_iter().flat_map(|thread| thread.join().expect("a client goes on")).collect(), result)
        })
    }

    /// Checks every key, and prints the figures.
    ///
    /// # Panics
    /// When one's history is not linearizable.
    pub fn conclude(&self, what: &str, events: &[Event], deaths: &[Death]) {
        let mut by_key: BTreeMap<usize, Vec<Event>> = BTreeMap::new();
        for event in events {
            by_key.entry(event.key).or_default().push(event.clone());
        }
        let (refused, unknown) = (run::refused(events).len(), run::unknown(events).len());
        let (count, histories, slowest) = (events.len(), by_key.len(), slowest(events.iter()));
        println!(
            "{what}: {histories} histories, {count} events, {refused} refused, {unknown} of unknown outcome, slowest \
             {slowest:?}"
        );
        for (key, events) in &by_key {
            linear::check(events, deaths).unwrap_or_else(|why| panic!("{what}: {}: {why}", self.keys[*key].name));
        }
        assert!(histories > 1, "clients got somewhere");
    }

    fn work(&self, mut client: Client) -> Vec<Event> {
        for key in 0..KEYS {
            for _ in 0..REQUESTS {
                client.cell(key);
            }
            self.passed.fetch_add(1, Ordering::Relaxed);
            // A client that ran ahead would have a key to itself.
            let began = Instant::now();
            while self.passed.load(Ordering::Relaxed) < (key + 1) * CLIENTS {
                if self.watch.is_over() {
                    return client.events;
                }
                assert!(began.elapsed() < DEADLINE * 2, "the other clients go on");
                std::thread::yield_now();
            }
            if self.watch.is_over() {
                break;
            }
        }
        client.events
    }
}
