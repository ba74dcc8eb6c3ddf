//! What a client was told in one step, taken apart so that only what has an order is compared in order.
//!
//! Valkey does one thing after the other and writes everything to one buffer. Swell promises less, and this is what it
//! promises: replies come in the order of their requests; messages of channels in the order in which they were
//! published; every key that has become stale is named. Where a message stands between the replies to several
//! requests, or beside news of stale keys, is chance. A stale key may be named once more: nothing is lost by that.

use std::collections::BTreeSet;

use super::judge::{bulk, nameless, sorted};
use crate::harness::Reply;

/// See the module.
#[derive(Default)]
pub struct Told {
    pub replies: Vec<Reply>,
    /// Messages of channels and patterns, and that someone to be told in one's place is gone.
    pub messages: Vec<Reply>,
    pub stale: BTreeSet<Reply>,
    /// Whether a reply came first.
    pub begins_with_reply: Option<bool>,
}

/// Stands for all keys.
const EVERYTHING: &str = "everything is stale";

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Farewell,
    /// A message that came by a pattern: its channel and the message.
    Fitting(Reply, Reply),
    Other,
}

impl Told {
    /// Takes apart; `ids`: those of all clients, which are named.
    pub fn of(told: &[Reply], ids: &[i64]) -> Told {
        let mut apart = Told::default();
        for reply in told.iter().flat_map(flattened) {
            let is_message = is_unasked(&reply) && !is_confirmation(&reply);
            apart.begins_with_reply.get_or_insert(!is_message);
            match stale_keys(&reply) {
                Some(keys) => apart.stale.extend(keys),
                None if is_message => apart.messages.push(nameless(&reply, ids)),
                None => apart.replies.push(reply),
            }
        }
        apart.messages = canonical(apart.messages);
        apart.replies = canonical(apart.replies);
        apart
    }

    /// Whether it is not yet all that this is: the same number of replies and messages, and at least these stale keys.
    pub fn lacks(told: &[Reply], whole: &[Reply]) -> bool {
        let (told, whole) = (Told::of(told, &[]), Told::of(whole, &[]));
        let count = |told: &Told| told.replies.len() + told.messages.len();
        count(&told) < count(&whole) || !whole.stale.is_subset(&told.stale)
    }
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

/// The keys that it says are stale.
pub fn stale_keys(reply: &Reply) -> Option<Vec<Reply>> {
    let (Reply::Push(items) | Reply::Array(items)) = reply else { return None };
    let is = |at: usize, text: &str| items.get(at).is_some_and(|item| *item == bulk(text));
    let keys = match () {
        () if is(0, "invalidate") => items.get(1),
        () if is(0, "message") && is(1, "__redis__:invalidate") => items.get(2),
        () => return None,
    };
    Some(match keys {
        Some(Reply::Array(keys)) => keys.clone(),
        // Valkey writes the null of the version that another client speaks, whose copies these are.
        _ => vec![Reply::Simple(EVERYTHING.to_owned())],
    })
}

/// EXEC's reply in which clients subscribe holds more than the array's length says, and what follows stands outside of it:
/// all that as one row.
fn flattened(reply: &Reply) -> Vec<Reply> {
    match reply {
        Reply::Array(items) if items.iter().any(is_confirmation) => {
            let length = Reply::Simple(format!("{} items", items.len()));
            [length].into_iter().chain(items.iter().cloned()).collect()
        }
        other => vec![other.clone()],
    }
}

fn is_confirmation(reply: &Reply) -> bool {
    let (Reply::Push(items) | Reply::Array(items)) = reply else { return false };
    items.len() == 3 && matches!(&items[0], Reply::Bulk(kind) if kind.ends_with(b"subscribe"))
}

/// What does not depend on an order that nobody promises: of the patterns that one message fits, and of the channels that
/// a client leaves all at once.
fn canonical(mut told: Vec<Reply>) -> Vec<Reply> {
    let mut from = 0;
    while from < told.len() {
        let kind = kind(&told[from]);
        let length = told[from..].iter().take_while(|reply| self::kind(reply) == kind).count();
        let run = &mut told[from..from + length];
        match kind {
            Kind::Fitting(..) => run.sort(),
            Kind::Farewell => {
                let names = Reply::Array(run.iter().map(|reply| reply.items()[1].clone()).collect());
                for (reply, name) in run.iter_mut().zip(sorted(&names).items()) {
                    if let Reply::Push(items) | Reply::Array(items) = reply {
                        items[1] = name.clone();
                    }
                }
            }
            Kind::Other => {}
        }
        from += length;
    }
    told
}

fn kind(reply: &Reply) -> Kind {
    let (Reply::Push(items) | Reply::Array(items)) = reply else { return Kind::Other };
    let is = |at: usize, text: &str| items.get(at).is_some_and(|item| *item == bulk(text));
    let leaves = ["unsubscribe", "punsubscribe", "sunsubscribe"].iter().any(|name| is(0, name));
    match &items[..] {
        [_, _, _] if leaves => Kind::Farewell,
        [_, _, channel, message] if is(0, "pmessage") => Kind::Fitting(channel.clone(), message.clone()),
        _ => Kind::Other,
    }
}
