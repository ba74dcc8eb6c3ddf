//! Whether two clients have been told the same.

use std::mem;

use super::super::{Request, compare};
use crate::harness::Reply;

/// What ours says where data on several nodes would have to change at once: how errors begin and end.
const CROSSING: &str = "CROSSSLOT";
const CONFIRMING: &str = "not allowed inside a transaction: all nodes and proxies have to confirm it";

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
#[derive(Default)]
pub struct Asked {
    open: Vec<Request>,
    queue: Vec<Request>,
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

/// Compares what a client was told. `stays_open`: it waits, and is owed more for what it has asked.
pub fn compare(ours: &[Reply], theirs: &[Reply], asked: &mut Asked, ids: [Ids<'_>; 2], stays_open: bool) -> Verdict {
    let questions = if stays_open { Vec::new() } else { asked.questions(theirs) };
    if ours == theirs {
        return Verdict::Same;
    }
    if ours.iter().any(crosses) {
        return Verdict::Parted("what is atomic over nodes is refused");
    }
    let (ours, theirs) = (canonical(ours, ids[0]), canonical(theirs, ids[1]));
    if ours.len() != theirs.len() {
        return Verdict::Differs;
    }
    let replies = theirs.iter().filter(|reply| !is_unasked(reply)).count();
    let mut answered = 0;
    for (one, other) in ours.iter().zip(&theirs) {
        let mut candidates = &questions[..];
        if replies == questions.len() && !is_unasked(other) {
            candidates = &questions[answered..=answered];
            answered += 1;
        }
        if one != other && !candidates.iter().any(|question| question.excuses(one, other, ids)) {
            return Verdict::Differs;
        }
    }
    Verdict::Same
}

/// Whether a reply comes without having been asked for.
pub fn is_unasked(reply: &Reply) -> bool {
    let is_message = |items: &[Reply]| {
        items
            .first()
            .is_some_and(|kind| *kind == bulk("message") || *kind == bulk("pmessage") || *kind == bulk("smessage"))
    };
    match reply {
        Reply::Push(_) => true,
        Reply::Array(items) => (3..=4).contains(&items.len()) && is_message(items),
        _ => false,
    }
}

impl Question {
    fn excuses(&self, one: &Reply, other: &Reply, ids: [Ids<'_>; 2]) -> bool {
        match self {
            Question::One(request) => alike(request, one, other, ids),
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

/// What does not depend on an order that nobody promises: of the keys that one step makes stale, of the patterns that one
/// message fits, and of the channels that a client leaves all at once. The ids in pushes are named.
fn canonical(told: &[Reply], ids: Ids<'_>) -> Vec<Reply> {
    let mut told: Vec<Reply> = told.iter().map(|reply| named_push(reply, ids)).collect();
    let mut from = 0;
    while from < told.len() {
        let kind = kind(&told[from]);
        let length = told[from..].iter().take_while(|reply| self::kind(reply) == kind).count();
        let run = &mut told[from..from + length];
        match kind {
            Kind::Invalidation | Kind::Fitting(..) => run.sort(),
            Kind::Farewell => {
                let mut names: Vec<Reply> = run.iter().map(|reply| reply.items()[1].clone()).collect();
                names.sort();
                for (reply, name) in run.iter_mut().zip(names) {
                    if let Reply::Push(items) | Reply::Array(items) = reply {
                        items[1] = name;
                    }
                }
            }
            Kind::Other => {}
        }
        from += length;
    }
    told
}

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Invalidation,
    Farewell,
    /// A message that came by a pattern: its channel and the message.
    Fitting(Reply, Reply),
    Other,
}

fn kind(reply: &Reply) -> Kind {
    let (Reply::Push(items) | Reply::Array(items)) = reply else { return Kind::Other };
    let is = |at: usize, text: &str| items.get(at).is_some_and(|item| *item == bulk(text));
    if is(0, "invalidate") || (is(0, "message") && is(1, "__redis__:invalidate")) {
        return Kind::Invalidation;
    }
    let leaves = ["unsubscribe", "punsubscribe", "sunsubscribe"].iter().any(|name| is(0, name));
    match &items[..] {
        [_, _, _] if leaves => Kind::Farewell,
        [_, _, channel, message] if is(0, "pmessage") => Kind::Fitting(channel.clone(), message.clone()),
        _ => Kind::Other,
    }
}

fn named_push(reply: &Reply, ids: Ids<'_>) -> Reply {
    match reply {
        Reply::Push(items) if items.first() == Some(&bulk("tracking-redir-broken")) => nameless(reply, ids),
        Reply::Push(items) | Reply::Array(items) if kind(reply) == Kind::Invalidation => {
            let items = items.iter().map(sorted).collect();
            if matches!(reply, Reply::Push(_)) { Reply::Push(items) } else { Reply::Array(items) }
        }
        other => other.clone(),
    }
}

/// The reply with names in the places of clients' ids.
fn nameless(reply: &Reply, ids: Ids<'_>) -> Reply {
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

fn sorted(reply: &Reply) -> Reply {
    match reply {
        Reply::Array(items) => {
            let mut items = items.clone();
            items.sort();
            Reply::Array(items)
        }
        other => other.clone(),
    }
}

fn crosses(reply: &Reply) -> bool {
    match reply {
        Reply::Error(text) => text.starts_with(CROSSING) || text.ends_with(CONFIRMING),
        Reply::Array(items) => items.iter().any(crosses),
        _ => false,
    }
}

fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.as_bytes().to_vec())
}
