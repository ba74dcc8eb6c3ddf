//! What a proxy has used and the ledger's writer has not confirmed. No I/O, no clock.

use std::collections::BTreeMap;

use swell_engine::commands::table::tables;

use super::{Charge, MINUTE_MS, Minute, Stored};
use crate::counters::Usage;
use crate::label;
use crate::ledger::Totals;
use crate::parts::Parts;

/// Minutes that are kept apart while nobody takes charges; then the oldest two become one, and nothing is lost.
pub const MINUTES_MAX: usize = 180;
/// Minutes in one charge: what they say of every command and of all names has to fit into a link's frame.
pub const CHARGE_MINUTES_MAX: usize = 8;

/// A proxy's spool. At most one charge is under way; what comes meanwhile adds up.
#[derive(Debug)]
pub struct Spool {
    proxy: String,
    boot: String,
    counts_stored: bool,
    /// As of the last observation, by the commands' numbers.
    seen: Box<[Usage]>,
    seen_byte_ms: u128,
    seen_at_ms: Option<u64>,
    waiting: BTreeMap<u64, Waiting>,
    under_way: Option<Charge>,
    sequence: u64,
}

#[derive(Debug, Default)]
struct Waiting {
    commands: BTreeMap<usize, Usage>,
    parts: Parts,
    stored: Stored,
}

impl Spool {
    /// An empty one. `boot` must differ from start to start. `counts_stored`: whether stored bytes are this proxy's to
    /// tell; of all proxies of a cache one tells them.
    pub fn new(proxy: &str, boot: &str, counts_stored: bool) -> Spool {
        Spool {
            proxy: proxy.to_owned(),
            boot: boot.to_owned(),
            counts_stored,
            seen: vec![Usage::default(); tables().len()].into(),
            seen_byte_ms: 0,
            seen_at_ms: None,
            waiting: BTreeMap::new(),
            under_way: None,
            sequence: 0,
        }
    }

    /// Takes over what was used since the last observation: what the same [`crate::Ledger::take`] has given each time.
    pub fn observe(&mut self, (totals, parts): (Totals, Parts)) {
        let mut more = Waiting { parts, ..Waiting::default() };
        for (command, usage) in totals.commands() {
            let Some(seen) = self.seen.get_mut(command.id.0 as usize) else { continue };
            let since = usage.since(seen);
            if since != Usage::default() {
                more.commands.insert(command.id.0 as usize, since);
                *seen = usage;
            }
        }
        if self.counts_stored {
            let from_ms = self.seen_at_ms.unwrap_or(totals.from_ms);
            let byte_ms = totals.stored_byte_ms.saturating_sub(self.seen_byte_ms);
            more.stored = Stored { byte_ms: byte_ms as f64, ms: totals.to_ms.saturating_sub(from_ms) };
            (self.seen_byte_ms, self.seen_at_ms) = (totals.stored_byte_ms, Some(totals.to_ms.max(from_ms)));
        }
        if more.commands.is_empty() && more.stored.ms == 0 {
            return;
        }
        self.waiting.entry(totals.to_ms / MINUTE_MS).or_default().add(&more);
        while self.waiting.len() > MINUTES_MAX
            && let Some((_, oldest)) = self.waiting.pop_first()
            && let Some(mut next) = self.waiting.first_entry()
        {
            next.get_mut().add(&oldest);
        }
    }

    /// The charge to be stored now: the one under way, until it is confirmed, else the next. None: all is stored.
    pub fn charge(&mut self) -> Option<&Charge> {
        if self.under_way.is_none() && !self.waiting.is_empty() {
            let names: Vec<String> = tables().iter().map(label).collect();
            let take = self.waiting.len().min(CHARGE_MINUTES_MAX);
            let minutes = std::iter::from_fn(|| self.waiting.pop_first()).take(take);
            let minutes = minutes.map(|(at, waiting)| waiting.named(at, &names)).collect();
            self.sequence += 1;
            let (proxy, boot) = (self.proxy.clone(), self.boot.clone());
            self.under_way = Some(Charge { proxy, boot, sequence: self.sequence, minutes });
        }
        self.under_way.as_ref()
    }

    /// The ledger's writer has stored this charge durably.
    pub fn confirmed(&mut self, boot: &str, sequence: u64) {
        if boot == self.boot && self.under_way.as_ref().is_some_and(|charge| charge.sequence == sequence) {
            self.under_way = None;
        }
    }

    /// Whether everything observed is stored.
    pub fn is_empty(&self) -> bool {
        self.under_way.is_none() && self.waiting.is_empty()
    }

    /// Thousandths of an ECPU that are not stored yet.
    pub fn ecpu_milli(&self) -> u64 {
        let waiting = self.waiting.values().flat_map(|minute| minute.commands.values());
        let under_way = self.under_way.iter().flat_map(|charge| &charge.minutes).flat_map(|minute| &minute.commands);
        waiting.chain(under_way.map(|(_, usage)| usage)).map(|usage| usage.ecpu_milli).sum()
    }
}

impl Waiting {
    fn add(&mut self, more: &Waiting) {
        for (command, usage) in &more.commands {
            self.commands.entry(*command).or_default().add(usage);
        }
        self.parts.merge(&more.parts);
        self.stored.add(&more.stored);
    }

    fn named(self, at: u64, names: &[String]) -> Minute {
        let commands = self.commands.into_iter().filter_map(|(id, usage)| Some((names.get(id)?.clone(), usage)));
        let parts = self.parts.into_dearest_first();
        Minute { at, commands: commands.collect(), parts, stored: self.stored }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Counters, Ledger, Profile, Tariff};

    fn get(ledger: &Ledger, calls: u64) {
        let (tariff, mut counters) = (Tariff::new(Profile::Elasticache), Counters::new());
        let id = tables().resp.by_name(b"get").unwrap().id;
        for _ in 0..calls {
            counters.charge(&tariff, id, 0, 0, 1, false);
        }
        counters.drain_into(ledger);
    }

    fn calls(charge: &Charge) -> u64 {
        charge.minutes.iter().flat_map(|minute| &minute.commands).map(|(_, usage)| usage.calls).sum()
    }

    #[test]
    fn a_charge_stays_as_it_is_until_it_is_confirmed() {
        let (ledger, mut spool) = (Ledger::new(0, 0), Spool::new("p", "b", false));
        assert!(spool.charge().is_none() && spool.is_empty());
        get(&ledger, 3);
        spool.observe(ledger.take(10));
        let first = spool.charge().unwrap().clone();
        assert_eq!((first.sequence, calls(&first)), (1, 3));
        get(&ledger, 4);
        spool.observe(ledger.take(20));
        assert_eq!(spool.charge(), Some(&first));
        assert_eq!(spool.ecpu_milli(), 7000);
        spool.confirmed("another", 1);
        spool.confirmed("b", 2);
        assert_eq!(spool.charge(), Some(&first));
        spool.confirmed("b", 1);
        let second = spool.charge().unwrap();
        assert_eq!((second.sequence, calls(second)), (2, 4));
        spool.confirmed("b", 2);
        assert!(spool.is_empty());
    }

    #[test]
    fn minutes_are_bounded_and_nothing_is_lost() {
        let (ledger, mut spool) = (Ledger::new(0, 0), Spool::new("p", "b", true));
        ledger.observe_stored(10, 0);
        let minutes = MINUTES_MAX as u64 * 3;
        for minute in 0..minutes {
            get(&ledger, 1);
            spool.observe(ledger.take(minute * MINUTE_MS + 1));
        }
        assert_eq!(spool.waiting.len(), MINUTES_MAX);
        let (mut sum, mut stored) = (0, Stored::default());
        while let Some(charge) = spool.charge() {
            assert!(charge.minutes.len() <= CHARGE_MINUTES_MAX);
            sum += calls(charge);
            charge.minutes.iter().for_each(|minute| stored.add(&minute.stored));
            let sequence = charge.sequence;
            spool.confirmed("b", sequence);
        }
        let ms = (minutes - 1) * MINUTE_MS + 1;
        assert_eq!((sum, stored), (minutes, Stored { byte_ms: 10.0 * ms as f64, ms }));
    }
}
