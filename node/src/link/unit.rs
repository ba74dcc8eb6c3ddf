//! Frames whose requests run as one unit (EXEC), on the condition that watched keys have not changed.

use std::collections::VecDeque;
use std::ops::Range;

use swell_engine::admit::Admitted;
use swell_engine::gate::Refusal;
use swell_engine::key::KeyHash;
use swell_engine::number::parse_i64;
use swell_engine::script::watch::Kill;
use swell_engine::spec::Spec;
use swell_engine::stripe::Ticket;
use swell_engine::{Call, Context, Db, Fault, Outcome};

use crate::Handle;
use crate::link::body::{Job, Ran, Waiting, context};
use crate::link::frame::Entry;
use crate::link::stats::Counts;
use crate::link::watch::{self, SessionWatch};

/// A request of a unit, ready to run.
enum Prepared {
    Call(Context, Range<usize>),
    Select,
    /// SCRIPT KILL or FUNCTION KILL, which comes alone.
    Kill {
        functions: bool,
    },
    Fault(Fault),
}

/// Whether a command that the proxy answers may stand in a unit's frame.
pub(super) fn is_for_units(spec: &Spec) -> bool {
    is_select(spec) || is_kill(spec) || watch::is_watch(spec)
}

impl Job {
    /// Runs all requests as one. A frame that begins with WATCH and nothing behind it but keys watches them; with no keys
    /// it is the condition of what follows.
    pub(super) fn run_unit(
        &mut self,
        handle: &mut Handle,
        ticket: &mut Option<Ticket>,
        watch: &mut Option<SessionWatch>,
        now_ms: u64,
        counts: &mut Counts,
    ) -> Ran {
        let context = context(&self.head, now_ms);
        let guard = self.requests.front().filter(|first| watch::is_watch(first.spec)).map(|first| first.args.as_args());
        if let Some(args) = guard.filter(|args| watch::names_keys(*args)) {
            return match watch::begin(handle, watch, args, context, *ticket) {
                Ok(()) => self.watches(),
                Err(ran) => ran,
            };
        }
        let is_guarded = guard.is_some();
        let watching = match guard {
            None => None,
            Some(args) => match watch.as_ref().filter(|watch| watch.is_called(args)) {
                Some(watch) => Some((watch.watching(), now_ms)),
                None => return Ran::Stale,
            },
        };
        let mut hashes = Vec::new();
        let prepared = prepare(&self.requests, usize::from(is_guarded), context, handle, &mut hashes);
        let requests = self.requests.iter().skip(usize::from(is_guarded));
        let calls: Vec<Call<'_>> = requests
            .zip(&prepared)
            .filter_map(|(request, prepared)| {
                let Prepared::Call(context, keys) = prepared else { return None };
                Some(Admitted::from_link(request.spec, request.args.as_args()).call(&hashes[keys.clone()], *context))
            })
            .collect();
        let node = handle.node().clone();
        let unit = match handle.begin_unit(&node, &calls, watching, *ticket) {
            Ok(unit) => unit,
            Err(Outcome::Busy(stripe)) => {
                let Some(words) = node.engine().scripts().busy(stripe) else { return Ran::Busy(stripe) };
                return self.refuse_unit(words);
            }
            Err(Outcome::NotExecuted(Refusal::Paused, stripe)) => return Ran::Closed(stripe),
            Err(_) => return Ran::Moved,
        };
        let refused = match (unit.is_stale(), unit.is_full()) {
            (true, _) => Some(Ran::Stale),
            (_, true) => Some(Ran::Full),
            _ => None,
        };
        if refused.is_none() {
            if is_guarded {
                self.out.ok();
                self.entries.push(Entry { reply_bytes: self.out.len() as u64, data_bytes: 0, work: 1, failed: false });
            }
            let mut calls = calls.iter();
            for prepared in &prepared {
                let before = (self.out.len(), self.out.data_bytes());
                let (work, failed) = match prepared {
                    Prepared::Call(_, keys) => {
                        let Some(call) = calls.next() else { break };
                        let done = handle.run_in_unit(&unit, call, &mut self.out);
                        counts.request(&hashes[keys.clone()], done.0);
                        done
                    }
                    Prepared::Select => {
                        self.out.ok();
                        (1, false)
                    }
                    Prepared::Kill { functions } => {
                        let kill = node.engine().scripts().kill(*functions);
                        kill.write(&mut self.out);
                        (1, kill != Kill::Done)
                    }
                    Prepared::Fault(fault) => {
                        self.out.error(&fault.to_string());
                        (1, true)
                    }
                };
                let (reply_bytes, data_bytes) = ((self.out.len() - before.0) as u64, self.out.data_bytes() - before.1);
                self.entries.push(Entry { reply_bytes, data_bytes, work, failed });
            }
        }
        handle.end_unit(unit);
        watch::end(handle, watch);
        refused.unwrap_or(Ran::Done)
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

    /// The answer of a frame that watches.
    fn watches(&mut self) -> Ran {
        self.out.ok();
        self.entries.push(Entry { reply_bytes: self.out.len() as u64, data_bytes: 0, work: 1, failed: false });
        Ran::Done
    }
}

/// Databases and hashes of a unit's requests from the `from`-th on; SELECT may stand between.
fn prepare(
    requests: &VecDeque<Waiting>,
    from: usize,
    mut context: Context,
    handle: &Handle,
    hashes: &mut Vec<KeyHash>,
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
        if watch::is_watch(request.spec) {
            return Prepared::Fault(Fault::Syntax);
        }
        let from = hashes.len();
        request.spec.hash_keys(handle.engine(), args, hashes);
        Prepared::Call(context, from..hashes.len())
    };
    requests.iter().skip(from).map(&mut prepare).collect()
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
