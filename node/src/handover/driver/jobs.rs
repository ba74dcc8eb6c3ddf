//! What was asked for: groups that wait for their turn, and how far each request is.

use std::collections::{BTreeMap, BTreeSet};

use swell_ring::placement::GROUP_SLOTS_MAX;
use swell_ring::{Epoch, NodeId, Slot, SlotMap, SlotSet};

use super::attempt::Attempt;
use super::{ATTEMPTS_MAX, Action, PAUSE_US_MAX, PAUSE_US_MIN};
use crate::control::Progress;
use crate::handover::message::{Failure, HandoverId};

/// A group that waits for its turn.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) slots: SlotSet,
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    pub(super) ticket: Option<u64>,
    pub(super) tries: u32,
    not_before_us: u64,
}

/// All requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Jobs {
    jobs: BTreeMap<u64, Job>,
    waiting: Vec<Waiting>,
    /// Committed, and not yet served by their target as far as is known.
    opening: BTreeMap<HandoverId, Opening>,
}

#[derive(Clone, Debug)]
struct Job {
    begun_us: u64,
    /// Groups that are neither done nor given up.
    open: usize,
    /// Of attempts under way: keys and bytes.
    copying: BTreeMap<HandoverId, (u64, u64)>,
    progress: Progress,
    reported: Progress,
    cancelled: bool,
}

#[derive(Clone, Debug)]
struct Opening {
    ticket: u64,
    to: NodeId,
    epoch: Epoch,
    slots: usize,
    sealed_us: u64,
    commit_us: u64,
}

impl Jobs {
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.opening.is_empty()
    }

    /// Splits a request into groups of one source each. Slots that are moving already, or are there, are left out.
    pub(super) fn begin(
        &mut self,
        now_us: u64,
        ticket: u64,
        slots: SlotSet,
        to: NodeId,
        map: &SlotMap,
        busy: &SlotSet,
    ) {
        let mut progress = Progress { slots_total: slots.len() as u32, ..Progress::default() };
        let mut wanted = slots;
        let mut moving = busy.clone();
        self.waiting.iter().for_each(|waiting| moving.add(&waiting.slots));
        moving.intersect(&wanted);
        wanted.subtract(&moving);
        if !moving.is_empty() {
            progress.note = format!("slots {moving} are moving already");
        }
        if map.node(to).is_none() {
            progress.note = format!("there is no node {to}");
            wanted = SlotSet::new();
        }
        let mut sources: BTreeMap<NodeId, Vec<Slot>> = BTreeMap::new();
        for slot in wanted.iter() {
            match map.owner(slot) {
                Some(owner) if owner != to => sources.entry(owner).or_default().push(slot),
                Some(_) => progress.slots_done += 1,
                None => progress.note = format!("slot {} belongs to nobody", slot.number()),
            }
        }
        let mut open = 0;
        for (from, slots) in sources {
            for piece in slots.chunks(GROUP_SLOTS_MAX) {
                open += 1;
                let slots = piece.iter().copied().collect();
                let ticket = Some(ticket);
                self.waiting.push(Waiting { slots, from, to, ticket, tries: 0, not_before_us: now_us });
            }
        }
        let reported = Progress::default();
        let job = Job { begun_us: now_us, open, copying: BTreeMap::new(), progress, reported, cancelled: false };
        self.jobs.insert(ticket, job);
    }

    pub(super) fn cancel(&mut self, ticket: u64) {
        let Some(job) = self.jobs.get_mut(&ticket) else { return };
        job.cancelled = true;
        job.progress.note = Failure::Cancelled.to_string();
        let before = self.waiting.len();
        self.waiting.retain(|waiting| waiting.ticket != Some(ticket));
        job.open -= before - self.waiting.len();
    }

    /// A node is dead: nothing goes to it or comes from it.
    pub(super) fn gone(&mut self, node: NodeId) {
        let lost = |waiting: &Waiting| waiting.from == node || waiting.to == node;
        for waiting in self.waiting.iter().filter(|waiting| lost(waiting)) {
            close(&mut self.jobs, waiting.ticket, Failure::NodeGone.to_string());
        }
        self.waiting.retain(|waiting| !lost(waiting));
        for opening in self.opening.values().filter(|opening| opening.to == node) {
            close(&mut self.jobs, Some(opening.ticket), Failure::NodeGone.to_string());
        }
        self.opening.retain(|_, opening| opening.to != node);
    }

    /// The next group whose time has come and whose pair of nodes is fit. What the map has moved since is left out.
    pub(super) fn next(
        &mut self,
        now_us: u64,
        map: &SlotMap,
        dead: &BTreeSet<NodeId>,
        is_fit: impl Fn(&(NodeId, NodeId)) -> bool,
    ) -> Option<Waiting> {
        let alive = |node: NodeId| map.node(node).is_some() && !dead.contains(&node);
        loop {
            let is_due = |waiting: &Waiting| waiting.not_before_us <= now_us && is_fit(&(waiting.from, waiting.to));
            let at = self.waiting.iter().position(is_due)?;
            let mut waiting = self.waiting.remove(at);
            waiting.slots = waiting.slots.iter().filter(|slot| map.owner(*slot) == Some(waiting.from)).collect();
            if !waiting.slots.is_empty() && alive(waiting.from) && alive(waiting.to) {
                return Some(waiting);
            }
            close(&mut self.jobs, waiting.ticket, format!("node {} does not own these slots any more", waiting.from));
        }
    }

    /// The source has said how far the copy is.
    pub(super) fn copied(&mut self, attempt: &Attempt) {
        if let Some(job) = attempt.ticket.and_then(|ticket| self.jobs.get_mut(&ticket)) {
            job.copying.insert(attempt.group.id, (attempt.keys, attempt.bytes));
        }
    }

    /// The map that gives it to its target is durable.
    pub(super) fn committed(&mut self, now_us: u64, attempt: Attempt, epoch: Epoch, commit_us: u64) {
        let Some((ticket, job)) = attempt.ticket.and_then(|ticket| Some((ticket, self.jobs.get_mut(&ticket)?))) else {
            return;
        };
        job.copying.remove(&attempt.group.id);
        job.progress.keys += attempt.keys;
        job.progress.bytes += attempt.bytes;
        let (to, slots) = (attempt.group.to, attempt.group.slots.len());
        // A source that died while it was copied from may never have said that it was sealed.
        let sealed_us = if attempt.sealed_us > 0 { attempt.sealed_us } else { now_us };
        self.opening.insert(attempt.group.id, Opening { ticket, to, epoch, slots, sealed_us, commit_us });
    }

    /// The target serves it.
    pub(super) fn serving(&mut self, now_us: u64, id: HandoverId) {
        let Some(opening) = self.opening.remove(&id) else { return };
        let Some(job) = self.jobs.get_mut(&opening.ticket) else { return };
        job.open -= 1;
        job.progress.slots_done += opening.slots as u32;
        job.progress.sealed_us.push(now_us.saturating_sub(opening.sealed_us));
        job.progress.commit_us.push(opening.commit_us);
    }

    /// A node has taken over a map: what that gave it is served.
    pub(super) fn seen(&mut self, now_us: u64, node: NodeId, epoch: Epoch) {
        let opened = self.opening.iter().filter(|(_, opening)| opening.to == node && opening.epoch <= epoch);
        let opened: Vec<HandoverId> = opened.map(|(id, _)| *id).collect();
        opened.into_iter().for_each(|id| self.serving(now_us, id));
    }

    /// An attempt has failed: the group waits for another, unless that makes no sense.
    pub(super) fn failed(&mut self, now_us: u64, attempt: Attempt) {
        let Some((ticket, job)) = attempt.ticket.and_then(|ticket| Some((ticket, self.jobs.get_mut(&ticket)?))) else {
            return;
        };
        job.copying.remove(&attempt.group.id);
        let why = attempt.why.unwrap_or(Failure::Cancelled);
        let tries = attempt.tries + 1;
        if why == Failure::NodeGone || job.cancelled || tries >= ATTEMPTS_MAX {
            return close(&mut self.jobs, Some(ticket), why.to_string());
        }
        job.progress.retries += 1;
        job.progress.note = why.to_string();
        let pause_us = (PAUSE_US_MIN << attempt.tries.min(16)).min(PAUSE_US_MAX);
        let (slots, from, to) = (attempt.group.slots, attempt.group.from, attempt.group.to);
        let not_before_us = now_us + pause_us;
        self.waiting.push(Waiting { slots, from, to, ticket: Some(ticket), tries, not_before_us });
    }

    /// Tells who asked: what is new, and what is over.
    pub(super) fn report(&mut self, now_us: u64, out: &mut Vec<Action>) {
        self.jobs.retain(|ticket, job| {
            let ticket = *ticket;
            let mut progress = job.progress.clone();
            progress.keys += job.copying.values().map(|(keys, _)| keys).sum::<u64>();
            progress.bytes += job.copying.values().map(|(_, bytes)| bytes).sum::<u64>();
            let is_done = job.open == 0;
            if is_done || progress != job.reported {
                job.reported = progress.clone();
                progress.elapsed_ms = now_us.saturating_sub(job.begun_us) / 1000;
                out.push(match is_done {
                    true => Action::Done { ticket, progress },
                    false => Action::Progress { ticket, progress },
                });
            }
            !is_done
        });
    }
}

/// One group of a request will not be moved.
fn close(jobs: &mut BTreeMap<u64, Job>, ticket: Option<u64>, why: String) {
    if let Some(job) = ticket.and_then(|ticket| jobs.get_mut(&ticket)) {
        job.open -= 1;
        job.progress.note = why;
    }
}
