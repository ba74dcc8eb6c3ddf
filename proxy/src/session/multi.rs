//! MULTI, EXEC, DISCARD: requests are queued with their bytes and run as one unit, all stripes locked first.

use swell_engine::commands::table::Command;
use swell_engine::key::KeyHash;
use swell_engine::spec::{Body, Spec};
use swell_engine::stripe::Ticket;
use swell_engine::number::parse_i64;
use swell_engine::{Call, Db, Fault, Outcome};
use swell_wire::{Args, Out, OwnedArgs};

use crate::core::Core;
use crate::error::ProxyError;
use crate::plan::value_bytes;
use crate::session::{Flow, Late, Session, fail, is_forbidden_in_multi, run_session};

/// Requests queued since MULTI.
#[derive(Debug, Default)]
pub struct Queue {
    requests: Vec<(Command, OwnedArgs)>,
    bytes: usize,
    /// A request could not be queued: EXEC will refuse.
    spoiled: bool,
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

    /// EXEC will refuse.
    pub fn spoil(&mut self) {
        self.spoiled = true;
    }
}

/// Whether a command is queued inside MULTI (the rest runs at once).
pub fn queues(spec: &Spec) -> bool {
    !matches!(spec.name, "exec" | "discard" | "multi" | "quit" | "reset" | "watch" | "unwatch")
}

/// Queues a request, within the query buffer's limit.
pub fn queue(core: &mut Core, session: &mut Session, command: Command, args: Args<'_>, out: &mut Out) -> Flow {
    if is_forbidden_in_multi(command.spec.flags) {
        return fail(core, session, ProxyError::NotInMulti.to_string().as_bytes(), out);
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

/// MULTI.
pub fn begin(core: &mut Core, session: &mut Session, out: &mut Out) -> Flow {
    if session.multi.is_some() {
        // Redis refuses, but the transaction goes on.
        out.error(&ProxyError::NestedMulti.to_string());
        core.counts.error(b"ERR");
        return Flow::Done;
    }
    session.multi = Some(Box::default());
    session.show();
    out.ok();
    Flow::Done
}

/// DISCARD.
pub fn discard(core: &mut Core, session: &mut Session, out: &mut Out) -> Flow {
    if session.multi.take().is_none() {
        return fail(core, session, ProxyError::DiscardWithoutMulti.to_string().as_bytes(), out);
    }
    session.show();
    out.ok();
    Flow::Done
}

/// EXEC.
pub fn exec(core: &mut Core, session: &mut Session, command: Command, ticket: Option<Ticket>, out: &mut Out) -> Flow {
    let Some(queue) = session.multi.take() else {
        return fail(core, session, ProxyError::ExecWithoutMulti.to_string().as_bytes(), out);
    };
    if queue.spoiled {
        session.show();
        core.charge(command, 0, 0, 1, true);
        return fail(core, session, ProxyError::ExecAborted.to_string().as_bytes(), out);
    }
    match run_queue(core, session, &queue, ticket, out) {
        Ok(()) => {
            session.show();
            core.charge(command, 0, 0, 1, false);
            Flow::Done
        }
        Err(outcome) => {
            session.multi = Some(queue);
            match outcome {
                Outcome::Busy(stripe) => Flow::Late(Late::Stripe(stripe)),
                Outcome::NotExecuted(_, stripe) => Flow::Late(Late::Gate(stripe)),
                Outcome::Done { .. } | Outcome::Walk => Flow::Done,
            }
        }
    }
}

/// A queued request, ready to run.
struct Prepared<'q> {
    command: Command,
    args: Args<'q>,
    /// Its database, known in advance: SELECT may stand between.
    db: Db,
    /// Its hashes.
    keys: std::ops::Range<usize>,
    /// Why it cannot run.
    fault: Option<Fault>,
}

impl Prepared<'_> {
    fn runs_on_node(&self) -> bool {
        self.fault.is_none() && !matches!(self.command.spec.body, Body::Session | Body::Container)
    }
}

fn run_queue(
    core: &mut Core,
    session: &mut Session,
    queue: &Queue,
    ticket: Option<Ticket>,
    out: &mut Out,
) -> Result<(), Outcome> {
    let flattened: Vec<Option<OwnedArgs>> =
        queue.requests.iter().map(|(command, args)| command.spec.flatten(args.as_args())).collect();
    let mut hashes = Vec::new();
    let prepared = prepare(core, session, queue, &flattened, &mut hashes);
    let calls: Vec<Call<'_>> = prepared
        .iter()
        .filter(|request| request.runs_on_node())
        .map(|request| Call {
            db: request.db,
            ..session.call(request.command, request.args, &hashes[request.keys.clone()], core.now_ms)
        })
        .collect();
    let node = core.handle.node().clone();
    let unit = core.handle.begin_unit(&node, &calls, ticket)?;
    out.array(prepared.len());
    let mut calls = calls.iter();
    for request in &prepared {
        let data_before = out.data_bytes();
        let bytes_in = value_bytes(request.command.spec, request.args);
        if let Some(fault) = &request.fault {
            out.error(&fault.to_string());
            core.charge(request.command, bytes_in, 0, 1, true);
        } else if request.runs_on_node() {
            let Some(call) = calls.next() else { break };
            let (work, failed) = core.handle.run_in_unit(&unit, call, out);
            let bytes_out = out.data_bytes() - data_before;
            core.charge(request.command, bytes_in, bytes_out, work, failed);
        } else {
            // Bodies of the proxy never wait for a stripe, so they may run inside the unit.
            run_session(core, session, request.command, request.args, None, out);
        }
    }
    Ok(())
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
        let fault = command.spec.hash_keys(core.handle.engine(), args, hashes).err();
        prepared.push(Prepared { command: *command, args, db, keys: from..hashes.len(), fault });
        if command.spec.name == "select" {
            db = args.opt(1).and_then(parse_i64).and_then(Db::new).unwrap_or(db);
        }
    }
    prepared
}
