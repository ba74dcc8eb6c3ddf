//! A command has run: what somebody wants to know of it is noted.

use swell_engine::commands::table::Command;
use swell_engine::spec::Flags;
use swell_wire::Args;

use super::{Event, LogKind, Observer, SUSPICION_NS, Watch};
use crate::core::Core;
use crate::plan::Source;
use crate::session::Session;
use crate::worker::unix_ns;

const NS_PER_US: u64 = 1_000;
const NS_PER_MS: u64 = 1_000_000;
const NS_PER_SECOND: u64 = 1_000_000_000;
/// The largest share of an argument in a request's bytes, where none is long: 64 KiB, its header, its line ends, and the
/// array's header.
const ARG_BYTES_MAX: u64 = (64 << 10) + 32;

/// A command that has run.
#[derive(Clone, Copy)]
pub struct Ran<'a> {
    pub command: Command,
    pub args: Args<'a>,
    pub took_ns: u64,
    pub reply_bytes: u64,
    /// Calls that it speaks for in the histograms; 0: none.
    pub weight: u64,
}

/// How long a command ran whose answer was late, and how long its reply is. Waiting counts only where the command itself
/// is what takes the time (a helper thread, another process, a sleep), not where others are waited for.
#[derive(Debug, Default)]
pub struct Stopwatch {
    spent_ns: u64,
    /// Since when it runs, or rests while that counts, unix nanoseconds.
    since: Option<u64>,
    pub reply_bytes: u64,
}

impl Stopwatch {
    /// A command is late from here on.
    pub fn start(counts: bool) -> Stopwatch {
        Stopwatch { spent_ns: 0, since: counts.then(unix_ns), reply_bytes: 0 }
    }

    /// It goes on.
    pub fn go_on(&mut self) {
        self.since.get_or_insert_with(unix_ns);
    }

    /// It waits again.
    pub fn rest(&mut self, counts: bool) {
        if !counts && let Some(since) = self.since.take() {
            self.spent_ns += unix_ns().saturating_sub(since);
        }
    }

    /// What it took until now, nanoseconds.
    pub fn total_ns(&self) -> u64 {
        self.spent_ns + self.since.map_or(0, |since| unix_ns().saturating_sub(since))
    }
}

impl Observer {
    /// The time since everything was given to a command, and from now on nothing is.
    #[inline]
    fn lap(&mut self) -> u64 {
        let now = unix_ns();
        let lap = now.saturating_sub(self.mark);
        self.mark = now;
        lap
    }

    /// From now on time belongs to what comes next.
    #[inline]
    pub fn begin_alone(&mut self) {
        self.mark = unix_ns();
        self.told = false;
    }

    /// What runs now is refused after all, and nobody need know of it.
    pub fn pass_over(&mut self) {
        self.told = true;
    }

    /// Whether a time or a size is worth a look.
    #[inline]
    fn is_notable(&self, ran: &Ran<'_>) -> bool {
        ran.took_ns >= self.slow_ns || ran.reply_bytes >= self.reply_bytes || self.may_be_large(ran.args)
    }

    /// Whether a request could be as large as is of interest, by its look.
    #[inline]
    fn may_be_large(&self, args: Args<'_>) -> bool {
        args.has_long() || args.len() as u64 * ARG_BYTES_MAX >= self.request_bytes
    }

    /// Counts a command and notes what is slow or large about it.
    pub fn note(&mut self, watch: &Watch, session: &Session, ran: Ran<'_>) {
        self.told = true;
        if ran.weight > 0 && self.tracking {
            self.histograms.record(ran.command.id, ran.took_ns, ran.weight);
        }
        if self.is_notable(&ran) {
            self.note_in_logs(watch, session, ran);
        }
    }

    #[cold]
    fn note_in_logs(&self, watch: &Watch, session: &Session, ran: Ran<'_>) {
        let spec = ran.command.spec;
        let unix_seconds = self.mark / NS_PER_SECOND;
        let latency_ms = watch.latency_ms.load(std::sync::atomic::Ordering::Relaxed);
        if latency_ms > 0 && ran.took_ns / NS_PER_MS >= latency_ms as u64 {
            let event = if spec.flags.has(Flags::FAST) { Event::FastCommand } else { Event::Command };
            watch.events.add(event, unix_seconds, ran.took_ns / NS_PER_MS);
        }
        if spec.flags.has(Flags::SKIP_SLOWLOG) {
            return;
        }
        let slow_us = watch.slow_us.load(std::sync::atomic::Ordering::Relaxed);
        let request_bytes = request_bytes(ran.args);
        for (kind, is_over, value) in [
            (LogKind::Slow, slow_us >= 0 && ran.took_ns / NS_PER_US >= slow_us as u64, ran.took_ns / NS_PER_US),
            (LogKind::LargeRequest, request_bytes >= self.request_bytes, request_bytes),
            (LogKind::LargeReply, ran.reply_bytes >= self.reply_bytes, ran.reply_bytes),
        ] {
            if is_over {
                watch.logs.of(kind).add(spec, ran.args, &session.info, value, unix_seconds);
            }
        }
    }
}

impl Core {
    /// A planned request has run that is to be told by itself.
    #[cold]
    pub fn saw(&mut self, session: &Session, command: Command, args: Args<'_>, reply_bytes: u64) {
        let took_ns = self.observer.lap();
        let weight = self.observer.weight.into();
        if self.observer.is_monitored {
            self.show_to_monitors(session, command, args);
        }
        self.observer.note(&self.shared.watch, session, Ran { command, args, took_ns, reply_bytes, weight });
    }

    /// A command that ran alone has run.
    pub fn saw_alone(&mut self, session: &Session, command: Command, args: Args<'_>, reply_bytes: u64) {
        let took_ns = self.observer.lap();
        // It may itself have changed what is slow: CONFIG SET is judged by what it has set, as in Valkey.
        if !self.shared.watch.is(self.observer.seen) {
            self.observer.follow(&self.shared.watch);
        }
        if self.observer.is_monitored {
            self.show_to_monitors(session, command, args);
        }
        self.observer.note(&self.shared.watch, session, Ran { command, args, took_ns, reply_bytes, weight: 1 });
    }

    /// A late command has run.
    pub fn saw_late(&mut self, session: &Session, command: Command, args: Args<'_>, watch: &Stopwatch) {
        if self.observer.told {
            return;
        }
        let (took_ns, reply_bytes) = (watch.total_ns(), watch.reply_bytes);
        if self.observer.is_monitored {
            self.show_to_monitors(session, command, args);
        }
        self.observer.note(&self.shared.watch, session, Ran { command, args, took_ns, reply_bytes, weight: 1 });
    }

    /// A group of planned requests is over, the first `count` of [`Core::planned`]; it began with request `from`.
    #[inline]
    pub fn end_group(&mut self, session: &Session, source: &impl Source, from: usize, count: usize) {
        let took_ns = self.observer.lap();
        if self.observer.exact || self.observer.told && count == 1 {
            return;
        }
        if count == 1 && self.observer.tracking {
            self.observer.histograms.record(self.planned[0].command.id, took_ns, 1);
        }
        if took_ns >= self.observer.slow_ns {
            let planned = self.planned.iter().take(count).enumerate();
            let requests: Vec<_> =
                planned.filter_map(|(at, one)| Some((one.command, source.args(from + at)?))).collect();
            self.suspect(session, requests.into_iter(), took_ns);
        }
    }

    /// A slice of a transaction is over, which began as a group; `requests`: those that it ran.
    #[inline]
    pub fn end_slice<'a>(&mut self, session: &Session, requests: impl Iterator<Item = (Command, Args<'a>)>) {
        let took_ns = self.observer.lap();
        if !self.observer.exact && took_ns >= self.observer.slow_ns {
            self.suspect(session, requests, took_ns);
        }
    }

    /// Requests that are no large work took too long together: the largest of them is told, and for a while all are
    /// timed one by one.
    #[cold]
    fn suspect<'a>(&mut self, session: &Session, requests: impl Iterator<Item = (Command, Args<'a>)>, took_ns: u64) {
        self.observer.suspicious_until = self.observer.mark + SUSPICION_NS;
        let first_of_largest = |at: usize, args: &Args<'_>| (args.payload_bytes(), std::cmp::Reverse(at));
        let largest = requests.enumerate().max_by_key(|(at, (_, args))| first_of_largest(*at, args));
        if let Some((_, (command, args))) = largest {
            let ran = Ran { command, args, took_ns, reply_bytes: 0, weight: 0 };
            self.observer.note_in_logs(&self.shared.watch, session, ran);
        }
    }
}

/// Bytes of a request as it is sent.
fn request_bytes(args: Args<'_>) -> u64 {
    let line = |number: usize| 3 + number.checked_ilog10().unwrap_or(0) as usize + 1;
    let words = (0..args.len()).map(|at| args.get(at).len());
    (line(args.len()) + words.map(|len| line(len) + len + 2).sum::<usize>()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use swell_wire::OwnedArgs;

    #[test]
    fn request_bytes_are_those_of_the_request() {
        let bytes = |words: &[&str]| request_bytes(OwnedArgs::from_slices(words).as_args());
        assert_eq!(bytes(&["ping"]), 14);
        assert_eq!(bytes(&["set", "k", "0123456789"]), 37);
    }
}
