//! One client's connection: read once, decode all there is, answer all, flush once. The one loop to read first.

mod routed;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::io::IoSlice;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

use swell_engine::commands::table::Found;
use swell_engine::run::Outcome;
use swell_engine::stripe::Ticket;
use swell_engine::walk::Step;
use swell_wire::requests::{Kind, Requests};
use swell_wire::{Args, Out, OwnedArgs, memcached, resp};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use crate::clients::Door;
use crate::core::{Core, GROUP, READ_BYTES, first_key};
use crate::error::ProxyError;
use crate::plan::{InPlace, Source, plan, value_bytes};
use crate::replies::{Place, Replies};
use crate::session::{self, Flow, Late, Session};
use crate::upstream::flights::{Flights, WAIT_MAX};
use crate::upstream::job;
use crate::worker::Worker;

/// Unsent replies are freed in pieces of about this size.
const UNSENT_PIECE_BYTES: usize = 256 * 1024;
/// Pieces handed to one `writev` (Linux: `IOV_MAX` is 1024).
const WRITE_PIECES: usize = 256;
/// Reads from a client that sends without end before others get their turn: some hundred KiB.
const READS_PER_TURN: u32 = 8;

/// A connection and everything that waits on it.
pub struct Client {
    stream: TcpStream,
    worker: Rc<Worker>,
    session: Session,
    decoder: Decoder,
    /// Bytes of a request that is not complete yet.
    unread: Vec<u8>,
    /// Replies that the socket did not take yet.
    unsent: Option<Box<Unsent>>,
    /// Requests behind a late answer (it stands first).
    backlog: VecDeque<Waiting>,
    late: Option<Box<LateAnswer>>,
    /// Requests under way to other processes, once there was one.
    flights: Option<Rc<RefCell<Flights>>>,
    /// The backlog waits for them.
    hold: Option<Hold>,
    /// When what was refused has waited too long.
    deadline: Option<Pin<Box<tokio::time::Sleep>>>,
    replies: Replies,
    /// `unread` may hold complete requests: decoding stopped early.
    undecoded: bool,
    /// The peer has closed its side.
    at_end: bool,
}

enum Decoder {
    Resp(resp::Decoder),
    Memcached(memcached::Decoder),
}

/// Replies that the socket did not take yet, in pieces, so that what is sent is freed.
#[derive(Default)]
struct Unsent {
    queue: VecDeque<Out>,
    /// Bytes of the first one that are sent.
    sent: usize,
    /// Bytes of all, sent or not.
    bytes: usize,
}

impl Unsent {
    /// Moves the replies of `out` to the end.
    fn push(&mut self, out: &mut Out) {
        self.bytes += out.len();
        match self.queue.back_mut() {
            Some(last) if last.len() < UNSENT_PIECE_BYTES => last.append(out),
            _ => {
                let proto = out.proto();
                self.queue.push_back(std::mem::replace(out, Out::new(proto)));
            }
        }
    }

    /// The first one is sent.
    fn pop(&mut self) {
        let first = self.queue.pop_front();
        self.bytes -= first.map_or(0, |out| out.len());
        self.sent = 0;
    }
}

/// A request that has to wait; its bytes are its own.
struct Waiting {
    args: Option<OwnedArgs>,
    kind: Kind,
    noreply: bool,
}

struct LateAnswer {
    place: Place,
    state: LateState,
}

enum LateState {
    /// Holding (or about to draw) a ticket of a stripe.
    Stripe(usize, Option<Ticket>),
    Gate(usize, Pin<Box<tokio::time::Sleep>>),
    /// The step says what it waits for; `Closed` until the deadline.
    Walk(Box<session::walk::Walking>, Step, Option<Pin<Box<tokio::time::Sleep>>>),
    Sleep(Pin<Box<tokio::time::Sleep>>, Out),
    Remote(job::Running, session::remote::Finish),
}

impl LateState {
    fn of(late: Late, client: &mut Client) -> LateState {
        match late {
            Late::Remote(remote) => client.begin_job(*remote),
            Late::Stripe(stripe) => LateState::Stripe(stripe, None),
            Late::Gate(stripe) => LateState::Gate(stripe, Box::pin(tokio::time::sleep(WAIT_MAX))),
            Late::Walk(walking, step) => LateState::Walk(walking, step, None),
            Late::Sleep(duration, answer) => LateState::Sleep(Box::pin(tokio::time::sleep(duration)), answer),
        }
    }
}

/// How far a batch came.
struct Progress {
    /// The first request that did not finish, and why.
    late: Option<(usize, Stop)>,
}

/// Why a batch stops.
enum Stop {
    Late(Late),
    Hold(Hold),
}

/// What the backlog waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// Room for more requests under way.
    Room,
    /// No request under way: the next one runs alone.
    Quiet,
}

impl Source for VecDeque<Waiting> {
    fn count(&self) -> usize {
        self.len()
    }

    fn args(&self, index: usize) -> Option<Args<'_>> {
        self[index].args.as_ref().map(OwnedArgs::as_args)
    }

    fn kind(&self, index: usize) -> Kind {
        self[index].kind
    }

    fn noreply(&self, index: usize) -> bool {
        self[index].noreply
    }

    fn verbatim(&self, _index: usize) -> Option<&[u8]> {
        None
    }
}

impl Client {
    /// A client that has just been accepted.
    pub fn new(stream: TcpStream, worker: Rc<Worker>, session: Session) -> Client {
        let decoder = match session.info.door {
            Door::Resp => Decoder::Resp(resp::Decoder::new()),
            Door::Memcached => Decoder::Memcached(memcached::Decoder::new()),
        };
        Client {
            stream,
            worker,
            session,
            decoder,
            unread: Vec::new(),
            unsent: None,
            backlog: VecDeque::new(),
            late: None,
            flights: None,
            hold: None,
            deadline: None,
            replies: Replies::default(),
            undecoded: false,
            at_end: false,
        }
    }

    /// Moves everything on that can move; ready when the connection is over.
    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut reads = 0;
        loop {
            if self.unsent.is_some() && self.poll_flush(cx).is_err() {
                return Poll::Ready(());
            }
            let is_quiet = self.poll_flights(cx);
            // What has just come may not have fitted the socket: nobody but it says when the rest does.
            let held = self.unsent_bytes();
            if held > 0 {
                if self.poll_flush(cx).is_err() {
                    return Poll::Ready(());
                }
                if self.has_room_again(held) {
                    continue;
                }
            }
            if self.is_torn() {
                return Poll::Ready(());
            }
            if self.session.closing && self.late.is_none() && is_quiet {
                return if self.unsent.is_none() { Poll::Ready(()) } else { Poll::Pending };
            }
            if self.unsent_bytes() > self.worker.shared.settings.output_buffer_bytes_max() {
                return Poll::Pending;
            }
            if self.late.is_some() {
                if self.is_gone(cx) {
                    return Poll::Ready(());
                }
                ready!(self.poll_late(cx));
            } else if !self.backlog.is_empty() {
                if !self.may_go_on() {
                    return Poll::Pending;
                }
                self.serve_backlog();
            } else if self.undecoded {
                self.serve_unread();
            } else if self.at_end || self.session.closing {
                return if self.unsent.is_none() && is_quiet { Poll::Ready(()) } else { Poll::Pending };
            } else if reads == READS_PER_TURN {
                return others_first(cx);
            } else if ready!(self.poll_serve(cx)) {
                reads += 1;
            } else {
                self.at_end = true;
            }
        }
    }

    /// Whether the peer has left, or the client was killed, while an answer is late and nothing is read.
    fn is_gone(&mut self, cx: &mut Context<'_>) -> bool {
        let mut byte = [0];
        let mut buf = ReadBuf::new(&mut byte);
        match self.stream.poll_peek(cx, &mut buf) {
            Poll::Ready(Ok(bytes)) => bytes == 0 && !self.worker.shared.is_stopping(),
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        }
    }

    /// Reads what the socket has and serves it. False: the connection is at its end.
    fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let worker = self.worker.clone();
        let mut scratch = worker.scratch.borrow_mut();
        if self.unread.is_empty() {
            let mut buf = ReadBuf::new(&mut scratch);
            let Ok(()) = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf)) else { return Poll::Ready(false) };
            let bytes = buf.filled();
            if bytes.is_empty() {
                return Poll::Ready(false);
            }
            let consumed = self.serve(bytes, bytes.len());
            self.unread.extend_from_slice(&bytes[consumed..]);
        } else {
            drop(scratch);
            let mut unread = std::mem::take(&mut self.unread);
            unread.reserve(self.decoder.bytes_wanted(unread.len()).clamp(READ_BYTES / 4, 1024 * 1024));
            let before = unread.len();
            let result = {
                let mut buf = ReadBuf::uninit(unread.spare_capacity_mut());
                Pin::new(&mut self.stream).poll_read(cx, &mut buf).map_ok(|()| buf.filled().len())
            };
            let Poll::Ready(result) = result else {
                self.unread = unread;
                return Poll::Pending;
            };
            let read = result.unwrap_or(0);
            if read == 0 {
                return Poll::Ready(false);
            }
            // SAFETY: poll_read has filled this many bytes of the spare capacity.
            unsafe { unread.set_len(before + read) };
            let consumed = self.serve(&unread, read);
            if consumed < unread.len() {
                unread.drain(..consumed);
                self.unread = unread;
            }
        }
        self.check_query_buffer();
        Poll::Ready(true)
    }

    /// Goes on with what was read but not decoded when an answer was late or the output full.
    fn serve_unread(&mut self) {
        self.undecoded = false;
        let mut unread = std::mem::take(&mut self.unread);
        let consumed = self.serve(&unread, 0);
        if consumed < unread.len() {
            unread.drain(..consumed);
            self.unread = unread;
        }
    }

    /// Decodes and serves all complete requests at the front of `bytes`; returns how many bytes that were. `read` of
    /// them are new.
    fn serve(&mut self, bytes: &[u8], read: usize) -> usize {
        let worker = self.worker.clone();
        let mut core = worker.core.borrow_mut();
        let core = &mut *core;
        let started = worker.begin_batch(core);
        core.out.set_proto(self.session.proto);
        core.counts.bytes_in += read as u64;
        self.session.info.bytes_in.fetch_add(read as u64, Relaxed);
        let mut requests = std::mem::take(&mut core.requests);
        let output_max = core.shared.settings.output_buffer_bytes_max();
        let mut consumed = 0;
        while !self.session.closing {
            requests.clear();
            core.limits.authenticated = self.session.authenticated;
            let buf = &bytes[consumed..];
            consumed += self.decoder.decode(buf, core, &mut requests);
            if requests.is_empty() {
                break;
            }
            let source = InPlace { requests: &requests, buf, is_resp: matches!(self.decoder, Decoder::Resp(_)) };
            let progress = self.run_batch(core, &source, 0, None);
            self.note_last(core, &source, progress.late.as_ref().map_or(source.count() - 1, |(at, _)| *at));
            if let Some((at, late)) = progress.late {
                self.put_off(&mut requests, buf, at, late);
                self.undecoded = true;
                break;
            }
            if consumed == bytes.len() {
                break;
            }
            if core.out.len() as u64 > output_max {
                self.undecoded = true;
                break;
            }
        }
        core.requests = requests;
        self.send(core);
        worker.end_batch(core, started);
        if self.session.closing { bytes.len() } else { consumed }
    }

    /// Runs the requests of a batch from `from` on, in order, until one has to wait.
    fn run_batch(&mut self, core: &mut Core, source: &impl Source, from: usize, ticket: Option<Ticket>) -> Progress {
        if !core.shared.route.is_direct() || self.flights.as_ref().is_some_and(|flights| !flights.borrow().is_empty()) {
            return self.run_routed(core, source, from, ticket);
        }
        let mut ticket = ticket;
        let mut index = from;
        while index < source.count() && !self.session.closing {
            self.session.pays(core);
            core.planned.clear();
            core.keys.clear();
            let mut end = index;
            while end < source.count() && end - index < GROUP && plan(core, &self.session, source, end) {
                end += 1;
            }
            if core.planned.len() > 1 {
                core.handle.prefetch(self.session.db, &core.keys);
            }
            if let Some((at, late)) = self.run_planned(core, source, index, ticket) {
                return Progress { late: Some((at, Stop::Late(late))) };
            }
            ticket = if end > index { None } else { ticket };
            index = end;
            if index < source.count() && core.planned.len() < GROUP {
                if let Flow::Late(late) = self.run_cut(core, source, index, ticket.take()) {
                    return Progress { late: Some((index, Stop::Late(late))) };
                }
                index += 1;
                if !core.shared.route.is_direct() {
                    return self.run_routed(core, source, index, None);
                }
            }
        }
        Progress { late: None }
    }

    /// Runs what was planned, beginning with request `from`.
    #[inline]
    fn run_planned(
        &mut self,
        core: &mut Core,
        source: &impl Source,
        from: usize,
        mut ticket: Option<Ticket>,
    ) -> Option<(usize, Late)> {
        for at in 0..core.planned.len() {
            let planned = core.planned[at];
            let Some(args) = source.args(from + at) else { continue };
            let keys = &core.keys[planned.keys_from as usize..planned.keys_to as usize];
            // Planned, hence admitted; this makes the proof that the engine asks for.
            let Ok(call) = self.session.call(planned.command, args, keys, core.now_ms) else { continue };
            let (mark, data_before) = (core.out.mark(), core.out.data_bytes());
            match core.handle.execute(&call, ticket.take(), &mut core.out) {
                Outcome::Done { work, failed } => {
                    let bytes_out = core.out.data_bytes() - data_before;
                    let bytes_in = value_bytes(planned.command.spec, args);
                    let keys = &core.keys[planned.keys_from as usize..planned.keys_to as usize];
                    let prefix = core.meter.prefix_of(|| first_key(args, keys));
                    core.charge_on(prefix, planned.command, bytes_in, bytes_out, work, failed);
                    core.counts.commands += 1;
                    if failed {
                        let out = std::mem::take(&mut core.out);
                        session::count_error_at(core, &out, mark.at());
                        core.out = out;
                    }
                    if source.noreply(from + at) {
                        core.out.truncate(mark);
                    }
                }
                Outcome::Busy(stripe) => return Some((from + at, Late::Stripe(stripe))),
                Outcome::NotExecuted(_, stripe) => return Some((from + at, Late::Gate(stripe))),
                Outcome::Walk => return None,
            }
        }
        None
    }

    /// Runs one request that cannot run beside its neighbours.
    fn run_cut(&mut self, core: &mut Core, source: &impl Source, index: usize, ticket: Option<Ticket>) -> Flow {
        let mut out = std::mem::take(&mut core.out);
        out.set_proto(self.session.proto);
        let mark = out.mark();
        self.session.pays(core);
        let flow = session::run(core, &mut self.session, source.args(index), source.kind(index), ticket, &mut out);
        if source.noreply(index) && matches!(flow, Flow::Done) {
            out.truncate(mark);
        }
        core.out = out;
        core.counts.commands += u64::from(matches!(flow, Flow::Done));
        flow
    }

    /// Keeps request `at` and all behind it until the answer of the first is there.
    fn put_off(&mut self, requests: &mut Requests, buf: &[u8], at: usize, stop: Stop) {
        for index in at..requests.len() {
            let item = *requests.item(index);
            let args = match requests.take_owned(index) {
                Some(owned) => Some(owned),
                None => requests.get(index, buf).map(|args| args.to_owned(false)),
            };
            self.backlog.push_back(Waiting { args, kind: item.kind, noreply: item.noreply });
        }
        self.wait_for(stop);
    }

    fn wait_for(&mut self, stop: Stop) {
        match stop {
            Stop::Hold(hold) => self.hold = Some(hold),
            Stop::Late(late) => {
                let place = self.replies.reserve(self.session.proto);
                let state = LateState::of(late, self);
                self.late = Some(Box::new(LateAnswer { place, state }));
            }
        }
    }

    /// Looks whether the late answer has come, and writes it.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(late) = self.late.take() else { return Poll::Ready(()) };
        let LateAnswer { place, state } = *late;
        let worker = self.worker.clone();
        let engine = worker.shared.node.engine();
        let flow = match state {
            LateState::Stripe(stripe, None) => {
                worker.core.borrow_mut().counts.parked += 1;
                let ticket = engine.stripe(stripe).draw(stripe, cx.waker());
                return self.stay(place, LateState::Stripe(stripe, Some(ticket)));
            }
            LateState::Stripe(stripe, Some(ticket)) => match self.retry(Some(ticket)) {
                // Woken too early: the ticket is still good, and its turn will come.
                Flow::Late(Late::Stripe(taken)) if taken == stripe => {
                    return self.stay(place, LateState::Stripe(stripe, Some(ticket)));
                }
                flow => {
                    // Used up if the request has run; if it waits for something else, the turn passes on.
                    engine.stripe(stripe).cancel(ticket);
                    flow
                }
            },
            LateState::Gate(stripe, mut deadline) => {
                engine.stripe(stripe).wait_for_gate(cx.waker());
                let session = self.take_seat().borrow().session();
                worker.upstreams.wait_for_change(session, cx.waker());
                match self.retry(None) {
                    Flow::Late(Late::Gate(_)) if deadline.as_mut().poll(cx).is_ready() => self.give_up(),
                    Flow::Late(Late::Gate(closed)) => {
                        if closed != stripe {
                            cx.waker().wake_by_ref();
                        }
                        return self.stay(place, LateState::Gate(closed, deadline));
                    }
                    flow => flow,
                }
            }
            LateState::Walk(mut walking, step, deadline) => {
                if let Step::Busy(stripe) = step
                    && walking.state.ticket.is_none()
                {
                    walking.state.ticket = Some(engine.stripe(stripe).draw(stripe, cx.waker()));
                    return self.stay(place, LateState::Walk(walking, step, None));
                }
                if let Step::Closed(stripe) = step {
                    engine.stripe(stripe).wait_for_gate(cx.waker());
                }
                match self.walk_on(walking) {
                    // The waker was registered before it was tried again: the gate's next change wakes this client.
                    Flow::Late(Late::Walk(walking, Step::Closed(stripe))) if step == Step::Closed(stripe) => {
                        let mut deadline = deadline.unwrap_or_else(|| Box::pin(tokio::time::sleep(WAIT_MAX)));
                        if deadline.as_mut().poll(cx).is_pending() {
                            return self.stay(place, LateState::Walk(walking, step, Some(deadline)));
                        }
                        self.give_up()
                    }
                    // Woken too early: the ticket is still good.
                    Flow::Late(Late::Walk(walking, step @ Step::Busy(_))) if walking.state.ticket.is_some() => {
                        return self.stay(place, LateState::Walk(walking, step, None));
                    }
                    flow => flow,
                }
            }
            LateState::Remote(mut running, finish) => {
                let Poll::Ready(answer) = running.as_mut().poll(cx) else {
                    return self.stay(place, LateState::Remote(running, finish));
                };
                self.finish_late(&mut worker.core.borrow_mut(), |core, session, out| finish(core, session, answer, out))
            }
            LateState::Sleep(mut sleep, mut answer) => {
                if sleep.as_mut().poll(cx).is_pending() {
                    return self.stay(place, LateState::Sleep(sleep, answer));
                }
                self.finish_late(&mut worker.core.borrow_mut(), |_, _, out| {
                    out.append(&mut answer);
                    Flow::Done
                })
            }
        };
        match flow {
            Flow::Done => self.settle(place),
            Flow::Late(late) => {
                cx.waker().wake_by_ref();
                let state = LateState::of(late, self);
                self.stay(place, state)
            }
        }
    }

    fn stay(&mut self, place: Place, state: LateState) -> Poll<()> {
        self.late = Some(Box::new(LateAnswer { place, state }));
        Poll::Pending
    }

    /// The late request has run: its answer takes its place.
    fn settle(&mut self, place: Place) -> Poll<()> {
        let worker = self.worker.clone();
        let mut core = worker.core.borrow_mut();
        let answer = std::mem::replace(&mut core.out, Out::new(self.session.proto));
        core.counts.late += 1;
        let mut ready = Out::new(self.session.proto);
        self.replies.fill(place, answer, &mut ready);
        core.out = ready;
        self.backlog.pop_front();
        self.send(&mut core);
        Poll::Ready(())
    }

    /// Runs the first request of the backlog again.
    fn retry(&mut self, ticket: Option<Ticket>) -> Flow {
        let worker = self.worker.clone();
        let mut core = worker.core.borrow_mut();
        let started = worker.begin_batch(&mut core);
        let backlog = std::mem::take(&mut self.backlog);
        let flow = self.run_cut(&mut core, &backlog, 0, ticket);
        self.backlog = backlog;
        worker.end_batch(&mut core, started);
        flow
    }

    fn walk_on(&mut self, walking: Box<session::walk::Walking>) -> Flow {
        let worker = self.worker.clone();
        let mut core = worker.core.borrow_mut();
        let started = worker.begin_batch(&mut core);
        let flow = self.finish_late(&mut core, |core, session, out| session::walk::go_on(core, session, walking, out));
        worker.end_batch(&mut core, started);
        flow
    }

    /// Runs what may be the end of the first request of the backlog, whose client may want no reply.
    fn finish_late(&mut self, core: &mut Core, end: impl FnOnce(&mut Core, &mut Session, &mut Out) -> Flow) -> Flow {
        let mut out = std::mem::take(&mut core.out);
        out.set_proto(self.session.proto);
        let mark = out.mark();
        self.session.pays(core);
        let flow = end(core, &mut self.session, &mut out);
        if matches!(flow, Flow::Done) {
            core.counts.commands += 1;
            self.session.settle_reply(mark, &mut out);
            if self.backlog.front().is_some_and(|request| request.noreply) {
                out.truncate(mark);
            }
        }
        core.out = out;
        flow
    }

    fn give_up(&mut self) -> Flow {
        let worker = self.worker.clone();
        self.finish_late(&mut worker.core.borrow_mut(), |core, session, out| {
            match session.info.door {
                Door::Resp => out.error(&ProxyError::GateTimeout.to_string()),
                Door::Memcached => out.raw(b"SERVER_ERROR the slot was not served in time\r\n"),
            }
            core.counts.error(b"TRYAGAIN");
            // A transaction that could not run is over.
            session.multi = None;
            session.show();
            Flow::Done
        })
    }

    /// Serves the requests that stood behind a late answer.
    fn serve_backlog(&mut self) {
        let worker = self.worker.clone();
        let mut core = worker.core.borrow_mut();
        let started = worker.begin_batch(&mut core);
        core.out.set_proto(self.session.proto);
        let mut backlog = std::mem::take(&mut self.backlog);
        let progress = self.run_batch(&mut core, &backlog, 0, None);
        match progress.late {
            None => backlog.clear(),
            Some((at, late)) => {
                backlog.drain(..at);
                self.wait_for(late);
            }
        }
        self.backlog = backlog;
        self.send(&mut core);
        worker.end_batch(&mut core, started);
    }

    /// Writes what is in the worker's buffer; what the socket does not take is kept.
    fn send(&mut self, core: &mut Core) {
        let out = &mut core.out;
        if out.is_empty() {
            return;
        }
        core.counts.bytes_out += out.len() as u64;
        self.session.info.bytes_out.fetch_add(out.len() as u64, Relaxed);
        if let Some(unsent) = &mut self.unsent {
            return unsent.push(out);
        }
        let sent = match out.as_contiguous() {
            Some(bytes) => self.stream.try_write(bytes),
            None => {
                let mut pieces: Vec<IoSlice<'_>> = Vec::new();
                out.io_slices(0, WRITE_PIECES, &mut pieces);
                self.stream.try_write_vectored(&pieces)
            }
        };
        // An error other than "would block" shows again when the rest is written.
        let sent = sent.unwrap_or(0);
        if sent < out.len() {
            let mut unsent = Box::<Unsent>::default();
            unsent.push(out);
            unsent.sent = sent;
            self.unsent = Some(unsent);
        } else {
            out.clear();
        }
    }

    /// Goes on writing; on `Ok` either everything is sent or the waker is registered.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> std::io::Result<()> {
        while let Some(unsent) = &mut self.unsent {
            let Some(first) = unsent.queue.front() else { break };
            match self.stream.poll_write_ready(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(ready) => ready?,
            }
            let mut pieces: Vec<IoSlice<'_>> = Vec::with_capacity(16);
            first.io_slices(unsent.sent, WRITE_PIECES, &mut pieces);
            match self.stream.try_write_vectored(&pieces) {
                Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
                Ok(more) => unsent.sent += more,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            }
            if unsent.sent == first.len() {
                unsent.pop();
            }
            if unsent.queue.is_empty() {
                self.unsent = None;
            }
        }
        self.session.info.output_bytes.store(0, Relaxed);
        Ok(())
    }

    fn unsent_bytes(&self) -> u64 {
        let bytes = self.unsent.as_ref().map_or(0, |unsent| (unsent.bytes - unsent.sent) as u64);
        if bytes > 0 {
            self.session.info.output_bytes.store(bytes, Relaxed);
        }
        bytes
    }

    /// Closes a client whose unfinished request is over the limit (Redis does the same).
    fn check_query_buffer(&mut self) {
        let bytes = (self.unread.len() + self.decoder.heap_bytes()) as u64;
        self.session.info.query_buffer_bytes.store(self.unread.len() as u64, Relaxed);
        if bytes > self.worker.shared.settings.query_buffer_bytes_max() {
            tracing::warn!(client = %self.session.info.addr, bytes, "closed a client over the query buffer's limit");
            self.session.closing = true;
        }
    }

    /// Notes what CLIENT LIST shows of the batch, whose request `at` is the last that ran or runs.
    fn note_last(&self, core: &Core, source: &impl Source, at: usize) {
        let info = &self.session.info;
        info.last_active_ms.store(core.now_ms, Relaxed);
        info.commands.fetch_add(at as u64 + 1, Relaxed);
        let found = source.args(at).map(|args| self.session.table().find(args));
        if let Some(Found::Command(command)) = found {
            info.last_command.store(command.id.0, Relaxed);
        }
    }
}

impl Future for Client {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.drive(cx)
    }
}

/// Comes back after everybody else, and after the sockets have been asked for news.
fn others_first(cx: &mut Context<'_>) -> Poll<()> {
    // The first poll tells the runtime whom to wake; the future itself is not needed for that.
    let _ = pin!(tokio::task::yield_now()).poll(cx);
    Poll::Pending
}

impl Drop for Client {
    fn drop(&mut self) {
        let ticket = self.late.take().and_then(|late| match late.state {
            LateState::Stripe(_, ticket) => ticket,
            LateState::Walk(walking, ..) => walking.state.ticket,
            LateState::Gate(..) | LateState::Sleep(..) | LateState::Remote(..) => None,
        });
        if let Some(ticket) = ticket {
            self.worker.shared.node.engine().stripe(ticket.stripe()).cancel(ticket);
        }
        if let Some(flights) = self.flights.take() {
            self.worker.upstreams.leave_seat(&flights);
        }
        // Before the stream is closed: see `Registry::kill`.
        self.worker.shared.clients.remove(self.session.info.id);
        self.worker.connection_closed();
    }
}

impl Decoder {
    fn decode(&mut self, bytes: &[u8], core: &mut Core, requests: &mut Requests) -> usize {
        match self {
            Decoder::Resp(decoder) => decoder.decode(bytes, &core.limits, requests),
            Decoder::Memcached(decoder) => decoder.decode(bytes, &core.limits, requests),
        }
    }

    fn bytes_wanted(&self, have: usize) -> usize {
        match self {
            Decoder::Resp(decoder) => decoder.bytes_wanted(have),
            Decoder::Memcached(decoder) => decoder.bytes_wanted(have),
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Decoder::Resp(decoder) => decoder.heap_bytes(),
            Decoder::Memcached(decoder) => decoder.heap_bytes(),
        }
    }
}
