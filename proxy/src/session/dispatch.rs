//! What happens to one request that runs alone: its command is looked up and admitted, then the proxy's own body or the
//! node's runs it.

use std::sync::atomic::Ordering::Relaxed;

use swell_engine::admit::Denied;
use swell_engine::commands::table::{Command, Found};
use swell_engine::run::Outcome;
use swell_engine::spec::{Body, Flags, Group};
use swell_engine::stripe::Ticket;
use swell_meter::Prefix;
use swell_wire::error::Reject;
use swell_wire::requests::Kind;
use swell_wire::{Args, Out, OwnedArgs};

use super::walk::{self, Walk};
use super::{Flow, Late, ReplyMode, Session, SessionCx, commands, multi, remote, scripts, slices};
use crate::access::log::Refused;
use crate::catalog;
use crate::clients::Door;
use crate::core::Core;
use crate::error::ProxyError;
use crate::pause;
use crate::plan::value_bytes;
use crate::shared::unix_ms;

/// Runs one request that cut the batch. `ticket`: drawn when it found a stripe taken before.
pub fn run(
    core: &mut Core,
    session: &mut Session,
    args: Option<Args<'_>>,
    kind: Kind,
    ticket: Option<Ticket>,
    out: &mut Out,
) -> Flow {
    if session.reply == ReplyMode::SkipNext {
        session.reply = ReplyMode::Skip;
    }
    let mark = out.mark();
    let flow = match (args, kind) {
        (_, Kind::Reject(reject)) => refuse(core, session, reject, out),
        (None, _) => Flow::Done,
        (Some(args), Kind::TooLarge(_)) => crate::memcached::too_large(core, session, args, out),
        (Some(args), _) if session.info.door == Door::Memcached && !session.authenticated => {
            crate::memcached::authenticate(core, session, args, out)
        }
        (Some(args), _) => dispatch(core, session, args, ticket, out),
    };
    if matches!(flow, Flow::Done) {
        session.settle_reply(mark, out);
    }
    flow
}

fn refuse(core: &mut Core, session: &mut Session, reject: Reject, out: &mut Out) -> Flow {
    reject.write(out);
    if reject.closes() {
        core.counts.protocol_errors += 1;
        session.closing = true;
    }
    core.counts.error(b"ERR");
    Flow::Done
}

/// Queues a request of an open transaction if nothing stands in its way; whether it is queued. Any other is for [`run`].
pub fn queue_plain(core: &mut Core, session: &mut Session, args: Args<'_>, kind: Kind, out: &mut Out) -> bool {
    let is_plain = matches!(kind, Kind::Plain { .. })
        && session.reply == ReplyMode::On
        && session.subscriptions.is_none()
        && !session.monitors
        && !core.observer.is_pausing;
    if !is_plain {
        return false;
    }
    let Found::Command(command) = session.table().find(args) else { return false };
    if !multi::queues(command.spec) || session.caller().admit(command, args).is_err() {
        return false;
    }
    multi::queue(core, session, command, args, out);
    true
}

fn dispatch(core: &mut Core, session: &mut Session, args: Args<'_>, ticket: Option<Ticket>, out: &mut Out) -> Flow {
    let command = match session.table().find(args) {
        Found::Command(command) => command,
        Found::Unknown if session.info.door == Door::Memcached => {
            return crate::memcached::unknown(core, session, args, out);
        }
        Found::Unknown if catalog::is_http(args) => {
            tracing::warn!(client = %session.info.addr, "closed a connection that speaks HTTP on the RESP port");
            session.closing = true;
            return Flow::Done;
        }
        // What there is and what not is nobody's business before the password.
        Found::Unknown | Found::UnknownSubcommand(_) if !session.authenticated => {
            return fail(core, session, Denied::Unauthenticated.to_string().as_bytes(), out);
        }
        Found::Unknown => return fail(core, session, &catalog::unknown(args), out),
        Found::UnknownSubcommand(container) => {
            return fail(core, session, &catalog::unknown_subcommand(container, args), out);
        }
    };
    if let Err(denied) = session.caller().admit(command, args) {
        if denied.reason().is_some() && session.multi.is_some() && is_forbidden_in_multi(command.spec.flags) {
            // Whoever may call it.
            return multi::queue(core, session, command, args, out);
        }
        note_denied(core, session, &denied, args);
        return match denied {
            denied if denied.reason().is_some() && session.info.door == Door::Memcached => {
                crate::memcached::deny(core, &denied, out)
            }
            Denied::Arity(_) if command.spec.group == Group::Memcached => {
                crate::memcached::refuse(core, b"ERROR\r\n", out)
            }
            Denied::Arity(_) if command.spec.container() == Some("debug") => {
                fail(core, session, &catalog::unknown_debug(args), out)
            }
            denied if command.spec.name == "exec" => multi::refuse_exec(core, session, &denied.to_string(), out),
            denied => fail(core, session, denied.to_string().as_bytes(), out),
        };
    }
    if session.is_only_subscriber(command.spec) {
        let text = ProxyError::OnlySubscriber(command.spec.name).to_string();
        return match command.spec.name {
            "exec" => multi::refuse_exec(core, session, &text, out),
            _ => fail(core, session, text.as_bytes(), out),
        };
    }
    if session.monitors && (command.spec.flags.has(Flags::WRITE) || command.spec.flags.has(Flags::READONLY)) {
        return fail(core, session, ProxyError::MonitorsOnly.to_string().as_bytes(), out);
    }
    if core.observer.is_pausing
        && let Some(late) = held_back(core, session, command)
    {
        return Flow::Late(late);
    }
    if session.multi.is_some() && multi::queues(command.spec) {
        return multi::queue(core, session, command, args, out);
    }
    core.observer.begin_alone();
    let flow = match command.spec.body {
        Body::Session => run_session(core, session, command, args, ticket, out),
        // COMMAND may stand alone.
        Body::Container if command.spec.arity_fits(1) => run_session(core, session, command, args, ticket, out),
        // A container without a subcommand: its arity says that one is missing.
        Body::Container => {
            let denied = Denied::Arity(command.spec.name);
            fail(core, session, denied.to_string().as_bytes(), out)
        }
        Body::Keys(_) | Body::Bulk(_) | Body::Script(_) | Body::Whole(_) | Body::Free(_) | Body::Walk(_) => {
            run_engine(core, session, command, args, ticket, out)
        }
    };
    // What has to be tried again has not run.
    if matches!(flow, Flow::Late(Late::Remote(_))) {
        session.note_job_flags();
    }
    if !matches!(flow, Flow::Late(Late::Stripe(_) | Late::Gate(_))) {
        session.after_command(command.spec);
    }
    flow
}

/// Notes for ACL LOG what a client was not permitted.
pub fn note_denied(core: &Core, session: &Session, denied: &Denied, args: Args<'_>) {
    if let Some(reason) = denied.reason() {
        note_refused(core, session, reason, denied.object(args).into_owned(), session.user.name().to_vec());
    }
}

/// The same for any reason and user.
pub fn note_refused(core: &Core, session: &Session, reason: &'static str, object: Vec<u8>, user: Vec<u8>) {
    let context = if session.multi.is_some() || session.in_exec { "multi" } else { "toplevel" };
    let client = commands::client::line(&session.info, core.now_ms);
    core.shared.access.log.add(
        Refused { reason: reason.into(), context: context.into(), object, user },
        client,
        core.now_ms,
    );
}

/// Whether CLIENT PAUSE holds a command back.
#[cold]
fn held_back(core: &Core, session: &Session, command: Command) -> Option<Late> {
    let queued_write = || session.multi.as_ref().is_some_and(|queue| queue.any(pause::may_write));
    let writes = pause::may_write(command.spec) || command.spec.name == "exec" && queued_write();
    let now_ms = unix_ms();
    if core.shared.pause.holding(now_ms).is_none() {
        core.shared.pausing_has_changed();
        return None;
    }
    core.shared.pause.holds(writes, now_ms).then_some(Late::Paused { writes })
}

/// An error reply for a request that did not reach a body; it also spoils a transaction.
pub fn fail(core: &mut Core, session: &mut Session, text: &[u8], out: &mut Out) -> Flow {
    out.error_bytes(text);
    core.counts.error(text.split(|byte| *byte == b' ').next().unwrap_or(b"ERR"));
    if let Some(queue) = &mut session.multi {
        queue.spoil();
    }
    Flow::Done
}

/// Runs a body that the proxy has, and charges for it.
pub fn run_session(
    core: &mut Core,
    session: &mut Session,
    command: Command,
    args: Args<'_>,
    ticket: Option<Ticket>,
    out: &mut Out,
) -> Flow {
    let Some(body) = commands::body_of(command.id) else {
        return fail(core, session, ProxyError::Internal.to_string().as_bytes(), out);
    };
    let (data_before, flattened) = (out.data_bytes(), command.spec.flatten(args));
    let args = flattened.as_ref().map_or(args, OwnedArgs::as_args);
    session.info.last_command.store(command.id.0, Relaxed);
    session.info.last_active_ms.store(core.now_ms, Relaxed);
    let (mark, errors_before) = (out.len(), core.counts.errors);
    let flow = body(&mut SessionCx { core, session, command, ticket }, args, out);
    // EXEC counts and charges for itself, and each of its requests for its own.
    let is_answered = matches!(flow, Flow::Done | Flow::Late(Late::Sleep(..) | Late::Told(..) | Late::Replicas(..)));
    if is_answered && command.spec.name != "exec" {
        // A body that refuses in memcached's words has counted that already.
        let has_counted = core.counts.errors > errors_before;
        let error = error_at(out, mark).filter(|_| !has_counted);
        if let Some(code) = error {
            core.counts.error(code);
        }
        let bytes_out = out.data_bytes() - data_before;
        let prefix = prefix_of(core, command, args);
        let failed = has_counted || error.is_some();
        core.charge_on(prefix, command, value_bytes(command.spec, args), bytes_out, 1, failed);
    }
    if matches!(flow, Flow::Done) {
        core.saw_alone(session, command, args, (out.len() - mark) as u64);
    }
    flow
}

/// The key prefix of a command that the proxy runs: some look at a key.
fn prefix_of(core: &mut Core, command: Command, args: Args<'_>) -> Prefix {
    let mut first = None;
    // Arguments that make no sense as keys name none.
    let _ = command.spec.each_key(args, |arg| first = first.or(Some(arg)));
    core.meter.prefix_of(|| first.map(|arg| args.slice(arg)))
}

/// The code of the reply written at this offset, if that is an error.
fn error_at(out: &Out, at: usize) -> Option<&[u8]> {
    let error = out.as_contiguous()?.get(at..)?.strip_prefix(b"-")?;
    error.split(|byte| matches!(byte, b' ' | b'\r')).next()
}

/// Counts the error written at this offset: a memcached client's has no sign before it.
#[cold]
pub fn count_error_at(core: &mut Core, out: &Out, at: usize) {
    let Some(line) = out.as_contiguous().and_then(|bytes| bytes.get(at..)) else { return };
    let line = line.strip_prefix(b"-").unwrap_or(line);
    core.counts.error(line.split(|byte| matches!(byte, b' ' | b'\r')).next().unwrap_or_default());
}

/// Runs a request on the node by itself, out of any batch.
pub fn run_engine(
    core: &mut Core,
    session: &mut Session,
    command: Command,
    args: Args<'_>,
    ticket: Option<Ticket>,
    out: &mut Out,
) -> Flow {
    let flattened = command.spec.flatten(args);
    let args = flattened.as_ref().map_or(args, OwnedArgs::as_args);
    let mut keys = Vec::new();
    command.spec.hash_keys(core.handle.engine(), args, &mut keys);
    let call = match session.call(command, args, &keys, core.now_ms) {
        Ok(call) => call,
        Err(denied) => return fail(core, session, denied.to_string().as_bytes(), out),
    };
    if let Body::Free(_) = command.spec.body
        && core.shared.node.broker().is_crowded()
        && !session.is_pressing
    {
        return Flow::Late(Late::Crowded);
    }
    if remote::crosses(core, command.spec, &keys) {
        let prefix = core.prefix_of(args, &keys);
        core.charge_on(prefix, command, value_bytes(command.spec, args), 0, 1, true);
        remote::refuse_crossing(core, command.spec, out);
        return Flow::Done;
    }
    if remote::changes_state(command.spec) && !core.shared.route.is_alone() {
        return remote::swap_databases(core, command, args, out);
    }
    let is_limited = matches!(command.spec.body, Body::Script(_)) && !session.is_trusted;
    if is_limited && !core.shared.route.is_direct() {
        return scripts::run_limited(core, session, command, args, &keys, out);
    }
    if !core.shared.route.is_direct() {
        session.is_publishing = session.subscriptions.is_some() && matches!(command.spec.body, Body::Free(_));
        return remote::run(core, session, command, args, &keys, out);
    }
    let (data_before, at, mark) = (out.data_bytes(), out.len(), out.mark());
    if let Some(wait) = session.wait {
        core.handle.waits_since(wait.since_us);
    }
    core.handle.set_script_user(is_limited.then(|| session.user.clone()));
    let outcome = core.handle.execute(&call, ticket, out);
    core.handle.set_script_user(None);
    core.handle.waits_since(0);
    match outcome {
        Outcome::Done { work, failed } => {
            let bytes_out = out.data_bytes() - data_before;
            let prefix = core.prefix_of(args, &keys);
            core.charge_on(prefix, command, value_bytes(command.spec, args), bytes_out, work, failed);
            if failed {
                count_error_at(core, out, at);
            }
            core.saw_alone(session, command, args, (out.len() - at) as u64);
            Flow::Done
        }
        Outcome::Busy(stripe) => Flow::Late(Late::Stripe(stripe)),
        Outcome::NotExecuted(_, stripe) => Flow::Late(Late::Gate(stripe)),
        Outcome::Walk => walk::begin(core, session, Walk::of(command), args, out),
        Outcome::Deferred => {
            let bytes_out = out.data_bytes() - data_before;
            session.settle_part(mark, out);
            let prefix = core.prefix_of(args, &keys);
            slices::begin(core, command, prefix, value_bytes(command.spec, args), bytes_out)
        }
    }
}

/// Whether a command may run inside MULTI at once instead of being queued, or not at all.
pub fn is_forbidden_in_multi(flags: Flags) -> bool {
    flags.has(Flags::NO_MULTI)
}
