//! Runs the requests of one case on two servers, pipelined, ours first; then compares all the data.

use super::replay::{self, Replay};
use super::{Request, compare, data};
use crate::harness::{Conn, Reply, encode, escape};

/// Requests that are sent at once, and their bytes: nobody reads replies while requests are written.
const PIPELINED: usize = 64;
const PIPELINED_BYTES: usize = 200_000;

/// Rounds of one SCAN after which it has gone astray.
const SCAN_ROUNDS_MAX: usize = 5000;

/// Longer words are cut where they are shown.
const SHOWN_BYTES_MAX: usize = 80;

/// Replies that are alike for longer are cut there.
const SHOWN_REPLY_BYTES_MAX: usize = 300;

/// Requests with more words are cut where they are shown.
const SHOWN_WORDS_MAX: usize = 40;

/// The two that are compared.
pub struct Pair {
    pub ours: Conn,
    pub theirs: Conn,
    /// Ours refuses atomic commands over several slots.
    pub refuses_crossing: bool,
    /// Encodings may differ from now on: see [`replay::forgets_encodings`].
    pub encodings_differ: bool,
    /// Nothing can be compared from now on: see [`replay::parts`] and [`replay::shows_encodings`].
    pub parted: bool,
    /// Requests of this case whose replies agreed.
    pub agreed: usize,
}

/// What comparing came to.
pub enum Outcome {
    Same,
    /// Shows the request and both replies.
    Differs(String),
}

impl Pair {
    pub fn new(ours: Conn, theirs: Conn, refuses_crossing: bool) -> Pair {
        Pair { ours, theirs, refuses_crossing, encodings_differ: false, parted: false, agreed: 0 }
    }
}

/// Runs the requests on both servers, from empty ones on; then compares all the data.
pub fn run(requests: &[Request], pair: &mut Pair) -> Outcome {
    for conn in [&mut pair.ours, &mut pair.theirs] {
        let cleared = pipeline(conn, &[words(&["SELECT", "0"]), words(&["FLUSHALL"])]);
        assert!(cleared.iter().all(|reply| reply.text() == "OK"), "{cleared:?}");
    }
    (pair.encodings_differ, pair.parted, pair.agreed) = (false, false, 0);
    let mut at = 0;
    while at < requests.len() {
        let is_scan = |request: &Request| compare::name(request).ends_with("scan");
        let mut bytes = 0;
        let fits = |request: &&Request| {
            bytes += request.iter().map(|word| word.len() + 10).sum::<usize>();
            !is_scan(request) && bytes <= PIPELINED_BYTES
        };
        let length = requests[at..].iter().take(PIPELINED).take_while(fits).count();
        let length = if is_scan(&requests[at]) { 0 } else { length.max(1) };
        let found = if length == 0 { scan(&requests[at], pair) } else { some(&requests[at..at + length], pair) };
        match found {
            Some((offset, why)) => return Outcome::Differs(format!("request {} {why}", at + offset + 1)),
            None if pair.parted => return Outcome::Same,
            None => {}
        }
        at += length.max(1);
    }
    match data::differs(data::reached(requests), pair) {
        Some(why) => Outcome::Differs(format!("then {why}")),
        None => Outcome::Same,
    }
}

/// Sends requests at once and reads their replies.
pub fn pipeline(conn: &mut Conn, requests: &[Request]) -> Vec<Reply> {
    let bytes: Vec<u8> = requests.iter().flat_map(|request| encode(request)).collect();
    conn.send(&bytes);
    requests.iter().map(|_| conn.reply()).collect()
}

/// A request made of text.
pub fn words(words: &[&str]) -> Request {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// A request as a person would type it.
pub fn shown(request: &[Vec<u8>]) -> String {
    let word = |word: &Vec<u8>| {
        let text = escape(&word[..word.len().min(SHOWN_BYTES_MAX)]).replace('"', "\\\"");
        let more = if word.len() > SHOWN_BYTES_MAX { format!("...({} bytes)", word.len()) } else { String::new() };
        if word.is_empty() || text.contains([' ', '"', '\\']) { format!("\"{text}{more}\"") } else { text + &more }
    };
    let mut text = request.iter().take(SHOWN_WORDS_MAX).map(word).collect::<Vec<_>>().join(" ");
    if request.len() > SHOWN_WORDS_MAX {
        text += &format!(" ...({} words)", request.len());
    }
    text
}

/// A request, our reply and what the other said; of long ones the part where they part.
pub fn differing(request: &[Vec<u8>], ours: &Reply, theirs: &[Reply]) -> String {
    let ours = format!("{ours:?}");
    let theirs = if let [reply] = theirs { format!("{reply:?}") } else { format!("{theirs:?}") };
    let common = ours.bytes().zip(theirs.bytes()).take_while(|(one, other)| one == other).count();
    let part = |text: &str| {
        let from = if common > SHOWN_REPLY_BYTES_MAX { common - SHOWN_REPLY_BYTES_MAX / 2 } else { 0 };
        let shown = text.get(from..text.len().min(from + SHOWN_REPLY_BYTES_MAX * 2)).unwrap_or_default();
        let dots = |cut: bool| if cut { "..." } else { "" };
        format!("{}{shown}{}", dots(from > 0), dots(from + shown.len() < text.len()))
    };
    format!("> {}\n  ours   {}\n  theirs {}", shown(request), part(&ours), part(&theirs))
}

/// Where some requests' replies differ, and how.
fn some(requests: &[Request], pair: &mut Pair) -> Option<(usize, String)> {
    let ours = pipeline(&mut pair.ours, requests);
    let replays: Vec<Replay> =
        requests.iter().zip(&ours).map(|(request, reply)| Replay::of(request, reply, pair.refuses_crossing)).collect();
    let sent: Vec<Request> = replays.iter().flat_map(|replay| replay.requests.clone()).collect();
    let mut theirs = pipeline(&mut pair.theirs, &sent).into_iter();
    for (index, replay) in replays.into_iter().enumerate() {
        let request = &requests[index];
        if pair.encodings_differ && replay::shows_encodings(request) {
            pair.parted = true;
            return None;
        }
        let theirs: Vec<Reply> = theirs.by_ref().take(replay.requests.len()).collect();
        let alike = replay.agrees(request, &ours[index], &theirs, pair.encodings_differ);
        pair.encodings_differ |= replay::forgets_encodings(request, &ours[index]);
        if !alike {
            return Some((index, differing(request, &ours[index], &theirs)));
        }
        pair.agreed += 1;
        if replay::parts(request, &ours[index]) {
            pair.parted = true;
            return None;
        }
    }
    None
}

/// Whether what a SCAN yields to its end differs.
fn scan(request: &Request, pair: &mut Pair) -> Option<(usize, String)> {
    if pair.encodings_differ && replay::shows_encodings(request) {
        pair.parted = true;
        return None;
    }
    let (ours, theirs) = (scan_to_end(request, &mut pair.ours), scan_to_end(request, &mut pair.theirs));
    pair.agreed += 1;
    (ours != theirs).then(|| (0, differing(request, &ours, &[theirs])))
}

/// The reply; of a SCAN, all elements that it yields until its cursor is 0 again, in ascending order.
fn scan_to_end(request: &Request, conn: &mut Conn) -> Reply {
    let name = compare::name(request);
    let has = |word: &str| request.iter().any(|have| have.eq_ignore_ascii_case(word.as_bytes()));
    let in_pairs = match name.as_str() {
        "hscan" => !has("NOVALUES"),
        "zscan" => !has("NOSCORES"),
        _ => false,
    };
    let cursor_at = if name == "scan" { 1 } else { 2 };
    let mut reply = conn.cmd_bytes(request);
    if reply.is_error() {
        return reply;
    }
    let mut found: Vec<Vec<Reply>> = Vec::new();
    for _ in 0..SCAN_ROUNDS_MAX {
        let Reply::Bulk(cursor) = &reply.items()[0] else { return reply };
        found.extend(reply.items()[1].items().chunks(if in_pairs { 2 } else { 1 }).map(<[Reply]>::to_vec));
        if cursor == b"0" {
            found.sort();
            found.dedup();
            return Reply::Array(found.concat());
        }
        let mut next = request.to_vec();
        next[cursor_at] = cursor.clone();
        reply = conn.cmd_bytes(&next);
    }
    Reply::Error(format!("{name} has not come to its end in {SCAN_ROUNDS_MAX} rounds"))
}
