//! What one worker has charged since its last drain: plain rows, no atomics.

use serde::{Deserialize, Serialize};
use swell_engine::commands::table::tables;
use swell_engine::spec::CommandId;

use crate::ledger::Ledger;
use crate::parts::Parts;
use crate::payers::{Payer, Payers};
use crate::prefixes::{Prefix, Prefixes};
use crate::price::Tariff;

/// Usage of one command. All fields only grow between drains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Client commands, failed ones included.
    pub calls: u64,
    /// Those that were answered with an error.
    pub failed: u64,
    /// Price in thousandths of an ECPU.
    pub ecpu_milli: u64,
    /// Bytes of values that clients sent; keys and framing are not counted.
    pub bytes_in: u64,
    /// Bytes of data in replies.
    pub bytes_out: u64,
    /// Logical work as the engine counts it.
    pub work: u64,
}

/// A worker's own usage, by command, by payer and, where it is wanted, by key prefix.
#[derive(Debug)]
pub struct Counters {
    rows: Box<[Usage]>,
    payers: Payers,
    prefixes: Option<Prefixes>,
    /// The prefix of the next command that is charged.
    prefix: Prefix,
}

impl Default for Counters {
    fn default() -> Self {
        Counters::new()
    }
}

impl Usage {
    /// Adds another usage.
    pub fn add(&mut self, more: &Usage) {
        self.calls += more.calls;
        self.failed += more.failed;
        self.ecpu_milli = self.ecpu_milli.saturating_add(more.ecpu_milli);
        self.bytes_in += more.bytes_in;
        self.bytes_out += more.bytes_out;
        self.work += more.work;
    }

    /// Adds one call. Between two drains there is no such sum as would not fit.
    #[inline]
    fn count(&mut self, call: &Usage) {
        self.calls += call.calls;
        self.failed += call.failed;
        self.ecpu_milli += call.ecpu_milli;
        self.bytes_in += call.bytes_in;
        self.bytes_out += call.bytes_out;
        self.work += call.work;
    }

    /// What was added since it was `before`.
    pub fn since(&self, before: &Usage) -> Usage {
        Usage {
            calls: self.calls.saturating_sub(before.calls),
            failed: self.failed.saturating_sub(before.failed),
            ecpu_milli: self.ecpu_milli.saturating_sub(before.ecpu_milli),
            bytes_in: self.bytes_in.saturating_sub(before.bytes_in),
            bytes_out: self.bytes_out.saturating_sub(before.bytes_out),
            work: self.work.saturating_sub(before.work),
        }
    }
}

impl Counters {
    /// Nothing charged yet; key prefixes are not counted.
    pub fn new() -> Counters {
        let rows = vec![Usage::default(); tables().len()].into();
        Counters { rows, payers: Payers::new(), prefixes: None, prefix: Prefix::default() }
    }

    /// As [`Counters::new`]. `separator`: the byte that ends a key's prefix; none: prefixes are not counted.
    pub fn with_prefixes(separator: Option<u8>) -> Counters {
        Counters { prefixes: separator.map(Prefixes::new), ..Counters::new() }
    }

    /// Whoever pays from now on: a call for each batch of a connection, not for each request.
    #[inline]
    pub fn set_payer(&mut self, payer: &mut Payer) {
        self.payers.set(payer);
    }

    /// The prefix of a command with this first key, for [`Counters::set_prefix`].
    #[inline]
    pub fn prefix_of<'k>(&mut self, first_key: impl FnOnce() -> Option<&'k [u8]>) -> Prefix {
        match &mut self.prefixes {
            Some(prefixes) => first_key().map(|key| prefixes.find(key)).unwrap_or_default(),
            None => Prefix::default(),
        }
    }

    /// The prefix of the command that is charged next. Without this call it is one without a key.
    #[inline]
    pub fn set_prefix(&mut self, prefix: Prefix) {
        self.prefix = prefix;
    }

    /// Charges one client command, once, after its parts' work has been added. Always reached, after an error too: a
    /// command that failed has cost what it did, and one ECPU at least. What is no command at all (an unknown name,
    /// bytes that cannot be parsed) has no row and costs nothing.
    ///
    /// `bytes_in`: bytes of values sent; `bytes_out`: data bytes of the reply; `work`: what the engine counted. Returns
    /// the price in thousandths of an ECPU. Whoever pays now, and the prefix that was set, are charged the same.
    #[inline]
    pub fn charge(
        &mut self,
        tariff: &Tariff,
        id: CommandId,
        bytes_in: u64,
        bytes_out: u64,
        work: u64,
        failed: bool,
    ) -> u64 {
        let Some(row) = self.rows.get_mut(id.0 as usize) else { return 0 };
        let ecpu_milli = tariff.ecpu_milli(id, bytes_in + bytes_out, work);
        let call = Usage { calls: 1, failed: u64::from(failed), ecpu_milli, bytes_in, bytes_out, work };
        row.count(&call);
        if let Some(row) = self.payers.row() {
            row.count(&call);
        }
        if let Some(prefixes) = &mut self.prefixes {
            prefixes.row(std::mem::take(&mut self.prefix)).into_iter().for_each(|row| row.count(&call));
        }
        ecpu_milli
    }

    /// Whether nothing was charged since the last drain.
    pub fn is_empty(&self) -> bool {
        self.rows.iter().all(|row| row.calls == 0)
    }

    /// Moves everything into the ledger, and returns its sum over all commands. Does not touch the ledger when there is
    /// nothing to move.
    pub fn drain_into(&mut self, ledger: &Ledger) -> Usage {
        let mut sum = Usage::default();
        if !self.is_empty() {
            self.rows.iter().for_each(|row| sum.add(row));
            let (payers, prefixes) = (&mut self.payers, &mut self.prefixes);
            ledger.add(&self.rows, |parts: &mut Parts| {
                payers.drain_into(parts);
                prefixes.iter_mut().for_each(|prefixes| prefixes.drain_into(parts));
            });
            self.rows.fill(Usage::default());
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::parts::{Dimension, Part};
    use crate::payers::Who;
    use crate::price::Profile;

    fn get() -> CommandId {
        tables().resp.by_name(b"get").unwrap().id
    }

    #[test]
    fn failed_commands_are_charged_like_any_other() {
        let tariff = Tariff::new(Profile::Elasticache);
        let (mut counters, ledger) = (Counters::new(), Ledger::new(0, 0));
        counters.charge(&tariff, get(), 0, 2048, 1, false);
        counters.charge(&tariff, get(), 0, 0, 1, true);
        counters.drain_into(&ledger);
        let expected = Usage { calls: 2, failed: 1, ecpu_milli: 3000, bytes_in: 0, bytes_out: 2048, work: 2 };
        assert_eq!(ledger.totals(0).usage(get()), expected);
    }

    #[test]
    fn unknown_commands_cost_nothing() {
        let mut counters = Counters::new();
        counters.charge(&Tariff::new(Profile::Swell), CommandId(u16::MAX), 1, 1, 1, true);
        assert!(counters.is_empty());
    }

    proptest! {
        /// However calls are shared among workers and drained, the ledger has the sum of what each cost alone.
        #[test]
        fn the_ledger_is_the_sum_of_the_calls(
            calls in proptest::collection::vec(
                (0..tables().len() as u16, 0..5000u64, 0..5000u64, 1..200u64, any::<bool>(), 0..3usize, any::<bool>(),
                 (0..3u8, 0..3u8, "[ab]?:?c")), 0..200),
        ) {
            let tariff = Tariff::new(Profile::Elasticache);
            let ledger = Ledger::new(0, 0);
            let mut workers = [(); 3].map(|()| Counters::with_prefixes(Some(b':')));
            let mut by_db = [0; 3];
            let (mut expected, mut drained) = (Usage::default(), Usage::default());
            for (id, bytes_in, bytes_out, work, failed, worker, drains, (client, db, key)) in calls {
                let id = CommandId(id);
                let who = Who { user: "default".to_owned(), client: client.to_string() };
                workers[worker].set_payer(&mut Payer::new(who, db));
                let prefix = workers[worker].prefix_of(|| Some(key.as_bytes()));
                workers[worker].set_prefix(prefix);
                workers[worker].charge(&tariff, id, bytes_in, bytes_out, work, failed);
                let ecpu_milli = tariff.ecpu_milli(id, bytes_in + bytes_out, work);
                by_db[usize::from(db)] += ecpu_milli;
                expected.add(&Usage { calls: 1, failed: u64::from(failed), ecpu_milli, bytes_in, bytes_out, work });
                if drains {
                    drained.add(&workers[worker].drain_into(&ledger));
                }
            }
            for worker in &mut workers {
                drained.add(&worker.drain_into(&ledger));
            }
            prop_assert!(workers.iter().all(Counters::is_empty));
            prop_assert_eq!(ledger.totals(0).usage_total(), expected);
            prop_assert_eq!(drained, expected);
            let parts = ledger.take(0).1.into_dearest_first();
            let of = |wanted: Dimension| parts.iter().filter(move |part| part.0 == wanted);
            for dimension in Dimension::ALL {
                let mut sum = Usage::default();
                of(dimension).for_each(|part| sum.add(&part.2));
                prop_assert_eq!(sum, expected, "by {}", dimension.name());
            }
            for Part(_, name, usage) in of(Dimension::Db) {
                prop_assert_eq!(usage.ecpu_milli, by_db[name.parse::<usize>().unwrap()]);
            }
            prop_assert!(ledger.take(0).1.is_empty());
        }
    }
}
