//! An answer that is late: what it waits for, and how the connection goes on when it is there. The request stands first in
//! the backlog until then.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use swell_engine::commands::table::Found;
use swell_engine::script::watch::BUSY;
use swell_engine::stripe::Ticket;
use swell_engine::walk::Step;
use swell_wire::Out;
use swell_wire::requests::Requests;

use super::blocked::{Blocked, Timer};
use super::{Client, Stop, Waiting, others_first};
use crate::clients::Door;
use crate::core::Core;
use crate::error::ProxyError;
use crate::observe::Stopwatch;
use crate::replies::Place;
use crate::session::{self, Flow, Late, Session};
use crate::upstream::flights::WAIT_MAX;
use crate::upstream::job;

/// Bytes of a long reply that may be unsent before the next slice of it is written.
pub(super) const WRITTEN_AHEAD_MAX: u64 = 512 * 1024;

/// Until one who publishes looks again whether the others have caught up ...
const CROWDED_LOOK: Duration = Duration::from_millis(1);
/// ... and how long it waits for them altogether: some may never take their messages.
const CROWDED_MAX: Duration = Duration::from_millis(200);

/// The answer that the connection waits for.
pub(super) struct LateAnswer {
    place: Place,
    pub(super) state: LateState,
}

/// What it waits for.
pub(super) enum LateState {
    /// Holding (or about to draw) a ticket of a stripe.
    Stripe(usize, Option<Ticket>),
    Gate(usize, Pin<Box<tokio::time::Sleep>>),
    /// The step says what it waits for; `Closed` until the deadline.
    Walk(Box<session::walk::Walking>, Step, Option<Pin<Box<tokio::time::Sleep>>>),
    /// It runs, and holds its locks.
    Unit(Box<session::unit::Executing>),
    /// It is being written, a slice at a time, or a helper thread works it out.
    Slices(Box<session::slices::Answering>),
    Sleep(Pin<Box<tokio::time::Sleep>>, Out),
    /// Until the pause is over.
    Paused(Pin<Box<dyn Future<Output = ()>>>),
    /// All nodes to know this change; not for longer than the timer.
    Told(u64, Pin<Box<tokio::time::Sleep>>, Out),
    /// The first timer, before it is tried again; after the second it is published whoever is behind.
    Crowded(Pin<Box<tokio::time::Sleep>>, Pin<Box<tokio::time::Sleep>>),
    /// It waits for what is not there, perhaps until then.
    Blocked(Box<session::slices::Answering>, Timer),
    Replicas(Timer, Out),
    Remote(job::Running, session::remote::Finish),
}

impl LateAnswer {
    /// Whether what is sent to the client waits for this answer.
    pub(super) fn holds_pushes(&self, session: &Session) -> bool {
        match self.state {
            LateState::Told(..) => true,
            LateState::Remote(..) => session.is_publishing,
            _ => false,
        }
    }

    /// Whether other processes work it out.
    pub(super) fn is_remote(&self) -> bool {
        matches!(self.state, LateState::Remote(..))
    }
}

impl LateState {
    fn of(late: Late, client: &mut Client) -> LateState {
        match late {
            Late::Remote(remote) => client.begin_job(*remote),
            Late::Stripe(stripe) => LateState::Stripe(stripe, None),
            Late::Gate(stripe) => LateState::Gate(stripe, Box::pin(tokio::time::sleep(WAIT_MAX))),
            Late::Walk(walking, step) => LateState::Walk(walking, step, None),
            Late::Unit(executing) => LateState::Unit(executing),
            Late::Slices(answering) => LateState::Slices(answering),
            Late::Paused { writes } => {
                let shared = client.worker.shared.clone();
                client.session.info.paused.store(true, Relaxed);
                LateState::Paused(Box::pin(async move { shared.pause.over(writes).await }))
            }
            Late::Told(version, answer) => LateState::Told(version, Box::pin(tokio::time::sleep(WAIT_MAX)), answer),
            Late::Crowded => LateState::Crowded(
                Box::pin(tokio::time::sleep(CROWDED_LOOK)),
                Box::pin(tokio::time::sleep(CROWDED_MAX)),
            ),
            Late::Blocked(answering) => client.begin_wait(answering),
            Late::Replicas(wait, answer) => {
                client.session.wait = Some(wait);
                LateState::Replicas(Timer::until(wait.deadline_ms), answer)
            }
            Late::Sleep(duration, answer) => LateState::Sleep(Box::pin(tokio::time::sleep(duration)), answer),
        }
    }
}

impl LateState {
    /// Whether it is the command itself that takes the time while this is waited for, not others.
    fn is_at_work(&self) -> bool {
        matches!(self, LateState::Sleep(..) | LateState::Remote(..))
    }
}

impl Client {
    /// Keeps request `at` and all behind it until the answer of the first is there.
    pub(super) fn put_off(&mut self, requests: &mut Requests, buf: &[u8], at: usize, stop: Stop) {
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

    pub(super) fn wait_for(&mut self, stop: Stop) {
        match stop {
            Stop::Hold(hold) => self.hold = Some(hold),
            Stop::Late(late) => {
                let place = self.replies.reserve(self.session.proto);
                let state = LateState::of(late, self);
                self.stopwatch = Stopwatch::start(state.is_at_work());
                self.late = Some(Box::new(LateAnswer { place, state }));
            }
        }
    }

    /// Looks whether the late answer has come, and writes it.
    pub(super) fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(late) = self.late.take() else { return Poll::Ready(()) };
        let LateAnswer { place, state } = *late;
        self.stopwatch.go_on();
        let worker = self.worker.clone();
        let engine = worker.shared.node.engine();
        let flow = match state {
            LateState::Stripe(stripe, None) if engine.scripts().busy(stripe).is_some() => self.tell_busy(stripe),
            LateState::Stripe(stripe, None) => {
                worker.core.borrow_mut().counts.parked += 1;
                let ticket = engine.stripe(stripe).draw(stripe, cx.waker());
                return self.stay(place, LateState::Stripe(stripe, Some(ticket)));
            }
            LateState::Stripe(stripe, Some(ticket)) => match self.retry(Some(ticket)) {
                // A script has it, and takes too long.
                Flow::Late(Late::Stripe(taken)) if taken == stripe && engine.scripts().busy(stripe).is_some() => {
                    engine.stripe(stripe).cancel(ticket);
                    self.tell_busy(stripe)
                }
                // Woken too early: the ticket is still good, and its turn will come. (WATCH may have used it up.)
                Flow::Late(Late::Stripe(taken)) if taken == stripe && engine.stripe(stripe).is_queued(ticket) => {
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
            LateState::Unit(mut executing) => {
                if !executing.is_ready(cx.waker()) {
                    return self.stay(place, LateState::Unit(executing));
                }
                self.unit_on(executing)
            }
            LateState::Slices(mut answering) => {
                if !answering.is_ready(cx.waker()) {
                    return self.stay(place, LateState::Slices(answering));
                }
                self.slice_on(answering)
            }
            LateState::Blocked(answering, mut timer) => match self.poll_blocked(cx, &answering, &mut timer) {
                Blocked::Waits => return self.stay(place, LateState::Blocked(answering, timer)),
                Blocked::Refused(stripe) => Flow::Late(Late::Gate(stripe)),
                Blocked::Answered => self.slice_on(answering),
            },
            LateState::Replicas(mut timer, answer) => match self.poll_replicas(cx, &mut timer, answer) {
                Ok(flow) => flow,
                Err(answer) => return self.stay(place, LateState::Replicas(timer, answer)),
            },
            LateState::Remote(mut running, finish) => {
                let Poll::Ready(answer) = running.as_mut().poll(cx) else {
                    return self.stay(place, LateState::Remote(running, finish));
                };
                self.finish_late(&mut worker.core.borrow_mut(), |core, session, out| finish(core, session, answer, out))
            }
            LateState::Paused(mut over) => {
                if over.as_mut().poll(cx).is_pending() {
                    return self.stay(place, LateState::Paused(over));
                }
                self.session.info.paused.store(false, Relaxed);
                self.retry(None)
            }
            LateState::Told(version, mut timer, mut answer) => {
                let is_over = timer.as_mut().poll(cx).is_ready();
                {
                    let telling = &mut *worker.core.borrow_mut();
                    let telling = telling.desk.telling();
                    if !is_over && !telling.is_told(version) {
                        telling.wait(self.session.info.id, cx.waker());
                        return self.stay(place, LateState::Told(version, timer, answer));
                    }
                }
                self.finish_late(&mut worker.core.borrow_mut(), |_, _, out| {
                    out.append(&mut answer);
                    Flow::Done
                })
            }
            LateState::Crowded(mut look, mut timer) => {
                self.session.is_pressing = timer.as_mut().poll(cx).is_ready();
                if !self.session.is_pressing && look.as_mut().poll(cx).is_pending() {
                    return self.stay(place, LateState::Crowded(look, timer));
                }
                let flow = self.retry(None);
                self.session.is_pressing = false;
                if let Flow::Late(Late::Crowded) = flow {
                    cx.waker().wake_by_ref();
                    let look = Box::pin(tokio::time::sleep(CROWDED_LOOK));
                    return self.stay(place, LateState::Crowded(look, timer));
                }
                flow
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
            Flow::Late(Late::Slices(answering)) => {
                // It stands first, so what there is of it may go. A task that only wakes itself would run dozens of times
                // before any socket is asked for news.
                self.send(&mut worker.core.borrow_mut());
                self.stopwatch.rest(false);
                self.late = Some(Box::new(LateAnswer { place, state: LateState::Slices(answering) }));
                others_first(cx)
            }
            Flow::Late(Late::Unit(executing)) => {
                self.stopwatch.rest(true);
                self.late = Some(Box::new(LateAnswer { place, state: LateState::Unit(executing) }));
                others_first(cx)
            }
            Flow::Late(Late::Walk(walking, Step::More)) => {
                self.stopwatch.rest(false);
                self.late = Some(Box::new(LateAnswer { place, state: LateState::Walk(walking, Step::More, None) }));
                others_first(cx)
            }
            Flow::Late(late) => {
                cx.waker().wake_by_ref();
                let state = LateState::of(late, self);
                self.stay(place, state)
            }
        }
    }

    /// Whether the late answer is that of a transaction that runs: it comes to its end, whoever is left to hear of it.
    pub(super) fn is_executing(&self) -> bool {
        self.late.as_ref().is_some_and(|late| matches!(late.state, LateState::Unit(_)))
    }

    /// Whether the late answer is being written. A client that has left, or was killed, shows when more of it is sent; one
    /// that has only closed its own side still reads.
    pub(super) fn is_writing(&self) -> bool {
        self.late.as_ref().is_some_and(|late| matches!(late.state, LateState::Slices(_)))
    }

    fn stay(&mut self, place: Place, state: LateState) -> Poll<()> {
        // A helper thread that works on a long answer is the command at work.
        let is_at_work = state.is_at_work() || matches!(state, LateState::Slices(_));
        self.stopwatch.rest(is_at_work);
        self.late = Some(Box::new(LateAnswer { place, state }));
        Poll::Pending
    }

    /// The late request has run: its answer takes its place.
    fn settle(&mut self, place: Place) -> Poll<()> {
        let worker = self.worker.clone();
        let mut core = worker.core.borrow_mut();
        let answer = std::mem::replace(&mut core.out, Out::new(self.session.proto));
        core.counts.late += 1;
        self.end_wait();
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

    fn unit_on(&mut self, executing: Box<session::unit::Executing>) -> Flow {
        let worker = self.worker.clone();
        let mut core = worker.core.borrow_mut();
        let started = worker.begin_batch(&mut core);
        let flow =
            self.finish_late(&mut core, |core, session, out| session::unit::go_on(core, session, executing, out));
        worker.end_batch(&mut core, started);
        flow
    }

    fn slice_on(&mut self, answering: Box<session::slices::Answering>) -> Flow {
        let worker = self.worker.clone();
        let mut core = worker.core.borrow_mut();
        let started = worker.begin_batch(&mut core);
        let flow =
            self.finish_late(&mut core, |core, session, out| session::slices::go_on(core, session, answering, out));
        worker.end_batch(&mut core, started);
        flow
    }

    /// Runs what may be the end of the first request of the backlog, whose client may want no reply.
    pub(super) fn finish_late(
        &mut self,
        core: &mut Core,
        end: impl FnOnce(&mut Core, &mut Session, &mut Out) -> Flow,
    ) -> Flow {
        let mut out = std::mem::take(&mut core.out);
        out.set_proto(self.session.proto);
        let mark = out.mark();
        self.session.pays(core);
        core.observer.begin_alone();
        let flow = end(core, &mut self.session, &mut out);
        self.stopwatch.reply_bytes += (out.len() - mark.at()) as u64;
        if matches!(flow, Flow::Done) {
            self.saw_late(core);
            core.counts.commands += 1;
            self.session.settle_reply(mark, &mut out);
            if self.backlog.front().is_some_and(|request| request.noreply) {
                out.truncate(mark);
            }
        }
        core.out = out;
        flow
    }

    /// The first request of the backlog has run.
    fn saw_late(&self, core: &mut Core) {
        let Some(args) = self.backlog.front().and_then(|request| request.args.as_ref()) else { return };
        if let Found::Command(command) = self.session.table().find(args.as_args()) {
            core.saw_late(&self.session, command, args.as_args(), &self.stopwatch);
        }
    }

    /// The request is not run: a script holds its keys for too long.
    fn tell_busy(&mut self, stripe: usize) -> Flow {
        let worker = self.worker.clone();
        let words = worker.shared.node.engine().scripts().busy(stripe).unwrap_or(BUSY);
        self.finish_late(&mut worker.core.borrow_mut(), |core, session, out| {
            match session.info.door {
                Door::Resp => out.error(words),
                Door::Memcached => out.raw(b"SERVER_ERROR a script holds this key for too long\r\n"),
            }
            core.counts.error(b"BUSY");
            core.observer.pass_over();
            session::queue::forget(core.handle.engine(), session.multi.take());
            session.show();
            Flow::Done
        })
    }

    fn give_up(&mut self) -> Flow {
        let worker = self.worker.clone();
        self.finish_late(&mut worker.core.borrow_mut(), |core, session, out| {
            match session.info.door {
                Door::Resp => out.error(&ProxyError::GateTimeout.to_string()),
                Door::Memcached => out.raw(b"SERVER_ERROR the slot was not served in time\r\n"),
            }
            core.counts.error(b"TRYAGAIN");
            core.observer.pass_over();
            // A transaction that could not run is over.
            session::queue::forget(core.handle.engine(), session.multi.take());
            session::watch::forget(core, session);
            Flow::Done
        })
    }
}
