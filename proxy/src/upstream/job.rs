//! What one client waits for by itself: its frames go out, are refused and go again, until all are answered or the time
//! is over.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use swell_engine::spec::Merge;
use swell_engine::waiters::GaveUp;
use swell_node::control::{Answer, Ask};
use swell_node::link::frame::{Flags, Kind};
use swell_node::link::stats::NodeReport;
use swell_ring::{NodeId, SLOTS, Slot, SlotSet};
use swell_wire::{Out, Proto};

use crate::access::change;
use crate::client::Timer;
use crate::clients::ClientInfo;
use crate::error::ProxyError;
use crate::session::Wait;
use crate::shared::random_u64;
use crate::upstream::flights::{Flights, Framing, WAIT_MAX};
use crate::upstream::link::Link;
use crate::upstream::shot::{Payload, Shot, ShotAnswer, Target};
use crate::upstream::{Lines, head, merge, reply};
use crate::worker::Worker;

/// Frames of one job under way at once.
const SHOTS_MAX: usize = 256;
/// Nodes that one SCAN visits on its way to the keys it wants.
const SCAN_HOPS_MAX: usize = 512;
/// Where a SCAN cursor's slot stands (engine: `commands/generic/scan.rs`).
const CURSOR_SLOT_AT: u32 = 32;

/// What is to be done.
pub enum Job {
    /// These frames; answers in their order.
    Shots(Vec<Shot>),
    /// A command over these slots: each is covered exactly once, whoever owns it meanwhile. `repeatable`: it changes
    /// nothing.
    Walk { request: Vec<u8>, merge: Merge, slots: SlotSet, repeatable: bool },
    /// SCAN: from owner to owner until enough keys were looked at. The request is made anew for each, from the cursor
    /// and the number of keys still to be looked at.
    Scan { cursor: u64, count: u64, request: Box<dyn Fn(u64, u64) -> Vec<u8>> },
    /// What each node says of itself.
    Reports,
    /// A question to the scaler.
    Ask(Ask),
    /// A change of the users, with other entries of the cache state.
    Users { edit: change::Edit, entries: Vec<(String, String)> },
    /// A frame of one request that waits, until it is over by this client's timer or CLIENT UNBLOCK at the latest.
    Block { shot: Shot, wait: Wait, client: Arc<ClientInfo> },
}

/// What came of it.
#[derive(Debug)]
pub enum JobAnswer {
    Shots(Vec<ShotAnswer>),
    /// A merged reply, what it counts for, and whether it is an error.
    Reply {
        out: Out,
        data_bytes: u64,
        work: u64,
        failed: bool,
    },
    Reports(Vec<(NodeId, NodeReport)>),
    Asked(Answer),
    Users(change::Reply),
    /// It has waited in vain, and no node has said so.
    GaveUp(GaveUp),
}

impl Job {
    /// For how long it waits, if it is such a one.
    pub fn wait(&self) -> Option<Wait> {
        match self {
            Job::Block { wait, .. } => Some(*wait),
            _ => None,
        }
    }
}

/// A job under way.
pub type Running = Pin<Box<dyn Future<Output = Result<JobAnswer, ProxyError>>>>;

/// Begins a job of this client.
pub fn start(
    worker: Rc<Worker>,
    flights: Rc<RefCell<Flights>>,
    framing: impl Fn() -> Framing + 'static,
    proto: Proto,
    job: Job,
) -> Running {
    let mut desk = Desk { worker, flights, framing: Box::new(framing), since: None };
    Box::pin(async move {
        match job {
            Job::Shots(shots) => desk.fire(shots).await.map(JobAnswer::Shots),
            Job::Walk { request, merge, slots, repeatable } => {
                desk.walk(&request, merge, slots, repeatable, proto).await
            }
            Job::Scan { cursor, count, request } => desk.scan(cursor, count, &*request, proto).await,
            Job::Reports => desk.reports().await,
            Job::Users { edit, entries } => {
                change::make(&desk.worker.shared, &edit, &entries).await.map(JobAnswer::Users)
            }
            Job::Block { shot, wait, client } => desk.block(shot, wait, &client).await,
            Job::Ask(ask) => desk.worker.shared.asking.ask(ask).await.map(JobAnswer::Asked),
        }
    })
}

/// What a job works with.
struct Desk {
    worker: Rc<Worker>,
    flights: Rc<RefCell<Flights>>,
    framing: Box<dyn Fn() -> Framing>,
    /// Since when it has been getting nowhere.
    since: Option<Instant>,
}

impl Desk {
    /// Sends frames until all are answered, so many at a time; one that goes in chunks goes alone.
    async fn fire(&mut self, shots: Vec<Shot>) -> Result<Vec<ShotAnswer>, ProxyError> {
        let mut answers = Vec::with_capacity(shots.len());
        let mut left = shots.into_iter().peekable();
        while let Some(first) = left.next() {
            let (is_alone, mut round) = (first.is_long(), vec![first]);
            while let Some(next) = left.next_if(|next| !is_alone && !next.is_long() && round.len() < SHOTS_MAX) {
                round.push(next);
            }
            answers.extend(self.fire_round(round).await?);
        }
        Ok(answers)
    }

    async fn fire_round(&mut self, shots: Vec<Shot>) -> Result<Vec<ShotAnswer>, ProxyError> {
        self.flights.borrow_mut().shots = shots;
        loop {
            let lines = self.worker.lines();
            self.send(&lines);
            poll_fn(|cx| {
                let mut flights = self.flights.borrow_mut();
                flights.set_waker(cx.waker());
                if flights.shots.iter().any(Shot::is_sent) { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
            let (unknown, paused, waiting) = {
                let any = |is: fn(&Shot) -> bool| self.flights.borrow().shots.iter().any(is);
                (any(Shot::is_unknown), any(Shot::is_paused), any(Shot::is_waiting))
            };
            if unknown {
                self.flights.borrow_mut().drop_shots();
                self.worker.core.borrow_mut().counts.unknown_outcomes += 1;
                return Err(ProxyError::OutcomeUnknown);
            }
            if paused {
                self.flights.borrow_mut().drop_shots();
                return Err(ProxyError::GateTimeout);
            }
            if !waiting {
                self.since = None;
                let shots = std::mem::take(&mut self.flights.borrow_mut().shots);
                return Ok(shots.into_iter().filter_map(Shot::into_answer).collect());
            }
            if let Err(error) = self.wait().await {
                self.flights.borrow_mut().drop_shots();
                return Err(error);
            }
        }
    }

    /// As [`Desk::fire_round`], for a request that waits. Once its time is over the node is told, and answers: it may have
    /// got what it waited for a moment before.
    async fn block(&mut self, shot: Shot, wait: Wait, client: &ClientInfo) -> Result<JobAnswer, ProxyError> {
        let (mut timer, mut gave_up) = (Timer::until(wait.deadline_ms), None);
        self.flights.borrow_mut().shots = vec![shot];
        loop {
            let sent_at = Instant::now();
            self.send(&self.worker.lines());
            poll_fn(|cx| {
                let mut flights = self.flights.borrow_mut();
                flights.set_waker(cx.waker());
                client.block(cx.waker(), None);
                if gave_up.is_none() {
                    gave_up = client.is_unblocked().or_else(|| timer.is_over(cx).then_some(GaveUp::Timeout));
                    gave_up.into_iter().for_each(|how| flights.unblock(how));
                }
                if flights.shots.iter().any(Shot::is_sent) { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
            let mut shots = std::mem::take(&mut self.flights.borrow_mut().shots);
            let Some(shot) = shots.pop() else { return Err(ProxyError::Internal) };
            if shot.is_unknown() {
                self.worker.core.borrow_mut().counts.unknown_outcomes += 1;
                return Err(ProxyError::OutcomeUnknown);
            }
            if shot.is_paused() {
                return Err(ProxyError::GateTimeout);
            }
            if !shot.is_waiting() {
                return Ok(JobAnswer::Shots(shot.into_answer().into_iter().collect()));
            }
            if let Some(how) = gave_up {
                return Ok(JobAnswer::GaveUp(how));
            }
            self.flights.borrow_mut().shots.push(shot);
            // Getting nowhere is what counts, and not the time at a node.
            self.since = self.since.map(|since| since + sent_at.elapsed());
            if let Err(error) = self.wait().await {
                self.flights.borrow_mut().drop_shots();
                return Err(error);
            }
        }
    }

    fn send(&self, lines: &Lines) {
        let framing = (self.framing)();
        let mut flights = self.flights.borrow_mut();
        let session = flights.session();
        let mut shots = std::mem::take(&mut flights.shots);
        for shot in shots.iter_mut().filter(|shot| shot.is_waiting()) {
            let Some(link) = lines.link_to(shot.target) else { continue };
            let (id, restarts) = flights.begin_shot(link);
            let mut head = head(&framing, session, id, shot.count);
            head.flags = head.flags.and(Flags::RESTART.when(restarts));
            if shot.kind == Kind::Walk {
                // memcached has no walks: flush_all is FLUSHDB.
                head.flags = head.flags.without(Flags::MEMCACHED);
            }
            let end_at = match &shot.payload {
                Payload::Bytes(bytes) => link.send(shot.kind, head, bytes),
                Payload::Pieces(pieces) => link.upload(shot.kind, head, pieces.clone()),
            };
            flights.end_shot(id, end_at);
            shot.sent(id);
        }
        flights.shots = shots;
    }

    /// Waits until something has changed that may help: at most two seconds since it last got anywhere.
    async fn wait(&mut self) -> Result<(), ProxyError> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let need = self.flights.borrow().need();
        let left = WAIT_MAX.saturating_sub(since.elapsed());
        let mut first = true;
        let change = poll_fn(|cx| {
            let has_seen = self.worker.shared.route.has_seen(need.epoch, need.state);
            if std::mem::take(&mut first) {
                self.worker.upstreams.wait_for_change(self.flights.borrow().session(), cx.waker());
                return if has_seen && self.can_send() { Poll::Ready(()) } else { Poll::Pending };
            }
            Poll::Ready(())
        });
        let has_changed = tokio::time::timeout(left, change).await.is_ok();
        if has_changed && since.elapsed() < WAIT_MAX {
            return Ok(());
        }
        Err(if self.can_send() { ProxyError::GateTimeout } else { ProxyError::SlotNotServed })
    }

    /// Whether some frame that waits could go now.
    fn can_send(&self) -> bool {
        let lines = self.worker.lines();
        let flights = self.flights.borrow();
        flights.shots.iter().filter(|shot| shot.is_waiting()).all(|shot| lines.link_to(shot.target).is_some())
    }

    /// Sends a request to each owner for its slots, until every slot was covered.
    async fn walk(
        &mut self,
        request: &[u8],
        how: Merge,
        mut missing: SlotSet,
        repeatable: bool,
        proto: Proto,
    ) -> Result<JobAnswer, ProxyError> {
        let (mut replies, mut work, mut data_bytes) = (Vec::new(), 1, 0);
        let mut began: Option<Instant> = None;
        while !missing.is_empty() {
            let lines = self.worker.lines();
            let shots = shots_for(&lines, &missing, request, repeatable);
            let before = missing.len();
            if !shots.is_empty() {
                for answer in self.fire(shots).await? {
                    let (covered, entry, bytes) = covered(&answer).ok_or(ProxyError::Internal)?;
                    if entry.failed {
                        return Ok(failed(bytes, entry.work, proto));
                    }
                    missing.subtract(&covered);
                    work += entry.work.saturating_sub(1);
                    data_bytes += entry.data_bytes;
                    replies.push((covered.len(), bytes.to_vec()));
                }
            }
            if missing.len() == before {
                // Some slots are between two owners, or have none: a newer map will say.
                let since = *began.get_or_insert_with(Instant::now);
                if since.elapsed() > WAIT_MAX {
                    return Err(ProxyError::SlotNotServed);
                }
                self.since = Some(since);
                self.pause(WAIT_MAX.saturating_sub(since.elapsed())).await;
                self.since = None;
            } else {
                began = None;
            }
        }
        let mut out = Out::new(proto);
        merge_walk(how, &replies, random_u64(), &mut out);
        Ok(JobAnswer::Reply { out, data_bytes, work, failed: false })
    }

    /// Until the next change of map or link, or a moment.
    async fn pause(&self, most: std::time::Duration) {
        let mut first = true;
        let change = poll_fn(|cx| {
            if std::mem::take(&mut first) {
                self.worker.upstreams.wait_for_change(self.flights.borrow().session(), cx.waker());
                return Poll::Pending;
            }
            Poll::Ready(())
        });
        // A slot that was sealed opens without any news.
        let _ = tokio::time::timeout(most.min(std::time::Duration::from_millis(5)), change).await;
    }

    async fn scan(
        &mut self,
        cursor: u64,
        count: u64,
        request: &dyn Fn(u64, u64) -> Vec<u8>,
        proto: Proto,
    ) -> Result<JobAnswer, ProxyError> {
        let (mut cursor, mut visited, mut found, mut elements, mut data_bytes) = (cursor, 0, 0, Vec::new(), 0u64);
        let mut began: Option<Instant> = None;
        for _ in 0..SCAN_HOPS_MAX {
            let slot = (cursor >> CURSOR_SLOT_AT).min(SLOTS as u64 - 1) as u16;
            let slot = Slot::new(slot).ok_or(ProxyError::Internal)?;
            let mut body = words(&SlotSet::all());
            body.extend_from_slice(&request(cursor, count - visited));
            let shot = Shot::new(Kind::Walk, Target::Slot(slot), 1, true, Payload::Bytes(body));
            let answers = self.fire(vec![shot]).await?;
            let (seen, entry, bytes) = answers.first().and_then(covered).ok_or(ProxyError::Internal)?;
            if entry.failed {
                return Ok(failed(bytes, entry.work, proto));
            }
            let (next, more, keys) = scanned(bytes).ok_or(ProxyError::Internal)?;
            visited += entry.work.saturating_sub(1);
            found += more;
            data_bytes += entry.data_bytes.saturating_sub(next.to_string().len() as u64);
            elements.extend_from_slice(keys);
            if next == cursor && !seen.contains(slot) {
                // The owner does not serve this slot any more: a newer map will say who does. At the first slot this
                // must not be taken for the end, which is the same cursor.
                if began.get_or_insert_with(Instant::now).elapsed() > WAIT_MAX {
                    return Err(ProxyError::SlotNotServed);
                }
                self.pause(WAIT_MAX).await;
                continue;
            }
            began = None;
            cursor = next;
            if cursor == 0 || visited >= count {
                break;
            }
        }
        let mut out = Out::new(proto);
        let text = cursor.to_string();
        out.array(2);
        out.bulk(text.as_bytes());
        out.array(found);
        out.raw(&elements);
        Ok(JobAnswer::Reply { out, data_bytes: data_bytes + text.len() as u64, work: visited + 1, failed: false })
    }

    /// Asks every node that can be reached what it says of itself.
    async fn reports(&mut self) -> Result<JobAnswer, ProxyError> {
        let lines = self.worker.lines();
        let nodes: Vec<NodeId> =
            lines.links().iter().filter(|link| link.is_up()).map(|link: &Rc<Link>| link.node()).collect();
        let shot = |node: &NodeId| Shot::new(Kind::Stats, Target::Node(*node), 1, true, Payload::Bytes(Vec::new()));
        let answers = self.fire(nodes.iter().map(shot).collect()).await?;
        let reports = nodes.into_iter().zip(answers).filter_map(|(node, answer)| {
            let report = serde_json::from_slice(&answer.bytes).ok()?;
            Some((node, report))
        });
        Ok(JobAnswer::Reports(reports.collect()))
    }
}

/// A node's error is the whole reply.
fn failed(bytes: &[u8], work: u64, proto: Proto) -> JobAnswer {
    let mut out = Out::new(proto);
    out.raw(bytes);
    JobAnswer::Reply { out, data_bytes: 0, work, failed: true }
}

/// One frame for each owner of missing slots that can be reached.
fn shots_for(lines: &Lines, missing: &SlotSet, request: &[u8], repeatable: bool) -> Vec<Shot> {
    let shot = |link: &Rc<Link>| {
        let mut slots = lines.map().slots_of(link.node());
        slots.intersect(missing);
        if slots.is_empty() {
            return None;
        }
        let mut body = words(&slots);
        body.extend_from_slice(request);
        Some(Shot::new(Kind::Walk, Target::Node(link.node()), 1, repeatable, Payload::Bytes(body)))
    };
    lines.links().iter().filter(|link| link.is_up()).filter_map(shot).collect()
}

/// A set of slots as frames carry it.
fn words(slots: &SlotSet) -> Vec<u8> {
    slots.words().iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// The slots that a walk's answer covers, and the reply behind them.
fn covered(answer: &ShotAnswer) -> Option<(SlotSet, swell_node::link::frame::Entry, &[u8])> {
    let (bitmap, reply) = answer.bytes.split_at_checked(SLOTS / 8)?;
    let mut words = [0; SLOTS / 64];
    for (word, bytes) in words.iter_mut().zip(bitmap.chunks_exact(8)) {
        *word = u64::from_le_bytes(bytes.try_into().ok()?);
    }
    Some((SlotSet::from_words(words), *answer.entries.first()?, reply))
}

/// The next cursor, how many keys there are, and their bytes.
fn scanned(reply: &[u8]) -> Option<(u64, usize, &[u8])> {
    let (_, rest) = reply::array(reply)?;
    let (cursor, rest) = reply::bulk(rest)?;
    let cursor = std::str::from_utf8(cursor?).ok()?.parse().ok()?;
    let (count, keys) = reply::array(rest)?;
    Some((cursor, count, keys))
}

/// Merges what the nodes found, each in so many slots. `Any`: one that found something, by lot, the more likely the more
/// slots it looked at; `lot` is any number.
fn merge_walk(how: Merge, replies: &[(usize, Vec<u8>)], lot: u64, out: &mut Out) {
    if how != Merge::Any {
        merge::parts(how, replies.iter().map(|(_, bytes)| (&bytes[..], false)), out);
        return;
    }
    let found = || replies.iter().filter(|(_, bytes)| !reply::is_null(bytes));
    let mut lot = lot % found().map(|(slots, _)| *slots as u64).sum::<u64>().max(1);
    let drawn = found().find(|(slots, _)| {
        let is_drawn = lot < *slots as u64;
        lot = lot.saturating_sub(*slots as u64);
        is_drawn
    });
    out.raw(drawn.or(replies.first()).map_or(b"", |(_, bytes)| &bytes[..]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_is_drawn_by_lot_among_those_that_found_something() {
        let replies = [(2, b"$1\r\na\r\n".to_vec()), (9, b"$-1\r\n".to_vec()), (1, b"$1\r\nb\r\n".to_vec())];
        let drawn = |lot| {
            let mut out = Out::new(Proto::Resp2);
            merge_walk(Merge::Any, &replies, lot, &mut out);
            out.to_vec()[4]
        };
        assert_eq!((0..6).map(drawn).collect::<Vec<_>>(), b"aabaab");
        let mut out = Out::new(Proto::Resp2);
        merge_walk(Merge::Any, &replies[1..2], 5, &mut out);
        assert_eq!(out.to_vec(), b"$-1\r\n");
    }
}
