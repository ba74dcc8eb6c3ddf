//! What groups do with entries, told as one canonical command: XCLAIM with all that it takes to do the same again.
//!
//! `XCLAIM key group consumer 0 id… TIME ms [RETRYCOUNT n] [FORCE] [JUSTID] LASTID id ENTRIESREAD n SEEN ms [ACTIVE ms]`
//!
//! The last three are Swell's own, understood only where an effect is replayed: what is not said there is not known,
//! as no time passes.

use swell_wire::{Args, OwnedArgs};

use crate::value::stream::{Claim, Group, StreamId};

/// The entries that a command has changed.
pub(super) type Touched = Vec<StreamId>;

/// How entries were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    Delivered,
    ShownAgain,
}

/// The effect of XCLAIM and XAUTOCLAIM, whose arguments begin with key, group and consumer.
pub(super) fn of_claim(args: Args<'_>, group: &Group, claim: &Claim, touched: &[StreamId]) -> OwnedArgs {
    let mut effect = begin(args.slice(1), args.slice(2), args.slice(3), touched, claim.delivered_ms);
    if let Some(count) = claim.count {
        push_pair(&mut effect, b"retrycount", count);
    }
    if claim.ids_only {
        effect.push(b"justid");
    }
    if claim.force {
        effect.push(b"force");
    }
    end(effect, group, claim.consumer)
}

/// The effect of XREADGROUP on one key.
pub(super) fn of_read(
    key: &[u8],
    name: &[u8],
    group: &Group,
    consumer: u32,
    read: Read,
    now_ms: u64,
    touched: &[StreamId],
) -> OwnedArgs {
    let mut effect = begin(key, name, group.at(consumer).name(), touched, now_ms);
    if read == Read::Delivered {
        push_pair(&mut effect, b"retrycount", 1);
        effect.push(b"force");
        effect.push(b"justid");
    }
    end(effect, group, consumer)
}

/// The effect of making a consumer, with arguments as above.
pub(super) fn of_consumer(args: Args<'_>, group: &Group, consumer: u32) -> OwnedArgs {
    let effect = begin(args.slice(1), args.slice(2), args.slice(3), &[], group.at(consumer).seen_ms);
    end(effect, group, consumer)
}

fn begin(key: &[u8], group: &[u8], consumer: &[u8], touched: &[StreamId], delivered_ms: u64) -> OwnedArgs {
    let mut effect = OwnedArgs::default();
    [b"xclaim", key, group, consumer, b"0"].into_iter().for_each(|word| effect.push(word));
    touched.iter().for_each(|id| effect.push(&id.to_vec()));
    push_pair(&mut effect, b"time", delivered_ms);
    effect
}

fn end(mut effect: OwnedArgs, group: &Group, consumer: u32) -> OwnedArgs {
    let consumer = group.at(consumer);
    effect.push(b"lastid");
    effect.push(&group.last_id.to_vec());
    effect.push(b"entriesread");
    effect.push(group.entries_read.unwrap_or(-1).to_string().as_bytes());
    push_moment(&mut effect, b"seen", consumer.seen_ms);
    if let Some(active_ms) = consumer.active_ms {
        push_moment(&mut effect, b"active", active_ms);
    }
    effect
}

/// A time that RESTORE may have set before all time: below zero then.
fn push_moment(effect: &mut OwnedArgs, word: &[u8], ms: u64) {
    effect.push(word);
    effect.push((ms as i64).to_string().as_bytes());
}

fn push_pair(effect: &mut OwnedArgs, word: &[u8], number: u64) {
    effect.push(word);
    effect.push(number.to_string().as_bytes());
}
