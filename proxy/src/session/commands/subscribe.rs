//! SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE and their opposites: a confirmation for each name.

use swell_node::broker::Topic;
use swell_wire::out::Mark;
use swell_wire::{Args, Out};

use crate::error::ProxyError;
use crate::pubsub;
use crate::session::{Flow, Late, Session, SessionCx};

pub fn subscribe(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    begin(cx, Topic::Channel, b"subscribe", args, out)
}

pub fn psubscribe(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    begin(cx, Topic::Pattern, b"psubscribe", args, out)
}

pub fn ssubscribe(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    if cx.session.in_exec {
        out.error(&ProxyError::NotForDenyBlocking.to_string());
        return Flow::Done;
    }
    begin(cx, Topic::Shard, b"ssubscribe", args, out)
}

pub fn unsubscribe(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    end(cx, Topic::Channel, b"unsubscribe", args, out)
}

pub fn punsubscribe(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    end(cx, Topic::Pattern, b"punsubscribe", args, out)
}

pub fn sunsubscribe(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    end(cx, Topic::Shard, b"sunsubscribe", args, out)
}

fn begin(cx: &mut SessionCx<'_>, topic: Topic, word: &[u8], args: Args<'_>, out: &mut Out) -> Flow {
    let mark = out.mark();
    for name in args.from(1).iter() {
        if cx.session.subscriptions_len() >= pubsub::SUBSCRIPTIONS_MAX {
            out.error(&ProxyError::TooManySubscriptions(pubsub::SUBSCRIPTIONS_MAX).to_string());
            break;
        }
        if name.len() > pubsub::NAME_BYTES_MAX {
            out.error(&ProxyError::ChannelTooLong(pubsub::NAME_BYTES_MAX).to_string());
            break;
        }
        pubsub::subscribe(cx.core, cx.session, topic, name);
        confirm(cx.session, topic, word, Some(name), out);
    }
    finish(cx, mark, out)
}

/// The names given, or all; a confirmation comes even where there was nothing to end.
fn end(cx: &mut SessionCx<'_>, topic: Topic, word: &[u8], args: Args<'_>, out: &mut Out) -> Flow {
    let mark = out.mark();
    if args.len() > 1 {
        for name in args.from(1).iter() {
            pubsub::unsubscribe(cx.core, cx.session, topic, name);
            confirm(cx.session, topic, word, Some(name), out);
        }
        return finish(cx, mark, out);
    }
    let names: Vec<_> = cx.session.subscriptions.iter().flat_map(|all| all.names(topic).iter().cloned()).collect();
    if names.is_empty() {
        confirm(cx.session, topic, word, None, out);
    }
    for name in names {
        pubsub::unsubscribe(cx.core, cx.session, topic, &name);
        confirm(cx.session, topic, word, Some(&name), out);
    }
    finish(cx, mark, out)
}

fn confirm(session: &Session, topic: Topic, word: &[u8], name: Option<&[u8]>, out: &mut Out) {
    out.push(3);
    out.bulk(word);
    match name {
        Some(name) => out.bulk(name),
        None => out.null(),
    }
    out.int(session.subscriptions.as_ref().map_or(0, |all| all.count(topic)) as i64);
}

/// Confirmations are no replies: they go out whatever CLIENT REPLY says, but not before all nodes have been told.
fn finish(cx: &mut SessionCx<'_>, mark: Mark, out: &mut Out) -> Flow {
    // EXEC waits for all that it has subscribed to.
    if cx.session.in_exec {
        // What the transaction publishes next, in this process, is for this client, too.
        pubsub::tell(cx.core);
        cx.session.is_telling = true;
        return Flow::Done;
    }
    cx.session.is_pushing = true;
    match pubsub::untold(cx.core) {
        Some(version) => Flow::Late(Late::Told(version, out.split_off(mark))),
        None => Flow::Done,
    }
}
