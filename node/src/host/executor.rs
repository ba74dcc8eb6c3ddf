//! The control thread's one loop: hears the scaler, lets the step functions decide, does what they say.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use swell_engine::gate::Gate;
use swell_engine::stripe::stripe_of;
use swell_ring::{CacheState, Epoch, NodeId, SLOTS, Slot, SlotMap, SlotSet, all_slots};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_local, yield_now};
use tokio::time::{Instant, sleep_until};

use crate::control::{FromMember, NodeStats, ToMember, Welcome};
use crate::embedded::{Handle, Node};
use crate::handover::action::Action;
use crate::handover::local::{Input, Local};
use crate::handover::message::{FromTarget, HandoverId, TargetPhase};
use crate::handover::{source, target};
use crate::host::control_link::{self, Caller, NEWS_MAX, News, Outbox};
use crate::host::pace::SEALED_TICK;
use crate::host::wire::Wire;
use crate::host::workers::Workers;
use crate::host::{Ended, incoming, listen, outgoing};
use crate::link::hello::Purpose;
use crate::link::socket::Listener;
use crate::view::View;
use crate::worker::unix_ns;

/// Between two reports of a node's statistics while something changes ...
pub const STATS_TICK: Duration = Duration::from_millis(200);
/// ... and while nothing does: an idle process is not woken for its own sake.
pub const STATS_IDLE_TICK: Duration = Duration::from_secs(5);
/// How long a node that leaves still answers: requests that were under way to it read that their slots have moved.
pub const LEAVE_WAIT: Duration = Duration::from_millis(500);
/// What streams report, and may wait to be heard.
const INPUTS_MAX: usize = 256;
/// Streams that have arrived, and that have not said what for or have not been looked at.
const ARRIVALS_MAX: usize = 64;
/// Entries of dropped slots freed at once: some hundred microseconds' work.
const FREED_PER_SLICE: u64 = 256;

/// What the control thread knows.
pub struct Executor {
    node: Arc<Node>,
    view: Arc<View>,
    me: NodeId,
    /// The node of `swell serve` before it has seen its first map: it serves everything.
    is_founding: bool,
    is_embedded: bool,
    /// This thread's way into the engine for streams, which use it in turns.
    handle: Rc<RefCell<Handle>>,
    /// Another for what is dropped: whoever frees through `handle` need not free all of that first.
    dropping: Handle,
    local: Local,
    secret: String,
    outbox: Rc<Outbox>,
    outgoing: outgoing::Streams,
    incoming: incoming::Streams,
    workers: Rc<RefCell<Workers>>,
    started: Instant,
    has_garbage: bool,
    /// When the next slice of it may be freed: freeing keeps to the pace of the copies.
    free_at: Instant,
    /// What actions have brought about: the next steps.
    next: VecDeque<Input>,
}

impl Executor {
    /// For a node that serves nothing, or (embedded) everything.
    pub fn new(node: Arc<Node>, view: Arc<View>, me: NodeId, is_embedded: bool, workers: Workers) -> Executor {
        let handle = Rc::new(RefCell::new(node.handle(u64::from(me.0))));
        Executor {
            view,
            me,
            is_founding: is_embedded,
            is_embedded,
            handle,
            dropping: node.handle(!u64::from(me.0)),
            local: Local::new(me),
            secret: String::new(),
            outbox: Rc::default(),
            outgoing: outgoing::Streams::default(),
            incoming: incoming::Streams::default(),
            workers: Rc::new(RefCell::new(workers)),
            started: Instant::now(),
            has_garbage: false,
            free_at: Instant::now(),
            next: VecDeque::new(),
            node,
        }
    }

    /// Runs until there is nothing more to do.
    pub async fn run(mut self, listener: Listener, caller: Caller, joined: Option<(Wire, Box<Welcome>)>) -> Ended {
        let ((tell, mut news), (report, mut inputs)) = (mpsc::channel(NEWS_MAX), mpsc::channel(INPUTS_MAX));
        let (arrive, mut arrivals) = mpsc::channel(ARRIVALS_MAX);
        self.secret = caller.secret.clone();
        let door = self.listen(listener, arrive);
        spawn_local(control_link::keep(caller, joined, self.outbox.clone(), tell));
        let (mut said, mut has_news, mut leaving) = (Instant::now(), true, None);
        let node = self.node.clone();
        loop {
            has_news |= self.is_active();
            if self.is_active() || !self.outgoing.is_empty() {
                node.note_moving(unix_ns() / 1_000_000);
            }
            let stats_due = said + if has_news { STATS_TICK } else { STATS_IDLE_TICK };
            tokio::select! {
                biased;
                () = until(self.deadline()) => self.step(Input::Tick, &report),
                Some(input) = inputs.recv() => self.step(input, &report),
                news = news.recv() => match news.map(|news| self.hear(news, &report)) {
                    Some(None) => {}
                    Some(Some(Ended::Left)) => {
                        door.abort();
                        leaving.get_or_insert(Instant::now() + LEAVE_WAIT);
                    }
                    Some(Some(why)) => return why,
                    None => return Ended::Stopped,
                },
                () = until(leaving) => return Ended::Left,
                Some((id, wire)) = arrivals.recv() => self.receive(id, wire, &report),
                () = sleep_until(stats_due) => {
                    (said, has_news) = (Instant::now(), false);
                    self.say_stats();
                }
                () = node.has_changed(), if !has_news => has_news = true,
                () = rest_until(self.free_at), if self.has_garbage => self.free_some(),
            }
        }
    }

    /// Opens the door: links for sessions go to the workers, streams come here.
    fn listen(&self, listener: Listener, arrive: mpsc::Sender<(HandoverId, Wire)>) -> JoinHandle<()> {
        let workers = self.workers.clone();
        let welcome = move |purpose, socket| match purpose {
            Purpose::Stream => match arrive.clone().try_reserve_owned() {
                Ok(place) => drop(spawn_local(incoming::begin(Wire::new(socket), place))),
                Err(_) => tracing::warn!("a stream was closed: {ARRIVALS_MAX} others begin just now"),
            },
            _ => workers.borrow_mut().give(socket),
        };
        spawn_local(listen::accept(listener, self.secret.clone(), self.me, welcome))
    }

    fn hear(&mut self, news: News, report: &mpsc::Sender<Input>) -> Option<Ended> {
        match news {
            News::Welcome(welcome) if welcome.id != Some(self.me) => {
                return self.refused(format!("it calls this node {:?} now", welcome.id));
            }
            News::Welcome(welcome) => {
                self.take_state(&welcome.state);
                self.take_map(welcome.map, report);
            }
            News::Refused(why) => return self.refused(why),
            News::Said(ToMember::Map(map)) => self.take_map(map, report),
            News::Said(ToMember::State(state)) => {
                self.take_state(&state);
                self.say_seen();
            }
            News::Said(ToMember::Source(message)) => self.step(message.into(), report),
            News::Said(ToMember::Target(message)) => self.step(message.into(), report),
            News::Said(ToMember::Leave) => return Some(Ended::Left),
            News::Said(other) => tracing::debug!(?other, "the scaler says what a node has no use for"),
        }
        None
    }

    fn refused(&self, why: String) -> Option<Ended> {
        tracing::error!(why, "the scaler does not take this node back");
        (!self.is_embedded).then_some(Ended::Refused(why))
    }

    fn say_seen(&self) {
        self.outbox.say(&FromMember::Seen { epoch: Epoch(self.view.epoch()), state: self.view.state() });
    }

    fn say_stats(&mut self) {
        let is_active = self.is_active();
        for handle in [&mut *self.handle.borrow_mut(), &mut self.dropping] {
            handle.report();
            handle.trim_if_idle(is_active);
        }
        self.outbox.say(&FromMember::Stats(Box::new(NodeStats::of(&self.node, true))));
    }

    /// Whether slots come in or are being freed.
    fn is_active(&self) -> bool {
        !self.incoming.is_empty() || self.has_garbage
    }

    fn take_state(&mut self, state: &CacheState) {
        if state.version <= self.view.state() {
            return;
        }
        // One that does not fit changes nothing, and is announced all the same: else every request would wait for it.
        if let Err(error) = self.node.engine().apply_state(state) {
            tracing::error!(%error, "a cache state that this node cannot take over");
        }
        self.view.set_state(state.version);
    }

    fn take_map(&mut self, map: SlotMap, report: &mpsc::Sender<Input>) {
        if std::mem::take(&mut self.is_founding) {
            return self.take_first_map(map, report);
        }
        self.step(Input::Map(map), report);
    }

    /// The node of `swell serve` has served everything so far: what is its own it keeps with its data.
    fn take_first_map(&mut self, map: SlotMap, report: &mpsc::Sender<Input>) {
        let others = all_slots().filter(|slot| map.owner(*slot) != Some(self.me)).collect();
        self.free(&others);
        let actions = self.local.step(self.now_ms(), Input::Map(map));
        for action in actions {
            match action {
                Action::ServeEmpty { .. } => {}
                action => self.act(action, report),
            }
        }
        self.settle_share(self.has_garbage);
    }

    fn step(&mut self, input: Input, report: &mpsc::Sender<Input>) {
        self.next.push_back(input);
        while let Some(input) = self.next.pop_front() {
            let actions = self.local.step(self.now_ms(), input);
            // What comes in finds room; what goes has to be freed first.
            self.settle_share(true);
            actions.into_iter().for_each(|action| self.act(action, report));
        }
        if !self.local.source().is_leaving() {
            self.node.broker().set_moving(false);
        }
        self.settle_share(self.has_garbage);
    }

    /// The engine may hold as much of the cache's maximum as this node has slots, those that are coming in included: they
    /// bring their data along. The share does not shrink before the slots that went are freed, lest others be evicted.
    fn settle_share(&self, only_grows: bool) {
        let (settings, owned) = (self.node.engine().settings(), self.local.ownership().owned());
        let mut slots = owned.clone();
        if !owned.is_empty() {
            slots.add(&self.local.target().slots());
        }
        let share = if slots.is_empty() { SLOTS } else { slots.len() };
        if share >= settings.maxmemory_slots() || !only_grows {
            settings.set_maxmemory_slots(share);
        }
    }

    fn act(&mut self, action: Action, report: &mpsc::Sender<Input>) {
        match action {
            Action::StartCopy { group, target_address, bytes_per_second_max } => {
                let job = outgoing::Job { group, target_address, bytes_per_second_max, secret: self.secret.clone() };
                let id = job.group.id;
                if let Err(why) = self.outgoing.start(job, &self.node, report) {
                    self.next.push_back(source::Input::StreamBroken { id, why }.into());
                }
            }
            Action::Seal { id, .. } => {
                self.node.broker().set_moving(true);
                if let Err(why) = self.outgoing.seal(id) {
                    self.next.push_back(source::Input::StreamBroken { id, why }.into());
                }
            }
            Action::StopStream { id } => self.outgoing.stop(id),
            Action::Prepare { group } => {
                self.free(&group.slots);
                self.incoming.prepare(&group, &mut self.handle.borrow_mut());
                self.next.push_back(target::Input::Prepared { id: group.id }.into());
            }
            Action::Abandon { id, slots } => {
                self.incoming.stop(id);
                self.free(&slots);
            }
            Action::Serve { slots } => self.set_gates(&slots, Gate::Serving),
            Action::ServeEmpty { slots } => {
                self.drop_slots(&slots);
                self.set_gates(&slots, Gate::Serving);
            }
            Action::Release { slots } => self.set_gates(&slots, Gate::Released),
            Action::Free { slots } => self.free(&slots),
            Action::Source(message) => self.outbox.say(&FromMember::Source(message)),
            Action::Target(message) => self.say_target(message),
            Action::Seen(epoch) => {
                if epoch.0 > self.view.epoch() {
                    self.view.set_epoch(epoch.0);
                }
                self.say_seen();
            }
        }
    }

    fn say_target(&mut self, message: FromTarget) {
        if let FromTarget::Is { id, phase: TargetPhase::Serving } = &message {
            self.incoming.stop(*id);
            self.has_garbage = true;
        }
        self.outbox.say(&FromMember::Target(message));
    }

    /// A stream has come for this attempt: welcome only while the slots wait for it.
    fn receive(&mut self, id: HandoverId, wire: Wire, report: &mpsc::Sender<Input>) {
        if self.local.target().awaits(id) {
            self.incoming.start(id, wire, &self.handle, report);
        } else {
            tracing::warn!(id = id.0, "a stream for a hand-over that is not expected");
        }
    }

    fn free(&mut self, slots: &SlotSet) {
        self.set_gates(slots, Gate::Released);
        self.drop_slots(slots);
    }

    /// Takes the slots' keys away; they are freed later, in slices.
    fn drop_slots(&mut self, slots: &SlotSet) {
        let (engine, local) = self.dropping.parts();
        for slot in slots.iter() {
            engine.drop_slot(local, slot);
        }
        self.has_garbage = true;
    }

    fn free_some(&mut self) {
        let (began, pace) = (Instant::now(), self.outgoing.pace());
        if pace.is_sealed(began) {
            self.free_at = began + SEALED_TICK;
            return;
        }
        let (engine, local) = self.dropping.parts();
        self.has_garbage = engine.free_garbage(local, FREED_PER_SLICE);
        if !self.has_garbage {
            // What a stream has overwritten or deleted, if that was large.
            let mut handle = self.handle.borrow_mut();
            let (engine, local) = handle.parts();
            self.has_garbage = engine.free_garbage(local, FREED_PER_SLICE);
        }
        let now = Instant::now();
        self.free_at = now + pace.worked(began, now);
        if !self.has_garbage {
            self.settle_share(false);
        }
    }

    fn set_gates(&self, slots: &SlotSet, gate: Gate) {
        let engine = self.node.engine();
        slots.iter().for_each(|slot: Slot| engine.stripe(stripe_of(slot)).set_gate(slot, gate));
    }

    /// Milliseconds on a clock that never goes back.
    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    fn deadline(&self) -> Option<Instant> {
        self.local.deadline_ms().map(|ms| self.started + Duration::from_millis(ms))
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Lets the thread's other tasks have their turn, and waits.
async fn rest_until(deadline: Instant) {
    yield_now().await;
    sleep_until(deadline).await;
}

/// What a stream tells the source's or the target's step function. The loop listens for as long as streams run.
pub async fn tell(report: &mpsc::Sender<Input>, input: impl Into<Input>) {
    let _ = report.send(input.into()).await;
}

impl From<source::Input> for Input {
    fn from(input: source::Input) -> Input {
        Input::Source(input)
    }
}

impl From<target::Input> for Input {
    fn from(input: target::Input) -> Input {
        Input::Target(input)
    }
}
