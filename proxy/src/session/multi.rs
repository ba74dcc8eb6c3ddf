//! MULTI, EXEC, DISCARD: requests are queued with their bytes and run as one unit, all stripes locked first.

use std::collections::VecDeque;
use std::time::Duration;

use swell_engine::admit::Denied;
use swell_engine::commands::table::Command;
use swell_engine::key::KeyHash;
use swell_engine::number::parse_i64;
use swell_engine::spec::{Body, Flags, Spec};
use swell_engine::stripe::Ticket;
use swell_engine::unit::Needs;
use swell_engine::{Db, Engine, Fault, Outcome};
use swell_wire::{Args, Out, OwnedArgs};

use crate::core::Core;
use crate::error::ProxyError;
use crate::plan::value_bytes;
use crate::pubsub;
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

/// A queue of so many requests is freed on a helper thread when it is discarded.
const FREED_AT_ONCE: usize = 4_096;

/// Requests queued since MULTI.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    pub(super) requests: VecDeque<Queued>,
    /// The hashes of their keys, one request's behind the other's.
    pub(super) hashes: Vec<KeyHash>,
    /// What those need that run on the data.
    pub(super) needs: Needs,
    bytes: usize,
    /// A request could not be queued: EXEC will refuse.
    spoiled: bool,
    has_scripts: bool,
    /// The nodes were asked for those that are not known here.
    has_asked: bool,
    /// The first that changes the state of the cache.
    changes_state: Option<&'static Spec>,
    /// What its client may not do any more, by request; found when EXEC begins, empty where it may do everything.
    pub(super) denied: VecDeque<Option<Denied>>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    pub command: Command,
    pub args: OwnedArgs,
    /// Where its hashes end.
    pub keys_end: usize,
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
        self.requests.iter().any(|queued| is(queued.command.spec))
    }

    /// EXEC will refuse.
    pub fn spoil(&mut self) {
        self.spoiled = true;
    }

    fn push(&mut self, engine: &Engine, command: Command, args: Args<'_>) {
        let spec = command.spec;
        let owned = spec.flatten(args).unwrap_or_else(|| args.to_owned(false));
        let from = self.hashes.len();
        // A channel is no key: a transaction may name any.
        if !matches!(spec.body, Body::Free(_)) {
            spec.hash_keys(engine, owned.as_args(), &mut self.hashes);
        }
        self.needs.add(spec, owned.as_args(), &self.hashes[from..]);
        self.has_scripts |= matches!(spec.body, Body::Script(_));
        self.changes_state = self.changes_state.or(Some(spec).filter(|spec| remote::changes_state(spec)));
        self.bytes += owned.heap_bytes();
        self.requests.push_back(Queued { command, args: owned, keys_end: self.hashes.len() });
    }
}

/// Forgets what was queued.
pub fn drop_queue(engine: &Engine, queue: Option<Box<Queue>>) {
    if let Some(queue) = queue.filter(|queue| queue.len() > FREED_AT_ONCE) {
        engine.free_elsewhere(queue);
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
    queue.push(core.handle.engine(), command, args);
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
    let queue = session.multi.take().ok_or(ProxyError::DiscardWithoutMulti)?;
    drop_queue(core.handle.engine(), Some(queue));
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
        drop_queue(core.handle.engine(), Some(queue));
        watch::forget(core, session);
        core.charge(command, 0, 0, 1, true);
        return fail(core, session, ProxyError::ExecAborted.to_string().as_bytes(), out);
    }
    if queue.has_scripts && !queue.has_asked && !core.shared.route.is_direct() {
        queue.has_asked = true;
        let requests = queue.requests.iter();
        let unknown = requests.filter_map(|one| scripts::unknown(core, one.command.spec, one.args.as_args()));
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
    check_again(session, &mut queue);
    if queue.needs.needs_memory()
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

/// Looks again at what was permitted when it was queued: the client's user may have changed since.
fn check_again(session: &Session, queue: &mut Queue) {
    queue.denied.clear();
    if session.is_trusted() {
        return;
    }
    let mut db = session.db;
    for queued in &queue.requests {
        let denied = session.caller_in(db).admit(queued.command, queued.args.as_args()).err();
        if denied.is_none() {
            db = queued.database(db);
        }
        queue.denied.push_back(denied);
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
    let prepared = prepare(session, queue);
    let mut slots: Vec<_> = queue.hashes.iter().map(|key| key.slot).collect();
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
        .map(|request| {
            // A script that is not known is the node's to refuse, in its place among the replies.
            let script = remote::script_request(core, request.command.spec, request.args).ok().flatten();
            (request.db.number(), script.unwrap_or_else(|| request.args.to_owned(false)))
        })
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
    let (prepared, hashes) = (prepare(session, queue), &queue.hashes);
    let (mut replies, mut at_db, mut sleep) = (answer.replies(), session.db, Duration::ZERO);
    // What stands before its requests.
    for _ in 0..ahead {
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
    keys: std::ops::Range<usize>,
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

impl Queued {
    /// The database of what stands behind it, where this has `db`.
    fn database(&self, db: Db) -> Db {
        match self.command.spec.name {
            "select" => self.args.as_args().opt(1).and_then(parse_i64).and_then(Db::new).unwrap_or(db),
            _ => db,
        }
    }
}

fn prepare<'q>(session: &Session, queue: &'q Queue) -> Vec<Prepared<'q>> {
    let (mut db, mut from) = (session.db, 0);
    let mut prepared = Vec::with_capacity(queue.len());
    for queued in &queue.requests {
        let denied = queue.denied.get(prepared.len()).and_then(Option::as_ref);
        let keys = std::mem::replace(&mut from, queued.keys_end)..queued.keys_end;
        prepared.push(Prepared { command: queued.command, args: queued.args.as_args(), db, keys, denied });
        if denied.is_none() {
            db = queued.database(db);
        }
    }
    prepared
}
