//! A client whose keys are on nodes that are reached over links: its requests go out in frames, and its replies come
//! back whenever they do.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use swell_engine::spec::Flags;
use swell_engine::stripe::Ticket;
use swell_node::link::frame::{CHUNK_BYTES, FRAME_REQUESTS_MAX};
use swell_wire::Args;

use super::late::LateState;
use super::{Client, Hold, Progress, Stop};
use crate::core::{Core, first_key};
use crate::plan::{Source, plan, value_bytes};
use crate::session::{Flow, remote};
use crate::upstream::encode;
use crate::upstream::flights::{Bill, Flights, Framing, WAIT_MAX};
use crate::upstream::job;

/// While a client has more unsent than this, its nodes send no more of a long reply.
const UNSENT_MAX: u64 = 1024 * 1024;
/// More than what an argument takes in a frame besides its bytes: `$65536` and two line ends.
const ARG_OVERHEAD_BYTES: usize = 16;

impl Client {
    /// Sends the requests of a batch from `from` on to their nodes; replies come later. What cannot run beside its
    /// neighbours waits until nothing else is under way.
    pub(super) fn run_routed(
        &mut self,
        core: &mut Core,
        source: &impl Source,
        from: usize,
        mut ticket: Option<Ticket>,
    ) -> Progress {
        let flights = self.take_seat();
        let lines = self.worker.lines();
        let mut index = from;
        let mut stop = None;
        self.session.pays(core);
        flights.borrow_mut().set_payer(self.session.payer());
        flights.borrow_mut().set_tracked(self.session.tracked());
        while index < source.count() && !self.session.closing {
            if !flights.borrow().has_room() {
                stop = Some((index, Stop::Hold(Hold::Room)));
                break;
            }
            if !flights.borrow_mut().may_follow(lines.map().epoch()) {
                flights.borrow_mut().close_frames(&lines);
                stop = Some((index, Stop::Hold(Hold::Quiet)));
                break;
            }
            core.planned.clear();
            core.keys.clear();
            if plan(core, &self.session, source, index) && self.submit(core, source, index, &flights, &lines) {
                self.show_to_monitors(core, source, index);
                index += 1;
                continue;
            }
            flights.borrow_mut().close_frames(&lines);
            if !flights.borrow().is_empty() {
                stop = Some((index, Stop::Hold(Hold::Quiet)));
                break;
            }
            core.out.append(flights.borrow_mut().ready());
            if let Flow::Late(late) = self.run_cut(core, source, index, ticket.take()) {
                stop = Some((index, Stop::Late(late)));
                break;
            }
            self.session.pays(core);
            flights.borrow_mut().set_payer(self.session.payer());
            flights.borrow_mut().set_tracked(self.session.tracked());
            index += 1;
        }
        flights.borrow_mut().close_frames(&lines);
        Progress { late: stop }
    }

    /// Shows the request that was just planned and sent to whoever monitors.
    #[inline]
    fn show_to_monitors(&self, core: &Core, source: &impl Source, index: usize) {
        if core.observer.is_monitored
            && let (Some(planned), Some(args)) = (core.planned.first(), source.args(index))
        {
            core.show_to_monitors(&self.session, planned.command, args);
        }
    }

    /// Sends one planned request. False: it has to run alone.
    #[inline]
    fn submit(
        &mut self,
        core: &mut Core,
        source: &impl Source,
        index: usize,
        flights: &Rc<RefCell<Flights>>,
        lines: &crate::upstream::Lines,
    ) -> bool {
        let (Some(planned), Some(args)) = (core.planned.first().copied(), source.args(index)) else { return false };
        let (command, keys) = (planned.command, &core.keys[..]);
        if command.spec.flags.has(Flags::BLOCKING) {
            return false;
        }
        let Some(first) = keys.first() else { return false };
        let is_one = remote::one_slot(keys);
        if !is_one && (core.shared.route.is_strict() || lines.links().len() > 1) && !remote::is_split(command.spec) {
            return false;
        }
        // One that is not known here is refused where it runs alone.
        let Ok(script) = remote::script_request(core, command.spec, args) else { return false };
        let verbatim = source.verbatim(index).filter(|_| script.is_none());
        // What is longer than a chunk goes alone, in chunks; a split into many parts goes alone, some at a time.
        let sent = script.as_ref().map_or(args, swell_wire::OwnedArgs::as_args);
        let bytes = verbatim.map_or_else(|| frame_bytes(sent), <[u8]>::len);
        if bytes > CHUNK_BYTES || !is_one && keys.len() > FRAME_REQUESTS_MAX {
            return false;
        }
        let framing = self.framing(core, lines);
        let noreply = source.noreply(index);
        let prefix = core.meter.prefix_of(|| first_key(args, keys));
        let bill = Bill { value_bytes: value_bytes(command.spec, args), prefix };
        let mut flights = flights.borrow_mut();
        if is_one || !remote::is_split(command.spec) {
            flights.submit(lines, &framing, command, bill, noreply, first.slot, |out| match verbatim {
                Some(bytes) => out.extend_from_slice(bytes),
                None => encode::args(sent, out),
            });
            return true;
        }
        flights.set_proto(self.session.proto);
        flights.submit_join(command, bill, noreply, keys.len(), first.slot);
        for key in keys {
            flights.submit_part(lines, &framing, command, key.slot, |out| remote::part(args, keys, key, out));
        }
        true
    }

    #[inline]
    fn framing(&self, core: &Core, lines: &crate::upstream::Lines) -> Framing {
        Framing { epoch: lines.map().epoch().0, ..remote::framing(core, &self.session) }
    }

    /// This client's number on the links.
    pub(super) fn take_seat(&mut self) -> Rc<RefCell<Flights>> {
        self.flights.get_or_insert_with(|| self.worker.upstreams.take_seat()).clone()
    }

    /// Takes what has come, and sends what was refused again. True: nothing is under way.
    pub(super) fn poll_flights(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(flights) = self.flights.clone() else { return true };
        flights.borrow_mut().set_waker(cx.waker());
        self.poll_refused(&flights, cx);
        if !flights.borrow_mut().ready().is_empty() {
            self.collect(&flights);
        }
        if self.unsent_bytes() < UNSENT_MAX {
            flights.borrow_mut().grant();
        }
        flights.borrow().is_empty()
    }

    /// Whether so much was unsent that nodes were told nothing, and no longer is.
    pub(super) fn has_room_again(&self, before: u64) -> bool {
        before >= UNSENT_MAX && self.unsent_bytes() < UNSENT_MAX
    }

    /// Sends what has come to the client.
    fn collect(&mut self, flights: &Rc<RefCell<Flights>>) {
        let worker = self.worker.clone();
        let mut core = worker.core.borrow_mut();
        core.out.clear();
        flights.borrow_mut().take_ready(&mut core.out);
        self.send(&mut core);
        core.out.clear();
    }

    /// What was refused goes again once a newer map or a link may help; after two seconds its client reads why not.
    fn poll_refused(&mut self, flights: &Rc<RefCell<Flights>>, cx: &mut Context<'_>) {
        loop {
            let (since, need) = (flights.borrow().stuck_since(), flights.borrow().need());
            let Some(since) = since else {
                self.deadline = None;
                return;
            };
            let worker = self.worker.clone();
            let lines = worker.lines();
            if since.elapsed() >= WAIT_MAX {
                flights.borrow_mut().give_up(&mut worker.core.borrow_mut(), &lines);
                continue;
            }
            worker.upstreams.wait_for_change(flights.borrow().session(), cx.waker());
            if worker.shared.route.has_seen(need.epoch, need.state) {
                let framing = self.framing(&worker.core.borrow(), &lines);
                flights.borrow_mut().send_again(&lines, &framing);
                if flights.borrow().stuck_since().is_none() {
                    continue;
                }
            }
            let deadline = self.deadline.get_or_insert_with(|| {
                let left = WAIT_MAX.saturating_sub(Instant::now().saturating_duration_since(since));
                Box::pin(tokio::time::sleep(left))
            });
            match deadline.as_mut().poll(cx) {
                Poll::Ready(()) => self.deadline = None,
                Poll::Pending => return,
            }
        }
    }

    /// Whether what the backlog waits for is there.
    pub(super) fn may_go_on(&mut self) -> bool {
        let Some(hold) = self.hold else { return true };
        let is_there = self.flights.as_ref().is_none_or(|flights| match hold {
            Hold::Room => flights.borrow().has_room(),
            Hold::Quiet => flights.borrow().is_empty(),
        });
        if is_there {
            self.hold = None;
        }
        is_there
    }

    /// Whether a reply broke off in the middle, so that nothing sensible can follow.
    pub(super) fn is_torn(&self) -> bool {
        self.flights.as_ref().is_some_and(|flights| flights.borrow().is_torn())
    }

    /// Begins what the client waits for by itself.
    pub(super) fn begin_job(&mut self, remote: remote::Remote) -> LateState {
        let flights = self.take_seat();
        flights.borrow_mut().set_tracked(self.session.tracked());
        flights.borrow().note_read();
        let framing = {
            let (worker, mut framing) = (self.worker.clone(), Framing::default());
            framing.db = self.session.db.number();
            framing.flags = self.session.take_job_flags();
            move || {
                let route = &worker.shared.route;
                Framing { epoch: worker.lines().map().epoch().0, state: route.state_version(), ..framing }
            }
        };
        self.session.wait = remote.job.wait();
        let running = job::start(self.worker.clone(), flights, framing, self.session.proto, remote.job);
        LateState::Remote(running, remote.finish)
    }
}

/// Most bytes that a request takes in a frame.
fn frame_bytes(args: Args<'_>) -> usize {
    args.payload_bytes() + args.len() * ARG_OVERHEAD_BYTES
}
