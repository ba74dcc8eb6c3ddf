//! Requests that run alone, when the keys are on nodes that are reached over links: what goes to whom, and what becomes
//! of the answers.

use swell_engine::Fault;
use swell_engine::acl::User;
use swell_engine::commands::blocking;
use swell_engine::commands::table::Command;
use swell_engine::key::KeyHash;
use swell_engine::number::{parse_i64, parse_u64};
use swell_engine::script::How;
use swell_engine::spec::{Body, Flags as SpecFlags, Group, Merge, Spec, Spread};
use swell_engine::waiters::{GaveUp, write_unserved};
use swell_node::control::{Answer, Ask};
use swell_node::link::frame::{Flags, Kind};
use swell_ring::{NodeId, Slot, SlotSet, slot_of};
use swell_wire::{Args, Out, OwnedArgs, Proto};

use crate::clients::Door;
use crate::core::Core;
use crate::error::ProxyError;
use crate::plan::value_bytes;
use crate::session::walk::Walk;
use crate::session::{Flow, Late, Session, SessionCx, Wait, count_error_at, run_session};
use crate::session::{scripts, watch};
use crate::upstream::encode;
use crate::upstream::flights::{Bill, Framing};
use crate::upstream::job::{Job, JobAnswer};
use crate::upstream::merge;
use crate::upstream::shot::{Payload, Shot, ShotAnswer, Target};

/// A job with what becomes of its answer.
pub struct Remote {
    pub job: Job,
    pub finish: Finish,
}

/// Writes the reply and charges for it.
pub type Finish = Box<dyn FnOnce(&mut Core, &mut Session, Result<JobAnswer, ProxyError>, &mut Out) -> Flow>;

impl Remote {
    /// A job as an answer that is late.
    pub fn late(job: Job, finish: Finish) -> Flow {
        Flow::Late(Late::Remote(Box::new(Remote { job, finish })))
    }
}

/// What every frame of this client says.
#[inline]
pub fn framing(core: &Core, session: &Session) -> Framing {
    let flags = flags(session);
    let route = &core.shared.route;
    Framing { db: session.db.number(), flags, epoch: route.map().epoch().0, state: route.state_version() }
}

/// What a client's frames are flagged with.
#[inline]
pub fn flags(session: &Session) -> Flags {
    Flags::RESP3
        .when(session.proto == Proto::Resp3)
        .and(Flags::MEMCACHED.when(session.info.door == Door::Memcached))
        .and(Flags::NO_TOUCH.when(session.no_touch))
        .and(Flags::TRACKS.when(session.tracker().id != 0))
        .and(Flags::REMEMBERS.when(session.tracker().remembers))
}

/// Whether all keys lie in one slot, or in none.
#[inline]
pub fn one_slot(keys: &[KeyHash]) -> bool {
    keys.iter().all(|key| key.slot == keys[0].slot)
}

/// Whether a command is sent in parts where its keys lie in several slots.
#[inline]
pub fn is_split(spec: &Spec) -> bool {
    matches!(spec.spread, Spread::Split(_))
}

/// Whether a command must be refused because its keys lie in several slots: it is atomic, and there may be several nodes.
#[inline]
pub fn crosses(core: &Core, spec: &Spec, keys: &[KeyHash]) -> bool {
    core.shared.route.is_strict() && !is_split(spec) && !one_slot(keys)
}

/// Refuses a command whose keys lie in several slots.
pub fn refuse_crossing(core: &mut Core, spec: &'static Spec, out: &mut Out) {
    core.counts.cross_slot += 1;
    core.counts.error(b"CROSSSLOT");
    ProxyError::CrossSlot.write(spec, out);
}

/// What goes to a node for a script's command: a node need not know a body by its SHA-1, so it is sent along. `None`: as it
/// stands.
///
/// # Errors
/// The script is not known here.
pub fn script_request(core: &Core, spec: &Spec, args: Args<'_>) -> Result<Option<OwnedArgs>, Fault> {
    let Body::Script(how) = spec.body else { return Ok(None) };
    let store = &core.handle.engine().scripts().store;
    if how == How::Eval && spec.each_key(args, |_| {}).is_ok() {
        // Whoever asks for it by its SHA-1 later may come to this proxy.
        store.note(args.slice(1));
    }
    if how != How::EvalSha {
        return Ok(None);
    }
    let script = store.find(args.slice(1)).ok_or(Fault::say("NOSCRIPT No matching script."))?;
    let mut owned = OwnedArgs::default();
    owned.push(if spec.flags.has(SpecFlags::READONLY) { b"eval_ro" } else { b"eval" });
    owned.push(&script.body);
    (2..args.len()).for_each(|at| owned.push(&args.get(at).to_bytes()));
    Ok(Some(owned))
}

/// Runs one command over the nodes.
pub fn run(
    core: &mut Core,
    session: &mut Session,
    command: Command,
    args: Args<'_>,
    keys: &[KeyHash],
    out: &mut Out,
) -> Flow {
    match (&command.spec.body, command.spec.spread) {
        (Body::Walk(_), _) | (Body::Whole(_), Spread::EveryNode(_)) => {
            walk(Walk::of(command), args, wanted(command.spec, args), 1)
        }
        (_, Spread::Split(merge)) if !one_slot(keys) => in_parts(core, command, args, keys, merge),
        _ => match scripts::unknown(core, command.spec, args) {
            None => one(core, session, command, args, keys, out),
            Some(sha) => {
                let (args, keys) = (args.to_owned(false), keys.to_vec());
                let then: scripts::Then =
                    Box::new(move |core, session, out| one(core, session, command, args.as_args(), &keys, out));
                scripts::fetch(core, &[sha], then)
            }
        },
    }
}

/// One frame to the owner of the keys' slot; to any node if there are no keys.
fn one(core: &mut Core, session: &Session, command: Command, args: Args<'_>, keys: &[KeyHash], out: &mut Out) -> Flow {
    let script = match script_request(core, command.spec, args) {
        Ok(script) => script,
        Err(fault) => {
            let bill = Bill { value_bytes: value_bytes(command.spec, args), prefix: core.prefix_of(args, keys) };
            core.charge_on(bill.prefix, command, bill.value_bytes, 0, 1, true);
            core.counts.error(b"NOSCRIPT");
            out.error(&fault.to_string());
            return Flow::Done;
        }
    };
    let owned = script.unwrap_or_else(|| args.to_owned(false));
    let repeatable = command.spec.flags.has(SpecFlags::READONLY);
    let payload = if owned.as_args().has_long() {
        Payload::Pieces(encode::pieces(&owned))
    } else {
        let mut bytes = Vec::new();
        encode::args(owned.as_args(), &mut bytes);
        Payload::Bytes(bytes)
    };
    let bill = Bill { value_bytes: value_bytes(command.spec, args), prefix: core.prefix_of(args, keys) };
    let target = keys.first().map_or_else(|| without_keys(core, command.spec, args), |key| Target::Slot(key.slot));
    let (spec, slot) = (command.spec, keys.first().map(|key| key.slot));
    debug_assert!(session.info.door == Door::Resp || spec.group == Group::Memcached);
    let job = match (waits(core, session, spec, args), payload) {
        (Some(wait), Payload::Bytes(request)) => {
            let bytes = [&wait.since_us.to_le_bytes()[..], &request].concat();
            let shot = Shot::new(Kind::Block, target, 1, repeatable, Payload::Bytes(bytes));
            Job::Block { shot, wait, client: session.info.clone() }
        }
        (_, payload) => Job::Shots(vec![Shot::new(Kind::Request, target, 1, repeatable, payload)]),
    };
    Remote::late(
        job,
        Box::new(move |core, _, answer, out| {
            match answer {
                Ok(JobAnswer::Shots(answers)) => {
                    for (entry, bytes) in answers.iter().flat_map(ShotAnswer::replies) {
                        let at = out.len();
                        out.raw(bytes);
                        let Bill { value_bytes, prefix } = bill;
                        let (data_bytes, work) = (entry.data_bytes, entry.work);
                        let charged = core.charge_on(prefix, command, value_bytes, data_bytes, work, entry.failed);
                        slot.into_iter().for_each(|slot| core.charged_for_slot(slot, charged));
                        if entry.failed {
                            count_error_at(core, out, at);
                        }
                    }
                }
                Ok(JobAnswer::GaveUp(how)) => {
                    let at = out.len();
                    write_unserved(how, out);
                    let failed = how == GaveUp::Error;
                    core.charge_on(bill.prefix, command, bill.value_bytes, 0, 1, failed);
                    if failed {
                        count_error_at(core, out, at);
                    }
                }
                other => give_up(core, command, bill, other.err(), out),
            }
            Flow::Done
        }),
    )
}

/// For how long a request may wait: what is left of its time, if it has waited before.
fn waits(core: &Core, session: &Session, spec: &Spec, args: Args<'_>) -> Option<Wait> {
    let timeout = blocking::timeout_of(spec, args, core.now_ms)?;
    let begins =
        || Wait { deadline_ms: timeout.deadline_ms(), since_us: core.handle.engine().waiters().begin(core.now_ms) };
    Some(session.wait.unwrap_or_else(begins))
}

/// One frame for each key.
fn in_parts(core: &mut Core, command: Command, args: Args<'_>, keys: &[KeyHash], how: Merge) -> Flow {
    let repeatable = command.spec.flags.has(SpecFlags::READONLY);
    let shots = keys.iter().map(|key| {
        let mut bytes = Vec::new();
        part(args, keys, key, &mut bytes);
        Shot::new(Kind::Request, Target::Slot(key.slot), 1, repeatable, Payload::Bytes(bytes))
    });
    let shots: Vec<Shot> = shots.collect();
    let slots: Vec<_> = keys.iter().map(|key| key.slot).collect();
    let bill = Bill { value_bytes: 0, prefix: core.prefix_of(args, keys) };
    Remote::late(
        Job::Shots(shots),
        Box::new(move |core, session, answer, out| {
            match answer {
                Ok(JobAnswer::Shots(answers)) => {
                    let parts: Vec<_> = answers.iter().flat_map(ShotAnswer::replies).collect();
                    let mut merged = Out::new(session.proto);
                    let failed =
                        merge::parts(how, parts.iter().map(|(entry, bytes)| (*bytes, entry.failed)), &mut merged);
                    let data_bytes = parts.iter().map(|(entry, _)| entry.data_bytes).sum();
                    let work = parts.iter().map(|(entry, _)| entry.work).sum();
                    let charged = core.charge_on(bill.prefix, command, 0, data_bytes, work, failed);
                    let share = charged / slots.len().max(1) as u64;
                    slots.iter().for_each(|slot| core.charged_for_slot(*slot, share));
                    let at = out.len();
                    out.raw(&merged.to_vec());
                    if failed {
                        count_error_at(core, out, at);
                    }
                }
                other => give_up(core, command, bill, other.err(), out),
            }
            Flow::Done
        }),
    )
}

/// The part of a split request that is for one of its keys: what stands before the first key, and the key. No command
/// that is split takes values with its keys.
pub fn part(args: Args<'_>, keys: &[KeyHash], key: &KeyHash, out: &mut Vec<u8>) {
    let before = keys.first().map_or(1, |first| first.arg as usize);
    let words = (0..before).chain([key.arg as usize]).map(|index| args.slice(index));
    encode::request(words.collect::<Vec<_>>().into_iter(), out);
}

/// Messages of one channel go to the same node, so that they stay in order.
fn without_keys(core: &Core, spec: &Spec, args: Args<'_>) -> Target {
    if spec.name == "publish" { Target::Slot(slot_of(args.slice(1))) } else { anywhere(core) }
}

/// Some node, for commands that any can answer.
pub fn anywhere(core: &Core) -> Target {
    core.shared.route.map().nodes().first().map_or(Target::Node(NodeId(0)), |member| Target::Node(member.id))
}

/// The error of a request that did not get anywhere, and its price.
fn give_up(core: &mut Core, command: Command, bill: Bill, error: Option<ProxyError>, out: &mut Out) {
    let at = out.len();
    error.unwrap_or(ProxyError::Internal).write(command.spec, out);
    core.charge_on(bill.prefix, command, bill.value_bytes, 0, 1, true);
    count_error_at(core, out, at);
}

/// A command over these slots of the key space. `work`: done for it so far.
pub fn walk(walk: Walk, args: Args<'_>, slots: SlotSet, work: u64) -> Flow {
    if walk.command.spec.name == "scan" {
        return scan(walk.command, args);
    }
    let merge = match walk.command.spec.spread {
        Spread::EveryNode(merge) => merge,
        _ => Merge::Any,
    };
    let mut request = Vec::new();
    encode::args(args, &mut request);
    // Over a lost link a flush must not go again: it may have run, and others may have written since.
    let repeatable = walk.command.spec.flags.has(SpecFlags::READONLY);
    Remote::late(
        Job::Walk { request, merge, slots, repeatable },
        Box::new(move |core, _, answer, out| finish_walk(core, walk, answer, work - 1, out)),
    )
}

/// The slots that a walk has to cover: CLUSTER's look into the one that they name.
pub fn wanted(spec: &Spec, args: Args<'_>) -> SlotSet {
    if spec.group != Group::Cluster {
        return SlotSet::all();
    }
    let named = args.opt(2).and_then(parse_i64).and_then(|number| u16::try_from(number).ok()).and_then(Slot::new);
    // Any node tells what is wrong with it.
    let Some(slot) = named else { return SlotSet::all() };
    let mut slots = SlotSet::new();
    slots.insert(slot);
    slots
}

fn finish_walk(
    core: &mut Core,
    walk: Walk,
    answer: Result<JobAnswer, ProxyError>,
    work_before: u64,
    out: &mut Out,
) -> Flow {
    match answer {
        Ok(JobAnswer::Reply { out: mut reply, data_bytes, work, failed }) => {
            let at = out.len();
            match walk.answer {
                Some(answer) if !failed => out.raw(answer),
                _ => out.append(&mut reply),
            }
            core.charge(walk.called, 0, data_bytes, work_before + work, failed);
            if failed {
                count_error_at(core, out, at);
            }
        }
        other => give_up(core, walk.called, Bill::default(), other.err(), out),
    }
    Flow::Done
}

/// SCAN goes from owner to owner.
fn scan(command: Command, args: Args<'_>) -> Flow {
    const COUNT: u64 = 10;
    let owned = args.to_owned(true);
    let count_at = (2..args.len()).step_by(2).rfind(|at| args.slice(*at).eq_ignore_ascii_case(b"count"));
    let count = count_at.and_then(|at| args.opt(at + 1)).and_then(parse_u64).unwrap_or(COUNT);
    let cursor = parse_u64(args.slice(1));
    let first = std::cell::Cell::new(true);
    let request = move |cursor: u64, left: u64| {
        let mut bytes = Vec::new();
        // As it came: its mistakes are told by whoever reads it.
        if first.replace(false) {
            encode::args(owned.as_args(), &mut bytes);
            return bytes;
        }
        let (cursor, left) = (cursor.to_string(), left.to_string());
        let words = owned.as_args().iter().enumerate().map(|(at, word)| match at {
            1 => cursor.as_bytes(),
            _ if Some(at) == count_at.map(|at| at + 1) => left.as_bytes(),
            _ => word,
        });
        let mut words: Vec<&[u8]> = words.collect();
        if count_at.is_none() {
            words.extend([&b"COUNT"[..], left.as_bytes()]);
        }
        encode::request(words.into_iter(), &mut bytes);
        bytes
    };
    let walk = Walk::of(command);
    Remote::late(
        Job::Scan { cursor: cursor.unwrap_or(0), count, request: Box::new(request) },
        Box::new(move |core, _, answer, out| finish_walk(core, walk, answer, 0, out)),
    )
}

/// Runs a transaction's requests as one unit at one node. `requests`: each with its database; `guard`: the number of the
/// watch that is its condition; `user`: whose scripts are in it, if that user may not do everything.
pub fn exec(
    core: &Core,
    slot: Option<Slot>,
    guard: Option<u64>,
    user: Option<&User>,
    requests: &[(u8, OwnedArgs)],
    db: u8,
    finish: Finish,
) -> Flow {
    let (mut bytes, mut count, mut at_db) = (Vec::new(), 0, db);
    if let Some(number) = guard {
        watch::guard(number, &mut bytes);
        count += 1;
    }
    if let Some(user) = user {
        scripts::user(user, &mut bytes);
        count += 1;
    }
    for (db, args) in requests {
        if *db != at_db {
            at_db = *db;
            let number = at_db.to_string();
            encode::request([&b"select"[..], number.as_bytes()].into_iter(), &mut bytes);
            count += 1;
        }
        for piece in encode::pieces(args) {
            bytes.extend_from_slice(piece.bytes());
        }
        count += 1;
    }
    let target = slot.map_or_else(|| anywhere(core), Target::Slot);
    Remote::late(Job::Shots(vec![Shot::new(Kind::Exec, target, count, false, Payload::Bytes(bytes))]), finish)
}

/// Changes the cache state: at the scaler, which answers when every node and proxy has it.
pub fn change_state(core: &Core, entries: Vec<(String, String)>, finish: Finish) -> Flow {
    let base = core.shared.route.state_version();
    Remote::late(Job::Ask(Ask::ChangeState { base, entries }), finish)
}

/// Whether a change of state was made; somebody else's that came first is tried again by the client.
pub fn was_changed(answer: Result<JobAnswer, ProxyError>) -> Result<(), ProxyError> {
    match answer? {
        JobAnswer::Asked(Answer::StateChanged(_)) => Ok(()),
        JobAnswer::Asked(Answer::StateDiffers(_)) => Err(ProxyError::StateChangedMeanwhile),
        _ => Err(ProxyError::NoScaler),
    }
}

/// Whether a command of the engine changes the cache state: over several processes the scaler has to do it.
pub fn changes_state(spec: &Spec) -> bool {
    spec.name == "swapdb"
}

/// SWAPDB: the permutation of databases is part of the cache state.
pub fn swap_databases(core: &Core, command: Command, args: Args<'_>, out: &mut Out) -> Flow {
    use swell_engine::Db;
    use swell_engine::key::{DATABASES, all_dbs};
    let number = |at: usize| parse_i64(args.slice(at)).filter(|number| i32::try_from(*number).is_ok());
    let fault = |fault: Fault, out: &mut Out| {
        out.error(&fault.to_string());
        Flow::Done
    };
    let Some(one) = number(1) else { return fault(Fault::say("ERR invalid first DB index"), out) };
    let Some(other) = number(2) else { return fault(Fault::say("ERR invalid second DB index"), out) };
    let (Some(one), Some(other)) = (Db::new(one), Db::new(other)) else { return fault(Fault::DbOutOfRange, out) };
    let engine = core.handle.engine();
    let mut places: Vec<u8> = all_dbs().take(DATABASES).map(|db| engine.map_db(db).number()).collect();
    places.swap(one.index(), other.index());
    let text = places.iter().map(u8::to_string).collect::<Vec<_>>().join(",");
    change_state(
        core,
        vec![("databases".to_owned(), text)],
        Box::new(move |core, _, answer, out| {
            let result = was_changed(answer);
            core.charge(command, 0, 0, 1, result.is_err());
            match result {
                Ok(()) => out.ok(),
                Err(error) => {
                    let at = out.len();
                    error.write(command.spec, out);
                    count_error_at(core, out, at);
                }
            }
            Flow::Done
        }),
    )
}

/// Asks every node for its figures, then runs the command again.
pub fn after_reports(cx: &SessionCx<'_>, args: Args<'_>) -> Flow {
    let (command, args) = (cx.command, args.to_owned(true));
    Remote::late(
        Job::Reports,
        Box::new(move |core, session, answer, out| {
            // Nodes that cannot be reached say nothing: the last figures stand.
            if let Ok(JobAnswer::Reports(reports)) = answer {
                core.shared.set_reports(reports);
            }
            session.is_informed = true;
            let flow = run_session(core, session, command, args.as_args(), None, out);
            session.is_informed = false;
            if matches!(flow, Flow::Done) {
                session.told = None;
            }
            flow
        }),
    )
}
