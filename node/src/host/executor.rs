//! The control thread's one loop: hears the scaler, takes over maps and states, carries out what hand-overs ask.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use swell_engine::gate::Gate;
use swell_engine::stripe::stripe_of;
use swell_ring::{CacheState, Epoch, NodeId, SLOTS, Slot, SlotMap, all_slots};
use tokio::sync::mpsc;
use tokio::task::spawn_local;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::control::{FromMember, ToMember, Welcome};
use crate::embedded::Node;
use crate::host::Ended;
use crate::host::control_link::{self, Caller, NEWS_MAX, News, Outbox};
use crate::host::listen;
use crate::host::wire::Wire;
use crate::link::hello::Purpose;
use crate::link::socket::{Listener, Socket};
use crate::view::View;

/// Between two reports of a node's statistics.
pub const STATS_TICK: Duration = Duration::from_millis(200);

/// What the control thread knows.
pub struct Executor {
    node: Arc<Node>,
    view: Arc<View>,
    me: NodeId,
    is_embedded: bool,
    outbox: Rc<Outbox>,
    /// Since when the data of each slot is valid here.
    held_since: Box<[Option<Epoch>]>,
    map: SlotMap,
}

impl Executor {
    /// For a node that serves what its gates say now.
    pub fn new(node: Arc<Node>, view: Arc<View>, me: NodeId, is_embedded: bool, _workers: usize) -> Executor {
        Executor {
            node,
            view,
            me,
            is_embedded,
            outbox: Rc::default(),
            held_since: vec![None; SLOTS].into(),
            map: SlotMap::empty(),
        }
    }

    /// Runs until there is nothing more to do.
    pub async fn run(mut self, listener: Listener, caller: Caller, joined: Option<(Wire, Box<Welcome>)>) -> Ended {
        let (tell, mut news) = mpsc::channel(NEWS_MAX);
        let secret = caller.secret.clone();
        spawn_local(control_link::keep(caller, joined, self.outbox.clone(), tell));
        let links = Rc::new(RefCell::new(Vec::<(Purpose, Socket)>::new()));
        spawn_local(listen::accept(listener, secret, self.me, move |purpose, socket| {
            links.borrow_mut().push((purpose, socket));
        }));
        let mut stats = interval_at(Instant::now() + STATS_TICK, STATS_TICK);
        stats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let ended = tokio::select! {
                news = news.recv() => match news {
                    Some(news) => self.hear(news),
                    None => Some(Ended::Stopped),
                },
                _ = stats.tick() => {
                    self.outbox.say(&FromMember::Stats(Box::default()));
                    None
                }
            };
            if let Some(why) = ended {
                return why;
            }
        }
    }

    fn hear(&mut self, news: News) -> Option<Ended> {
        match news {
            News::Welcome(welcome) if welcome.id.is_some_and(|id| id != self.me) => {
                return self.refused(format!("it has another number now: {:?}", welcome.id));
            }
            News::Welcome(welcome) => {
                self.take_state(&welcome.state);
                self.take_map(&welcome.map);
                self.say_seen();
            }
            News::Refused(why) => return self.refused(why),
            News::Said(ToMember::Map(map)) => {
                self.take_map(&map);
                self.say_seen();
            }
            News::Said(ToMember::State(state)) => {
                self.take_state(&state);
                self.say_seen();
            }
            News::Said(ToMember::Leave) => return Some(Ended::Left),
            News::Said(_) => {}
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

    fn take_state(&mut self, state: &CacheState) {
        if state.version > self.view.state() {
            self.view.set_state(state.version);
        }
    }

    fn take_map(&mut self, map: &SlotMap) {
        if map.epoch() <= self.map.epoch() {
            return;
        }
        for slot in all_slots() {
            let mine = map.owner(slot) == Some(self.me);
            self.held_since[slot.index()] = mine.then(|| map.since(slot));
            self.set_gate(slot, if mine { Gate::Serving } else { Gate::Released });
        }
        self.map = map.clone();
        self.view.set_epoch(map.epoch().0);
    }

    fn set_gate(&self, slot: Slot, gate: Gate) {
        self.node.engine().stripe(stripe_of(slot)).set_gate(slot, gate);
    }
}
