//! A run: clients at work on threads of their own while something is done to the processes, then every key's check.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use swell_ring::Slot;

use super::checks::check_all;
use super::clients::{Client, slowest};
use super::history::{Death, Event, Key, Kind, Outcome};
use crate::harness::{Conn, DEADLINE, encode, wait_for};

/// The length of a run where nobody says.
const SECONDS: u64 = 4;

/// Keys of each kind.
const KEYS: usize = 12;

/// Keys that APPEND makes longer, and that SETNX sets once.
const MANY_KEYS: usize = 200;

/// What a client does.
pub struct Role {
    pub doors: Vec<String>,
    pub speaks: Speaks,
    /// Indexes of its keys.
    pub keys: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    Resp,
    Memcached,
}

/// The clients at work, for whoever does something to the processes meanwhile.
pub struct Watch {
    /// Requests that each has finished.
    done: Vec<AtomicU64>,
    stop: AtomicBool,
}

/// Ends the clients' work, also when a check has panicked.
pub struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How long a run lasts: `SWELL_CONSISTENCY_SECONDS`.
pub fn budget() -> Duration {
    Duration::from_secs(number("SWELL_CONSISTENCY_SECONDS").unwrap_or(SECONDS))
}

/// What the random choices of a test begin with: `SWELL_CONSISTENCY_SEED`, else the test's own. Printed.
pub fn seed(test: u64) -> u64 {
    let seed = number("SWELL_CONSISTENCY_SEED").unwrap_or(test);
    println!("SWELL_CONSISTENCY_SEED={seed}");
    seed
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Keys of every kind, spread over those slots that `takes`; each of the clients `own` has some of its own.
pub fn keys(name: &str, own: &[usize], takes: impl Fn(Slot) -> bool) -> Vec<Key> {
    let mut kinds: Vec<(Kind, usize)> = vec![(Kind::Counter, KEYS), (Kind::Log, MANY_KEYS), (Kind::Once, MANY_KEYS)];
    kinds.extend(own.iter().map(|client| (Kind::Own(*client), KEYS)));
    kinds.extend([(Kind::MemcachedCounter, KEYS), (Kind::Cas, KEYS)]);
    let mut number = 0;
    let mut next = |kind| loop {
        number += 1;
        let key = Key::new(format!("{name}:{number}"), kind);
        if takes(key.slot) {
            return key;
        }
    };
    kinds.into_iter().flat_map(|(kind, count)| vec![kind; count]).map(&mut next).collect()
}

/// The keys that this client may use.
pub fn of_client(keys: &[Key], client: usize, speaks: Speaks) -> Vec<usize> {
    let uses = |kind: Kind| match kind {
        Kind::Counter | Kind::Log | Kind::Once => speaks == Speaks::Resp,
        Kind::Own(owner) => speaks == Speaks::Resp && owner == client,
        Kind::MemcachedCounter | Kind::Cas => speaks == Speaks::Memcached,
    };
    (0..keys.len()).filter(|index| uses(keys[*index].kind)).collect()
}

/// Lets clients work while `meanwhile` goes on; returns what they did, each client's events in its order.
pub fn run<T>(
    seed: u64,
    keys: &[Key],
    roles: &[Role],
    watch: &Watch,
    meanwhile: impl FnOnce() -> T,
) -> (Vec<Event>, T) {
    std::thread::scope(|scope| {
        let stop = watch.stop_at_end();
        let begin = roles.iter().enumerate().map(|(id, role)| {
            let client = Client::new(id, seed, keys, &role.doors, &watch.done[id]);
            scope.spawn(move || work(client, role, watch))
        });
        let threads: Vec<_> = begin.collect();
        let result = meanwhile();
        drop(stop);
        (threads.into_iter().flat_map(|thread| thread.join().expect("a client goes on")).collect(), result)
    })
}

fn work(mut client: Client, role: &Role, watch: &Watch) -> Vec<Event> {
    while !watch.is_over() {
        match role.speaks {
            Speaks::Resp => client.resp(&role.keys),
            Speaks::Memcached => client.memcached(&role.keys),
        }
    }
    client.events
}

impl Watch {
    /// For this many clients.
    pub fn new(clients: usize) -> Watch {
        Watch { done: (0..clients).map(|_| AtomicU64::new(0)).collect(), stop: AtomicBool::new(false) }
    }

    /// The clients' work ends with this value.
    pub fn stop_at_end(&self) -> StopAtEnd<'_> {
        StopAtEnd(&self.stop)
    }

    pub fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Waits until every client has finished this many requests more.
    pub fn progress(&self, requests: u64) {
        let until: Vec<u64> = self.done.iter().map(|done| done.load(Ordering::Relaxed) + requests).collect();
        wait_for("every client to go on", DEADLINE, || {
            let is_there = |(done, until): (&AtomicU64, &u64)| done.load(Ordering::Relaxed) >= *until;
            self.done.iter().zip(&until).all(is_there).then_some(())
        });
    }

    /// What each client counts in.
    pub fn done(&self) -> &[AtomicU64] {
        &self.done
    }
}

/// Reads what the keys hold, through each of these proxies.
///
/// # Panics
/// When one shows anything else than another.
pub fn held(keys: &[Key], doors: &[String]) -> Vec<Option<String>> {
    let mut views: Vec<Vec<Option<String>>> = doors.iter().map(|door| read_all(keys, door)).collect();
    let last = views.pop().expect("there is a proxy");
    for view in views {
        assert_eq!(view, last, "two proxies show the same");
    }
    last
}

fn read_all(keys: &[Key], door: &str) -> Vec<Option<String>> {
    let mut conn = Conn::open(door);
    conn.send(&keys.iter().flat_map(|key| encode(&["GET", &key.name])).collect::<Vec<u8>>());
    let read = |_: &Key| match conn.reply() {
        crate::harness::Reply::NullBulk => None,
        reply => Some(reply.text()),
    };
    keys.iter().map(read).collect()
}

/// Checks every key, and prints the figures.
///
/// # Panics
/// When a rule was broken.
pub fn conclude(
    what: &str,
    keys: &[Key],
    events: &[Event],
    held: &[Option<String>],
    death: impl Fn(&Key) -> Option<Death>,
) {
    let count = |which: fn(&Outcome) -> bool| events.iter().filter(|event| which(&event.outcome)).count();
    let done = count(|outcome| matches!(outcome, Outcome::Done(_)));
    let (refused, unknown) = (refused(events).len(), self::unknown(events).len());
    let slowest = slowest(events.iter());
    println!("{what}: {done} done, {refused} refused, {unknown} of unknown outcome, slowest {slowest:?}");
    check_all(keys, events, held, death).unwrap_or_else(|why| panic!("{what}:\n{why}"));
}

/// The events that did not run.
pub fn refused(events: &[Event]) -> Vec<&Event> {
    events.iter().filter(|event| matches!(event.outcome, Outcome::Refused(_))).collect()
}

/// The events of which nobody knows.
pub fn unknown(events: &[Event]) -> Vec<&Event> {
    events.iter().filter(|event| matches!(event.outcome, Outcome::Unknown(_))).collect()
}

/// Panics if there are any, and shows a few.
pub fn none(what: &str, events: &[&Event]) {
    assert!(events.is_empty(), "{} {what}, such as {:?}", events.len(), &events[..events.len().min(3)]);
}

/// Time since a run began, against its budget.
pub fn goes_on(began: Instant, watch: &Watch) -> bool {
    began.elapsed() < budget() && !watch.is_over()
}
