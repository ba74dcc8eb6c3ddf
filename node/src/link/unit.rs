//! Frames whose requests run as one unit (EXEC), on the condition that watched keys have not changed.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use swell_engine::acl::User;
use swell_engine::admit::Admitted;
use swell_engine::bulk::{Lending, PartAnswer};
use swell_engine::gate::Refusal;
use swell_engine::key::KeyHash;
use swell_engine::number::parse_i64;
use swell_engine::script::watch::Kill;
use swell_engine::spec::Spec;
use swell_engine::stripe::Ticket;
use swell_engine::unit::{Needs, Step, Suspended, Unit};
use swell_engine::{Context, Db, Fault, Outcome};
use swell_wire::{Args, Out};

use crate::Handle;
use crate::embedded::Node;
use crate::link::body::{Job, Ran, Waiting, context};
use crate::link::frame::Entry;
use crate::link::stats::Counts;
use crate::link::watch::{self, SessionWatch};

/// Work that is done in one go: some hundred microseconds.
const SLICE_WORK: u64 = 512;
/// Answers up to this length are copied.
const SHORT_BYTES: usize = 16 * 1024;
/// Until one that nobody waits for looks again whether a helper thread has done its part.
const NAP: Duration = Duration::from_millis(1);

/// A request of a unit, ready to run.
enum Prepared {
    /// Where its hashes end.
    Call(Context, usize),
    Select,
    /// SCRIPT KILL or FUNCTION KILL, which comes alone.
    Kill {
        functions: bool,
    },
    /// SCRIPT SHOW.
    Show,
    Fault(Fault),
}

/// A unit that has its locks. It runs to its end, also if its link does not live that long.
#[derive(Debug)]
pub(super) struct Running(Option<Box<Rest>>);

/// What is left of it.
struct Rest {
    node: Arc<Node>,
    requests: VecDeque<(Prepared, Waiting)>,
    hashes: Vec<KeyHash>,
    hashes_used: usize,
    /// Nothing: it runs, or has ended.
    unit: Option<Suspended>,
    /// A helper thread is at the first request.
    lending: Option<Lending>,
    answered: Option<PartAnswer>,
    /// Whose scripts run, if that user may not do everything.
    user: Option<Arc<User>>,
    /// It depends on what its client watches, which ends with it.
    is_guarded: bool,
}

/// What it has answered.
struct Answers<'a> {
    entries: &'a mut Vec<Entry>,
    out: &'a mut Out,
    counts: &'a mut Counts,
}

/// A rest whose link is gone: it runs where it is dropped, on a helper thread.
struct Orphan(Box<Rest>);

/// Whether a command that the proxy answers may stand in a unit's frame.
pub(super) fn is_for_units(spec: &Spec) -> bool {
    is_select(spec) || is_kill(spec) || is_show(spec) || is_user(spec) || watch::is_watch(spec)
}

impl Job {
    /// Runs all requests as one, a slice at a time. A frame that begins with WATCH and nothing behind it but keys watches
    /// them; with no keys it is the condition of what follows. ACL SETUSER at the beginning says whose scripts these are.
    pub(super) fn run_unit(
        &mut self,
        handle: &mut Handle,
        ticket: &mut Option<Ticket>,
        watch: &mut Option<SessionWatch>,
        now_ms: u64,
        counts: &mut Counts,
    ) -> Ran {
        if self.unit.is_none() {
            match self.begin_unit(handle, *ticket, watch, now_ms) {
                Ok(running) => self.unit = Some(running),
                Err(ran) => return ran,
            }
        }
        let Some(running) = &mut self.unit else { return Ran::Done };
        let Some(rest) = &mut running.0 else { return Ran::Done };
        let answers = Answers { entries: &mut self.entries, out: &mut self.out, counts };
        let ran = rest.go_on(handle, answers);
        if matches!(ran, Ran::Done) {
            // What the proxy asks in between (`SCRIPT SHOW`) is no end of what its client watches.
            let is_guarded = rest.is_guarded;
            running.0 = None;
            if is_guarded {
                watch::end(handle, watch);
            }
        }
        ran
    }

    /// Takes the locks of a unit.
    ///
    /// # Errors
    /// It does not run, or not yet, or has run.
    fn begin_unit(
        &mut self,
        handle: &mut Handle,
        ticket: Option<Ticket>,
        watch: &mut Option<SessionWatch>,
        now_ms: u64,
    ) -> Result<Running, Ran> {
        let context = context(&self.head, self.link, now_ms);
        let guard = self.requests.front().filter(|first| watch::is_watch(first.spec)).map(|first| first.args.as_args());
        if let Some(args) = guard.filter(|args| watch::names_keys(*args)) {
            return Err(match watch::begin(handle, watch, args, context, ticket) {
                Ok(()) => self.watches(),
                Err(ran) => ran,
            });
        }
        let is_guarded = guard.is_some();
        let watching = match guard {
            None => None,
            Some(args) => Some(watch.as_ref().filter(|watch| watch.is_called(args)).ok_or(Ran::Stale)?.watching()),
        };
        let user = match self.requests.get(usize::from(is_guarded)).filter(|request| is_user(request.spec)) {
            None => None,
            Some(request) => match read_user(request.args.as_args()) {
                Ok(user) => Some(Arc::new(user)),
                Err(fault) => return Err(self.refuse_unit(&fault.to_string())),
            },
        };
        let ahead = usize::from(is_guarded) + usize::from(user.is_some());
        let (mut hashes, mut needs) = (Vec::new(), Needs::default());
        let prepared = prepare(&self.requests, ahead, context, handle, &mut hashes, &mut needs);
        let node = handle.node().clone();
        let unit = match handle.begin_unit(&node, &needs, watching, now_ms, ticket) {
            Ok(unit) => unit,
            Err(Outcome::Busy(stripe)) => {
                let Some(words) = node.engine().scripts().busy(stripe) else { return Err(Ran::Busy(stripe)) };
                return Err(self.refuse_unit(words));
            }
            Err(Outcome::NotExecuted(Refusal::Paused, stripe)) => return Err(Ran::Closed(stripe)),
            Err(_) => return Err(Ran::Moved),
        };
        let refused = match (unit.is_stale(), unit.is_full()) {
            (true, _) => Some(Ran::Stale),
            (_, true) => Some(Ran::Full),
            _ => None,
        };
        if let Some(refused) = refused {
            handle.end_unit(unit);
            if is_guarded {
                watch::end(handle, watch);
            }
            return Err(refused);
        }
        let unit = Some(handle.suspend_unit(unit));
        for _ in 0..ahead {
            self.requests.pop_front();
            self.watches();
        }
        let requests = prepared.into_iter().zip(self.requests.drain(..)).collect();
        let (lending, answered) = Default::default();
        let rest = Rest { node, requests, hashes, hashes_used: 0, unit, lending, answered, user, is_guarded };
        Ok(Running(Some(Box::new(rest))))
    }

    /// Answers every request of a unit that does not run with this error: a script has what it needs, for too long.
    fn refuse_unit(&mut self, words: &str) -> Ran {
        for _ in 0..self.requests.len() {
            let len_before = self.out.len();
            self.out.error(words);
            let reply_bytes = (self.out.len() - len_before) as u64;
            self.entries.push(Entry { reply_bytes, data_bytes: 0, work: 1, failed: true });
        }
        Ran::Done
    }

    /// The answer of a frame that watches, and of what stands before a unit.
    fn watches(&mut self) -> Ran {
        let before = self.out.len();
        self.out.ok();
        let reply_bytes = (self.out.len() - before) as u64;
        self.entries.push(Entry { reply_bytes, data_bytes: 0, work: 1, failed: false });
        Ran::Done
    }
}

impl Running {
    /// Has this woken when a helper thread has done its part; whether it has already, and nobody will wake it.
    pub fn wait(&mut self, waker: &Waker) -> bool {
        let Some(rest) = &mut self.0 else { return false };
        if let (None, Some(lending)) = (&rest.answered, &mut rest.lending) {
            rest.answered = lending.take(waker);
        }
        rest.answered.is_some()
    }
}

impl Rest {
    fn go_on(&mut self, handle: &mut Handle, mut answers: Answers<'_>) -> Ran {
        if let Some(lending) = &mut self.lending {
            self.answered = self.answered.take().or_else(|| lending.take(Waker::noop()));
            if self.answered.is_none() {
                return Ran::Elsewhere;
            }
        }
        let Some(mut unit) = self.unit.take() else { return Ran::Done };
        if let Some(answered) = &mut self.answered {
            unit.take_over(answered);
        }
        let node = self.node.clone();
        let unit = handle.resume_unit(&node, unit);
        let mut work = 0;
        while let Some((prepared, request)) = self.requests.pop_front() {
            let before = (answers.out.len(), answers.out.data_bytes());
            let Some(done) = self.run_one(handle, &unit, &prepared, &request, &mut answers) else {
                self.requests.push_front((prepared, request));
                self.unit = Some(handle.suspend_unit(unit));
                return Ran::Elsewhere;
            };
            work += done.0;
            let reply_bytes = (answers.out.len() - before.0) as u64;
            let data_bytes = answers.out.data_bytes() - before.1;
            answers.entries.push(Entry { reply_bytes, data_bytes, work: done.0, failed: done.1 });
            if work >= SLICE_WORK && !self.requests.is_empty() {
                self.unit = Some(handle.suspend_unit(unit));
                return Ran::More;
            }
        }
        handle.end_unit(unit);
        Ran::Done
    }

    /// Runs one request: its work, and whether the reply is an error. Nothing: a helper thread runs it.
    fn run_one(
        &mut self,
        handle: &mut Handle,
        unit: &Unit<'_>,
        prepared: &Prepared,
        request: &Waiting,
        answers: &mut Answers<'_>,
    ) -> Option<(u64, bool)> {
        let (args, out) = (request.args.as_args(), &mut *answers.out);
        match prepared {
            Prepared::Call(context, keys_end) => {
                let keys = self.hashes.get(self.hashes_used..*keys_end).unwrap_or_default();
                let done = match self.answered.take() {
                    Some(mut answered) => {
                        self.lending = None;
                        match answered.out.len() {
                            ..=SHORT_BYTES => out.append(&mut answered.out),
                            _ => out.attach(answered.out),
                        }
                        (answered.work, answered.failed)
                    }
                    None => {
                        let call = Admitted::from_link(request.spec, args).call(keys, *context);
                        handle.set_script_user(self.user.clone());
                        let done = match handle.step_unit(unit, &call, out) {
                            Step::Done { work, failed } => Ok((work, failed)),
                            Step::Much => handle.lend_in_unit(unit, &call, out).map_or_else(Ok, Err),
                        };
                        handle.set_script_user(None);
                        match done {
                            Ok(done) => done,
                            Err(lending) => {
                                self.lending = Some(lending);
                                return None;
                            }
                        }
                    }
                };
                answers.counts.request(keys, done.0);
                self.hashes_used = *keys_end;
                Some(done)
            }
            Prepared::Select => {
                out.ok();
                Some((1, false))
            }
            Prepared::Kill { functions } => {
                let kill = self.node.engine().scripts().kill(*functions);
                kill.write(out);
                Some((1, kill != Kill::Done))
            }
            Prepared::Show => {
                let found = self.node.engine().scripts().store.find(args.slice(2));
                match &found {
                    Some(script) => out.bulk(&script.body),
                    None => out.null(),
                }
                Some((1, false))
            }
            Prepared::Fault(fault) => {
                out.error(&fault.to_string());
                Some((1, true))
            }
        }
    }
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rest").field("left", &self.requests.len()).finish_non_exhaustive()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(rest) = self.0.take() {
            let node = rest.node.clone();
            node.engine().free_elsewhere(Box::new(Orphan(rest)));
        }
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        let mut handle = self.0.node.handle(1);
        let (mut entries, mut out, mut counts) = (Vec::new(), Out::default(), Counts::default());
        loop {
            let answers = Answers { entries: &mut entries, out: &mut out, counts: &mut counts };
            match self.0.go_on(&mut handle, answers) {
                Ran::More => out.clear(),
                Ran::Elsewhere => std::thread::sleep(NAP),
                _ => break,
            }
        }
    }
}

/// Databases and hashes of a unit's requests from the `from`-th on; SELECT may stand between.
fn prepare(
    requests: &VecDeque<Waiting>,
    from: usize,
    mut context: Context,
    handle: &Handle,
    hashes: &mut Vec<KeyHash>,
    needs: &mut Needs,
) -> Vec<Prepared> {
    let mut prepare = |request: &Waiting| {
        let args = request.args.as_args();
        if is_select(request.spec) {
            return match selected(args.slice(1)) {
                Ok(db) => {
                    context.db = db;
                    Prepared::Select
                }
                Err(fault) => Prepared::Fault(fault),
            };
        }
        if is_kill(request.spec) {
            return Prepared::Kill { functions: request.spec.name == "function|kill" };
        }
        if is_show(request.spec) {
            return Prepared::Show;
        }
        if watch::is_watch(request.spec) || is_user(request.spec) {
            return Prepared::Fault(Fault::Syntax);
        }
        let from = hashes.len();
        request.spec.hash_keys(handle.engine(), args, hashes);
        needs.add(request.spec, args, &hashes[from..]);
        Prepared::Call(context, hashes.len())
    };
    requests.iter().skip(from).map(&mut prepare).collect()
}

/// `ACL SETUSER name rule ...`: a user as the proxy knows it.
fn read_user(args: Args<'_>) -> Result<User, Fault> {
    let words: Vec<&[u8]> = args.from(3).iter().collect();
    let user = User::new(args.slice(2), false).changed(&words, false);
    user.map_err(|why| Fault::Other(why.to_string().into()))
}

fn is_user(spec: &Spec) -> bool {
    spec.name == "acl|setuser"
}

fn is_show(spec: &Spec) -> bool {
    spec.name == "script|show"
}

fn is_select(spec: &Spec) -> bool {
    spec.name == "select"
}

/// What a node answers for its own scripts.
fn is_kill(spec: &Spec) -> bool {
    matches!(spec.name, "script|kill" | "function|kill")
}

/// The database that SELECT names. Proxies have checked the number already.
fn selected(arg: &[u8]) -> Result<Db, Fault> {
    let number = parse_i64(arg).ok_or(Fault::NotInteger)?;
    Db::new(number).ok_or(Fault::DbOutOfRange)
}
