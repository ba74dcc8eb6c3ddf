//! What arguments are picked from: small pools, so that requests meet each other.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::harness::Rng;

/// Few keys: two share a slot, one is empty, one is not text.
const KEYS_APART: [&[u8]; 7] = [b"a", b"b", b"c", b"{t}1", b"{t}2", b"", b"\xff\x00k"];

/// Keys that are always on one node together.
const KEYS_TOGETHER: [&[u8]; 5] = [b"{t}1", b"{t}2", b"{t}3", b"{t}4", b"{t}member:1"];

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

/// Members, fields and elements that are special.
const ODD_WORDS: [&[u8]; 14] = [
    b"",
    b"-1",
    b"127",
    b"128",
    b"-4097",
    b"70000",
    b"-9000000000",
    b"9223372036854775807",
    b"9223372036854775808",
    b"-9223372036854775808",
    b"007",
    b"1.5",
    b"+1",
    b"\xff\x00m\r\n",
];

/// Never small and positive: as a time to live that would run out during the test.
const INTEGERS: [&str; 14] = [
    "0",
    "1",
    "2",
    "-1",
    "-5",
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

const DOUBLES: [&str; 14] = [
    "0",
    "1.5",
    "-2.25",
    "3",
    "1e10",
    "1e-5",
    "0.1",
    "nan",
    "inf",
    "-inf",
    "abc",
    "",
    "1.7976931348623157e308",
    "123456789012345678",
];

const SCORES: [&str; 24] = [
    "0",
    "0",
    "0",
    "1",
    "1",
    "2",
    "3",
    "-1",
    "1.5",
    "-2.25",
    "0.1",
    "10",
    "100.001",
    "1e10",
    "1e17",
    "1e21",
    "1e-5",
    "123456789012345678",
    "1.7976931348623157e308",
    "inf",
    "-inf",
    "-0",
    "nan",
    "abc",
];

const INDEXES: [&str; 14] = [
    "0",
    "1",
    "2",
    "5",
    "50",
    "-1",
    "-2",
    "-5",
    "-100",
    "100",
    "2000",
    "9223372036854775807",
    "abc",
    "-9223372036854775808",
];

/// Lengths and places in strings that are long, or too long.
const FAR: [&str; 2] = ["70000", "536870912"];

/// Times to live that are none, or out of range.
const NO_SECONDS: [&str; 6] = ["0", "-1", "9223372036854775807", "9223372036854775", "abc", "-9223372036854775808"];

const PATTERNS: [&str; 14] =
    ["*", "*", "a*", "?", "[ab]", "[^a]", "{t}*", "\\a", "[a-c]", "[", "", "*t*", "nosuch", "member:1*"];

const BIT_TYPES: [&str; 14] =
    ["u8", "i8", "u1", "i1", "i5", "u16", "i16", "u32", "u63", "i64", "u64", "i65", "u0", "x8"];

const BIT_OFFSETS: [&str; 16] =
    ["0", "1", "2", "7", "8", "9", "31", "63", "100", "1000", "70000", "-1", "abc", "4294967296", "#0", "#1"];

/// A value that does not fit one piece of 64 KiB.
const LONG_LEN: usize = 70_000;

/// What the arguments of one case are picked from.
pub struct Pools<'a> {
    pub keys: &'static [&'static [u8]],
    payloads: &'a [Vec<u8>],
    now_s: u64,
    /// Whether strings may be long.
    pub are_long: bool,
    /// Whether all scores are 0: ranges by name are not defined where they differ.
    pub are_level: bool,
    /// Whether SPOP is given counts.
    pub spops_many: bool,
}

impl Pools<'_> {
    pub fn new<'a>(rng: &mut Rng, payloads: &'a [Vec<u8>]) -> Pools<'a> {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs();
        let keys: &[&[u8]] = if rng.chance(50) { &KEYS_APART } else { &KEYS_TOGETHER };
        Pools { keys, payloads, now_s, are_long: rng.chance(50), are_level: rng.chance(40), spops_many: rng.chance(30) }
    }

    pub fn key(&self, rng: &mut Rng) -> Vec<u8> {
        self.keys[rng.below(self.keys.len())].to_vec()
    }

    /// A string's value.
    pub fn value(&self, rng: &mut Rng) -> Vec<u8> {
        match rng.below(20) {
            0 if self.are_long => vec![b'l'; LONG_LEN + rng.below(9)],
            1 => vec![b'm'; 40 + rng.below(10)],
            _ => rng.pick(&VALUES).to_vec(),
        }
    }

    /// A value for the argument of that type and name.
    pub fn leaf(&self, command: &str, kind: &str, name: &str, rng: &mut Rng) -> Vec<u8> {
        match kind {
            "key" => self.key(rng),
            "double" if self.are_level && ["score", "increment"].contains(&name) => text("0"),
            "double" => double(name, rng),
            "pattern" => pattern(name, rng),
            "unix-time" => self.moment(name, rng),
            "integer" => self.integer(command, name, rng),
            _ => self.string(command, name, rng),
        }
    }

    fn integer(&self, command: &str, name: &str, rng: &mut Rng) -> Vec<u8> {
        match name {
            _ if name.contains("unix-time") => self.moment(name, rng),
            // As a time that an entry was not touched: none, or one that neither server reaches but by being told.
            "min-idle-time" | "ms" => text(rng.pick(&["0", "0", "0", "5000000", "1000000000", "-1", "abc"])),
            "milliseconds" => time_to_live(1000, rng),
            "seconds" => time_to_live(1, rng),
            // Valkey counts on beyond the largest time, to one that has passed.
            "ttl" => text(rng.pick(&["0", "0", "0", "7000000", "9999999999", "-1", "abc"])),
            "cursor" => text(rng.pick(&["0", "0", "0", "0", "0", "abc", "-1", ""])),
            "count" if command.ends_with("scan") => text(rng.pick(&["1", "10", "10", "1000", "0", "-1", "abc"])),
            "count" | "limit" | "num-matches" | "len" | "min-match-len" => {
                text(rng.pick(&["1", "1", "2", "3", "10", "1000", "0", "-1", "-3", "-20", "abc"]))
            }
            "rank" => text(rng.pick(&["1", "2", "-1", "-2", "0", "abc", "-9223372036854775808"])),
            "db" | "destination-db" => text(rng.pick(&["0", "1", "2", "16", "-1", "abc"])),
            "entries-added" | "entriesread" => text(rng.pick(&["0", "1", "5", "100", "-1", "-2", "abc"])),
            "increment" if self.are_level && command == "zincrby" => text("0"),
            "weight" => text(rng.pick(&["1", "2", "-1", "0.5", "0", "inf", "abc"])),
            "bit" => text(rng.pick(&["0", "1", "1", "2", "-1", "abc"])),
            "value" if command == "setbit" => text(rng.pick(&["0", "1", "1", "1", "2", "-1", "abc"])),
            "offset" if command == "setbit" || command.starts_with("bitfield") || command == "getbit" => {
                text(rng.pick(&BIT_OFFSETS))
            }
            "start" | "stop" | "end" | "offset" | "index" => {
                if self.are_long && rng.chance(8) {
                    text(rng.pick(&FAR))
                } else {
                    index(rng)
                }
            }
            _ => text(rng.pick(&INTEGERS)),
        }
    }

    fn string(&self, command: &str, name: &str, rng: &mut Rng) -> Vec<u8> {
        match name {
            "type" => text(rng.pick(&["string", "STRING", "list", "set", "zset", "hash", "stream", "nosuch"])),
            "group" => text(rng.pick(&["g", "g", "g", "h", "nosuch"])),
            "consumer" => text(rng.pick(&["alice", "alice", "bob", "carol"])),
            "id" | "last-id" | "lastid" | "max-deleted-id" => stream_id(rng),
            "start" | "end" if command.starts_with('x') => stream_bound(rng),
            "threshold" => text(rng.pick(&["0", "1", "5", "10", "100", "-1", "abc"])),
            "min-idle-time" => self.integer(command, name, rng),
            "min" | "max" => lex_bound(rng),
            "encoding" => text(rng.pick(&BIT_TYPES)),
            "serialized-value" => self.payload(rng),
            "value" if command.starts_with('h') || command == "xadd" => self.word(rng),
            "value" | "comparison-value" => self.value(rng),
            _ => self.word(rng),
        }
    }

    /// A member, field or element.
    pub fn word(&self, rng: &mut Rng) -> Vec<u8> {
        match rng.below(50) {
            0..=17 => rng.below(20).to_string().into_bytes(),
            18..=33 => vec![b'a' + u8::try_from(rng.below(10)).expect("a letter")],
            34..=44 => format!("member:{}", rng.below(300)).into_bytes(),
            45 => [vec![b'l'; 64], rng.below(3).to_string().into_bytes()].concat(),
            46 if self.are_long && rng.chance(30) => [vec![b'v'; 3000], rng.below(3).to_string().into_bytes()].concat(),
            _ => rng.pick(&ODD_WORDS).to_vec(),
        }
    }

    /// A payload that DUMP made, now and then a broken one.
    fn payload(&self, rng: &mut Rng) -> Vec<u8> {
        let mut payload = self.payloads[rng.below(self.payloads.len())].clone();
        if rng.chance(10) {
            let at = rng.below(payload.len());
            payload[at] ^= 1;
        }
        payload
    }

    /// A point in time far from now, or none at all.
    fn moment(&self, name: &str, rng: &mut Rng) -> Vec<u8> {
        let unit = if name.contains("milliseconds") { 1000 } else { 1 };
        let moment = match rng.below(6) {
            0 => (self.now_s - 1000) * unit,
            1 => 1,
            2..=4 => (self.now_s + 1000 + rng.below(1_000_000) as u64) * unit,
            _ => {
                return text(rng.pick(&["0", "-1", "abc", "9223372036854775807", "9223372036854775808"]));
            }
        };
        moment.to_string().into_bytes()
    }
}

pub fn text(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

pub fn score(rng: &mut Rng) -> Vec<u8> {
    text(rng.pick(&SCORES))
}

pub fn index(rng: &mut Rng) -> Vec<u8> {
    text(rng.pick(&INDEXES))
}

pub fn score_bound(rng: &mut Rng) -> Vec<u8> {
    match rng.below(8) {
        0 | 1 => text("-inf"),
        2 => text("+inf"),
        3 => text(rng.pick(&["(1", "(0", "(3", "(-inf", "(abc", "("])),
        4 => rng.below(300).to_string().into_bytes(),
        _ => score(rng),
    }
}

pub fn lex_bound(rng: &mut Rng) -> Vec<u8> {
    match rng.below(8) {
        0 | 1 => text("-"),
        2 | 3 => text("+"),
        4 => text(rng.pick(&["abc", "", "[", "(", "[\u{e9}"])),
        5 => format!("[member:{}", rng.below(300)).into_bytes(),
        6 => vec![b'(', b'a' + u8::try_from(rng.below(10)).expect("a letter")],
        _ => vec![b'[', b'a' + u8::try_from(rng.below(10)).expect("a letter")],
    }
}

/// An ID as commands take it, mostly one that may be there.
pub fn stream_id(rng: &mut Rng) -> Vec<u8> {
    const ODD: [&str; 12] = [
        "0",
        "0-0",
        "$",
        ">",
        "5-*",
        "abc",
        "1-",
        "-1",
        "18446744073709551615-18446744073709551615",
        "18446744073709551615-*",
        "+",
        "-",
    ];
    match rng.below(20) {
        0..=4 => rng.below(250).to_string().into_bytes(),
        5 => format!("{}-*", rng.below(60)).into_bytes(),
        6 => text(">"),
        7 => text("0"),
        8 => text(rng.pick(&ODD)),
        _ => {
            let most = if rng.chance(50) { 12 } else { 250 };
            format!("{}-{}", rng.below(most), rng.below(3)).into_bytes()
        }
    }
}

/// One end of a range of IDs.
fn stream_bound(rng: &mut Rng) -> Vec<u8> {
    match rng.below(6) {
        0 | 1 => text("-"),
        2 | 3 => text("+"),
        4 => [b"(".to_vec(), stream_id(rng)].concat(),
        _ => stream_id(rng),
    }
}

/// A longitude or latitude with enough digits that no two are the same, or an odd one.
pub fn coordinate(name: &str, rng: &mut Rng) -> Vec<u8> {
    if rng.chance(6) {
        return text(rng.pick(&["0", "180", "-180", "181", "85.05112878", "-86", "abc", "nan"]));
    }
    // About one city, or anywhere.
    let (middle, spread) = match (name, rng.chance(70)) {
        ("longitude", true) => (13.4, 1.0),
        (_, true) => (52.5, 1.0),
        ("longitude", false) => (0.0, 360.0),
        _ => (0.0, 170.0),
    };
    let part = rng.below(1_000_000_007) as f64 / 1_000_000_007.0 - 0.5;
    format!("{:.9}", middle + spread * part).into_bytes()
}

fn double(name: &str, rng: &mut Rng) -> Vec<u8> {
    match name {
        "score" => score(rng),
        "min" | "max" => score_bound(rng),
        "longitude" | "latitude" => coordinate(name, rng),
        "radius" | "width" | "height" => {
            text(rng.pick(&["1", "10", "50", "100", "1000", "20000", "100000.5", "0", "-1", "abc", "1e9"]))
        }
        _ => text(rng.pick(&DOUBLES)),
    }
}

fn pattern(name: &str, rng: &mut Rng) -> Vec<u8> {
    match name {
        "by-pattern" => text(rng.pick(&["nosort", "nosort", "{t}*", "*", "{t}1->*", "nosuch_*", "{t}*->a", ""])),
        "get-pattern" => text(rng.pick(&["#", "#", "{t}*", "*", "{t}1->*", "nosuch", "{t}*->a", ""])),
        _ => text(rng.pick(&PATTERNS)),
    }
}

/// A time to live that outlasts the test, or none at all. Hardly ever the same twice: whether a second EXPIRE GT
/// with the same time is later than the first would depend on the clock.
fn time_to_live(unit: usize, rng: &mut Rng) -> Vec<u8> {
    if rng.chance(30) {
        return text(rng.pick(&NO_SECONDS));
    }
    ((1000 + rng.below(1_000_000)) * unit).to_string().into_bytes()
}
