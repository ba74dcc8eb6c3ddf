//! Random requests out of the arguments' grammar in `COMMAND DOCS`.

use std::collections::BTreeSet;

use super::pools::{self, Pools, text};
use super::{Family, Request, feed};
use crate::harness::{Conn, Reply, Rng};

/// Commands whose replies are not a function of what was asked, or that are no data commands; and those that wait.
const LEFT_OUT: [&str; 19] = [
    "object|help",
    "xgroup|help",
    "xinfo|help",
    "wait",
    "waitaof",
    "migrate",
    "pfselftest",
    "pfdebug",
    "blpop",
    "brpop",
    "blmove",
    "blmpop",
    "brpoplpush",
    "bzpopmin",
    "bzpopmax",
    "bzmpop",
    "debug",
    "dbsize",
    "flushall",
];

/// Tokens of arguments that are never sent.
const TOKENS_LEFT_OUT: [&str; 1] = ["BLOCK"];

/// Words that are put in where they do not belong.
const JUNK: [&str; 24] = [
    "NX",
    "XX",
    "GT",
    "LT",
    "EX",
    "PX",
    "EXAT",
    "PXAT",
    "KEEPTTL",
    "PERSIST",
    "GET",
    "REPLACE",
    "DB",
    "MATCH",
    "COUNT",
    "TYPE",
    "LIMIT",
    "WITHSCORES",
    "REV",
    "FIELDS",
    "FNX",
    "ASC",
    "CH",
    "junk",
];

/// Percentage of requests that are spoiled.
const SPOILED: usize = 15;

/// Percentages of one case's requests, the rest being commands of its family.
const FEEDING: usize = 22;
const LOOKING: usize = 6;
const GENERIC: usize = 7;
const STRANGE: usize = 6;

/// What may be sent.
pub struct Grammar {
    /// All that is documented, with the subcommands: "client|id".
    names: BTreeSet<String>,
    commands: Vec<Command>,
    payloads: Vec<Vec<u8>>,
}

struct Command {
    family: Family,
    words: Vec<String>,
    arguments: Vec<Argument>,
}

/// One argument as documented.
struct Argument {
    name: String,
    kind: String,
    token: Option<String>,
    optional: bool,
    multiple: bool,
    multiple_token: bool,
    children: Vec<Argument>,
}

/// One request under construction.
struct Making<'a, 'b> {
    rng: &'a mut Rng,
    pools: &'a Pools<'b>,
    name: &'a str,
    words: Request,
}

impl Grammar {
    /// The grammar that a server documents; payloads for RESTORE are the oracle's.
    pub fn of(subject: &mut Conn, oracle: &mut Conn) -> Grammar {
        let docs = subject.cmd(&["COMMAND", "DOCS"]);
        let (mut names, mut commands) = (BTreeSet::new(), Vec::new());
        for pair in docs.items().chunks_exact(2) {
            collect(&pair[0].text(), &pair[1], &mut names, &mut commands);
        }
        // A seed means the same whatever order the server documents them in: Valkey's is another after each start.
        commands.sort_by(|one, other| one.words.cmp(&other.words));
        for family in Family::ALL {
            let count = commands.iter().filter(|command| command.family == family).count();
            assert!(count >= 3, "only {count} commands of {family:?} are documented");
        }
        Grammar { names, commands, payloads: feed::payloads(oracle) }
    }

    /// Whether a command, or its subcommand, is documented.
    pub fn knows(&self, request: &[Vec<u8>]) -> bool {
        let words: Vec<String> =
            request.iter().take(2).map(|word| String::from_utf8_lossy(word).to_ascii_lowercase()).collect();
        self.names.contains(&words.join("|")) || {
            let has_subcommands = || self.names.iter().any(|name| name.starts_with(&format!("{}|", words[0])));
            self.names.contains(&words[0]) && !has_subcommands()
        }
    }

    /// The family of a command by its name, in lower case with its subcommand if it has one.
    pub fn family(&self, request: &[Vec<u8>]) -> Option<Family> {
        let is = |at: usize, word: &str| request.get(at).is_some_and(|sent| sent.eq_ignore_ascii_case(word.as_bytes()));
        let found =
            self.commands.iter().find(|command| command.words.iter().enumerate().all(|(at, word)| is(at, word)));
        found.map(|command| command.family)
    }

    /// What the arguments of several clients are picked from: few keys, nothing long.
    pub fn pools(&self, keys: &'static [&'static [u8]], rng: &mut Rng) -> Pools<'_> {
        let mut pools = Pools::new(rng, &self.payloads);
        (pools.keys, pools.are_long, pools.are_level, pools.spops_many) = (keys, false, false, false);
        pools
    }

    /// The requests of one case, at least as many as that: now and then one is followed by others that go with it.
    pub fn requests(&self, family: Family, rng: &mut Rng, count: usize) -> Vec<Request> {
        let pools = Pools::new(rng, &self.payloads);
        let mut requests = Vec::new();
        while requests.len() < count {
            let dice = rng.below(100);
            if dice < FEEDING {
                feed::data(family, &pools, rng, &mut requests);
            } else if dice < FEEDING + LOOKING {
                requests.push(feed::look(&pools, rng));
            } else if dice < FEEDING + LOOKING + GENERIC {
                requests.push(self.request(Family::Generic, &pools, rng));
            } else if dice < FEEDING + LOOKING + GENERIC + STRANGE && !(family == Family::SortedSet && pools.are_level)
            {
                match rng.pick(&Family::ALL) {
                    // Scores that are no places make many members equally far: which of them COUNT takes is anybody's.
                    Family::SortedSet | Family::Generic if family == Family::Geo => {}
                    strange => feed::data(strange, &pools, rng, &mut requests),
                }
            } else {
                requests.push(self.request(family, &pools, rng));
            }
        }
        requests
    }

    /// One request of a family.
    pub fn request(&self, family: Family, pools: &Pools<'_>, rng: &mut Rng) -> Request {
        let of_family: Vec<&Command> = self.commands.iter().filter(|command| command.family == family).collect();
        let mut command = rng.pick(&of_family);
        while is_out(&command.words[0], pools) {
            command = rng.pick(&of_family);
        }
        let name = command.words[0].as_str();
        let words = command.words.iter().map(|word| any_case(word, rng)).collect();
        let mut making = Making { rng, pools, name, words };
        making.sequence(&command.arguments);
        let mut words = making.words;
        tidy(name, &mut words, pools, rng);
        // Where all scores have to be 0, a member that looks like one must not take its place.
        let may_spoil = !(pools.are_level && ["zadd", "zincrby"].contains(&name));
        if may_spoil && rng.chance(SPOILED) {
            spoil(&mut words, command.words.len(), rng);
        }
        words
    }
}

/// Whether a command does not go with the rest of a case: LCS of two long strings takes gigabytes; ranges by name want
/// equal scores, which payloads do not have.
fn is_out(name: &str, pools: &Pools<'_>) -> bool {
    match name {
        "lcs" => pools.are_long,
        "restore" => pools.are_level,
        name => name.contains("lex") && !pools.are_level,
    }
}

impl Making<'_, '_> {
    /// Arguments one after the other, where a count is followed by as many of the next.
    fn sequence(&mut self, arguments: &[Argument]) {
        let mut times = None;
        for argument in arguments {
            let counted = if argument.multiple { times.take() } else { None };
            if ["numkeys", "numfields", "num-vertices"].contains(&argument.name.as_str()) {
                let least = if argument.name == "num-vertices" { 3 } else { 1 };
                let count = least + self.rng.below(3);
                let told = if self.rng.chance(94) { count } else { self.rng.below(6) };
                if let Some(token) = &argument.token {
                    self.words.push(any_case(token, self.rng));
                }
                self.words.push(told.to_string().into_bytes());
                times = Some(count);
                continue;
            }
            self.argument(argument, counted);
        }
    }

    fn argument(&mut self, argument: &Argument, counted: Option<usize>) {
        let is_out = argument.token.as_ref().is_some_and(|token| TOKENS_LEFT_OUT.contains(&token.as_str()));
        if is_out || (argument.optional && counted.is_none() && self.rng.chance(60)) {
            return;
        }
        let times = counted.unwrap_or_else(|| if argument.multiple { 1 + self.rng.below(3) } else { 1 });
        for time in 0..times {
            if let Some(token) = &argument.token
                && (time == 0 || argument.multiple_token)
            {
                self.words.push(any_case(token, self.rng));
            }
            match argument.kind.as_str() {
                "pure-token" => {}
                "oneof" => {
                    let child = &argument.children[self.rng.below(argument.children.len())];
                    self.argument(child, None);
                }
                "block" if argument.name == "streams" => {
                    let count = 1 + self.rng.below(2);
                    argument.children.iter().for_each(|child| self.argument(child, Some(count)));
                }
                "block" => self.sequence(&argument.children),
                kind => {
                    let leaf = self.pools.leaf(self.name, kind, &argument.name, self.rng);
                    self.words.push(leaf);
                }
            }
        }
    }
}

/// Makes what the documented grammar leaves open fit together, most of the time.
fn tidy(name: &str, words: &mut Request, pools: &Pools<'_>, rng: &mut Rng) {
    let at = |words: &Request, word: &str| words.iter().position(|have| have.eq_ignore_ascii_case(word.as_bytes()));
    match name {
        "zrange" | "zrangestore" => {
            if !pools.are_level {
                words.retain(|word| !word.eq_ignore_ascii_case(b"BYLEX"));
            }
            let first = if name == "zrange" { 2 } else { 3 };
            let bound: fn(&mut Rng) -> Vec<u8> = match (at(words, "BYSCORE"), at(words, "BYLEX")) {
                (Some(_), _) => pools::score_bound,
                (_, Some(_)) => pools::lex_bound,
                _ => pools::index,
            };
            for word in words[first..].iter_mut().take(2) {
                if rng.chance(96) {
                    *word = bound(rng);
                }
            }
        }
        // Which of equal ones comes first is nobody's promise: it must not become data.
        "sort" if at(words, "BY").is_some() => drop_pair(words, "STORE"),
        "georadius" | "georadiusbymember" | "geosearchstore"
            if name == "geosearchstore" || at(words, "STORE").is_some() || at(words, "STOREDIST").is_some() =>
        {
            words.retain(|word| !word.eq_ignore_ascii_case(b"ANY"));
        }
        // How far the least of all numbers lies below a narrow field overflows in Valkey: it takes that for too large.
        "bitfield" if at(words, "SAT").is_some() => {
            let least = i64::MIN.to_string().into_bytes();
            words.iter_mut().filter(|word| **word == least).for_each(|word| *word = text("-7000"));
        }
        // Valkey cuts its index to 32 bits.
        "lset" if words.get(2).is_some_and(|index| index.len() > 9) => words[2] = text("2000"),
        // The encoding that it leaves depends on what it took.
        "spop" if !pools.spops_many => words.truncate(2),
        "xadd" | "xtrim" if at(words, "MINID").is_some() && rng.chance(80) => {
            if let Some(minid) = at(words, "MINID") {
                let threshold =
                    minid + 1 + usize::from(words.get(minid + 1).is_some_and(|word| word == b"~" || word == b"="));
                if threshold < words.len() {
                    words[threshold] = pools::stream_id(rng);
                }
            }
        }
        _ => {}
    }
}

fn drop_pair(words: &mut Request, token: &str) {
    while let Some(at) = words.iter().position(|word| word.eq_ignore_ascii_case(token.as_bytes())) {
        words.drain(at..(at + 2).min(words.len()));
    }
}

fn collect(name: &str, docs: &Reply, names: &mut BTreeSet<String>, commands: &mut Vec<Command>) {
    names.insert(name.to_owned());
    if let Some(subcommands) = docs.field("subcommands") {
        for pair in subcommands.items().chunks_exact(2) {
            collect(&pair[0].text(), &pair[1], names, commands);
        }
        return;
    }
    let group = docs.field("group").map(Reply::text).unwrap_or_default();
    if let Some(family) = Family::of_group(&group)
        && !LEFT_OUT.contains(&name)
    {
        let words = name.split('|').map(str::to_owned).collect();
        commands.push(Command { family, words, arguments: arguments(docs) });
    }
}

fn arguments(docs: &Reply) -> Vec<Argument> {
    let Some(list) = docs.field("arguments") else { return Vec::new() };
    list.items().iter().map(argument).collect()
}

fn argument(docs: &Reply) -> Argument {
    let text = |name: &str| docs.field(name).map(Reply::text);
    let flags: Vec<String> =
        docs.field("flags").map_or(Vec::new(), |flags| flags.items().iter().map(Reply::text).collect());
    let flag = |name: &str| flags.iter().any(|flag| flag == name);
    Argument {
        name: text("name").unwrap_or_default(),
        kind: text("type").unwrap_or_default(),
        token: text("token"),
        optional: flag("optional"),
        multiple: flag("multiple"),
        multiple_token: flag("multiple_token"),
        children: arguments(docs),
    }
}

/// Makes a request wrong in one place behind its name.
fn spoil(words: &mut Request, name_len: usize, rng: &mut Rng) {
    let at = name_len + rng.below(words.len() - name_len + 1);
    match rng.below(4) {
        0 => words.truncate(at),
        1 => words.insert(at, text(rng.pick(&JUNK))),
        2 if at < words.len() => words.insert(at, words[at].clone()),
        _ if at + 1 < words.len() => words.swap(at, at + 1),
        _ => words.push(text(rng.pick(&JUNK))),
    }
}

fn any_case(word: &str, rng: &mut Rng) -> Vec<u8> {
    if rng.chance(20) { word.to_ascii_lowercase().into_bytes() } else { word.to_ascii_uppercase().into_bytes() }
}
