//! MULTI, EXEC, DISCARD: requests are queued with their bytes and run as one unit, all stripes locked first.

use std::time::Duration;

use swell_engine::admit::Denied;
use swell_engine::commands::table::Command;
use swell_engine::key::KeyHash;
use swell_engine::spec::{Body, Flags, Spec};
use swell_engine::stripe::Ticket;
use swell_engine::{Db, Fault, Outcome};
use swell_wire::{Args, Out, OwnedArgs};

use crate::core::Core;
use crate::error::ProxyError;
use crate::plan::value_bytes;
use crate::pubsub;
use crate::session::queue::{self, Queue};
use crate::session::scripts;
use crate::session::unit::{self, Executing};
use crate::session::watch::{self, Watch};
use crate::session::{
    Flow, Late, Session, count_error_at, fail, is_forbidden_in_multi, note_denied, remote, run_session,
};
use crate::upstream::job::JobAnswer;

/// Requests of one transaction that goes to another process: its frame counts them in 16 bits, and each may need its
/// database selected first.
const REMOTE_REQUESTS_MAX: usize = u16::MAX as usize / 2;

/// Whether a command is queued inside MULTI (the rest runs at once).
pub fn queues(spec: &Spec) -> bool {
    !matches!(spec.name, "exec" | "discard" | "quit" | "reset")
}

/// Queues a request, within the query buffer's limit.
pub fn queue(core: &mut Core, session: &mut Session, command: Command, args: Args<'_>, out: &mut Out) -> Flow {
    if is_forbidden_in_multi(command.spec.flags) {
        return fail(core, session, ProxyError::NotInMulti(command.spec.name).to_string().as_bytes(), out);
    }
    if waits_for_all(core, command.spec) {
        return fail(core, session, ProxyError::ConfirmedByAll(command.spec.name).to_string().as_bytes(), out);
    }
    if command.spec.flags.has(Flags::DENYOOM)
        && core.shared.route.is_direct()
        && let Err(fault) = core.handle.make_room(core.now_ms)
    {
        return fail(core, session, fault.to_string().as_bytes(), out);
    }
    let limit = core.shared.settings.query_buffer_bytes_max() as usize;
    let Some(queue) = &mut session.multi else { return Flow::Done };
    queue.push(core.handle.engine(), command, args);
    if queue.bytes() > limit {
        tracing::warn!(client = %session.info.addr, "closed a client whose transaction is over the query buffer's limit");
        session.closing = true;
    }
    out.simple("QUEUED");
    session.show();
    Flow::Done
}

/// MULTI. Inside a transaction it is refused before it comes here.
pub fn begin(core: &mut Core, session: &mut Session, out: &mut Out) -> Flow {
    session.multi = Some(core.spare_queue.take().unwrap_or_default());
    session.show();
    out.ok();
    Flow::Done
}

/// DISCARD.
pub fn discard(core: &Core, session: &mut Session, out: &mut Out) -> Result<(), ProxyError> {
    let queue = session.multi.take().ok_or(ProxyError::DiscardWithoutMulti)?;
    queue::forget(core.handle.engine(), Some(queue));
    watch::forget(core, session);
    out.ok();
    Ok(())
}

/// An EXEC that is refused before it runs ends the transaction all the same.
pub fn refuse_exec(core: &mut Core, session: &mut Session, why: &str, out: &mut Out) -> Flow {
    session.multi = None;
    watch::forget(core, session);
    let why = why.strip_prefix("ERR ").unwrap_or(why).to_owned();
    fail(core, session, ProxyError::ExecRefused(why).to_string().as_bytes(), out)
}

/// EXEC.
pub fn exec(core: &mut Core, session: &mut Session, command: Command, ticket: Option<Ticket>, out: &mut Out) -> Flow {
    let Some(mut queue) = session.multi.take() else {
        return fail(core, session, ProxyError::ExecWithoutMulti.to_string().as_bytes(), out);
    };
    if queue.is_spoiled {
        queue::forget(core.handle.engine(), Some(queue));
        watch::forget(core, session);
        core.charge(command, 0, 0, 1, true);
        return fail(core, session, ProxyError::ExecAborted.to_string().as_bytes(), out);
    }
    if queue.has_scripts && !queue.has_asked && !core.shared.route.is_direct() {
        queue.has_asked = true;
        let unknown = queue.iter().filter_map(|one| scripts::unknown(core, one.command.spec, one.args));
        let unknown: Vec<_> = unknown.collect();
        if !unknown.is_empty() {
            let then: scripts::Then = Box::new(move |core, session, out| {
                session.multi = Some(queue);
                exec(core, session, command, None, out)
            });
            return scripts::fetch(core, &unknown, then);
        }
    }
    // There may be more processes than when it was queued.
    if let Some(swap) = queue.changes_state.filter(|spec| waits_for_all(core, spec)) {
        core.charge(command, 0, 0, 1, true);
        return refuse_exec(core, session, &ProxyError::ConfirmedByAll(swap.name).to_string(), out);
    }
    queue.check_again(session);
    if queue.needs.needs_memory()
        && core.shared.route.is_direct()
        && let Err(fault) = core.handle.make_room(core.now_ms)
    {
        core.charge(command, 0, 0, 1, true);
        return refuse_exec(core, session, &fault.to_string(), out);
    }
    if core.shared.route.is_strict() || !core.shared.route.is_direct() {
        match remote_unit(core, session, command, queue) {
            Route::Here(here) => queue = here,
            Route::Refused => {
                watch::forget(core, session);
                core.charge(command, 0, 0, 1, true);
                remote::refuse_crossing(core, command.spec, out);
                return Flow::Done;
            }
            Route::TooLong => {
                core.charge(command, 0, 0, 1, true);
                let why = ProxyError::TransactionTooLong(REMOTE_REQUESTS_MAX).to_string();
                return refuse_exec(core, session, &why, out);
            }
            Route::Stale => return unit::stale(core, session, command, out),
            Route::There(flow) => return flow,
        }
    }
    Executing::begin(core, session, command, queue, ticket, out).unwrap_or_else(|(outcome, queue)| {
        session.multi = Some(queue);
        match outcome {
            Outcome::Busy(stripe) => Flow::Late(Late::Stripe(stripe)),
            Outcome::NotExecuted(_, stripe) => Flow::Late(Late::Gate(stripe)),
            Outcome::Done { .. } | Outcome::Walk | Outcome::Deferred => Flow::Done,
        }
    })
}

/// Whether a command would have to wait, in the middle of a unit and under its locks, for every node and proxy. Refused
/// as soon as there may be several, so that a transaction does not work today and fail tomorrow.
fn waits_for_all(core: &Core, spec: &Spec) -> bool {
    remote::changes_state(spec) && core.shared.route.may_move()
}

/// Where a transaction runs.
enum Route {
    /// In this process.
    Here(Box<Queue>),
    /// Nowhere: it touches several slots, and there may be several nodes.
    Refused,
    /// Nowhere: it has too many requests.
    TooLong,
    /// Nowhere: what it watches has changed, as far as anybody knows.
    Stale,
    There(Flow),
}

/// Sends what needs data to the node that has it; the proxy's own commands run when the answer is there.
fn remote_unit(core: &mut Core, session: &mut Session, command: Command, queue: Box<Queue>) -> Route {
    let prepared = prepare(session, &queue);
    let mut slots: Vec<_> = prepared.iter().flat_map(|request| request.keys).map(|key| key.slot).collect();
    slots.extend(session.watch.as_ref().and_then(Watch::slot));
    slots.sort_unstable();
    slots.dedup();
    let is_whole = |request: &Prepared<'_>| request.command.spec.body.is_for_all();
    let route = &core.shared.route;
    let is_strict = route.is_strict();
    let is_apart = is_strict || !route.is_direct() && route.map().nodes().len() > 1;
    if is_strict && slots.len() > 1 || is_apart && prepared.iter().any(is_whole) {
        return Route::Refused;
    }
    let guard = match (&session.watch, core.shared.route.is_direct()) {
        (None, _) => None,
        (Some(Watch::Here(_)), true) => None,
        (Some(Watch::There { number, .. }), false) => Some(*number),
        (Some(_), _) => return Route::Stale,
    };
    let count = prepared.iter().filter(|request| request.runs_on_node()).count();
    if core.shared.route.is_direct() || count == 0 && guard.is_none() {
        return Route::Here(queue);
    }
    if count > REMOTE_REQUESTS_MAX {
        queue::forget(core.handle.engine(), Some(queue));
        return Route::TooLong;
    }
    let requests: Vec<(u8, OwnedArgs)> = prepared
        .iter()
        .filter(|request| request.runs_on_node())
        .map(|request| {
            // A script that is not known is the node's to refuse, in its place among the replies.
            let script = remote::script_request(core, request.command.spec, request.args).ok().flatten();
            (request.db.number(), script.unwrap_or_else(|| request.args.to_owned(false)))
        })
        .collect();
    let db = session.db.number();
    let user = (queue.has_scripts && !session.is_trusted).then(|| session.user.clone());
    let ahead = usize::from(guard.is_some()) + usize::from(user.is_some());
    let finish = Box::new(move |core: &mut Core, session: &mut Session, answer, out: &mut Out| {
        finish_remote(core, session, command, &queue, ahead, answer, out)
    });
    Route::There(remote::exec(core, slots.first().copied(), guard, user.as_deref(), &requests, db, finish))
}

/// Puts the node's replies and the proxy's own together. `ahead`: replies of what stands before the requests.
fn finish_remote(
    core: &mut Core,
    session: &mut Session,
    command: Command,
    queue: &Queue,
    ahead: usize,
    answer: Result<JobAnswer, ProxyError>,
    out: &mut Out,
) -> Flow {
    session.multi = None;
    watch::forget(core, session);
    let answer = match answer {
        Ok(JobAnswer::Shots(mut answers)) => answers.pop().unwrap_or_default(),
        other => {
            let error = other.err().unwrap_or(ProxyError::Internal);
            session.show();
            core.charge(command, 0, 0, 1, true);
            return fail(core, session, error.to_string().as_bytes(), out);
        }
    };
    if answer.is_stale {
        return unit::stale(core, session, command, out);
    }
    if answer.is_full {
        core.charge(command, 0, 0, 1, true);
        return refuse_exec(core, session, &Fault::OutOfMemory.to_string(), out);
    }
    let prepared = prepare(session, queue);
    let (mut replies, mut at_db, mut sleep) = (answer.replies(), session.db, Duration::ZERO);
    // What stands before its requests.
    for _ in 0..ahead {
        replies.next();
    }
    let mut whole = Out::new(session.proto);
    whole.array(prepared.len());
    for request in &prepared {
        let (at, bytes_in) = (whole.len(), value_bytes(request.command.spec, request.args));
        let prefix = core.prefix_of(request.args, request.keys);
        session.pays_in(core, request.db);
        if request.runs_on_node() {
            if request.db != at_db {
                // The node was told to change the database.
                at_db = request.db;
                replies.next();
            }
            let Some((entry, bytes)) = replies.next() else { break };
            whole.raw(bytes);
            let (data_bytes, work) = (entry.data_bytes, entry.work);
            let charged = core.charge_on(prefix, request.command, bytes_in, data_bytes, work, entry.failed);
            if let Some(key) = request.keys.first() {
                core.charged_for_slot(key.slot, charged);
            }
            if entry.failed {
                count_error_at(core, &whole, at);
            }
        } else {
            match request.denied {
                Some(denied) => note_refused_inside(core, session, denied, request.args, &mut whole),
                None => sleep += run_inside(core, session, request.command, request.args, &mut whole),
            }
        }
    }
    session.show();
    session.pays(core);
    core.charge(command, 0, 0, 1, false);
    if !sleep.is_zero() {
        return Flow::Late(Late::Sleep(sleep, whole));
    }
    if std::mem::take(&mut session.is_telling)
        && let Some(version) = pubsub::untold(core)
    {
        return Flow::Late(Late::Told(version, whole));
    }
    out.append(&mut whole);
    out.set_proto(session.proto);
    Flow::Done
}

/// A queued request, ready to run.
struct Prepared<'q> {
    command: Command,
    args: Args<'q>,
    /// Its database, known in advance: SELECT may stand between.
    db: Db,
    /// Its hashes.
    keys: &'q [KeyHash],
    /// It is not permitted any more.
    denied: Option<&'q Denied>,
}

impl Prepared<'_> {
    fn runs_on_node(&self) -> bool {
        self.denied.is_none() && !matches!(self.command.spec.body, Body::Session | Body::Container)
    }
}

/// Runs a command of the proxy inside a transaction: nothing but DEBUG SLEEP may be late there. Returns how long the client
/// has to wait for it.
pub(super) fn run_inside(
    core: &mut Core,
    session: &mut Session,
    command: Command,
    args: Args<'_>,
    out: &mut Out,
) -> Duration {
    session.in_exec = true;
    let flow = run_session(core, session, command, args, None, out);
    session.in_exec = false;
    if let Flow::Late(Late::Sleep(duration, mut answer)) = flow {
        out.append(&mut answer);
        return duration;
    }
    Duration::ZERO
}

/// Answers a request inside a transaction that is not permitted any more.
pub(super) fn note_refused_inside(
    core: &mut Core,
    session: &mut Session,
    denied: &Denied,
    args: Args<'_>,
    out: &mut Out,
) {
    session.in_exec = true;
    note_denied(core, session, denied, args);
    session.in_exec = false;
    fail(core, session, denied.in_exec().as_bytes(), out);
}

fn prepare<'q>(session: &Session, queue: &'q Queue) -> Vec<Prepared<'q>> {
    let (mut db, mut prepared) = (session.db, Vec::with_capacity(queue.len()));
    for queued in queue.iter() {
        let denied = queue.denied(prepared.len());
        prepared.push(Prepared { command: queued.command, args: queued.args, db, keys: queued.keys, denied });
        if denied.is_none() {
            db = queued.database(db);
        }
    }
    prepared
}
