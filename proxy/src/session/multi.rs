//! MULTI, EXEC, DISCARD: requests are queued with their bytes and run as one unit, all stripes locked first.

use std::time::Duration;

use swell_engine::admit::Denied;
use swell_engine::commands::table::Command;
use swell_engine::key::KeyHash;
use swell_engine::number::parse_i64;
use swell_engine::spec::{Body, Flags, Spec};
use swell_engine::stripe::Ticket;
use swell_engine::{Call, Db, Fault, Outcome};
use swell_wire::{Args, Out, OwnedArgs};

use crate::core::Core;
use crate::error::ProxyError;
use crate::plan::value_bytes;
use crate::pubsub;
use crate::session::watch::{self, Watch};
use crate::session::{
    Flow, Late, Session, count_error_at, fail, is_forbidden_in_multi, note_denied, remote, run_session,
};
use crate::upstream::job::JobAnswer;

/// Requests of one transaction that goes to another process: its frame counts them in 16 bits, and each may need its
/// database selected first.
const REMOTE_REQUESTS_MAX: usize = u16::MAX as usize / 2;

/// Requests queued since MULTI.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    requests: Vec<(Command, OwnedArgs)>,
    bytes: usize,
    /// A request could not be queued: EXEC will refuse.
    spoiled: bool,
    /// What its client may not do any more, by request; found when EXEC begins, empty where it may do everything.
    denied: Vec<Option<Denied>>,
}

impl Queue {
    /// Requests queued.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Whether this is true of a command in it.
    pub fn any(&self, is: fn(&Spec) -> bool) -> bool {
        self.requests.iter().any(|(command, _)| is(command.spec))
    }

    /// EXEC will refuse.
    pub fn spoil(&mut self) {
        self.spoiled = true;
    }
}

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
    let owned = args.to_owned(false);
    queue.bytes += owned.heap_bytes();
    queue.requests.push((command, owned));
    if queue.bytes > limit {
        tracing::warn!(client = %session.info.addr, "closed a client whose transaction is over the query buffer's limit");
        session.closing = true;
    }
    out.simple("QUEUED");
    session.show();
    Flow::Done
}

/// MULTI. Inside a transaction it is refused before it comes here.
pub fn begin(session: &mut Session, out: &mut Out) -> Flow {
    session.multi = Some(Box::default());
    session.show();
    out.ok();
    Flow::Done
}

/// DISCARD.
pub fn discard(core: &Core, session: &mut Session, out: &mut Out) -> Result<(), ProxyError> {
    session.multi.take().ok_or(ProxyError::DiscardWithoutMulti)?;
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
    if queue.spoiled {
        watch::forget(core, session);
        core.charge(command, 0, 0, 1, true);
        return fail(core, session, ProxyError::ExecAborted.to_string().as_bytes(), out);
    }
    // There may be more processes than when it was queued.
    if let Some((swap, _)) = queue.requests.iter().find(|(command, _)| waits_for_all(core, command.spec)) {
        core.charge(command, 0, 0, 1, true);
        return refuse_exec(core, session, &ProxyError::ConfirmedByAll(swap.spec.name).to_string(), out);
    }
    check_again(session, &mut queue);
    let needs_memory = queue.requests.iter().any(|(command, _)| command.spec.flags.has(Flags::DENYOOM));
    if needs_memory
        && core.shared.route.is_direct()
        && let Err(fault) = core.handle.make_room(core.now_ms)
    {
        core.charge(command, 0, 0, 1, true);
        return refuse_exec(core, session, &fault.to_string(), out);
    }
    if core.shared.route.is_strict() || !core.shared.route.is_direct() {
        match remote_unit(core, session, command, &queue) {
            Route::Here => {}
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
            Route::Stale => return stale(core, session, command, out),
            Route::There(flow) => return flow,
        }
    }
    let mut answer = Out::new(session.proto);
    let watch = session.watch.take();
    let ran = run_queue(core, session, &queue, watch.as_ref(), ticket, &mut answer);
    if ran.is_err() {
        session.watch = watch;
    } else if let Some(Watch::Here(watching)) = watch {
        core.handle.engine().unwatch(watching);
    }
    match ran {
        Ok(None) => stale(core, session, command, out),
        Ok(Some(sleep)) => {
            session.show();
            session.pays(core);
            core.charge(command, 0, 0, 1, false);
            if !sleep.is_zero() {
                return Flow::Late(Late::Sleep(sleep, answer));
            }
            if std::mem::take(&mut session.is_telling)
                && let Some(version) = pubsub::untold(core)
            {
                return Flow::Late(Late::Told(version, answer));
            }
            out.append(&mut answer);
            out.set_proto(session.proto);
            Flow::Done
        }
        Err(outcome) => {
            session.multi = Some(queue);
            match outcome {
                Outcome::Busy(stripe) => Flow::Late(Late::Stripe(stripe)),
                Outcome::NotExecuted(_, stripe) => Flow::Late(Late::Gate(stripe)),
                Outcome::Done { .. } | Outcome::Walk | Outcome::Deferred => Flow::Done,
            }
        }
    }
}

/// A watched key has changed: nothing has run.
fn stale(core: &mut Core, session: &mut Session, command: Command, out: &mut Out) -> Flow {
    watch::forget(core, session);
    core.charge(command, 0, 0, 1, false);
    out.null_array();
    Flow::Done
}

/// Looks again at what was permitted when it was queued: the client's user may have changed since.
fn check_again(session: &Session, queue: &mut Queue) {
    queue.denied.clear();
    if session.is_trusted() {
        return;
    }
    let mut db = session.db;
    for (command, owned) in &queue.requests {
        let denied = session.caller_in(db).admit(*command, owned.as_args()).err();
        if command.spec.name == "select" && denied.is_none() {
            db = owned.as_args().opt(1).and_then(parse_i64).and_then(Db::new).unwrap_or(db);
        }
        queue.denied.push(denied);
    }
}

/// Whether a command would have to wait, in the middle of a unit and under its locks, for every node and proxy. Refused
/// as soon as there may be several, so that a transaction does not work today and fail tomorrow.
fn waits_for_all(core: &Core, spec: &Spec) -> bool {
    remote::changes_state(spec) && core.shared.route.may_move()
}

/// Where a transaction runs.
enum Route {
    /// In this process.
    Here,
    /// Nowhere: it touches several slots, and there may be several nodes.
    Refused,
    /// Nowhere: it has too many requests.
    TooLong,
    /// Nowhere: what it watches has changed, as far as anybody knows.
    Stale,
    There(Flow),
}

/// Sends what needs data to the node that has it; the proxy's own commands run when the answer is there.
fn remote_unit(core: &mut Core, session: &mut Session, command: Command, queue: &Queue) -> Route {
    let flattened: Vec<Option<OwnedArgs>> =
        queue.requests.iter().map(|(command, args)| command.spec.flatten(args.as_args())).collect();
    let mut hashes = Vec::new();
    let prepared = prepare(core, session, queue, &flattened, &mut hashes);
    let mut slots: Vec<_> = hashes.iter().map(|key| key.slot).collect();
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
    let requests: Vec<(u8, OwnedArgs)> = prepared
        .iter()
        .filter(|request| request.runs_on_node())
        .map(|request| (request.db.number(), request.args.to_owned(false)))
        .collect();
    let guard = match (&session.watch, core.shared.route.is_direct()) {
        (None, _) => None,
        (Some(Watch::Here(_)), true) => None,
        (Some(Watch::There { number, .. }), false) => Some(*number),
        (Some(_), _) => return Route::Stale,
    };
    if core.shared.route.is_direct() || requests.is_empty() && guard.is_none() {
        return Route::Here;
    }
    if requests.len() > REMOTE_REQUESTS_MAX {
        return Route::TooLong;
    }
    let queue = queue.clone();
    let db = session.db.number();
    let finish = Box::new(move |core: &mut Core, session: &mut Session, answer, out: &mut Out| {
        finish_remote(core, session, command, &queue, answer, out)
    });
    Route::There(remote::exec(core, slots.first().copied(), guard, &requests, db, finish))
}

/// Puts the node's replies and the proxy's own together.
fn finish_remote(
    core: &mut Core,
    session: &mut Session,
    command: Command,
    queue: &Queue,
    answer: Result<JobAnswer, ProxyError>,
    out: &mut Out,
) -> Flow {
    session.multi = None;
    let is_guarded = matches!(session.watch, Some(Watch::There { .. }));
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
        return stale(core, session, command, out);
    }
    if answer.is_full {
        core.charge(command, 0, 0, 1, true);
        return refuse_exec(core, session, &Fault::OutOfMemory.to_string(), out);
    }
    let flattened: Vec<Option<OwnedArgs>> =
        queue.requests.iter().map(|(command, args)| command.spec.flatten(args.as_args())).collect();
    let mut hashes = Vec::new();
    let prepared = prepare(core, session, queue, &flattened, &mut hashes);
    let (mut replies, mut at_db, mut sleep) = (answer.replies(), session.db, Duration::ZERO);
    if is_guarded {
        replies.next();
    }
    let mut whole = Out::new(session.proto);
    whole.array(prepared.len());
    for request in &prepared {
        let (at, bytes_in) = (whole.len(), value_bytes(request.command.spec, request.args));
        let prefix = core.prefix_of(request.args, hashes.get(request.keys.clone()).unwrap_or_default());
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
            if let Some(key) = hashes.get(request.keys.clone()).and_then(<[_]>::first) {
                core.charged_for_slot(key.slot, charged);
            }
            if entry.failed {
                count_error_at(core, &whole, at);
            }
        } else {
            let flow = run_inside(core, session, request, &mut whole);
            if let Flow::Late(Late::Sleep(duration, mut answer)) = flow {
                sleep = sleep.saturating_add(duration);
                whole.append(&mut answer);
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
    keys: std::ops::Range<usize>,
    /// It is not permitted any more.
    denied: Option<&'q Denied>,
}

impl Prepared<'_> {
    fn runs_on_node(&self) -> bool {
        self.denied.is_none() && !matches!(self.command.spec.body, Body::Session | Body::Container)
    }
}

/// Runs all and writes the array of replies, unless what is watched has changed. Returns how long the client has to wait
/// for it: DEBUG SLEEP inside a transaction holds up its answer, not those who want the same stripes.
fn run_queue(
    core: &mut Core,
    session: &mut Session,
    queue: &Queue,
    watch: Option<&Watch>,
    ticket: Option<Ticket>,
    out: &mut Out,
) -> Result<Option<Duration>, Outcome> {
    let flattened: Vec<Option<OwnedArgs>> =
        queue.requests.iter().map(|(command, args)| command.spec.flatten(args.as_args())).collect();
    let mut hashes = Vec::new();
    let prepared = prepare(core, session, queue, &flattened, &mut hashes);
    let calls: Vec<Call<'_>> = prepared
        .iter()
        .filter(|request| request.runs_on_node())
        .filter_map(|request| {
            let keys = &hashes[request.keys.clone()];
            session.call_in(request.db, request.command, request.args, keys, core.now_ms).ok()
        })
        .collect();
    let node = core.handle.node().clone();
    let watching = match watch {
        None => None,
        Some(Watch::Here(watching)) => Some((watching, core.now_ms)),
        Some(Watch::There { .. } | Watch::Lost) => return Ok(None),
    };
    let unit = core.handle.begin_unit(&node, &calls, watching, ticket)?;
    if unit.is_stale() {
        return Ok(None);
    }
    out.array(prepared.len());
    let mut calls = calls.iter();
    let mut sleep = Duration::ZERO;
    for request in &prepared {
        let (data_before, at) = (out.data_bytes(), out.len());
        let bytes_in = value_bytes(request.command.spec, request.args);
        let prefix = core.prefix_of(request.args, hashes.get(request.keys.clone()).unwrap_or_default());
        session.pays_in(core, request.db);
        if request.runs_on_node() {
            let Some(call) = calls.next() else { break };
            let (work, failed) = core.handle.run_in_unit(&unit, call, out);
            let bytes_out = out.data_bytes() - data_before;
            core.charge_on(prefix, request.command, bytes_in, bytes_out, work, failed);
            if failed {
                count_error_at(core, out, at);
            }
            core.saw_alone(session, request.command, request.args, (out.len() - at) as u64);
        } else {
            // Bodies of the proxy never wait for a stripe, so they may run inside the unit.
            let flow = run_inside(core, session, request, out);
            if let Flow::Late(Late::Sleep(duration, mut answer)) = flow {
                sleep = sleep.saturating_add(duration);
                out.append(&mut answer);
            }
        }
    }
    core.handle.end_unit(unit);
    Ok(Some(sleep))
}

/// Runs a command of the proxy inside a transaction: nothing but DEBUG SLEEP may be late there.
fn run_inside(core: &mut Core, session: &mut Session, request: &Prepared<'_>, out: &mut Out) -> Flow {
    session.in_exec = true;
    if let Some(denied) = request.denied {
        note_denied(core, session, denied, request.args);
        session.in_exec = false;
        return fail(core, session, denied.in_exec().as_bytes(), out);
    }
    let flow = run_session(core, session, request.command, request.args, None, out);
    session.in_exec = false;
    flow
}

fn prepare<'q>(
    core: &Core,
    session: &Session,
    queue: &'q Queue,
    flattened: &'q [Option<OwnedArgs>],
    hashes: &mut Vec<KeyHash>,
) -> Vec<Prepared<'q>> {
    let mut db = session.db;
    let mut prepared = Vec::with_capacity(queue.len());
    for ((command, owned), flat) in queue.requests.iter().zip(flattened) {
        let args = flat.as_ref().unwrap_or(owned).as_args();
        let from = hashes.len();
        // A channel is no key: a transaction may name any.
        if !matches!(command.spec.body, Body::Free(_)) {
            command.spec.hash_keys(core.handle.engine(), args, hashes);
        }
        let denied = queue.denied.get(prepared.len()).and_then(Option::as_ref);
        prepared.push(Prepared { command: *command, args, db, keys: from..hashes.len(), denied });
        if command.spec.name == "select" && denied.is_none() {
            db = args.opt(1).and_then(parse_i64).and_then(Db::new).unwrap_or(db);
        }
    }
    prepared
}
