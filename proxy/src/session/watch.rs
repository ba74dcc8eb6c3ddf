//! WATCH, UNWATCH: the condition of a client's next transaction. The keys are watched where they are; when that changes
//! between WATCH and EXEC, they count as changed.

use swell_engine::Outcome;
use swell_engine::commands::table::Command;
use swell_engine::key::KeyHash;
use swell_engine::watch::Watching;
use swell_node::link::frame::Kind;
use swell_ring::Slot;
use swell_wire::{Args, Out};

use crate::core::Core;
use crate::error::ProxyError;
use crate::plan::value_bytes;
use crate::session::remote::{self, Remote};
use crate::session::{Flow, Late, Session, SessionCx, fail};
use crate::upstream::encode;
use crate::upstream::job::{Job, JobAnswer};
use crate::upstream::shot::{Payload, Shot, Target};

/// What a client watches.
#[derive(Debug)]
pub enum Watch {
    /// Keys of the node in this process.
    Here(Watching),
    /// Keys of a slot that is reached over a link; its node knows them under this number.
    There { slot: Slot, number: u64, keys: usize, bytes: usize },
    /// Nobody knows any longer whether its keys have changed, so they have.
    Lost,
}

impl Watch {
    /// How many keys.
    pub fn key_count(&self) -> usize {
        match self {
            Watch::Here(watching) => watching.len(),
            Watch::There { keys, .. } => *keys,
            Watch::Lost => 0,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Watch::Here(watching) => watching.bytes(),
            Watch::There { bytes, .. } => *bytes,
            Watch::Lost => 0,
        }
    }

    /// The slot of its keys, as far as that matters: where there may be several nodes they are all of one.
    pub fn slot(&self) -> Option<Slot> {
        match self {
            Watch::Here(watching) => watching.slot(),
            Watch::There { slot, .. } => Some(*slot),
            Watch::Lost => None,
        }
    }
}

/// WATCH. Tried again from its beginning when a stripe was taken: what it watches already, it watches once.
pub fn watch(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let SessionCx { core, session, command, ticket } = cx;
    let bytes = session.watch.as_ref().map_or(0, Watch::bytes) + args.iter().map(<[u8]>::len).sum::<usize>();
    if bytes > core.shared.settings.query_buffer_bytes_max() as usize {
        return fail(core, session, ProxyError::TooMuchWatched.to_string().as_bytes(), out);
    }
    let mut keys = Vec::new();
    command.spec.hash_keys(core.handle.engine(), args, &mut keys);
    let before = session.watch.as_ref().and_then(Watch::slot);
    let is_one_slot =
        remote::one_slot(&keys) && keys.first().is_none_or(|key| before.is_none_or(|slot| slot == key.slot));
    if core.shared.route.is_strict() && !is_one_slot {
        remote::refuse_crossing(core, command.spec, out);
        return Flow::Done;
    }
    if core.shared.route.is_direct() {
        return here(core, session, args, &keys, *ticket, out);
    }
    there(core, session, *command, args, &keys)
}

/// UNWATCH.
pub fn unwatch(cx: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    forget(cx.core, cx.session);
    out.ok();
    Flow::Done
}

/// Forgets what a client watches. A node at the end of a link finds out when the next WATCH has another number.
pub fn forget(core: &Core, session: &mut Session) {
    if let Some(Watch::Here(watching)) = session.watch.take() {
        core.handle.engine().unwatch(watching);
    }
    session.show();
}

fn here(
    core: &mut Core,
    session: &mut Session,
    args: Args<'_>,
    keys: &[KeyHash],
    ticket: Option<swell_engine::stripe::Ticket>,
    out: &mut Out,
) -> Flow {
    let engine = core.handle.engine();
    let mut watching = match session.watch.take() {
        Some(Watch::Here(watching)) => watching,
        None => engine.watching(),
        Some(Watch::There { .. } | Watch::Lost) => {
            session.watch = Some(Watch::Lost);
            out.ok();
            return Flow::Done;
        }
    };
    let key_of = |key: &KeyHash| args.slice(key.arg as usize);
    let watched =
        keys.iter().try_for_each(|key| engine.watch(&mut watching, session.db, key_of(key), *key, core.now_ms, ticket));
    session.watch = Some(Watch::Here(watching));
    session.show();
    match watched {
        Err(Outcome::Busy(stripe)) => Flow::Late(Late::Stripe(stripe)),
        Err(Outcome::NotExecuted(_, stripe)) => Flow::Late(Late::Gate(stripe)),
        _ => {
            out.ok();
            Flow::Done
        }
    }
}

/// One frame to the owner of the keys' slot.
fn there(core: &mut Core, session: &mut Session, command: Command, args: Args<'_>, keys: &[KeyHash]) -> Flow {
    let Some(slot) = keys.first().map(|key| key.slot) else { return Flow::Done };
    let (number, before, bytes_before) = match session.watch.take() {
        Some(Watch::There { number, keys, bytes, .. }) => (number, keys, bytes),
        Some(Watch::Here(watching)) => {
            core.handle.engine().unwatch(watching);
            session.watch = Some(Watch::Lost);
            (0, 0, 0)
        }
        Some(Watch::Lost) => {
            session.watch = Some(Watch::Lost);
            (0, 0, 0)
        }
        None => {
            session.watches += 1;
            (session.watches, 0, 0)
        }
    };
    let is_lost = session.watch.is_some();
    let words = [&b"watch"[..]].into_iter();
    let (text, mut request) = (number.to_string(), Vec::new());
    let named = keys.iter().map(|key| args.slice(key.arg as usize));
    encode::request(words.chain([text.as_bytes()]).chain(named).collect::<Vec<_>>().into_iter(), &mut request);
    let (count, bytes) = (before + keys.len(), bytes_before + request.len());
    let (prefix, bytes_in) = (core.prefix_of(args, keys), value_bytes(command.spec, args));
    let shot = Shot::new(Kind::Exec, Target::Slot(slot), 1, true, Payload::Bytes(request));
    Remote::late(
        Job::Shots(vec![shot]),
        Box::new(move |core, session, answer, out| {
            let is_watched = matches!(&answer, Ok(JobAnswer::Shots(answers)) if !answers.is_empty());
            let charged = core.charge_on(prefix, command, bytes_in, 0, 1, !is_watched);
            core.charged_for_slot(slot, charged);
            if !is_watched {
                session.watch = Some(Watch::Lost);
                let error = answer.err().unwrap_or(ProxyError::Internal);
                return fail(core, session, error.to_string().as_bytes(), out);
            }
            session.watch = Some(match is_lost {
                true => Watch::Lost,
                false => Watch::There { slot, number, keys: count, bytes },
            });
            session.show();
            out.ok();
            Flow::Done
        }),
    )
}

/// The request by which a unit's frame says on which condition it runs.
pub fn guard(number: u64, out: &mut Vec<u8>) {
    let text = number.to_string();
    encode::request([&b"watch"[..], text.as_bytes()].into_iter(), out);
}
