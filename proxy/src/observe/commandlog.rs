//! The three logs of COMMANDLOG: what ran slowly, what was a large request, what had a large reply. SLOWLOG is the first.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use swell_engine::Spec;
use swell_wire::{Arg, Args};

use super::redact::{REDACTED, is_secret};
use crate::clients::{ClientInfo, canonical};
use crate::others::latin1_list;

/// Arguments that an entry keeps (Valkey: `COMMANDLOG_ENTRY_MAX_ARGC`); the last place tells how many are left out.
const ARGS_MAX: usize = 32;
/// Bytes of an argument that it keeps (`COMMANDLOG_ENTRY_MAX_STRING`).
const ARG_BYTES_MAX: usize = 128;
/// Entries that a log keeps, unless CONFIG says otherwise.
const LOG_ENTRIES: i64 = 128;

/// Which of the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogKind {
    Slow,
    LargeRequest,
    LargeReply,
}

/// All three.
#[derive(Debug, Default)]
pub struct Logs {
    slow: Log,
    large_request: Log,
    large_reply: Log,
}

/// One log, the newest entry first.
#[derive(Debug)]
pub struct Log {
    /// Entries that are kept.
    max: AtomicI64,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    next_id: i64,
    entries: VecDeque<Entry>,
}

/// One command that was slow or large.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub id: i64,
    pub unix_seconds: u64,
    /// Microseconds or bytes.
    pub value: u64,
    #[serde(with = "latin1_list")]
    pub argv: Vec<Vec<u8>>,
    pub addr: String,
    pub name: String,
}

impl LogKind {
    /// As COMMANDLOG names it.
    pub fn parse(word: &[u8]) -> Option<LogKind> {
        [("slow", LogKind::Slow), ("large-request", LogKind::LargeRequest), ("large-reply", LogKind::LargeReply)]
            .into_iter()
            .find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, kind)| kind)
    }
}

impl Logs {
    /// Entries are numbered from here on: each proxy has numbers of its own.
    pub fn number_from(&self, first: u64) {
        for log in [&self.slow, &self.large_request, &self.large_reply] {
            log.lock().next_id = first as i64;
        }
    }

    /// The log of this kind.
    pub fn of(&self, kind: LogKind) -> &Log {
        match kind {
            LogKind::Slow => &self.slow,
            LogKind::LargeRequest => &self.large_request,
            LogKind::LargeReply => &self.large_reply,
        }
    }
}

impl Default for Log {
    fn default() -> Log {
        Log { max: AtomicI64::new(LOG_ENTRIES), kept: Mutex::default() }
    }
}

impl Log {
    /// Entries that are kept at most.
    pub fn max(&self) -> i64 {
        self.max.load(Relaxed)
    }

    /// Sets that; entries over it go with the next one that comes, as in Valkey.
    pub fn set_max(&self, max: i64) {
        self.max.store(max, Relaxed);
    }

    /// Notes a command.
    pub fn add(&self, spec: &Spec, args: Args<'_>, client: &ClientInfo, value: u64, unix_seconds: u64) {
        let entry = Entry {
            id: 0,
            unix_seconds,
            value,
            argv: shortened(spec, args),
            addr: canonical(client.addr).to_string(),
            name: client.names().name.clone(),
        };
        let max = usize::try_from(self.max()).unwrap_or(0);
        let mut kept = self.lock();
        let id = kept.next_id;
        kept.next_id += 1;
        kept.entries.push_front(Entry { id, ..entry });
        kept.entries.truncate(max);
    }

    /// The newest entries, at most so many.
    pub fn newest(&self, count: usize) -> Vec<Entry> {
        self.lock().entries.iter().take(count).cloned().collect()
    }

    /// Entries that are kept.
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all; ids go on.
    pub fn clear(&self) {
        self.lock().entries.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The arguments as they are kept: not too many, none too long, no secret.
fn shortened(spec: &Spec, args: Args<'_>) -> Vec<Vec<u8>> {
    let whole = if args.len() > ARGS_MAX { ARGS_MAX - 1 } else { args.len() };
    let mut argv: Vec<Vec<u8>> = (0..whole)
        .map(|at| if is_secret(spec, args, at) { REDACTED.to_vec() } else { shortened_arg(args.get(at)) })
        .collect();
    if whole < args.len() {
        argv.push(format!("... ({} more arguments)", args.len() - whole).into_bytes());
    }
    argv
}

fn shortened_arg(arg: Arg<'_>) -> Vec<u8> {
    let mut kept = match arg {
        Arg::Slice(bytes) => bytes[..bytes.len().min(ARG_BYTES_MAX)].to_vec(),
        Arg::Segments(segments) => segments.range(0, ARG_BYTES_MAX).flatten().copied().collect(),
    };
    if arg.len() > ARG_BYTES_MAX {
        kept.extend_from_slice(format!("... ({} more bytes)", arg.len() - ARG_BYTES_MAX).as_bytes());
    }
    kept
}
