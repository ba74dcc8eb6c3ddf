//! A slot's gate: may it be read, written, does it have to wait. Set only by the node, under the stripe's lock.

/// The state of one slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gate {
    /// Reads and writes run.
    #[default]
    Serving,
    /// Writes park, reads run; nothing expires or is evicted (the slot is about to be handed over).
    Sealed,
    /// Nothing runs: the slot was handed over.
    Released,
    /// Requests wait: keys are held for an atomic command over several nodes.
    Latched,
    /// Requests wait: the slot's tables are with a helper thread.
    Lent,
    /// Being imported: not served, expired, evicted, counted or flushed but by the stream.
    Dark,
}

/// Why a request did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The slot is, or will be, served elsewhere: wait for a newer map.
    Moved,
    /// The slot is held for a moment: wait for its gate.
    Paused,
}

impl Gate {
    /// Whether a request may run, by what it does.
    #[inline]
    pub fn check(self, writes: bool) -> Result<(), Refusal> {
        match self {
            Gate::Serving => Ok(()),
            Gate::Sealed if !writes => Ok(()),
            Gate::Sealed | Gate::Latched | Gate::Lent => Err(Refusal::Paused),
            Gate::Released | Gate::Dark => Err(Refusal::Moved),
        }
    }

    /// Whether expiry and eviction may delete here.
    #[inline]
    pub fn may_reap(self) -> bool {
        self == Gate::Serving
    }

    /// Whether the slot's keys count (DBSIZE, KEYS, the bill): not where another node's do.
    #[inline]
    pub fn counts(self) -> bool {
        !matches!(self, Gate::Dark | Gate::Released)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_serving_takes_writes_and_only_serving_reaps() {
        for gate in [Gate::Serving, Gate::Sealed, Gate::Released, Gate::Latched, Gate::Lent, Gate::Dark] {
            assert_eq!(gate.check(true).is_ok(), gate == Gate::Serving, "{gate:?}");
            assert_eq!(gate.check(false).is_ok(), matches!(gate, Gate::Serving | Gate::Sealed), "{gate:?}");
            assert_eq!(gate.may_reap(), gate == Gate::Serving, "{gate:?}");
            assert_eq!(gate.counts(), !matches!(gate, Gate::Released | Gate::Dark), "{gate:?}: one node counts a key");
        }
        assert_eq!(Gate::Released.check(false), Err(Refusal::Moved));
        assert_eq!(Gate::Latched.check(false), Err(Refusal::Paused));
    }
}
