//! Plays a script on both servers, step by step, the oracle first; what every client is told is compared after each.
//!
//! Nobody sleeps to learn when a server has done its part. The oracle runs one request after the other, so once it has
//! answered another connection, twice, everything that a step brings about has been said. It also tells which clients
//! wait (`CLIENT LIST`). Then every client that may be told something asks for an echo: what comes before that belongs
//! to the step. Ours is expected to tell the same clients the same within [`super::side::PATIENCE`], and nothing else
//! before their echo.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::super::run::{Pair, words};
use super::super::{Request, data};
use super::Place;
use super::judge::{self, Asked};
use super::requests;
use super::script::{CLIENTS_MAX, Step};
use super::side::{SILENT, Side, State, is_end};
use super::told::{self, Told};
use crate::harness::Reply;

/// Clients that the end of a script may release before it gives up: each may have asked to wait again and again.
const RELEASES_MAX: usize = 40;

/// Between a short time to live and the pause that it must not outlive, at most.
const SHORT_TIMES_SET_MAX: Duration = Duration::from_millis(200);

/// Databases that scripts reach.
const DATABASES: [&str; 3] = ["0", "1", "2"];

/// What the oracle says of each client.
pub type States = [Option<State>; CLIENTS_MAX];

/// The two servers, while scripts are played on them.
pub struct Table {
    ours: Side,
    theirs: Side,
    /// Compares data.
    pair: Pair,
    place: Place,
    states: States,
    /// What each client has asked and was not compared for yet.
    asked: [Asked; CLIENTS_MAX],
    /// What ours has said to a client for which the oracle has no word yet.
    held: [Vec<Reply>; CLIENTS_MAX],
    /// Whether a script may have left scripts behind.
    has_scripts: bool,
    /// When the first short time to live was set.
    short_times_since: Option<Instant>,
}

/// What playing came to.
pub enum Outcome {
    Same,
    /// The script cannot tell anything (any more).
    Void(&'static str),
    /// In that step, like that.
    Differs(usize, String),
}

/// Why a script ends before its end.
enum Stop {
    Void(&'static str),
    Differs(String),
}

/// Something done on both servers.
enum Act<'a> {
    Send(usize, &'a [Request]),
    Release(usize),
    /// Nothing: everybody is asked for an echo.
    Last,
}

/// How a client is listened to after an act.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ear {
    /// Nothing can have come.
    None,
    /// Up to an echo.
    Echo,
    /// That many replies; nothing else can have come.
    Exactly(usize),
    /// It cannot ask for one: that many replies, and what has arrived.
    Count(usize),
    /// Until the server closes.
    End,
}

impl Table {
    pub fn new(ours: Side, theirs: Side, pair: Pair, place: Place) -> Table {
        let (asked, held) = Default::default();
        Table {
            ours,
            theirs,
            pair,
            place,
            states: [None; CLIENTS_MAX],
            asked,
            held,
            has_scripts: true,
            short_times_since: None,
        }
    }

    /// Checks the test: whether our clients do not hear what begins with these words.
    pub fn deafen(&mut self, word: &'static [u8]) {
        self.ours.deaf_to = Some(word);
    }

    /// What any answer may take from now on.
    pub fn set_patience(&mut self, patience: Duration) {
        self.ours.patience = patience;
    }

    /// Plays what comes, from empty servers on; `next` is told what the oracle says of the clients.
    pub fn play(&mut self, mut next: impl FnMut(&States) -> Option<Step>) -> (Vec<Step>, Outcome) {
        self.ours.clear(self.has_scripts);
        self.theirs.clear(self.has_scripts);
        self.has_scripts = false;
        (self.states, self.short_times_since) = ([None; CLIENTS_MAX], None);
        (self.asked, self.held) = Default::default();
        let mut steps = Vec::new();
        while let Some(step) = next(&self.states) {
            let done = self.step(&step);
            steps.push(step);
            if let Err(stop) = done {
                let at = steps.len() - 1;
                return (steps, stop.at(at));
            }
        }
        let ended = self.end();
        let at = steps.len();
        (steps, ended.map_or_else(|stop| stop.at(at), |()| Outcome::Same))
    }

    /// Plays a script that is there.
    pub fn play_all(&mut self, steps: &[Step]) -> Outcome {
        let mut rest = steps.iter().cloned();
        self.play(|_| rest.next()).1
    }

    fn step(&mut self, step: &Step) -> Result<(), Stop> {
        match step {
            Step::Open { client, protocol } if !self.theirs.is_open(*client) => {
                self.theirs.connect(*client, *protocol);
                self.ours.connect(*client, *protocol);
                self.states[*client] = Some(State { protocol: *protocol, ..State::default() });
            }
            Step::Close { client } if self.theirs.is_open(*client) => {
                self.theirs.disconnect(*client);
                self.ours.disconnect(*client);
                self.forget(*client);
            }
            Step::Send { client, requests } if self.theirs.is_open(*client) => {
                if requests.iter().any(requests::sets_short_time) {
                    self.short_times_since.get_or_insert_with(Instant::now);
                }
                return self.act(&Act::Send(*client, requests));
            }
            Step::Pause { ms } => {
                if self.short_times_since.take().is_some_and(|since| since.elapsed() > SHORT_TIMES_SET_MAX) {
                    return Err(Stop::Void("the machine is too slow for short times"));
                }
                std::thread::park_timeout(Duration::from_millis(*ms));
            }
            // A client that is not there does nothing, and one that is there does not come.
            Step::Open { .. } | Step::Close { .. } | Step::Send { .. } => {}
        }
        Ok(())
    }

    /// Nobody may be owed anything, nobody may have been told more, and the data have to be the same.
    fn end(&mut self) -> Result<(), Stop> {
        for _ in 0..RELEASES_MAX {
            let Some(waiting) = self.states.iter().position(|state| state.is_some_and(|state| state.blocked)) else {
                break;
            };
            self.act(&Act::Release(waiting))?;
        }
        let queueing = |state: &Option<State>| state.is_some_and(|state| state.queueing && !state.blocked);
        while let Some(client) = self.states.iter().position(queueing) {
            self.act(&Act::Send(client, &[words(&["DISCARD"])]))?;
        }
        self.act(&Act::Last)?;
        (self.pair.encodings_differ, self.pair.parted) = (true, false);
        match data::differs(&DATABASES, &mut self.pair) {
            Some(why) => Err(Stop::Differs(format!("the data: {why}"))),
            None => Ok(()),
        }
    }

    /// Does something on both servers and compares what all clients are told.
    fn act(&mut self, act: &Act<'_>) -> Result<(), Stop> {
        let before = self.states;
        if let Act::Send(client, requests) = act {
            self.asked[*client].add(requests);
            self.has_scripts |= requests.iter().any(requests::leaves_scripts);
        }
        let first = self.theirs_acts(act);
        if self.may_change_states(act) {
            self.states = self.theirs.states();
        }
        let ears: [Ear; CLIENTS_MAX] = std::array::from_fn(|client| self.ear(client, act, &before));
        let theirs = self.theirs_tell(&ears, act, first);
        if theirs.iter().flatten().any(|reply| matches!(reply, Reply::Simple(text) if text == SILENT)) {
            return Err(Stop::Void("theirs is not asked for an answer"));
        }
        let ours = self.ours_act_and_tell(&ears, act, &theirs)?;
        for client in 0..CLIENTS_MAX {
            let alone = matches!(act, Act::Send(acting, requests) if *acting == client && requests.len() == 1);
            self.compare(client, &ours[client], &theirs[client], ears[client], alone)?;
        }
        Ok(())
    }

    /// Does it on the oracle; once this returns, it has done all it will do. Returns what the acting client was told.
    fn theirs_acts(&mut self, act: &Act<'_>) -> Vec<Reply> {
        let mut first = Vec::new();
        match act {
            Act::Send(client, requests) => {
                self.theirs.send(*client, requests);
                let waits = self.states[*client].is_some_and(|state| state.blocked);
                if !waits && requests.iter().all(requests::answers_at_once) {
                    first = self.theirs.replies(*client, 1);
                } else {
                    self.theirs.round();
                }
            }
            Act::Release(client) => drop(release(&mut self.theirs, *client)),
            Act::Last => {}
        }
        first
    }

    /// Whether the oracle may have something else to say of the clients: asking takes longer than most requests.
    fn may_change_states(&self, act: &Act<'_>) -> bool {
        match act {
            Act::Send(_, requests) => {
                let has_waiting = self.states.iter().flatten().any(|state| state.blocked);
                has_waiting || requests.iter().any(requests::changes_states)
            }
            Act::Release(_) | Act::Last => true,
        }
    }

    fn theirs_tell(
        &mut self,
        ears: &[Ear; CLIENTS_MAX],
        act: &Act<'_>,
        first: Vec<Reply>,
    ) -> [Vec<Reply>; CLIENTS_MAX] {
        let barriers: Vec<_> = (0..CLIENTS_MAX)
            .map(|client| {
                (ears[client] == Ear::Echo).then(|| self.theirs.bar(client, self.states[client].unwrap_or_default()))
            })
            .collect();
        let mut told: [Vec<Reply>; CLIENTS_MAX] = Default::default();
        if let Act::Send(client, _) = act {
            told[*client] = first;
        }
        for (client, barrier) in barriers.iter().enumerate() {
            let answered = told[client].iter().filter(|reply| !matches!(reply, Reply::Push(_))).count();
            told[client].extend(match (ears[client], barrier) {
                (Ear::Echo, Some(barrier)) => self.theirs.before(client, barrier),
                (Ear::Count(count), _) => {
                    let mut more = self.theirs.replies(client, count.saturating_sub(answered));
                    more.extend(self.theirs.arrived(client));
                    more
                }
                (Ear::Exactly(count), _) => self.theirs.replies(client, count.saturating_sub(answered)),
                (Ear::End, _) if told[client].last().is_some_and(is_end) => Vec::new(),
                (Ear::End, _) => self.theirs.next(client, usize::MAX),
                _ => Vec::new(),
            });
        }
        told
    }

    fn ours_act_and_tell(
        &mut self,
        ears: &[Ear; CLIENTS_MAX],
        act: &Act<'_>,
        theirs: &[Vec<Reply>; CLIENTS_MAX],
    ) -> Result<[Vec<Reply>; CLIENTS_MAX], Stop> {
        let acting = match act {
            Act::Send(client, requests) => {
                self.ours.send(*client, requests);
                Some(*client)
            }
            Act::Release(client) => {
                let said = release(&mut self.ours, *client);
                if said != Reply::Int(1) {
                    return Err(Stop::Differs(format!("CLIENT UNBLOCK of client {client} says {said:?}")));
                }
                Some(*client)
            }
            Act::Last => None,
        };
        let mut told = std::mem::take(&mut self.held);
        let order = acting.into_iter().chain((0..CLIENTS_MAX).filter(|client| Some(*client) != acting));
        for client in order {
            self.await_told(client, ears[client], &mut told[client], &theirs[client]);
        }
        let barriers: Vec<_> = (0..CLIENTS_MAX)
            .map(|client| {
                (ears[client] == Ear::Echo && !told[client].last().is_some_and(is_end))
                    .then(|| self.ours.bar(client, self.states[client].unwrap_or_default()))
            })
            .collect();
        for (client, barrier) in barriers.iter().enumerate() {
            if let Some(barrier) = barrier {
                told[client].extend(self.ours.before(client, barrier));
            }
            if let Ear::Count(_) = ears[client] {
                self.hold(client, &mut told[client], &theirs[client])?;
            }
        }
        if let Some(client) = acting
            && self.states[client].is_some_and(|state| state.blocked)
            && !self.ours.comes_to_wait(client)
        {
            return Err(Stop::Differs(format!(
                "client {client} does not wait; it was told {:?}",
                self.ours.arrived(client)
            )));
        }
        Ok(told)
    }

    /// Listens until ours has said as much as theirs, in however many pieces.
    fn await_told(&mut self, client: usize, ear: Ear, told: &mut Vec<Reply>, theirs: &[Reply]) {
        while ear != Ear::None && !told.last().is_some_and(is_end) && Told::lacks(told, theirs) {
            told.extend(self.ours.next(client, 1));
        }
    }

    /// Keeps what ours says before the oracle does, as long as that may be a matter of when one looks.
    fn hold(&mut self, client: usize, told: &mut Vec<Reply>, theirs: &[Reply]) -> Result<(), Stop> {
        let whole = theirs.iter().filter(|reply| told::stale_keys(reply).is_none()).count();
        let stale: BTreeSet<Reply> = theirs.iter().filter_map(told::stale_keys).flatten().collect();
        let (mut kept, mut more, mut count) = (Vec::new(), Vec::new(), 0);
        for reply in told.drain(..).chain(self.ours.arrived(client)) {
            let is_due = match told::stale_keys(&reply) {
                Some(keys) => keys.iter().all(|key| stale.contains(key)),
                None => {
                    count += 1;
                    count <= whole
                }
            };
            if is_due { kept.push(reply) } else { more.push(reply) }
        }
        *told = kept;
        if let Some(reply) = more.iter().find(|reply| !told::is_unasked(reply)) {
            let says =
                if self.states[client].is_some_and(|state| state.blocked) { "waits" } else { "says nothing more" };
            return Err(Stop::Differs(format!("client {client}: theirs {says}, ours says {reply:?}")));
        }
        self.held[client] = more;
        Ok(())
    }

    fn ear(&self, client: usize, act: &Act<'_>, before: &States) -> Ear {
        let (acts, count) = match act {
            Act::Send(acting, requests) => (*acting == client, requests.len()),
            Act::Release(released) => (*released == client, 1),
            Act::Last => (true, 0),
        };
        let was_blocked = before[client].is_some_and(|state| state.blocked);
        let somebody_tracks = self.states.iter().flatten().any(|state| state.tracking);
        let is_plain = matches!(act, Act::Send(_, requests) if !self.may_change_states(act) && requests.iter().all(requests::answers_at_once));
        match self.states[client] {
            None if self.theirs.is_open(client) => Ear::End,
            None => Ear::None,
            Some(state) if state.blocked => Ear::Count(0),
            Some(state) if state.queueing && was_blocked => Ear::Count(self.asked[client].requests()),
            Some(state) if state.queueing => Ear::Count(if acts { count } else { 0 }),
            Some(state) if was_blocked || state.subscribed || (state.protocol == 3 && somebody_tracks) => Ear::Echo,
            // One request that has been answered, and nothing can come beside that.
            Some(_) if acts && count == 1 && is_plain => Ear::Exactly(1),
            Some(_) if acts => Ear::Echo,
            Some(_) => Ear::None,
        }
    }

    fn compare(&mut self, client: usize, ours: &[Reply], theirs: &[Reply], ear: Ear, alone: bool) -> Result<(), Stop> {
        if ear == Ear::None {
            return Ok(());
        }
        let stays_open = matches!(ear, Ear::Count(_)) && self.states[client].is_some_and(|state| state.blocked);
        // Over links news may overtake the reply to the request that has brought them about.
        let alone = alone && !self.place.is_remote && ear == Ear::Echo;
        let alone = alone && !self.states[client].is_some_and(|state| state.queueing);
        let ids = [&self.ours.given[..], &self.theirs.given[..]];
        let verdict = judge::compare(ours, theirs, &mut self.asked[client], ids, stays_open, alone, self.place);
        if ear == Ear::End {
            self.forget(client);
            self.theirs.forget(client);
            self.ours.forget(client);
        }
        match verdict {
            judge::Verdict::Same => Ok(()),
            judge::Verdict::Parted(why) => Err(Stop::Void(why)),
            judge::Verdict::Differs => {
                Err(Stop::Differs(format!("client {client}:\n  ours   {ours:?}\n  theirs {theirs:?}")))
            }
        }
    }

    fn forget(&mut self, client: usize) {
        self.states[client] = None;
        self.asked[client] = Asked::default();
        self.held[client].clear();
    }
}

impl Stop {
    fn at(self, step: usize) -> Outcome {
        match self {
            Stop::Void(why) => Outcome::Void(why),
            Stop::Differs(why) => Outcome::Differs(step, why),
        }
    }
}

/// Lets a client wait no longer.
fn release(side: &mut Side, client: usize) -> Reply {
    let id = side.ids()[client].to_string();
    side.control.cmd(&["CLIENT", "UNBLOCK", &id])
}
