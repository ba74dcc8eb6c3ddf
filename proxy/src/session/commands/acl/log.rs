//! ACL LOG.

use swell_engine::Fault;
use swell_engine::number::parse_i64;
use swell_wire::{Args, Out};

use crate::access::log::Entry;
use crate::error::ProxyError;
use crate::others::{self, Question, Told};
use crate::session::commands::client::quoted;
use crate::session::commands::{done, pair};
use crate::session::{Flow, SessionCx};

/// Entries shown where no number is asked for (Valkey's).
const SHOWN: usize = 10;

/// What was refused, the latest first.
pub fn log(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let shared = cx.core.shared.clone();
    let result = match (args.len(), args.opt(2)) {
        (2, _) => Ok(SHOWN),
        (3, Some(word)) if word.eq_ignore_ascii_case(b"reset") => {
            if let Err(flow) = others::ask(cx, args, out, || Question::RefusedReset) {
                return flow;
            }
            shared.access.log.reset();
            out.ok();
            return Flow::Done;
        }
        (3, Some(count)) => match parse_i64(count) {
            Some(count) => Ok(usize::try_from(count).unwrap_or(0)),
            None => Err(Fault::NotInteger.into()),
        },
        _ => Err(ProxyError::AclArguments(quoted(args.slice(1)))),
    };
    let count = match result {
        Ok(count) => count,
        Err(error) => return done(Err(error), out),
    };
    let told = match others::ask(cx, args, out, || Question::Refused { count }) {
        Ok(told) => told,
        Err(flow) => return flow,
    };
    let mut entries = shared.access.log.latest(count);
    for told in told.iter() {
        if let Told::Refused(others) = told {
            entries.extend_from_slice(others);
        }
    }
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.updated_ms));
    entries.truncate(count);
    out.array(entries.len());
    entries.iter().for_each(|entry| show(entry, cx.core.now_ms, out));
    Flow::Done
}

fn show(entry: &Entry, now_ms: u64, out: &mut Out) {
    let number = |out: &mut Out, name: &str, value: u64| {
        out.bulk(name.as_bytes());
        out.int(value as i64);
    };
    out.map(10);
    number(out, "count", entry.count);
    pair(out, "reason", &entry.refused.reason);
    pair(out, "context", &entry.refused.context);
    out.bulk(b"object");
    out.bulk(&entry.refused.object);
    out.bulk(b"username");
    out.bulk(&entry.refused.user);
    out.bulk(b"age-seconds");
    out.double(&(now_ms.saturating_sub(entry.updated_ms) as f64 / 1000.0).to_string());
    pair(out, "client-info", &entry.client);
    number(out, "entry-id", entry.id);
    number(out, "timestamp-created", entry.created_ms);
    number(out, "timestamp-last-updated", entry.updated_ms);
}
