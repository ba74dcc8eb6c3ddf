//! The bodies of frames that cannot be run straight from the read buffer: requests with their own bytes, decoded as they
//! arrive, and how each kind of frame runs them.

use std::collections::VecDeque;
use std::task::Waker;

use swell_engine::admit::Admitted;
use swell_engine::commands::table::{Found, tables};
use swell_engine::gate::Refusal;
use swell_engine::key::KeyHash;
use swell_engine::spec::{Body, Spec};
use swell_engine::stripe::Ticket;
use swell_engine::track::Tracker;
use swell_engine::waiters::{GaveUp, write_unserved};
use swell_engine::walk::{Step, WalkState, over_slots};
use swell_engine::{Blocks, Context, Db, Deferred, Outcome};
use swell_ring::{SLOTS, SlotSet};
use swell_wire::requests::Kind as ItemKind;
use swell_wire::{Args, Limits, Out, OwnedArgs, Proto, Requests, memcached, resp};

use crate::Handle;
use crate::copies::LinkNumber;
use crate::link::frame::{BadFrame, Entry, FRAME_REQUESTS_MAX, Flags, Kind, RequestHead};
use crate::link::stats::{Counts, report};
use crate::link::unit::{Running, is_for_units};
use crate::link::watch::SessionWatch;

/// Bytes of a set of slots in a walk's body.
pub const SLOTS_BYTES: usize = SLOTS / 8;
/// Long arguments were admitted by the proxy; what a node could hold is the only other bound.
const ARG_BYTES_MAX: usize = isize::MAX as usize / 2;

/// A frame of requests that own their bytes.
#[derive(Debug)]
pub(super) struct Job {
    pub kind: Kind,
    pub head: RequestHead,
    /// The link that it came by.
    pub link: LinkNumber,
    /// Those that did not run yet, as far as they have arrived.
    pub requests: VecDeque<Waiting>,
    /// Requests that have not arrived.
    missing: usize,
    /// Reads a body that is still arriving.
    intake: Option<Intake>,
    /// Bytes of its frame, for the bound on what waits.
    pub bytes: usize,
    pub entries: Vec<Entry>,
    pub out: Out,
    slots: Option<SlotSet>,
    walk: Option<Box<WalkState>>,
    /// It is a unit that has its locks.
    pub unit: Option<Running>,
    /// The first request has run, and the rest of its reply comes in slices.
    pub answering: Option<Answering>,
    /// `Block`: since when its client waits, unix microseconds.
    since_us: u64,
    /// `Block`: it shall wait no longer.
    gave_up: Option<GaveUp>,
    /// `Block`: its request is as it was when it began to wait.
    has_waited: bool,
}

/// A reply that is written in slices.
#[derive(Debug)]
pub(super) struct Answering {
    pub rest: Box<Deferred>,
    /// Where the reply begins, in bytes and data bytes of all replies.
    pub len_before: usize,
    pub data_before: u64,
}

/// A request with its own bytes.
#[derive(Debug)]
pub(super) struct Waiting {
    pub spec: &'static Spec,
    pub args: OwnedArgs,
    noreply: bool,
}

/// How far a frame came.
pub(super) enum Ran {
    /// All of it.
    Done,
    /// The rest of its body is still to come.
    Arriving,
    /// This stripe is taken.
    Busy(usize),
    /// A gate of this stripe is closed for a moment.
    Closed(usize),
    /// A slot is not served here.
    Moved,
    /// There is no memory for what is to be run as one.
    Full,
    /// A watched key has changed.
    Stale,
    /// Others first.
    More,
    /// A helper thread still works at its first request.
    Elsewhere,
}

#[derive(Debug)]
struct Intake {
    decoder: Decoder,
    /// The beginning of what is not complete yet.
    unread: Vec<u8>,
}

#[derive(Debug)]
enum Decoder {
    Resp(resp::Decoder),
    Memcached(memcached::Decoder),
}

/// What a link's decoders respect: the proxy has checked everything already.
pub(super) fn limits() -> Limits {
    Limits {
        bulk_bytes_max: ARG_BYTES_MAX,
        item_bytes_max: ARG_BYTES_MAX,
        requests_max: FRAME_REQUESTS_MAX,
        ..Limits::default()
    }
}

/// Checks what every head must keep to.
#[inline]
pub(super) fn check(head: &RequestHead, sessions_max: u32) -> Result<(), BadFrame> {
    if head.session >= sessions_max {
        return Err(BadFrame::OutOfPlace("a session's number over the limit"));
    }
    if head.cache != 0 || Db::new(head.db.into()).is_none() {
        return Err(BadFrame::OutOfPlace("a cache or database that there is not"));
    }
    Ok(())
}

/// The command of a request, if nodes run it and its number of arguments is right.
#[inline]
pub(super) fn command(flags: Flags, args: Args<'_>) -> Result<&'static Spec, BadFrame> {
    let table = if flags.has(Flags::MEMCACHED) { &tables().memcached } else { &tables().resp };
    match table.find(args) {
        Found::Command(command) if command.spec.arity_fits(args.len()) => Ok(command.spec),
        _ => Err(BadFrame::OutOfPlace("a command that there is not")),
    }
}

/// What a frame's requests run in.
#[inline]
pub(super) fn context(head: &RequestHead, link: LinkNumber, now_ms: u64) -> Context {
    Context {
        db: Db::new(head.db.into()).unwrap_or_default(),
        proto: proto(head),
        no_touch: head.flags.has(Flags::NO_TOUCH),
        tracker: tracker(head, link),
        blocks: Blocks::Never,
        now_ms,
    }
}

/// The version of its replies.
#[inline]
pub(super) fn proto(head: &RequestHead) -> Proto {
    if head.flags.has(Flags::RESP3) { Proto::Resp3 } else { Proto::Resp2 }
}

/// Who keeps copies of what its requests read.
#[inline]
fn tracker(head: &RequestHead, link: LinkNumber) -> Tracker {
    if !head.flags.has(Flags::TRACKS) {
        return Tracker::default();
    }
    Tracker { id: link.tracker(head.session), remembers: head.flags.has(Flags::REMEMBERS) }
}

impl Job {
    /// A frame whose requests come one by one with [`Job::push`].
    pub fn new(kind: Kind, head: RequestHead, link: LinkNumber, bytes: usize) -> Job {
        Job {
            kind,
            head,
            link,
            requests: VecDeque::new(),
            missing: 0,
            intake: None,
            bytes,
            entries: Vec::new(),
            out: Out::new(proto(&head)),
            slots: None,
            walk: None,
            unit: None,
            answering: None,
            since_us: 0,
            gave_up: None,
            has_waited: false,
        }
    }

    /// A frame with its body, or the first piece of it.
    pub fn read(
        kind: Kind,
        head: RequestHead,
        link: LinkNumber,
        body: &[u8],
        scratch: &mut Requests,
    ) -> Result<Job, BadFrame> {
        let mut job = Job::new(kind, head, link, body.len());
        if kind == Kind::Stats {
            return Ok(job);
        }
        let mut body = body;
        if kind == Kind::Walk {
            let (set, rest) = body.split_first_chunk::<SLOTS_BYTES>().ok_or(BadFrame::TooShort)?;
            job.slots = Some(read_slots(set));
            body = rest;
        }
        if kind == Kind::Block {
            let (since, rest) = body.split_first_chunk::<8>().ok_or(BadFrame::TooShort)?;
            job.since_us = u64::from_le_bytes(*since);
            body = rest;
        }
        if head.count == 0 || matches!(kind, Kind::Walk | Kind::Block) && head.count != 1 {
            return Err(BadFrame::OutOfPlace("a number of requests that does not fit"));
        }
        job.missing = head.count as usize;
        let decoder = match head.flags.has(Flags::TEXT) {
            true => Decoder::Memcached(memcached::Decoder::new()),
            false => Decoder::Resp(resp::Decoder::new()),
        };
        job.intake = Some(Intake { decoder, unread: Vec::new() });
        job.feed(body, !head.flags.has(Flags::MORE), scratch)?;
        Ok(job)
    }

    /// The next piece of its body.
    pub fn feed(&mut self, piece: &[u8], is_last: bool, scratch: &mut Requests) -> Result<(), BadFrame> {
        let Some(mut intake) = self.intake.take() else { return Err(BadFrame::OutOfPlace("a chunk of nothing")) };
        if intake.unread.is_empty() {
            let consumed = self.decode(&mut intake.decoder, piece, scratch)?;
            intake.unread.extend_from_slice(&piece[consumed..]);
        } else {
            intake.unread.extend_from_slice(piece);
            let unread = std::mem::take(&mut intake.unread);
            let consumed = self.decode(&mut intake.decoder, &unread, scratch)?;
            intake.unread = unread;
            intake.unread.drain(..consumed);
        }
        if !is_last {
            self.intake = Some(intake);
        } else if self.missing > 0 || !intake.unread.is_empty() {
            return Err(BadFrame::OutOfPlace("a body that does not end with its requests"));
        }
        Ok(())
    }

    /// Has this woken when a helper thread has worked out the answer of its first request; whether that is there
    /// already, in which case nobody may wake it.
    pub fn wait(&mut self, waker: &Waker) -> bool {
        if let Some(running) = &mut self.unit {
            return running.wait(waker);
        }
        let Some(answering) = &mut self.answering else { return false };
        // Registered before it is asked, lest the end come in between.
        answering.rest.wait(waker);
        answering.rest.is_ready()
    }

    /// A request that waits shall do so no longer; one that has been served has its answer already.
    pub fn give_up(&mut self, why: GaveUp) {
        if self.kind == Kind::Block {
            self.gave_up = Some(why);
            if let Some(waiter) = self.answering.as_ref().and_then(|answering| answering.rest.waiter()) {
                waiter.give_up(why);
            }
        }
    }

    /// It is refused: one that has waited says what to go on with elsewhere.
    pub fn hand_back(&mut self) {
        if let (true, Some(request)) = (self.has_waited, self.requests.front()) {
            write_request(request.args.as_args(), &mut self.out);
        }
    }

    /// Adds a request of a frame that came whole.
    pub fn push(&mut self, spec: &'static Spec, args: OwnedArgs, noreply: bool) {
        self.requests.push_back(Waiting { spec, args, noreply });
    }

    /// Whether its body is still arriving.
    pub fn is_arriving(&self) -> bool {
        self.intake.is_some()
    }

    /// Whether it is in the middle of something that must not begin anew: a walk that has visited slots, a reply of which
    /// a part is written.
    pub fn is_under_way(&self) -> bool {
        self.walk.is_some() || self.answering.is_some() || self.unit.is_some()
    }

    /// Whether it holds locks, and must not wait for its reader.
    pub fn holds_locks(&self) -> bool {
        self.unit.is_some()
    }

    /// Goes on with it. `ticket`: drawn when it found a stripe taken; what is left there was not used.
    pub fn run(
        &mut self,
        handle: &mut Handle,
        ticket: &mut Option<Ticket>,
        watch: &mut Option<SessionWatch>,
        now_ms: u64,
        counts: &mut Counts,
    ) -> Ran {
        match self.kind {
            Kind::Exec if self.is_arriving() => Ran::Arriving,
            Kind::Exec => self.run_unit(handle, ticket, watch, now_ms, counts),
            Kind::Walk if self.is_arriving() => Ran::Arriving,
            Kind::Walk => self.run_walk(handle, ticket, now_ms, counts),
            Kind::Stats => {
                self.out.raw(&report(handle));
                Ran::Done
            }
            _ => self.run_requests(handle, ticket, now_ms, counts),
        }
    }

    /// All complete requests at the front of `bytes`; returns how many bytes they took.
    fn decode(&mut self, decoder: &mut Decoder, bytes: &[u8], scratch: &mut Requests) -> Result<usize, BadFrame> {
        let (limits, mut at) = (limits(), 0);
        loop {
            scratch.clear();
            let rest = &bytes[at..];
            let consumed = match decoder {
                Decoder::Resp(decoder) => decoder.decode(rest, &limits, scratch),
                Decoder::Memcached(decoder) => decoder.decode(rest, &limits, scratch),
            };
            for index in 0..scratch.len() {
                self.take_item(scratch, index, rest)?;
            }
            at += consumed;
            if scratch.is_empty() {
                return Ok(at);
            }
        }
    }

    fn take_item(&mut self, scratch: &mut Requests, index: usize, bytes: &[u8]) -> Result<(), BadFrame> {
        let item = *scratch.item(index);
        if !matches!(item.kind, ItemKind::Plain { .. } | ItemKind::Owned(_)) {
            return Err(BadFrame::OutOfPlace("a request that cannot be read"));
        }
        let owned = match scratch.take_owned(index) {
            Some(owned) => Some(owned),
            None => scratch.get(index, bytes).map(|args| args.to_owned(false)),
        };
        let Some(args) = owned else { return Err(BadFrame::OutOfPlace("a request that cannot be read")) };
        let spec = command(self.head.flags, args.as_args())?;
        let runs = match self.kind {
            Kind::Walk => over_slots(spec).is_some(),
            Kind::Exec => !matches!(spec.body, Body::Session | Body::Container) || is_for_units(spec),
            _ => spec.body.runs_in_one_go(),
        };
        if !runs {
            return Err(BadFrame::OutOfPlace("a command that nodes do not run in such a frame"));
        }
        let args = spec.flatten(args.as_args()).unwrap_or(args);
        self.missing = self.missing.checked_sub(1).ok_or(BadFrame::OutOfPlace("more requests than it says"))?;
        self.push(spec, args, item.noreply);
        Ok(())
    }

    fn run_requests(
        &mut self,
        handle: &mut Handle,
        ticket: &mut Option<Ticket>,
        now_ms: u64,
        counts: &mut Counts,
    ) -> Ran {
        let blocks = if self.kind == Kind::Block { Blocks::May } else { Blocks::Never };
        let context = Context { blocks, ..context(&self.head, self.link, now_ms) };
        let mut keys = Vec::new();
        while let Some(request) = self.requests.front_mut() {
            keys.clear();
            let args = request.args.as_args();
            if let Some(answering) = self.answering.as_ref().filter(|answering| !answering.rest.is_ready()) {
                // In vain while it is being served; if that comes to nothing, this is tried again.
                let unserved = self.gave_up.zip(answering.rest.waiter());
                if !unserved.is_some_and(|(why, waiter)| waiter.give_up(why)) {
                    return Ran::Elsewhere;
                }
            }
            if let Some(answering) = self.answering.take() {
                if let (Some(_), Some(waiter)) = (answering.rest.refused(), answering.rest.waiter()) {
                    request.args = waiter.args().clone();
                    self.has_waited = true;
                    continue;
                }
                request.spec.hash_keys(handle.engine(), args, &mut keys);
                if !self.answer_on(answering, &keys, counts) {
                    return Ran::More;
                }
                continue;
            }
            if let Some(why) = self.gave_up {
                self.answer_unserved(why);
                continue;
            }
            let (mark, before) = (self.out.mark(), (self.out.len(), self.out.data_bytes()));
            request.spec.hash_keys(handle.engine(), args, &mut keys);
            let call = Admitted::from_link(request.spec, args).call(&keys, context);
            handle.waits_since(self.since_us);
            let outcome = handle.execute(&call, *ticket, &mut self.out);
            handle.waits_since(0);
            let (work, failed) = match outcome {
                Outcome::Done { work, failed } => (work, failed),
                Outcome::Busy(stripe) => match handle.engine().scripts().busy(stripe) {
                    // A script has it, and takes too long.
                    Some(words) => {
                        self.out.error(words);
                        (1, true)
                    }
                    None => return Ran::Busy(stripe),
                },
                Outcome::NotExecuted(Refusal::Paused, stripe) => return Ran::Closed(stripe),
                Outcome::NotExecuted(Refusal::Moved, _) | Outcome::Walk => return Ran::Moved,
                Outcome::Deferred => {
                    pass_on(handle, ticket);
                    let Some(rest) = handle.take_deferred() else { return Ran::Moved };
                    self.answering = Some(Answering { rest, len_before: before.0, data_before: before.1 });
                    continue;
                }
            };
            pass_on(handle, ticket);
            let data_bytes = self.out.data_bytes() - before.1;
            if request.noreply {
                self.out.truncate(mark);
            }
            let reply_bytes = (self.out.len() - before.0) as u64;
            self.entries.push(Entry { reply_bytes, data_bytes, work, failed });
            counts.request(&keys, work);
            self.requests.pop_front();
        }
        if self.is_arriving() { Ran::Arriving } else { Ran::Done }
    }

    /// Answers a request that shall not wait any longer, and does not at the moment.
    fn answer_unserved(&mut self, why: GaveUp) {
        let before = self.out.len();
        write_unserved(why, &mut self.out);
        let reply_bytes = (self.out.len() - before) as u64;
        self.entries.push(Entry { reply_bytes, data_bytes: 0, work: 1, failed: why == GaveUp::Error });
        self.requests.pop_front();
    }

    /// Writes the next slice of a long reply; says whether that is all of it.
    fn answer_on(&mut self, mut answering: Answering, keys: &[KeyHash], counts: &mut Counts) -> bool {
        let mut slice = Out::new(self.out.proto());
        let more = answering.rest.step(&mut slice);
        self.out.attach(slice);
        if more {
            self.answering = Some(answering);
            return false;
        }
        let (work, failed) = (answering.rest.work(), answering.rest.failed());
        let reply_bytes = (self.out.len() - answering.len_before) as u64;
        let data_bytes = self.out.data_bytes() - answering.data_before;
        self.entries.push(Entry { reply_bytes, data_bytes, work, failed });
        counts.request(keys, work);
        self.requests.pop_front();
        true
    }

    fn run_walk(&mut self, handle: &mut Handle, ticket: &mut Option<Ticket>, now_ms: u64, counts: &mut Counts) -> Ran {
        let Some(request) = self.requests.front() else { return Ran::Done };
        let Some(body) = over_slots(request.spec) else { return Ran::Done };
        let call =
            Admitted::from_link(request.spec, request.args.as_args()).call(&[], context(&self.head, self.link, now_ms));
        let mut state = match self.walk.take().map_or_else(|| handle.walk_begin(body, &call).map(Box::new), Ok) {
            Ok(state) => state,
            Err(fault) => {
                // Nothing was covered; the words are the same wherever the proxy asks.
                self.out.raw(&[0; SLOTS_BYTES]);
                self.out.error(&fault.to_string());
                let reply_bytes = self.out.len() as u64;
                self.entries.push(Entry { reply_bytes, data_bytes: 0, work: 1, failed: true });
                return Ran::Done;
            }
        };
        if let Some(slots) = self.slots.take() {
            state.only = Some(slots);
        }
        state.ticket = ticket.take();
        let step = handle.walk_step(body, &mut state, &call);
        *ticket = state.ticket.take();
        let ran = match step {
            Step::More => Ran::More,
            Step::Busy(stripe) => Ran::Busy(stripe),
            Step::Closed(stripe) => Ran::Closed(stripe),
            Step::Done => {
                write_slots(&state.covered, &mut self.out);
                let data_before = self.out.data_bytes();
                (body.end)(request.args.as_args(), &mut state, &mut self.out);
                let (reply_bytes, data_bytes) = (self.out.len() as u64, self.out.data_bytes() - data_before);
                self.entries.push(Entry { reply_bytes, data_bytes, work: state.work, failed: false });
                counts.request(&[], state.work);
                return Ran::Done;
            }
        };
        self.walk = Some(state);
        ran
    }
}

/// A ticket was used, or is not needed: the turn passes on before the next request, which may want the same stripe.
fn pass_on(handle: &Handle, ticket: &mut Option<Ticket>) {
    if let Some(ticket) = ticket.take() {
        handle.engine().stripe(ticket.stripe()).cancel(ticket);
    }
}

/// A request as clients send it.
fn write_request(args: Args<'_>, out: &mut Out) {
    out.array(args.len());
    args.iter().for_each(|arg| out.bulk(arg));
}

fn read_slots(bytes: &[u8; SLOTS_BYTES]) -> SlotSet {
    let mut words = [0; SLOTS / 64];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    SlotSet::from_words(words)
}

fn write_slots(slots: &SlotSet, out: &mut Out) {
    slots.words().iter().for_each(|word| out.raw(&word.to_le_bytes()));
}
