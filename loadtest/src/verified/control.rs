//! What steers a running load from another thread, and what it shows of itself meanwhile.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::mix::{Aim, Draw};
use super::model::Killed;
use super::record::{Second, Tally};

/// When requests leave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// So many per second, evenly, whatever becomes of the earlier ones.
    Open(f64),
    /// A new one for each that is answered; so many are under way.
    Closed(usize),
    /// None.
    Rest,
}

/// What the load is to do now.
#[derive(Debug, Clone)]
pub struct Orders {
    pub pace: Pace,
    pub aim: Aim,
    /// Latencies are kept apart by stage: a small number.
    pub stage: usize,
    pub stop: bool,
}

/// What the load has done until now.
#[derive(Debug, Clone, Default)]
pub struct Done {
    pub seconds: Vec<Second>,
    pub tally: Tally,
    pub keys: u64,
    pub under_way: usize,
    /// Until when, in seconds since the load began.
    pub at_s: f64,
}

/// Shared by the load and whoever steers it.
#[derive(Debug)]
pub struct Control {
    orders: Mutex<Orders>,
    killed: Mutex<Vec<Killed>>,
    done: Mutex<Done>,
}

impl Control {
    pub fn new(pace: Pace, aim: Aim) -> Control {
        let orders = Orders { pace, aim, stage: 0, stop: false };
        Control { orders: Mutex::new(orders), killed: Mutex::default(), done: Mutex::default() }
    }

    pub fn orders(&self) -> Orders {
        locked(&self.orders).clone()
    }

    pub fn set_pace(&self, pace: Pace) {
        locked(&self.orders).pace = pace;
    }

    pub fn set_keys(&self, keys: u64, fill_share: f64) {
        let mut orders = locked(&self.orders);
        (orders.aim.keys, orders.aim.fill_share) = (keys, fill_share);
    }

    pub fn set_draw(&self, draw: Draw) {
        locked(&self.orders).aim.draw = draw;
    }

    pub fn set_stage(&self, stage: usize) {
        locked(&self.orders).stage = stage;
    }

    /// The load waits for the last replies and ends.
    pub fn stop(&self) {
        locked(&self.orders).stop = true;
    }

    /// A node is being killed on purpose.
    pub fn kill(&self, killed: Killed) {
        locked(&self.killed).push(killed);
    }

    /// The kills that the load has not heard of yet.
    pub fn take_killed(&self) -> Vec<Killed> {
        std::mem::take(&mut *locked(&self.killed))
    }

    pub fn done(&self) -> Done {
        locked(&self.done).clone()
    }

    /// For the load: changes what it shows.
    pub fn show(&self, change: impl FnOnce(&mut Done)) {
        change(&mut locked(&self.done));
    }
}

/// Nobody leaves these half changed, so a panic elsewhere does no harm.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
