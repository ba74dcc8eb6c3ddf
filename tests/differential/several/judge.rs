//! Whether two clients have been told the same.

use std::collections::BTreeSet;
use std::mem;

use super::super::{Request, compare};
use super::Place;
use super::told::{Told, is_unasked};
use crate::harness::Reply;

/// What ours says where data on several nodes would have to change at once: how such errors begin, and what is in them.
const CROSSING: &str = "CROSSSLOT";
const PARTING: [&str; 2] = ["not allowed inside a transaction", "attempted to access a non local key"];

/// What HELLO tells beside the protocol and the client's id is each server's own.
const HELLO_OWN: [&str; 5] = ["server", "version", "mode", "modules", "swell_version"];

/// What comparing came to.
pub enum Verdict {
    Same,
    Differs,
    /// From here on the servers hold different data, on purpose.
    Parted(&'static str),
}

/// What a client has asked and is owed, and what its transaction holds.
#[derive(Clone, Default)]
pub struct Asked {
    open: Vec<Request>,
    queue: Vec<Request>,
    /// All keys that the oracle has told it are stale.
    stale: BTreeSet<Reply>,
}

/// What a reply answers.
#[derive(Clone)]
enum Question {
    One(Request),
    Exec(Vec<Request>),
}

/// The ids of all clients that a script has had, in order.
type Ids<'a> = &'a [i64];

impl Asked {
    pub fn add(&mut self, requests: &[Request]) {
        self.open.extend_from_slice(requests);
    }

    /// Requests that have not been compared yet.
    pub fn requests(&self) -> usize {
        self.open.len()
    }

    /// What the replies answer, one for each that is no push if that can be told; else everything that was asked.
    fn questions(&mut self, theirs: &[Reply]) -> Vec<Question> {
        let replies: Vec<&Reply> = theirs.iter().filter(|reply| !is_unasked(reply)).collect();
        let is_told = replies.len() == self.open.len();
        let open = mem::take(&mut self.open);
        open.into_iter()
            .enumerate()
            .map(|(at, request)| match compare::name(&request).as_str() {
                "exec" => Question::Exec(mem::take(&mut self.queue)),
                name => {
                    if matches!(name, "multi" | "discard" | "reset") {
                        self.queue.clear();
                    } else if is_told && matches!(replies[at], Reply::Simple(text) if text == "QUEUED") {
                        self.queue.push(request.clone());
                    }
                    Question::One(request)
                }
            })
            .collect()
    }
}

/// Compares what a client was told. `stays_open`: it waits, and is owed more for what it has asked. `alone`: it has asked for
/// one thing, and whether its reply comes first is seen. `place`: where slots move, a transaction may find that one it
/// watches has left; over links, a script that was sent is known, whether or not it came to run.
pub fn compare(
    ours: &[Reply],
    theirs: &[Reply],
    asked: &mut Asked,
    ids: [Ids<'_>; 2],
    stays_open: bool,
    alone: bool,
    place: Place,
) -> Verdict {
    // What it waits for may change who asked what: it is asked again when all is told.
    let questions = if stays_open { asked.clone().questions(theirs) } else { asked.questions(theirs) };
    if ours != theirs && ours.iter().any(crosses) {
        return Verdict::Parted("what is atomic over nodes is refused");
    }
    let (ours, theirs) = (Told::of(ours, ids[0]), Told::of(theirs, ids[1]));
    asked.stale.extend(theirs.stale.iter().cloned());
    if !ours.stale.is_superset(&theirs.stale) || !ours.stale.is_subset(&asked.stale) {
        return Verdict::Differs;
    }
    if ours.messages != theirs.messages || alone && ours.begins_with_reply != theirs.begins_with_reply {
        return Verdict::Differs;
    }
    if ours.replies.len() != theirs.replies.len() {
        return Verdict::Differs;
    }
    let each = ours.replies.iter().zip(&theirs.replies).enumerate();
    let excused = |(at, (one, other)): (usize, (&Reply, &Reply))| {
        let own = at..(at + 1).min(questions.len());
        let candidates = if theirs.replies.len() == questions.len() { &questions[own] } else { &questions[..] };
        one == other || candidates.iter().any(|question| question.excuses(one, other, ids))
    };
    let mut unexcused = each.filter(|pair| !excused(*pair)).peekable();
    if unexcused.peek().is_none() {
        return Verdict::Same;
    }
    let has_exec = questions.iter().any(|question| matches!(question, Question::Exec(_)));
    if place.is_remote && unexcused.peek().is_some_and(|(_, (one, other))| knows_more(one, other)) {
        return Verdict::Parted("a script is known that has not run");
    }
    if place.is_moving && has_exec && unexcused.all(|(_, (one, other))| is_given_up(one, other)) {
        return Verdict::Parted("a slot has left while it was watched");
    }
    Verdict::Differs
}

impl Question {
    fn excuses(&self, one: &Reply, other: &Reply, ids: [Ids<'_>; 2]) -> bool {
        match self {
            Question::One(request) => alike(request, one, other, ids),
            // Where its reply is a row, any of its requests may have been answered like that.
            Question::Exec(queue) if queue.iter().any(|request| alike(request, one, other, ids)) => true,
            Question::Exec(queue) => match (one, other) {
                (Reply::Array(one), Reply::Array(other)) => {
                    one.len() == other.len()
                        && queue.len() == one.len()
                        && queue
                            .iter()
                            .zip(one.iter().zip(other))
                            .all(|(request, (one, other))| alike(request, one, other, ids))
                }
                _ => false,
            },
        }
    }
}

fn alike(request: &Request, one: &Reply, other: &Reply, ids: [Ids<'_>; 2]) -> bool {
    if one == other {
        return true;
    }
    let subcommand = request.get(1).map(|word| word.to_ascii_lowercase()).unwrap_or_default();
    match compare::name(request).as_str() {
        "client" => nameless(one, ids[0]) == nameless(other, ids[1]),
        "hello" => introduced(one, ids[0]) == introduced(other, ids[1]),
        // Nobody promises an order of channels.
        "pubsub" if subcommand.ends_with(b"channels") => sorted(one) == sorted(other),
        _ => compare::alike(request, one, other, true),
    }
}

/// The reply with names in the places of clients' ids.
pub fn nameless(reply: &Reply, ids: Ids<'_>) -> Reply {
    let each = |items: &[Reply]| items.iter().map(|item| nameless(item, ids)).collect();
    match reply {
        Reply::Int(number) => match ids.iter().position(|id| id == number) {
            Some(at) => Reply::Simple(format!("id of the client that came as number {at}")),
            None => reply.clone(),
        },
        Reply::Array(items) => Reply::Array(each(items)),
        Reply::Map(items) => Reply::Map(each(items)),
        Reply::Push(items) => Reply::Push(each(items)),
        other => other.clone(),
    }
}

/// HELLO's reply without what is each server's own.
fn introduced(reply: &Reply, ids: Ids<'_>) -> Vec<Reply> {
    let (Reply::Array(items) | Reply::Map(items)) = reply else { return vec![reply.clone()] };
    let is_own = |pair: &&[Reply]| HELLO_OWN.iter().any(|name| pair[0] == bulk(name));
    let kept = items.chunks_exact(2).filter(|pair| !is_own(pair));
    kept.flatten().map(|item| nameless(item, ids)).collect()
}

pub fn sorted(reply: &Reply) -> Reply {
    match reply {
        Reply::Array(items) => {
            let mut items = items.clone();
            items.sort();
            Reply::Array(items)
        }
        other => other.clone(),
    }
}

/// Whether our transaction was not carried out, and theirs was.
fn is_given_up(ours: &Reply, theirs: &Reply) -> bool {
    matches!(ours, Reply::Null | Reply::NullArray) && matches!(theirs, Reply::Array(_))
}

/// Whether we know a script that the other server does not.
fn knows_more(ours: &Reply, theirs: &Reply) -> bool {
    let is_unknown = |reply: &Reply| matches!(reply, Reply::Error(text) if text.starts_with("NOSCRIPT"));
    match (ours, theirs) {
        (Reply::Array(ours), Reply::Array(theirs)) => {
            ours.iter().zip(theirs).any(|(one, other)| knows_more(one, other))
        }
        _ => !is_unknown(ours) && is_unknown(theirs),
    }
}

fn crosses(reply: &Reply) -> bool {
    match reply {
        Reply::Error(text) => text.starts_with(CROSSING) || PARTING.iter().any(|words| text.contains(words)),
        Reply::Array(items) => items.iter().any(crosses),
        _ => false,
    }
}

pub fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.as_bytes().to_vec())
}
