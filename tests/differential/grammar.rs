//! Random requests out of the arguments' grammar in `COMMAND DOCS`.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Request;
use crate::harness::{Conn, Reply, Rng};

/// Groups whose commands are tried.
const GROUPS: [&str; 2] = ["string", "generic"];

/// Commands whose replies are not a function of what was asked, or that are no data commands.
const LEFT_OUT: [&str; 7] = ["object|help", "wait", "waitaof", "sort", "sort_ro", "migrate", "restore"];

/// Few keys, so that requests meet; two share a slot, one is empty, one is not text.
const KEYS: [&[u8]; 7] = [b"a", b"b", b"c", b"{t}1", b"{t}2", b"", b"\xff\x00k"];

const VALUES: [&[u8]; 18] = [
    b"",
    b"a",
    b"value",
    b"7000",
    b"-1",
    b"0",
    b"007",
    b"+5",
    b" 1",
    b"1 ",
    b"3.25",
    b"-0.5",
    b"1e3",
    b"inf",
    b"nan",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"\x00\xff\r\n",
];

/// Never small and positive: as a time to live that would run out during the test.
const INTEGERS: [&str; 11] = [
    "0",
    "-1",
    "7000",
    "123456",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "abc",
    "",
    "1.5",
    "0x10",
];

const DOUBLES: [&str; 12] =
    ["0", "1.5", "-2.25", "3", "1e10", "1e-5", "0.1", "nan", "inf", "-inf", "abc", "1.7976931348623157e308"];

const INDEXES: [&str; 13] = [
    "0",
    "1",
    "2",
    "5",
    "-1",
    "-2",
    "-100",
    "100",
    "70000",
    "9223372036854775807",
    "536870912",
    "abc",
    "-9223372036854775808",
];

/// Times to live that are none, or out of range.
const NO_SECONDS: [&str; 6] = ["0", "-1", "9223372036854775807", "9223372036854775", "abc", "-9223372036854775808"];

const PATTERNS: [&str; 12] = ["*", "a*", "?", "[ab]", "[^a]", "{t}*", "\\a", "[a-c]", "[", "", "*t*", "nosuch"];

/// Words that are put in where they do not belong.
const JUNK: [&str; 17] = [
    "NX", "XX", "GT", "LT", "EX", "PX", "EXAT", "PXAT", "KEEPTTL", "PERSIST", "GET", "REPLACE", "DB", "MATCH", "COUNT",
    "TYPE", "junk",
];

/// Percentage of requests that are spoiled.
const SPOILED: usize = 20;

/// A value that does not fit one piece of 64 KiB.
const LONG_LEN: usize = 70_000;

/// What may be sent.
pub struct Grammar {
    commands: Vec<Command>,
    now_s: u64,
}

struct Command {
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

impl Grammar {
    /// The grammar that a server documents.
    pub fn of(conn: &mut Conn) -> Grammar {
        let docs = conn.cmd(&["COMMAND", "DOCS"]);
        let mut commands = Vec::new();
        for pair in docs.items().chunks_exact(2) {
            collect(&pair[0].text(), &pair[1], &mut commands);
        }
        assert!(commands.len() > 30, "only {} string and generic commands are documented", commands.len());
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs();
        Grammar { commands, now_s }
    }

    /// That many requests.
    pub fn requests(&self, rng: &mut Rng, count: usize) -> Vec<Request> {
        (0..count).map(|_| self.request(rng)).collect()
    }

    fn request(&self, rng: &mut Rng) -> Request {
        // Data has to come from somewhere: every fourth request is a plain SET.
        if rng.chance(25) {
            return vec![b"SET".to_vec(), rng.pick(&KEYS).to_vec(), self.value(rng)];
        }
        let command = &self.commands[rng.below(self.commands.len())];
        let mut words: Request = command.words.iter().map(|word| any_case(word, rng)).collect();
        for argument in &command.arguments {
            self.argument(argument, rng, &mut words);
        }
        if rng.chance(SPOILED) {
            spoil(&mut words, command.words.len(), rng);
        }
        words
    }

    fn argument(&self, argument: &Argument, rng: &mut Rng, words: &mut Request) {
        if argument.optional && rng.chance(60) {
            return;
        }
        let times = if argument.multiple { 1 + rng.below(3) } else { 1 };
        for time in 0..times {
            if let Some(token) = &argument.token
                && (time == 0 || argument.multiple_token)
            {
                words.push(any_case(token, rng));
            }
            match argument.kind.as_str() {
                "pure-token" => {}
                "oneof" => self.argument(&argument.children[rng.below(argument.children.len())], rng, words),
                "block" => argument.children.iter().for_each(|child| self.argument(child, rng, words)),
                _ => words.push(self.leaf(argument, rng)),
            }
        }
    }

    fn leaf(&self, argument: &Argument, rng: &mut Rng) -> Vec<u8> {
        let text = |text: &str| text.as_bytes().to_vec();
        let name = argument.name.as_str();
        match argument.kind.as_str() {
            "key" => rng.pick(&KEYS).to_vec(),
            "double" => text(rng.pick(&DOUBLES)),
            "pattern" => text(rng.pick(&PATTERNS)),
            "unix-time" => self.moment(name, rng),
            "integer" if name.contains("unix-time") => self.moment(name, rng),
            "integer" if name.contains("milliseconds") => time_to_live(1000, rng),
            "integer" if name.contains("seconds") => time_to_live(1, rng),
            "integer" if name == "cursor" => text(rng.pick(&["0", "0", "0", "abc", "-1", ""])),
            "integer" if name == "count" => text(rng.pick(&["1", "10", "1000", "0", "-1", "abc"])),
            "integer" if name.contains("db") => text(rng.pick(&["0", "1", "2", "16", "-1", "abc"])),
            "integer" if ["start", "end", "offset"].contains(&name) => text(rng.pick(&INDEXES)),
            "integer" => text(rng.pick(&INTEGERS)),
            _ if name == "type" => text(rng.pick(&["string", "STRING", "list", "nosuch"])),
            _ => self.value(rng),
        }
    }

    fn value(&self, rng: &mut Rng) -> Vec<u8> {
        match rng.below(20) {
            0 => vec![b'l'; LONG_LEN + rng.below(9)],
            1 => vec![b'm'; 40 + rng.below(10)],
            _ => rng.pick(&VALUES).to_vec(),
        }
    }

    /// A point in time far from now, or none at all.
    fn moment(&self, name: &str, rng: &mut Rng) -> Vec<u8> {
        let unit = if name.contains("milliseconds") { 1000 } else { 1 };
        let moment = match rng.below(6) {
            0 => (self.now_s - 1000) * unit,
            1 => 1,
            2..=4 => (self.now_s + 1000 + rng.below(1_000_000) as u64) * unit,
            _ => {
                return rng.pick(&["0", "-1", "abc", "9223372036854775807", "9223372036854775808"]).as_bytes().to_vec();
            }
        };
        moment.to_string().into_bytes()
    }
}

/// A time to live that outlasts the test, or none at all. Hardly ever the same twice: whether a second EXPIRE GT
/// with the same time is later than the first would depend on the clock.
fn time_to_live(unit: usize, rng: &mut Rng) -> Vec<u8> {
    if rng.chance(30) {
        return rng.pick(&NO_SECONDS).as_bytes().to_vec();
    }
    ((1000 + rng.below(1_000_000)) * unit).to_string().into_bytes()
}

fn junk(rng: &mut Rng) -> Vec<u8> {
    if rng.chance(5) { time_to_live(1, rng) } else { rng.pick(&JUNK).as_bytes().to_vec() }
}

fn collect(name: &str, docs: &Reply, commands: &mut Vec<Command>) {
    if let Some(subcommands) = docs.field("subcommands") {
        for pair in subcommands.items().chunks_exact(2) {
            collect(&pair[0].text(), &pair[1], commands);
        }
        return;
    }
    let group = docs.field("group").map(Reply::text).unwrap_or_default();
    if GROUPS.contains(&group.as_str()) && !LEFT_OUT.contains(&name) {
        let words = name.split('|').map(str::to_owned).collect();
        commands.push(Command { words, arguments: arguments(docs) });
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
        1 => words.insert(at, junk(rng)),
        2 if at < words.len() => words.insert(at, words[at].clone()),
        _ if at + 1 < words.len() => words.swap(at, at + 1),
        _ => words.push(junk(rng)),
    }
}

fn any_case(word: &str, rng: &mut Rng) -> Vec<u8> {
    if rng.chance(20) { word.to_ascii_lowercase().into_bytes() } else { word.to_ascii_uppercase().into_bytes() }
}
