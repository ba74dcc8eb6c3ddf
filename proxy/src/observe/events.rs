//! LATENCY's time series: the last samples of every kind of event that took too long.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// Samples of one kind that are kept (Valkey: `LATENCY_TS_LEN`).
pub const SAMPLES_MAX: usize = 160;

/// What took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    Command,
    /// A command that is said to be fast.
    FastCommand,
    /// A turn of upkeep: expiry, and eviction that writes have left behind.
    ExpireCycle,
}

impl Event {
    /// As LATENCY names it.
    pub fn name(self) -> &'static str {
        match self {
            Event::Command => "command",
            Event::FastCommand => "fast-command",
            Event::ExpireCycle => "expire-cycle",
        }
    }
}

/// All time series.
#[derive(Debug, Default)]
pub struct Events(Mutex<BTreeMap<Event, Series>>);

/// The samples of one kind, the oldest first: unix seconds and milliseconds. Of one second the worst is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    pub samples: VecDeque<(u64, u64)>,
    /// The worst since the last reset, milliseconds.
    pub worst_ms: u64,
    pub sum_ms: u64,
    pub count: u64,
}

impl Events {
    /// Something took so many milliseconds.
    pub fn add(&self, event: Event, unix_seconds: u64, ms: u64) {
        self.lock().entry(event).or_default().add(unix_seconds, ms);
    }

    /// All kinds that have samples.
    pub fn all(&self) -> BTreeMap<Event, Series> {
        self.lock().clone()
    }

    /// Forgets the named kinds, or with no names all; says how many there were.
    pub fn reset(&self, names: &[&[u8]]) -> usize {
        let mut series = self.lock();
        let before = series.len();
        series.retain(|event, _| {
            !names.is_empty() && !names.iter().any(|name| name.eq_ignore_ascii_case(event.name().as_bytes()))
        });
        before - series.len()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Event, Series>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Series {
    fn add(&mut self, unix_seconds: u64, ms: u64) {
        self.worst_ms = self.worst_ms.max(ms);
        self.sum_ms += ms;
        self.count += 1;
        match self.samples.back_mut() {
            Some((at, worst)) if *at == unix_seconds => *worst = (*worst).max(ms),
            _ => self.samples.push_back((unix_seconds, ms)),
        }
        if self.samples.len() > SAMPLES_MAX {
            self.samples.pop_front();
        }
    }

    /// Takes in what another proxy has seen.
    pub fn merge(&mut self, other: &Series) {
        let mut by_second: BTreeMap<u64, u64> = self.samples.iter().copied().collect();
        for (at, ms) in &other.samples {
            by_second.entry(*at).and_modify(|worst| *worst = (*worst).max(*ms)).or_insert(*ms);
        }
        let too_many = by_second.len().saturating_sub(SAMPLES_MAX);
        self.samples = by_second.into_iter().skip(too_many).collect();
        self.worst_ms = self.worst_ms.max(other.worst_ms);
        self.sum_ms += other.sum_ms;
        self.count += other.count;
    }

    /// The best and the worst of the samples, milliseconds.
    pub fn range(&self) -> (u64, u64) {
        let all = || self.samples.iter().map(|(_, ms)| *ms);
        (all().min().unwrap_or(0), all().max().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_one_second_the_worst_is_kept_and_old_ones_go() {
        let events = Events::default();
        for (at, ms) in [(1, 10), (1, 30), (1, 20)] {
            events.add(Event::Command, at, ms);
        }
        let series = events.all().remove(&Event::Command).unwrap();
        assert_eq!((series.samples.len(), series.samples[0], series.sum_ms, series.count), (1, (1, 30), 60, 3));
        (0..500).for_each(|at| events.add(Event::Command, at, 5));
        let series = events.all().remove(&Event::Command).unwrap();
        assert_eq!((series.samples.len(), series.range(), series.worst_ms), (SAMPLES_MAX, (5, 5), 30));
        assert_eq!(events.reset(&[b"nosuch"]), 0);
        assert_eq!(events.reset(&[b"Command"]), 1);
        assert!(events.all().is_empty());
    }
}
