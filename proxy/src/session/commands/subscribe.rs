//! SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE and their opposites: a confirmation for each name.

use swell_node::broker::Topic;
use swell_wire::{Args, Out};

use crate::error::ProxyError;
use crate::pubsub;
use crate::session::{Flow, Session, SessionCx};

pub fn subscribe(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    begin(cx, Topic::Channel, b"subscribe", args, out)
}

pub fn psubscribe(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    begin(cx, Topic::Pattern, b"psubscribe", args, out)
}

pub fn ssubscribe(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
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
    for name in args.from(1).iter() {
        if cx.session.subscriptions_len() >= pubsub::SUBSCRIPTIONS_MAX {
            out.error(&ProxyError::TooManySubscriptions(pubsub::SUBSCRIPTIONS_MAX).to_string());
            break;
        }
        pubsub::subscribe(cx.core, cx.session, topic, name);
        confirm(cx.session, topic, word, Some(name), out);
    }
    finish(cx)
}

/// The names given, or all; a confirmation comes even where there was nothing to end.
fn end(cx: &mut SessionCx<'_>, topic: Topic, word: &[u8], args: Args<'_>, out: &mut Out) -> Flow {
    if args.len() > 1 {
        for name in args.from(1).iter() {
            pubsub::unsubscribe(cx.core, cx.session, topic, name);
            confirm(cx.session, topic, word, Some(name), out);
        }
        return finish(cx);
    }
    let names: Vec<_> = cx.session.subscriptions.iter().flat_map(|all| all.names(topic).iter().cloned()).collect();
    if names.is_empty() {
        confirm(cx.session, topic, word, None, out);
    }
    for name in names {
        pubsub::unsubscribe(cx.core, cx.session, topic, &name);
        confirm(cx.session, topic, word, Some(&name), out);
    }
    finish(cx)
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

/// Confirmations are no replies: they go out whatever CLIENT REPLY says.
fn finish(cx: &mut SessionCx<'_>) -> Flow {
    cx.session.is_pushing = !cx.session.in_exec;
    Flow::Done
}
