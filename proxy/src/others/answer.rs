//! What this proxy answers when another asks.

use std::sync::atomic::Ordering::Relaxed;

use swell_engine::waiters::GaveUp;
use swell_wire::OwnedArgs;

use super::{ANSWER_BYTES_MAX, Figures, Question, Told};
use crate::core::Core;
use crate::pause::Paused;
use crate::session::commands::client::{self, Filter};
use crate::session::commands::config;
use crate::shared::unix_ms;

/// Answers, after doing what was asked for. What makes no sense is answered by nothing.
pub fn answer(core: &mut Core, question: serde_json::Value) -> serde_json::Value {
    let told = match serde_json::from_value(question) {
        Ok(question) => told(core, question),
        Err(error) => {
            tracing::warn!(%error, "another proxy asks what this one does not understand");
            Told::Nothing
        }
    };
    serde_json::to_value(told).unwrap_or_default()
}

fn told(core: &mut Core, question: Question) -> Told {
    let now_ms = unix_ms();
    let shared = core.shared.clone();
    match question {
        Question::Nothing => Told::Nothing,
        Question::Log { kind, count } => {
            let entries = shared.watch.logs.of(kind).newest(count);
            Told::Log(fitting(entries, |entry| entry.argv.iter().map(|arg| arg.len() + 4).sum::<usize>() + 100))
        }
        Question::LogLen { kind } => Told::Count(shared.watch.logs.of(kind).len() as i64),
        Question::LogReset { kind } => {
            shared.watch.logs.of(kind).clear();
            Told::Nothing
        }
        Question::Events => Told::Events(shared.watch.events.all().into_iter().collect()),
        Question::EventsReset { names } => {
            let names: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
            Told::Count(shared.watch.events.reset(&names) as i64)
        }
        Question::Figures { times } => {
            core.report();
            Told::Figures(Box::new(Figures::of(core, now_ms, times)))
        }
        Question::StatsReset => {
            core.report();
            shared.reset_stats(now_ms);
            Told::Nothing
        }
        Question::Refused { count } => {
            let entries = shared.access.log.latest(count);
            Told::Refused(fitting(entries, |entry| entry.client.len() + entry.refused.object.len() * 2 + 300))
        }
        Question::RefusedReset => {
            shared.access.log.reset();
            Told::Nothing
        }
        Question::Clients(words) => Told::Text(clients(core, &words, now_ms)),
        Question::Kill(words) => Told::Count(kill(core, &words, now_ms)),
        Question::Unblock { id, error } => {
            let how = if error { GaveUp::Error } else { GaveUp::Timeout };
            Told::Count(i64::from(shared.clients.get(id).is_some_and(|info| info.unblock(how))))
        }
        Question::Pause { until_ms, all } => {
            shared.pause.begin(until_ms, if all { Paused::All } else { Paused::Write }, now_ms);
            shared.pausing_has_changed();
            Told::Nothing
        }
        Question::Unpause => {
            shared.pause.end();
            shared.pausing_has_changed();
            Told::Nothing
        }
        Question::Config(words) => {
            if let Err(error) = config::follow(core, OwnedArgs::from_slices(&words).as_args()) {
                tracing::warn!(%error, "another proxy's CONFIG SET makes no sense here");
            }
            Told::Nothing
        }
    }
}

/// As many of them as an answer may hold.
fn fitting<T>(entries: Vec<T>, bytes: impl Fn(&T) -> usize) -> Vec<T> {
    let mut left = ANSWER_BYTES_MAX;
    let fits = |entry: &T| {
        let bytes = bytes(entry);
        let fits = bytes <= left;
        left -= bytes.min(left);
        fits
    };
    entries.into_iter().take_while(fits).collect()
}

fn clients(core: &Core, words: &[Vec<u8>], now_ms: u64) -> String {
    let owned = OwnedArgs::from_slices(words);
    let Ok(filter) = Filter::parse(owned.as_args(), 2) else { return String::new() };
    let mut lines = String::new();
    for info in core.shared.clients.list() {
        if lines.len() >= ANSWER_BYTES_MAX {
            break;
        }
        if filter.fits(&info, now_ms, false) {
            lines.push_str(&client::line(&info, now_ms));
            lines.push('\n');
        }
    }
    lines
}

fn kill(core: &Core, words: &[Vec<u8>], now_ms: u64) -> i64 {
    let owned = OwnedArgs::from_slices(words);
    let args = owned.as_args();
    let filter = if args.len() == 3 { Ok(Filter::by_address(args.slice(2))) } else { Filter::parse(args, 2) };
    let Ok(filter) = filter else { return 0 };
    let all = core.shared.clients.list();
    let meant = all.iter().filter(|info| !info.killed.load(Relaxed) && filter.fits(info, now_ms, false));
    meant.map(|info| i64::from(core.shared.clients.kill(info.id))).sum()
}
