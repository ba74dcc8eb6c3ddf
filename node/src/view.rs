//! What a node has seen of the slot map and the cache state: the numbers that frames are compared with.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Waker;

/// The newest epoch and state version that this node has taken over, and who waits for newer ones.
#[derive(Debug, Default)]
pub struct View {
    epoch: AtomicU64,
    state: AtomicU64,
    waiting: Mutex<Vec<Waker>>,
}

impl View {
    /// The newest slot map's epoch. Gates are as it says.
    #[inline]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The newest cache state's version.
    #[inline]
    pub fn state(&self) -> u64 {
        self.state.load(Ordering::Acquire)
    }

    /// The gates are as this map says; wakes all who wait.
    pub fn set_epoch(&self, epoch: u64) {
        self.epoch.store(epoch, Ordering::Release);
        self.wake();
    }

    /// The engine is as this state says; wakes all who wait.
    pub fn set_state(&self, version: u64) {
        self.state.store(version, Ordering::Release);
        self.wake();
    }

    /// Wakes `waker` at the next change. Look again after this call: the change may just have come.
    pub fn wait(&self, waker: &Waker) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(waker.clone());
    }

    fn wake(&self) {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().for_each(Waker::wake);
    }
}
