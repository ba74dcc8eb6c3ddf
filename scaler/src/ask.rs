//! What people and proxies ask, and the answers. Moves and drains are in [`crate::drive`].

use std::time::Duration;

use swell_node::control::{Answer, Ask, ToMember};
use swell_ring::CacheState;
use tokio::time::Instant;

use crate::members::LinkId;
use crate::nodes::{Origin, Who};
use crate::store::Record;
use crate::writer::Writer;

/// How long a change of the cache state waits for all members.
pub const CHANGE_WAIT: Duration = Duration::from_secs(2);
/// Changes that wait at once.
pub const CHANGES_MAX: usize = 1024;
/// Bytes of all names and values of the cache state: it goes over links in one frame.
pub const STATE_BYTES_MAX: usize = 1024 * 1024;

/// A change of the cache state that not everybody has confirmed.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) asker: LinkId,
    /// The asker's number for its question.
    pub(crate) number: u64,
    pub(crate) state: CacheState,
    pub(crate) until: Instant,
}

/// Who asked, and their number for the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    pub(crate) link: LinkId,
    pub(crate) number: u64,
}

impl Writer {
    /// Answers a question, now or later.
    pub(crate) fn asked(&mut self, link: LinkId, number: u64, ask: Ask, now: Instant) {
        let asker = Asker { link, number };
        match ask {
            Ask::Nodes => {
                let lines = self.nodes.values().map(|node| node.line(&self.kept.map)).collect();
                self.answer(asker, Answer::Nodes(lines));
            }
            Ask::Slots => self.answer(asker, Answer::Slots(self.kept.map.clone())),
            Ask::Events { after } => self.answer(asker, Answer::Events(self.events.after(after))),
            Ask::ChangeState { base, entries } => self.change_state(asker, base, entries, now),
            Ask::Move { slots, to } => self.move_slots(asker, &slots, to, now),
            Ask::Drain { node } => self.drain(asker, node, now),
            Ask::Status => self.answer(asker, Answer::Status(Box::new(self.status(now)))),
            Ask::Proxies { question, monitors } => self.ask_proxies(asker, question, monitors, now),
            Ask::Scale(mode) => match self.set_mode(mode, now) {
                Ok(()) => self.answer(asker, Answer::Status(Box::new(self.status(now)))),
                Err(why) => self.answer_refused(asker, format!("TRYAGAIN the change cannot be made durable: {why}")),
            },
        }
    }

    /// Answers; nobody listens if the asker is gone.
    pub(crate) fn answer(&self, asker: Asker, answer: Answer) {
        if let Some(party) = self.parties.get(&asker.link) {
            party.link.send(&ToMember::Answer { id: asker.number, answer });
        }
    }

    /// Answers that it will not be done.
    pub(crate) fn answer_refused(&self, asker: Asker, why: impl Into<String>) {
        self.answer(asker, Answer::Refused { why: why.into() });
    }

    /// Answers whose change everybody has.
    pub(crate) fn confirm_changes(&mut self) {
        let lowest = self.lowest_state();
        let (confirmed, rest) = std::mem::take(&mut self.changes).into_iter().partition(|change: &Change| {
            let version = change.state.version;
            lowest.is_none_or(|lowest| version <= lowest)
        });
        self.changes = rest;
        let confirmed: Vec<Change> = confirmed;
        for change in confirmed {
            self.answer(Asker { link: change.asker, number: change.number }, Answer::StateChanged(change.state));
        }
    }

    /// Gives up waiting for those who do not confirm.
    pub(crate) fn expire_changes(&mut self, now: Instant) {
        let (late, rest) =
            std::mem::take(&mut self.changes).into_iter().partition(|change: &Change| change.until <= now);
        self.changes = rest;
        let late: Vec<Change> = late;
        for change in late {
            let missing = self.who_lacks(change.state.version).join(", ");
            let why = format!(
                "TRYAGAIN the change is made, but not everybody has confirmed it after {CHANGE_WAIT:?}: {missing}"
            );
            self.answer_refused(Asker { link: change.asker, number: change.number }, why);
        }
    }

    fn change_state(&mut self, asker: Asker, base: u64, entries: Vec<(String, String)>, now: Instant) {
        if base != self.kept.state.version {
            return self.answer(asker, Answer::StateDiffers(self.kept.state.clone()));
        }
        if self.changes.len() >= CHANGES_MAX {
            return self.answer_refused(asker, "TRYAGAIN too many changes wait for members");
        }
        let state = self.kept.state.changed(entries);
        if state.entries.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > STATE_BYTES_MAX {
            return self.answer_refused(asker, format!("ERR the settings together exceed {STATE_BYTES_MAX} bytes"));
        }
        let record = Record::State { state: state.clone(), configured: self.kept.configured.clone() };
        if let Err(why) = self.keep(&[record]) {
            self.events.trouble(format!("the cache state cannot be changed: {why}"));
            return self.answer_refused(asker, format!("TRYAGAIN the change cannot be made durable: {why}"));
        }
        self.push_state();
        self.changes.push(Change { asker: asker.link, number: asker.number, state, until: now + CHANGE_WAIT });
        self.confirm_changes();
    }

    /// The lowest version that a living member has; None without members.
    fn lowest_state(&self) -> Option<u64> {
        let nodes = self.nodes.values().filter(|node| node.has_joined || node.origin == Origin::Guest);
        nodes.map(|node| node.seen.state).chain(self.proxies().map(|(_, state)| state)).min()
    }

    fn who_lacks(&self, version: u64) -> Vec<String> {
        let nodes = self.nodes.values().filter(|node| node.has_joined || node.origin == Origin::Guest);
        let nodes = nodes.filter(|node| node.seen.state < version).map(|node| format!("node {}", node.member.id));
        let proxies = self.proxies().filter(|(_, state)| *state < version).map(|(link, _)| format!("proxy {}", link.0));
        nodes.chain(proxies).collect()
    }

    fn proxies(&self) -> impl Iterator<Item = (LinkId, u64)> {
        self.parties.iter().filter_map(|(id, party)| match party.who {
            Who::Proxy(seen) => Some((*id, seen.state)),
            _ => None,
        })
    }
}
