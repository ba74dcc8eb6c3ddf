//! What groups do with entries: delivering, showing again, claiming from one consumer for another.

use super::{EntryView, Group, Log, Nack, StreamId};

/// How entries are claimed.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// The place of the consumer that gets them.
    pub consumer: u32,
    /// Entries delivered less than this long ago stay where they are, milliseconds.
    pub min_idle_ms: u64,
    /// When they count as delivered, Unix milliseconds.
    pub delivered_ms: u64,
    /// What their number of deliveries becomes; one more if nothing is said.
    pub count: Option<u64>,
    /// Whether only IDs are asked for: then the number of deliveries stays as it is.
    pub ids_only: bool,
    /// Entries that wait for nobody are claimed as well.
    pub force: bool,
    /// Unix milliseconds.
    pub now_ms: u64,
}

/// What became of an entry that was to be claimed.
#[derive(Clone, Copy, Debug)]
pub enum Claimed<'a> {
    /// It has a new consumer.
    Yes(EntryView<'a>),
    /// It is no longer in the stream, nor does it wait to be acknowledged any more.
    Gone,
    /// Nothing.
    No,
}

/// What [`Log::autoclaim`] went over.
#[derive(Clone, Debug, Default)]
pub struct Sweep {
    /// Where to go on; 0-0 at the end.
    pub next: StreamId,
    /// Entries that are no longer in the stream.
    pub gone: Vec<StreamId>,
    /// How many entries were looked at.
    pub visited: u64,
}

/// As many entries are looked at for each one that may be claimed.
const VISITS_PER_CLAIM: u64 = 10;

impl Log {
    /// Delivers the entries that come after the group's last one, `count` at most (0 for all), to a consumer; returns
    /// how many. With `no_ack` they need not be acknowledged.
    pub fn deliver<'a>(
        &'a self,
        group: &mut Group,
        consumer: u32,
        count: u64,
        no_ack: bool,
        now_ms: u64,
        mut each: impl FnMut(EntryView<'a>),
    ) -> u64 {
        let Some(from) = group.last_id.next() else { return 0 };
        let mut delivered = 0;
        for entry in self.range(from, StreamId::MAX) {
            group.entries_read = self.count_read(group, entry.id);
            group.last_id = entry.id;
            if !no_ack {
                group.assign(entry.id, Nack { delivered_ms: now_ms, count: 1, consumer });
                group.was_active(consumer, now_ms);
            }
            each(entry);
            delivered += 1;
            if delivered == count {
                break;
            }
        }
        delivered
    }

    /// Shows a consumer again what it has yet to acknowledge, from `from` on, `count` at most (0 for all). An entry
    /// that is no longer in the stream is nothing, and does not count as delivered once more.
    pub fn show_again<'a>(
        &'a self,
        group: &mut Group,
        consumer: u32,
        from: StreamId,
        count: u64,
        now_ms: u64,
        mut each: impl FnMut(StreamId, Option<EntryView<'a>>),
    ) {
        let most = if count == 0 { usize::MAX } else { usize::try_from(count).unwrap_or(usize::MAX) };
        let ids: Vec<StreamId> = group.at(consumer).pending(from, StreamId::MAX).take(most).collect();
        for id in ids {
            let entry = self.get(id);
            if let (Some(_), Some(nack)) = (entry, group.nack(id)) {
                group.assign(id, Nack { delivered_ms: now_ms, count: nack.count.wrapping_add(1), ..nack });
            }
            each(id, entry);
        }
    }

    /// Claims one entry.
    pub fn claim(&self, group: &mut Group, id: StreamId, claim: &Claim) -> Claimed<'_> {
        let old = group.nack(id);
        let Some(entry) = self.get(id) else {
            return if group.ack(id) { Claimed::Gone } else { Claimed::No };
        };
        let idle_ms = old.map(|nack| claim.now_ms.saturating_sub(nack.delivered_ms));
        if idle_ms.map_or(!claim.force, |idle_ms| idle_ms < claim.min_idle_ms) {
            return Claimed::No;
        }
        // An entry that nobody had counts as delivered once before this.
        let before = old.map_or(1, |nack| nack.count);
        let count = claim.count.unwrap_or(if claim.ids_only { before } else { before.wrapping_add(1) });
        group.assign(id, Nack { delivered_ms: claim.delivered_ms, count, consumer: claim.consumer });
        group.was_active(claim.consumer, claim.now_ms);
        Claimed::Yes(entry)
    }

    /// Claims `count` of the entries that wait to be acknowledged, from `start` on; those that are no longer in the
    /// stream count too.
    pub fn autoclaim<'a>(
        &'a self,
        group: &mut Group,
        start: StreamId,
        count: u64,
        claim: &Claim,
        mut each: impl FnMut(EntryView<'a>),
    ) -> Sweep {
        let mut sweep = Sweep::default();
        let (mut left, mut visits) = (count, count.saturating_mul(VISITS_PER_CLAIM));
        let mut at = Some(start);
        while let Some(from) = at {
            let Some((id, _)) = group.pending(from, StreamId::MAX).next() else { break };
            if left == 0 || visits == 0 {
                sweep.next = id;
                break;
            }
            visits -= 1;
            sweep.visited += 1;
            match self.claim(group, id, claim) {
                Claimed::Yes(entry) => {
                    each(entry);
                    left -= 1;
                }
                Claimed::Gone => {
                    sweep.gone.push(id);
                    left -= 1;
                }
                Claimed::No => {}
            }
            at = id.next();
        }
        sweep
    }
}
