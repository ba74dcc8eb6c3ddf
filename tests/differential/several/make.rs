//! Makes up a script while it is played: what comes next depends on the seed, and on what the oracle says of the
//! clients, so that those that wait are served and transactions come to their end.

use super::super::grammar::Grammar;
use super::super::pools::Pools;
use super::super::{Family, Request, compare};
use super::lua::SCRIPTS;
use super::play::States;
use super::requests::{PAUSE_MS, waits_shortly};
use super::script::{CLIENTS_MAX, Step, id_of};
use super::side::State;
use super::tables::*;
use super::{Place, Topic};
use crate::harness::{Conn, Rng, split_words};

/// Few keys, so that clients meet: in several slots, or in one.
const KEYS_APART: [&[u8]; 4] = [b"a", b"b", b"{t}1", b"{t}2"];
const KEYS_TOGETHER: [&[u8]; 4] = [b"{t}1", b"{t}2", b"{t}3", b"{t}4"];

/// Steps of one script beside those that open its clients.
const STEPS_MIN: usize = 5;
const STEPS_MAX: usize = 40;

/// Percentages: of scripts with two, three and four clients, at most.
const TWO_CLIENTS: usize = 40;
const THREE_CLIENTS: usize = 80;

/// Out of a thousand scripts that may have short times, those that do: each takes a pause.
const SHORT_TIMES: usize = 6;

/// Commands that the documented grammar yields, but whose replies are chance, cursors, or told by a clock.
const LEFT_OUT: [&str; 21] = [
    "spop",
    "srandmember",
    "hrandfield",
    "zrandmember",
    "randomkey",
    "scan",
    "sscan",
    "hscan",
    "zscan",
    "dump",
    "restore",
    "object",
    "xadd",
    "xautoclaim",
    "xclaim",
    "xpending",
    "xinfo",
    "sort",
    "sort_ro",
    "touch",
    "lcs",
];

/// What scripts with clients that wait do without over links: a client that CLIENT UNBLOCK has found waiting may still be
/// served by what the same connection pushes at once, and one that waits while databases are exchanged asks anew, so that
/// a key of another type is an error to it.
const NOT_BESIDE_REMOTE_WAITS: [&str; 2] = ["swapdb", "client|unblock"];

/// What a transaction that goes to another process does not hold: the node runs its own requests first, then the proxy the
/// others.
const NOT_IN_REMOTE_EXEC: [&str; 9] = [
    "subscribe",
    "psubscribe",
    "ssubscribe",
    "unsubscribe",
    "punsubscribe",
    "sunsubscribe",
    "pubsub",
    "hello",
    "config",
];

/// What all scripts are made from.
pub struct Maker {
    grammar: Grammar,
    /// The SHA1 of each script.
    shas: Vec<String>,
    place: Place,
    /// Whether only what is documented is asked: for a server that does not have all commands yet.
    only_known: bool,
    /// Commands that are left out, in lower case: what is known to differ hides what is not.
    without: Vec<String>,
}

/// A script in the making.
pub struct Making<'a> {
    maker: &'a Maker,
    pools: Pools<'a>,
    topic: Topic,
    rng: Rng,
    clients: usize,
    left: usize,
    /// Where values of each type mostly are.
    homes: [&'static [u8]; 7],
    entry: usize,
    short_times: bool,
}

/// What a topic's requests are taken from, with weights.
type Tables = &'static [(usize, Table)];

impl Topic {
    fn tables(self) -> Tables {
        match self {
            Topic::Watch => &[(30, BEGINNING), (55, DATA), (6, DATABASES), (3, CONNECTION), (2, WRONG)],
            Topic::Blocking => {
                &[(30, BLOCKING), (40, SERVING), (10, DATA), (6, BEGINNING), (1, DATABASES), (2, CONNECTION)]
            }
            Topic::Pubsub => {
                &[(35, SUBSCRIBING), (40, PUBLISHING), (5, BEGINNING), (5, DATA), (4, CONNECTION), (1, WRONG)]
            }
            Topic::Notifications => &[(18, LISTENING), (70, DATA), (5, BEGINNING), (4, DATABASES), (2, CONNECTION)],
            Topic::Tracking => &[
                (18, TRACKING),
                (30, READING),
                (36, DATA),
                (5, BEGINNING),
                (3, DATABASES),
                (3, CONNECTION),
                (2, SUBSCRIBING),
            ],
            Topic::Scripts => {
                &[(45, SCRIPTING), (30, DATA), (8, BEGINNING), (3, DATABASES), (3, CONNECTION), (2, WRONG)]
            }
            Topic::All => &[
                (14, BEGINNING),
                (24, DATA),
                (5, DATABASES),
                (5, CONNECTION),
                (2, WRONG),
                (9, BLOCKING),
                (12, SERVING),
                (7, SUBSCRIBING),
                (7, PUBLISHING),
                (5, LISTENING),
                (7, TRACKING),
                (7, READING),
                (8, SCRIPTING),
            ],
        }
    }
}

/// Whether a request is of this command, or of this subcommand ("client|unblock").
fn is_called(request: &Request, word: &str) -> bool {
    let name = compare::name(request);
    match word.strip_prefix(&*name) {
        Some("") => true,
        Some(rest) => rest.strip_prefix('|').is_some_and(|subcommand| {
            request.get(1).is_some_and(|given| given.eq_ignore_ascii_case(subcommand.as_bytes()))
        }),
        None => false,
    }
}

impl Maker {
    /// From what `subject` documents; `oracle` makes payloads and knows the digests of scripts.
    pub fn new(subject: &mut Conn, oracle: &mut Conn, place: Place) -> Maker {
        let grammar = Grammar::of(subject, oracle);
        let shas = SCRIPTS.iter().map(|(_, body)| oracle.cmd(&["SCRIPT", "LOAD", body]).text()).collect();
        let only_known = std::env::var_os("SWELL_ONLY_KNOWN").is_some();
        let without = std::env::var("SWELL_WITHOUT").unwrap_or_default();
        let without: Vec<String> = without.split(',').map(str::to_ascii_lowercase).collect();
        Maker { grammar, shas, place, only_known, without }
    }

    fn may_ask(&self, request: &Request) -> bool {
        (!self.only_known || self.grammar.knows(request)) && !self.without.iter().any(|word| is_called(request, word))
    }

    pub fn begin(&self, topic: Topic, seed: u64) -> Making<'_> {
        let mut rng = Rng::new(seed);
        let keys: &'static [&'static [u8]] =
            if self.place.is_several || rng.chance(50) { &KEYS_TOGETHER } else { &KEYS_APART };
        let pools = self.grammar.pools(keys, &mut rng);
        let clients = match rng.below(100) {
            dice if dice < TWO_CLIENTS => 2,
            dice if dice < THREE_CLIENTS => 3,
            _ => CLIENTS_MAX,
        };
        let homes = std::array::from_fn(|_| rng.pick(keys));
        let left = STEPS_MIN + rng.below(STEPS_MAX - STEPS_MIN + 1);
        let short_times = topic == Topic::Watch && rng.below(1000) < SHORT_TIMES;
        Making { maker: self, pools, topic, rng, clients, left, homes, entry: 0, short_times }
    }
}

impl Making<'_> {
    /// The next step, or None at the end.
    pub fn next(&mut self, states: &States) -> Option<Step> {
        let opened = states.iter().filter(|state| state.is_some()).count();
        if self.entry == 0 {
            if opened < self.clients {
                return Some(self.open(opened));
            }
            self.entry = 1;
        }
        if self.left == 0 {
            return std::mem::take(&mut self.short_times).then_some(Step::Pause { ms: PAUSE_MS });
        }
        self.left -= 1;
        let of = |wanted: bool, states: &States| -> Vec<usize> {
            (0..self.clients).filter(|client| states[*client].is_some() == wanted).collect()
        };
        let (open, closed) = (of(true, states), of(false, states));
        if !closed.is_empty() && (open.is_empty() || self.rng.chance(25)) {
            let client = self.rng.pick(&closed);
            return Some(self.open(client));
        }
        if self.rng.chance(if matches!(self.topic, Topic::Blocking | Topic::Tracking) { 3 } else { 1 }) {
            return Some(Step::Close { client: self.rng.pick(&open) });
        }
        if self.short_times && self.rng.chance(7) {
            return Some(Step::Pause { ms: PAUSE_MS });
        }
        let is_free = |client: &usize| states[*client].is_some_and(|state| !state.blocked);
        let free: Vec<usize> = open.iter().copied().filter(is_free).collect();
        if free.is_empty() {
            return Some(match closed.first() {
                Some(client) => self.open(*client),
                None => Step::Close { client: self.rng.pick(&open) },
            });
        }
        let client = if self.rng.chance(96) { self.rng.pick(&free) } else { self.rng.pick(&open) };
        let state = states[client].unwrap_or_default();
        let mut requests = self.requests(state);
        while state.blocked && requests.iter().any(waits_shortly) || self.is_refused(state, &requests) {
            requests = self.requests(state);
        }
        Some(Step::Send { client, requests })
    }

    /// Whether a transaction would hold what cannot be in its place where our data is, or a client that waits would be
    /// disturbed.
    fn is_refused(&self, state: State, requests: &[Request]) -> bool {
        let is_multi = |request: &Request| compare::name(request) == "multi";
        let is_out = |request: &Request| NOT_IN_REMOTE_EXEC.contains(&compare::name(request).as_str());
        let is_in_exec = state.queueing || requests.iter().any(is_multi);
        let may_wait = matches!(self.topic, Topic::Blocking | Topic::All);
        let disturbs = |request: &Request| NOT_BESIDE_REMOTE_WAITS.iter().any(|word| is_called(request, word));
        self.maker.place.is_remote
            && (is_in_exec && requests.iter().any(is_out) || may_wait && requests.iter().any(disturbs))
    }

    fn open(&mut self, client: usize) -> Step {
        Step::Open { client, protocol: if self.rng.chance(50) { 2 } else { 3 } }
    }

    /// What a client in that state asks.
    fn requests(&mut self, state: State) -> Vec<Request> {
        if self.short_times && self.rng.chance(12) {
            return self.bundle(&[(1, "PEXPIRE $key 301"), (1, "SET $string $value PX 301")]);
        }
        if state.queueing {
            return vec![self.queued()];
        }
        if state.subscribed && state.protocol == 2 && self.rng.chance(85) {
            return self.bundle(SUBSCRIBING);
        }
        if state.watching && self.rng.chance(35) {
            return self.bundle(&[(3, "MULTI"), (1, "MULTI ; $data ; EXEC")]);
        }
        let table = self.table();
        self.bundle(table)
    }

    fn queued(&mut self) -> Request {
        match self.rng.below(100) {
            0..=22 => self.bundle(QUEUEING).remove(0),
            23..=25 => self.bundle(WRONG).remove(0),
            _ => loop {
                let table = self.table();
                let mut requests = self.bundle(table);
                if requests.len() == 1 {
                    return requests.remove(0);
                }
            },
        }
    }

    fn table(&mut self) -> Table {
        let tables = self.topic.tables();
        let mut dice = self.rng.below(tables.iter().map(|(weight, _)| weight).sum());
        let found = tables.iter().find(|(weight, _)| {
            let is_it = dice < *weight;
            dice = dice.wrapping_sub(*weight);
            is_it
        });
        found.expect("the dice is below the sum").1
    }

    fn bundle(&mut self, table: Table) -> Vec<Request> {
        loop {
            let template = self.template(table);
            if self.topic == Topic::All && template.contains("BCAST") && template.contains("NOLOOP") {
                // Valkey tells such a client what its own scripts have changed; here it is not told.
                continue;
            }
            let requests: Vec<Request> = template.split(" ; ").map(|part| self.request(part)).collect();
            if requests.iter().all(|request| self.maker.may_ask(request)) {
                return requests;
            }
            // So that a table of which nothing is known comes to an end.
            if self.rng.chance(2) {
                return vec![vec![b"PING".to_vec()]];
            }
        }
    }

    fn template(&mut self, table: Table) -> &'static str {
        let mut dice = self.rng.below(table.iter().map(|(weight, _)| weight).sum());
        let found = table.iter().find(|(weight, _)| {
            let is_it = dice < *weight;
            dice = dice.wrapping_sub(*weight);
            is_it
        });
        found.expect("the dice is below the sum").1
    }

    fn request(&mut self, template: &str) -> Request {
        match template {
            "$data" => return self.data(),
            "$read" => return self.plain(READING),
            "$script" | "$scriptsha" | "$scriptro" => return self.script(template),
            _ => {}
        }
        let words = split_words(template).expect("templates are well formed");
        words.iter().map(|word| self.word(word)).collect()
    }

    /// A request of a table that is one by itself.
    fn plain(&mut self, table: Table) -> Request {
        loop {
            let template = self.template(table);
            if !template.contains(" ; ") {
                return self.request(template);
            }
        }
    }

    /// A request about data: one of the templates, or one as documented.
    fn data(&mut self) -> Request {
        if self.rng.chance(80) {
            let request = self.plain(DATA);
            return if self.short_times && request[0] == b"DBSIZE" { self.data() } else { request };
        }
        loop {
            let family = self.rng.pick(&Family::ALL);
            let request = self.maker.grammar.request(family, &self.pools, &mut self.rng);
            if !LEFT_OUT.contains(&compare::name(&request).as_str()) {
                return request;
            }
        }
    }

    fn script(&mut self, template: &str) -> Request {
        let at = self.rng.below(SCRIPTS.len());
        let (keys, body) = SCRIPTS[at];
        let (name, body) = match template {
            "$scriptsha" => ("EVALSHA", self.maker.shas[at].as_str()),
            "$scriptro" => ("EVAL_RO", body),
            _ => ("EVAL", body),
        };
        let mut request: Request = [name, body].iter().map(|word| word.as_bytes().to_vec()).collect();
        request.push(keys.to_string().into_bytes());
        for _ in 0..keys {
            request.push(self.word(b"$key"));
        }
        request.push(self.word(b"$value"));
        request
    }

    fn word(&mut self, template: &[u8]) -> Vec<u8> {
        let rng = &mut self.rng;
        let picked = match template {
            b"$key" => return rng.pick(self.pools.keys).to_vec(),
            b"$string" => return self.at_home(0, 1),
            b"$list" => return self.at_home(1, 2),
            b"$zset" => return self.at_home(3, 1),
            b"$hash" => return self.at_home(4, 1),
            b"$set" => return self.at_home(5, 1),
            b"$stream" => return self.at_home(6, 1),
            b"$entry" if rng.chance(20) => return format!("{}-1", rng.below(self.entry + 3)).into_bytes(),
            b"$entry" => {
                self.entry += 1;
                return format!("{}-1", self.entry).into_bytes();
            }
            b"$id" => return id_of(rng.below(self.clients)),
            b"$value" => rng.pick(&["1", "2", "v", "w", "7", "", "3.5", "two words"]),
            b"$member" => rng.pick(&["a", "b", "c", "d", "1", "2"]),
            b"$score" => rng.pick(&["0", "1", "2", "3", "1.5"]),
            b"$consumer" => rng.pick(&["alice", "bob"]),
            b"$push" => rng.pick(&["LPUSH", "RPUSH"]),
            b"$pushx" => rng.pick(&["LPUSHX", "RPUSHX"]),
            b"$end" => rng.pick(&["LEFT", "RIGHT"]),
            b"$db" => rng.pick(&["0", "0", "1", "2"]),
            b"$channel" => rng.pick(&["c", "c", "d", "e"]),
            b"$chanpattern" => rng.pick(&["c*", "?", "*", "[cd]", "c"]),
            b"$prefix" => rng.pick(&["a", "b", "{t}", "{t}1", "{t}2", "", "nosuch"]),
            word => return word.to_vec(),
        };
        picked.as_bytes().to_vec()
    }

    /// A key that mostly holds what is at home there: one of `count` homes.
    fn at_home(&mut self, from: usize, count: usize) -> Vec<u8> {
        if self.rng.chance(85) {
            self.homes[from + self.rng.below(count)].to_vec()
        } else {
            self.rng.pick(self.pools.keys).to_vec()
        }
    }
}
