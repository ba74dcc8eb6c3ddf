//! What people have asked to be moved: `swell move`, `swell drain`, and how far it is.

use std::collections::BTreeMap;
use std::time::Duration;

use swell_node::control::{Answer, Event, Progress, ToMember};
use swell_node::handover::driver::Input as Step;
use swell_ring::{NodeId, SlotSet, place};
use tokio::time::Instant;

use crate::ask::Asker;
use crate::lost::LOST_AFTER;
use crate::nodes::Origin;
use crate::scale::Totals;
use crate::writer::Writer;

/// Between two reports to the same asker.
pub const REPORT_EVERY: Duration = Duration::from_millis(100);
/// Moves and drains at once.
pub const JOBS_MAX: usize = 64;

/// One move or drain.
#[derive(Debug)]
pub(crate) struct Job {
    asker: Asker,
    /// The node that leaves when its slots are elsewhere.
    drains: Option<NodeId>,
    /// One for each target, by the driver's ticket.
    parts: BTreeMap<u64, Part>,
    began: Instant,
    reported: Instant,
    has_news: bool,
}

#[derive(Debug)]
struct Part {
    slots: SlotSet,
    to: NodeId,
    progress: Progress,
    is_done: bool,
}

impl Writer {
    /// Moves slots to a node.
    pub(crate) fn move_slots(&mut self, asker: Asker, slots: &SlotSet, to: NodeId, now: Instant) {
        let why_not = match self.nodes.get(&to) {
            None => Some(format!("there is no node {to}")),
            Some(node) if node.link.is_none() => Some(format!("node {to} has no link to the scaler")),
            Some(node) if node.is_draining => Some(format!("node {to} is being drained")),
            Some(_) if slots.is_empty() => Some("no slots were named".to_owned()),
            Some(_) => None,
        };
        match why_not {
            Some(why) => self.answer_refused(asker, why),
            None => {
                self.place_some(slots, to, now);
                self.begin_job(asker, None, vec![(slots.clone(), to)], now);
            }
        }
    }

    /// Moves all slots of a node to the others; then it leaves. A node that was given up for lost is declared dead.
    pub(crate) fn drain(&mut self, asker: Asker, id: NodeId, now: Instant) {
        let Some(node) = self.nodes.get(&id) else {
            return self.answer_refused(asker, format!("there is no node {id}"));
        };
        if node.is_draining {
            return self.answer_refused(asker, format!("node {id} is being drained already"));
        }
        if node.link.is_none() || node.silence.is_told() {
            return self.drain_lost(asker, id, now);
        }
        self.begin_drain(asker, id, now);
    }

    /// The same of a node that is there, and may be marked as draining already.
    pub(crate) fn begin_drain(&mut self, asker: Asker, id: NodeId, now: Instant) {
        let slots = self.kept.map.slots_of(id);
        let mut others = self.candidates();
        others.retain(|other| other.id != id);
        if others.is_empty() {
            self.set_draining(id, false);
            return self.answer_refused(asker, format!("there is no other node for the slots of node {id}"));
        }
        let mut parts = place(&others, &self.kept.map);
        parts.iter_mut().for_each(|(part, _)| part.intersect(&slots));
        parts.retain(|(part, _)| !part.is_empty());
        self.set_draining(id, true);
        self.begin_job(asker, Some(id), parts, now);
    }

    /// The driver says how far a part is.
    pub(crate) fn progressed(&mut self, ticket: u64, progress: Progress) {
        let totals = &mut self.scale.totals;
        if let Some(job) = self.drive.jobs.iter_mut().find(|job| job.parts.contains_key(&ticket)) {
            job.take(ticket, progress, false, totals);
        }
    }

    /// A part is over.
    pub(crate) fn ticket_done(&mut self, ticket: u64, progress: Progress, now: Instant) {
        let Some(at) = self.drive.jobs.iter().position(|job| job.parts.contains_key(&ticket)) else { return };
        let job = &mut self.drive.jobs[at];
        job.take(ticket, progress, true, &mut self.scale.totals);
        if job.parts.values().all(|part| part.is_done) {
            let job = self.drive.jobs.remove(at);
            self.job_done(&job, now);
        }
    }

    /// Tells askers how far their jobs are, now and then.
    pub(crate) fn report_jobs(&mut self, now: Instant) {
        let mut reports = Vec::new();
        for job in self.drive.jobs.iter_mut().filter(|job| job.has_news && now >= job.reported + REPORT_EVERY) {
            (job.has_news, job.reported) = (false, now);
            reports.push((job.asker, job.progress(now)));
        }
        reports.into_iter().for_each(|(asker, progress)| self.answer(asker, Answer::Progress(progress)));
    }

    fn begin_job(&mut self, asker: Asker, drains: Option<NodeId>, parts: Vec<(SlotSet, NodeId)>, now: Instant) {
        if self.drive.jobs.len() >= JOBS_MAX {
            drains.into_iter().for_each(|id| self.set_draining(id, false));
            return self.answer_refused(asker, format!("{JOBS_MAX} moves are under way already"));
        }
        let first = self.drive.last_ticket + 1;
        self.drive.last_ticket += parts.len() as u64;
        let tickets = || first..first + parts.len() as u64;
        let part = |(slots, to): &(SlotSet, NodeId)| Part {
            slots: slots.clone(),
            to: *to,
            progress: Progress::default(),
            is_done: false,
        };
        let job_parts = tickets().zip(parts.iter().map(part)).collect();
        let job = Job { asker, drains, parts: job_parts, began: now, reported: now, has_news: false };
        if parts.is_empty() {
            return self.job_done(&job, now);
        }
        self.drive.jobs.push(job);
        for (ticket, (slots, to)) in tickets().zip(parts) {
            self.step(Step::Begin { ticket, slots, to }, now);
        }
    }

    fn job_done(&mut self, job: &Job, now: Instant) {
        let mut progress = job.progress(now);
        if let Some(id) = job.drains {
            self.drained(id, &mut progress, now);
        }
        let Progress { slots_done, slots_total, keys, retries, elapsed_ms, note, .. } = &progress;
        let what = job.drains.map_or("a move".to_owned(), |id| format!("the drain of node {id}"));
        let note = if note.is_empty() { String::new() } else { format!("; {note}") };
        let text = format!(
            "{what} is over: {slots_done} of {slots_total} slots, {keys} keys, {retries} retries, {elapsed_ms} ms{note}"
        );
        let kind = if job.drains.is_some() { "drained" } else { "moved" };
        self.events.add(false, Event { kind: kind.to_owned(), node: job.drains, text, ..Event::default() });
        self.answer(job.asker, Answer::Done(progress));
    }

    /// A drain is over: the node leaves, if it is empty.
    fn drained(&mut self, id: NodeId, progress: &mut Progress, now: Instant) {
        let left = self.kept.map.slots_of(id).len();
        let Some(origin) = self.nodes.get(&id).map(|node| node.origin) else { return };
        if left > 0 {
            self.set_draining(id, false);
            progress.note = format!("{left} slots are still at node {id}; {}", progress.note);
        } else if origin == Origin::Embedded {
            progress.note = format!("node {id} is part of the scaler's process and stays, without slots");
        } else {
            self.nodes.entry(id).and_modify(|node| node.is_leaving = true);
            self.tell(id, &ToMember::Leave);
            if let Some(provider) = &mut self.provider {
                provider.retire(id, now);
            }
        }
    }

    fn drain_lost(&mut self, asker: Asker, id: NodeId, now: Instant) {
        let Some(node) = self.nodes.get(&id) else { return };
        let lost = now.duration_since(node.lost_since);
        if node.origin != Origin::Guest || !node.silence.is_told() && lost < LOST_AFTER {
            let why = match node.link {
                None => format!("has had no link to the scaler for {} ms", lost.as_millis()),
                Some(_) => "does not answer".to_owned(),
            };
            return self.answer_refused(asker, format!("node {id} {why}: try again later"));
        }
        let slots = self.kept.map.slots_of(id).len() as u32;
        self.gone(id, "it was lost, and somebody drained it", now);
        let note = format!("node {id} was lost: its slots begin empty at the others");
        let progress = Progress { slots_done: slots, slots_total: slots, note, ..Progress::default() };
        self.answer(asker, Answer::Done(progress));
    }

    pub(crate) fn set_draining(&mut self, id: NodeId, is_draining: bool) {
        self.nodes.entry(id).and_modify(|node| node.is_draining = is_draining);
    }
}

impl Job {
    /// Which slots are to go where, and may not be there yet.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = (&SlotSet, NodeId)> {
        self.parts.values().filter(|part| !part.is_done).map(|part| (&part.slots, part.to))
    }

    /// The driver says how far a part is; what is new counts.
    fn take(&mut self, ticket: u64, progress: Progress, is_done: bool, totals: &mut Totals) {
        let Some(part) = self.parts.get_mut(&ticket) else { return };
        totals.keys += progress.keys.saturating_sub(part.progress.keys);
        totals.retries += u64::from(progress.retries.saturating_sub(part.progress.retries));
        (part.progress, part.is_done) = (progress, is_done);
        self.has_news = true;
    }

    /// All parts together.
    fn progress(&self, now: Instant) -> Progress {
        let mut sum = Progress { elapsed_ms: (now - self.began).as_millis() as u64, ..Progress::default() };
        for Part { progress, .. } in self.parts.values() {
            sum.slots_done += progress.slots_done;
            sum.slots_total += progress.slots_total;
            sum.keys += progress.keys;
            sum.bytes += progress.bytes;
            sum.retries += progress.retries;
            sum.sealed_us.extend(&progress.sealed_us);
            sum.commit_us.extend(&progress.commit_us);
            if !progress.note.is_empty() {
                sum.note.clone_from(&progress.note);
            }
        }
        sum
    }
}
