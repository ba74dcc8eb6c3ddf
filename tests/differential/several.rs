//! Sequences of several clients, on Swell and on valkey-server 9.1: transactions and races on what they watch, blocking
//! commands, pub/sub, notifications, tracking, scripts; who asks what next is chosen by a seed.
//!
//! As with one client, `SWELL_SEED=n` plays one script again, `SWELL_CASES=n` as many from a new start, and after
//! `SWELL_DIFFERENCES=n` a run ends. `SWELL_DIFFERENTIAL_FAMILY` names what scripts are about, separated by commas
//! (watch, blocking, pubsub, notifications, tracking, scripts, all). A failing script is reduced to the steps that it
//! takes and printed; `SWELL_SCRIPT=file` plays such a text. `SWELL_OURS` and `SWELL_THEIRS` ("host:port") name servers that
//! run already, which the test `servers_that_run` then compares.

mod judge;
mod lua;
mod make;
mod play;
mod requests;
mod script;
mod side;
mod tables;
mod told;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::number;
use super::run::Pair;
use crate::harness::{Conn, Real, Subject, Topology, everywhere};
use make::Maker;
use play::{Outcome, Table};
use script::Step;
use side::{PATIENCE, Side};

/// Scripts of one run unless SWELL_CASES says otherwise; where not all topics are known, the others' seeds are passed over.
const CASES: u64 = 140;

/// Scripts that differ after which a run ends, unless SWELL_DIFFERENCES says otherwise.
const DIFFERENCES: usize = 3;

/// What an answer may take while a script is reduced.
const PATIENCE_WHEN_REDUCING: Duration = Duration::from_millis(500);

/// Scripts in which something that is never said has to be missed.
const SCRIPTS_TO_FIND_A_LOSS: u64 = 400;

/// How often a script is played to see whether it shows its difference each time.
const REPEATS: usize = 3;

/// What a script is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Topic {
    Watch,
    Blocking,
    Pubsub,
    Notifications,
    Tracking,
    Scripts,
    All,
}

/// Where our data is, as far as that makes a difference.
#[derive(Clone, Copy)]
pub struct Place {
    /// Which seeds are played there.
    number: u64,
    /// All keys have to be in one slot.
    pub is_several: bool,
    /// Keys are reached over links: some things are refused there, see [`make`] and [`judge`].
    pub is_remote: bool,
    /// Slots move meanwhile, and a slot's leaving is a change to whoever watches one of its keys.
    pub is_moving: bool,
}

impl Place {
    fn of(place: Topology) -> Place {
        let (is_remote, is_moving) = (place != Topology::Embedded, place == Topology::Moving3);
        Place { number: place as u64, is_several: place.is_several(), is_remote, is_moving }
    }

    /// That of a server that runs already; `SWELL_TOGETHER`, `SWELL_REMOTE` and `SWELL_MOVING` say what has to be known of it.
    fn of_running() -> Place {
        let is_set = |name: &str| std::env::var_os(name).is_some();
        let (is_several, is_remote) = (is_set("SWELL_TOGETHER"), is_set("SWELL_REMOTE"));
        Place { number: 5, is_several, is_remote, is_moving: is_set("SWELL_MOVING") }
    }
}

/// What is played on Swell in a place. Over links the others are still to be looked at (SWELL_DIFFERENTIAL_FAMILY names
/// them): what is known to differ there stands in [`make`] and [`judge`].
fn known(place: Topology) -> &'static [Topic] {
    match place {
        Topology::Embedded => &Topic::ALL,
        Topology::Remote1 | Topology::Remote3 => &[Topic::Watch, Topic::Pubsub, Topic::Notifications, Topic::Scripts],
        Topology::Moving3 => &[Topic::Watch],
    }
}

impl Topic {
    const ALL: [Topic; 7] = [
        Topic::Watch,
        Topic::Blocking,
        Topic::Pubsub,
        Topic::Notifications,
        Topic::Tracking,
        Topic::Scripts,
        Topic::All,
    ];

    fn name(self) -> String {
        format!("{self:?}").to_ascii_lowercase()
    }

    fn of_seed(seed: u64) -> Topic {
        Topic::ALL[usize::try_from(seed % Topic::ALL.len() as u64).expect("below seven")]
    }
}

everywhere! {
    scripts_of_several_clients
}

fn scripts_of_several_clients(place: Topology) {
    let is_remote = Subject::is_swell() && place != Topology::Embedded;
    // Each worker has a link of its own: over one, requests come to a node in the order in which they were sent.
    let ours = Subject::resp_with(place, if is_remote { &["--workers", "1"] } else { &[] });
    let theirs = Real::valkey(&[]);
    let known = if Subject::is_swell() { known(place) } else { &Topic::ALL };
    let found = differences(&ours.resp, &theirs.resp, Place::of(place), known);
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}

/// Checks the test: what one server says, another of the same kind has to say as well.
#[test]
fn the_oracle_agrees_with_itself() {
    let (ours, theirs) = (Real::valkey(&[]), Real::valkey(&[]));
    let found =
        differences(&ours.resp, &theirs.resp, Place { number: 4, ..Place::of(Topology::Embedded) }, &Topic::ALL);
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}

/// Checks the test: another option of the server shows, and the script is reduced to what shows it.
#[test]
fn a_difference_is_found_and_reduced() {
    let (ours, theirs) = (Real::valkey(&["--proto-max-bulk-len", "1mb"]), Real::valkey(&[]));
    let mut table = table(&ours.resp, &theirs.resp, Place::of(Topology::Embedded));
    let steps = script::parse(
        "0 opens 3\n1 opens 2\n0> SUBSCRIBE c\n1> SET a 1\n1> SETRANGE a 2000000 b\n1> STRLEN a\n1> PUBLISH c x\n0> MULTI\n1> DEL a",
    );
    assert!(matches!(table.play_all(&steps), Outcome::Differs(4, _)));
    assert_eq!(script::print(&reduce(steps, &mut table)), "1 opens 2\n1> SETRANGE a 2000000 b");
}

/// Checks the test: made-up scripts show what is never said, whatever it is.
#[test]
fn a_lost_message_is_found() {
    let (ours, theirs) = (Real::valkey(&[]), Real::valkey(&[]));
    let maker = Maker::new(&mut ours.conn(), &mut theirs.conn(), Place::of(Topology::Embedded));
    let losses: [(Topic, &[u8]); 5] = [
        (Topic::Pubsub, b"smessage"),
        (Topic::Notifications, b"pmessage"),
        (Topic::Tracking, b"invalidate"),
        (Topic::Tracking, b"tracking-redir-broken"),
        (Topic::Blocking, b"{t}1"),
    ];
    for (topic, word) in losses {
        let mut table = table(&ours.resp, &theirs.resp, Place::of(Topology::Embedded));
        table.set_patience(PATIENCE_WHEN_REDUCING);
        table.deafen(word);
        let is_found = |seed: &u64| {
            let mut making = maker.begin(topic, *seed);
            matches!(table.play(|states| making.next(states)).1, Outcome::Differs(..))
        };
        let found = (0..SCRIPTS_TO_FIND_A_LOSS).find(is_found);
        assert!(found.is_some(), "nobody missed {:?}", String::from_utf8_lossy(word));
    }
}

/// Compares the servers that `SWELL_OURS` and `SWELL_THEIRS` name.
#[test]
#[ignore = "for servers that run already"]
fn servers_that_run() {
    let address = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} names a server, host:port"));
    let found = differences(&address("SWELL_OURS"), &address("SWELL_THEIRS"), Place::of_running(), &Topic::ALL);
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}

/// Plays the scripts of one run; what differs is told as text.
fn differences(ours: &str, theirs: &str, place: Place, known: &[Topic]) -> Vec<String> {
    let topics = topics(known);
    let mut table = table(ours, theirs, place);
    if let Some(path) = std::env::var_os("SWELL_SCRIPT") {
        let text = std::fs::read_to_string(&path).expect("SWELL_SCRIPT names a file");
        let steps = script::parse(&text);
        let outcome = table.play_all(&steps);
        return tell(&steps, &outcome).into_iter().collect();
    }
    let maker = Maker::new(&mut Conn::open(ours), &mut Conn::open(theirs), place);
    let (mut played, mut void, mut found) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    let (began, mut steps_played) = (Instant::now(), 0);
    for seed in seeds(place.number) {
        let topic = Topic::of_seed(seed);
        if number("SWELL_SEED").is_none() && !topics.contains(&topic) {
            continue;
        }
        let telling = Telling(seed);
        let mut making = maker.begin(topic, seed);
        let (steps, outcome) = table.play(|states| making.next(states));
        steps_played += steps.len();
        match outcome {
            Outcome::Same => *played.entry(topic).or_insert(0) += 1,
            Outcome::Void(why) => *void.entry(why).or_insert(0) += 1,
            Outcome::Differs(at, why) => {
                let text = explain(steps, at, &why, &mut table);
                eprintln!("SWELL_SEED={seed} ({}):\n{text}\n", topic.name());
                found.push(format!("SWELL_SEED={seed} ({}):\n{text}", topic.name()));
            }
        }
        std::mem::forget(telling);
        if found.len()
            >= number("SWELL_DIFFERENCES").map_or(DIFFERENCES, |count| usize::try_from(count).expect("not many"))
        {
            break;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let scripts: usize = played.values().sum();
    let rate = scripts as f64 / seconds;
    eprintln!("{scripts} scripts, {steps_played} steps in {seconds:.1} s ({rate:.0}/s): {played:?}; void: {void:?}");
    found
}

/// A difference as text: the script that it takes, and both answers.
fn explain(mut steps: Vec<Step>, at: usize, why: &str, table: &mut Table) -> String {
    steps.truncate(at + 1);
    table.set_patience(PATIENCE_WHEN_REDUCING);
    let shows = (0..REPEATS).filter(|_| matches!(table.play_all(&steps), Outcome::Differs(..))).count();
    let text = if shows == REPEATS {
        let fewest = reduce(steps.clone(), table);
        tell(&fewest, &table.play_all(&fewest))
    } else {
        None
    };
    table.set_patience(PATIENCE);
    text.unwrap_or_else(|| format!("{}\n(seen again {shows} times out of {REPEATS})\n{why}", script::print(&steps)))
}

fn tell(steps: &[Step], outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Same => None,
        Outcome::Void(why) => Some(format!("{}\n(void: {why})", script::print(steps))),
        Outcome::Differs(at, why) => {
            let rest = if *at + 1 < steps.len() { format!("\n(in step {})", at + 1) } else { String::new() };
            Some(format!("{}{rest}\n{why}", script::print(steps)))
        }
    }
}

/// Leaves out whatever the difference does not need: halves first, then ever smaller pieces, then requests of those
/// that go out together.
fn reduce(mut steps: Vec<Step>, table: &mut Table) -> Vec<Step> {
    let mut piece = steps.len().div_ceil(2);
    loop {
        let mut at = 0;
        while at < steps.len() {
            let end = (at + piece).min(steps.len());
            let fewer = [&steps[..at], &steps[end..]].concat();
            if matches!(table.play_all(&fewer), Outcome::Differs(..)) { steps = fewer } else { at = end }
        }
        if piece <= 1 {
            break;
        }
        piece = piece.div_ceil(2);
    }
    for at in 0..steps.len() {
        let Step::Send { client, mut requests } = steps[at].clone() else { continue };
        let mut index = 0;
        while requests.len() > 1 && index < requests.len() {
            let mut fewer = requests.clone();
            fewer.remove(index);
            let mut other = steps.clone();
            other[at] = Step::Send { client, requests: fewer.clone() };
            if matches!(table.play_all(&other), Outcome::Differs(..)) {
                (steps, requests) = (other, fewer);
            } else {
                index += 1;
            }
        }
    }
    steps
}

fn table(ours: &str, theirs: &str, place: Place) -> Table {
    let pair = Pair::new(Conn::open(ours), Conn::open(theirs), place.is_several);
    Table::new(Side::new(ours), Side::new(theirs), pair, place)
}

/// Says which script it was when a server went away in its midst.
struct Telling(u64);

impl Drop for Telling {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in the script SWELL_SEED={}", self.0);
        }
    }
}

/// What scripts are about in this run.
fn topics(known: &[Topic]) -> Vec<Topic> {
    let Ok(names) = std::env::var("SWELL_DIFFERENTIAL_FAMILY") else { return known.to_vec() };
    let topic = |name: &str| {
        let found = Topic::ALL.into_iter().find(|topic| topic.name() == name);
        found.unwrap_or_else(|| panic!("no scripts are about {name}"))
    };
    names.split(',').map(topic).collect()
}

/// The seeds of one run; those of the ordinary ones are fixed, so that they say the same each time.
fn seeds(place: u64) -> std::ops::Range<u64> {
    if let Some(seed) = number("SWELL_SEED") {
        return seed..seed + 1;
    }
    match number("SWELL_CASES") {
        Some(count) => {
            let start = (u64::from(std::process::id()) << 32) + (place << 28);
            eprintln!("seeds from {start}");
            start..start + count
        }
        None => place * CASES..(place + 1) * CASES,
    }
}
