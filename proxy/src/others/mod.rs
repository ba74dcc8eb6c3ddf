//! What a client asks of one proxy is answered for all proxies of the cache: a question goes to the others by way of the
//! scaler, each answers from what it has, and the command goes on with their answers beside its own.
//!
//! Where there is one proxy nothing is asked. A proxy that does not answer in time is left out, and while the scaler cannot
//! be reached each speaks for itself.

mod answer;
mod figures;
mod words;

use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use serde::{Deserialize, Serialize};
use swell_node::control::{Answer, Ask};
use swell_wire::{Args, Out};

use crate::access::log::Entry as RefusedEntry;
use crate::error::ProxyError;
use crate::observe::{Entry as LogEntry, Event, LogKind, Series};
use crate::session::commands::done;
use crate::session::remote::Remote;
use crate::session::{Flow, SessionCx, run_session};
use crate::shared::Shared;
use crate::upstream::job::{Job, JobAnswer};

pub use answer::answer;
pub use figures::{ClientFigures, Figures};
pub use words::{latin1, latin1_list};

/// Bytes of an answer, about: what is beyond is left out.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// What is asked. An enum of its own so that scaler and nodes need not know.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// Whether somebody is there.
    Nothing,
    /// The newest entries of a log.
    Log {
        kind: LogKind,
        count: usize,
    },
    LogLen {
        kind: LogKind,
    },
    LogReset {
        kind: LogKind,
    },
    /// LATENCY's time series.
    Events,
    /// Forget these kinds of events; none named: all.
    EventsReset {
        names: Vec<String>,
    },
    /// What INFO adds up. `times`: with how long commands take.
    Figures {
        times: bool,
    },
    /// CONFIG RESETSTAT.
    StatsReset,
    /// ACL LOG.
    Refused {
        count: usize,
    },
    RefusedReset,
    /// CLIENT LIST with this request's words.
    Clients(#[serde(with = "latin1_list")] Vec<Vec<u8>>),
    /// CLIENT KILL with this request's words.
    Kill(#[serde(with = "latin1_list")] Vec<Vec<u8>>),
    /// CLIENT UNBLOCK. `error`: with an error.
    Unblock {
        id: u64,
        error: bool,
    },
    /// CLIENT PAUSE. `all`: not writes only.
    Pause {
        until_ms: u64,
        all: bool,
    },
    Unpause,
    /// CONFIG SET with this request's words.
    Config(#[serde(with = "latin1_list")] Vec<Vec<u8>>),
}

/// What one proxy answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    Nothing,
    Count(i64),
    Text(String),
    Log(Vec<LogEntry>),
    Events(Vec<(Event, Series)>),
    Refused(Vec<RefusedEntry>),
    Figures(Box<Figures>),
}

/// The answers of all who answered.
pub type Answers = Rc<Vec<Told>>;

/// How many other proxies this cache has, as far as the scaler has said.
#[derive(Debug, Default)]
pub struct Others(AtomicU32);

impl Others {
    /// Whether there is nobody else to ask.
    pub fn is_none(&self) -> bool {
        self.0.load(Relaxed) == 0
    }

    /// There are so many; says whether these are more than before.
    pub fn set(&self, count: u32) -> bool {
        self.0.swap(count, Relaxed) < count
    }
}

/// What the other proxies answer.
///
/// # Errors
/// What is to be returned in the answers' place: the command is run again when they are here, or it has been refused,
/// because a transaction or a script does not wait for anybody.
pub fn ask(
    cx: &mut SessionCx<'_>,
    args: Args<'_>,
    out: &mut Out,
    question: impl FnOnce() -> Question,
) -> Result<Answers, Flow> {
    ask_with(cx, args, out, None, question)
}

/// As [`ask`]; `monitors`: this proxy has clients that monitor from now on.
///
/// # Errors
/// As [`ask`].
pub fn ask_with(
    cx: &mut SessionCx<'_>,
    args: Args<'_>,
    out: &mut Out,
    monitors: Option<bool>,
    question: impl FnOnce() -> Question,
) -> Result<Answers, Flow> {
    if let Some(told) = &cx.session.told {
        return Ok(told.clone());
    }
    if cx.core.shared.others.is_none() {
        return Ok(Answers::default());
    }
    if cx.session.in_exec {
        return Err(done(Err(ProxyError::AsksAll(cx.command.spec.name)), out));
    }
    // What is no JSON is nothing that could be asked.
    let Ok(question) = serde_json::to_value(question()) else { return Ok(Answers::default()) };
    let (command, args) = (cx.command, args.to_owned(true));
    Err(Remote::late(
        Job::Ask(Ask::Proxies { question, monitors }),
        Box::new(move |core, session, answer, out| {
            session.told = Some(Rc::new(read(answer)));
            let flow = run_session(core, session, command, args.as_args(), None, out);
            if matches!(flow, Flow::Done) {
                session.told = None;
            }
            flow
        }),
    ))
}

/// Tells the others something without waiting for anybody.
pub fn tell(shared: &std::sync::Arc<Shared>, question: &Question) {
    if shared.others.is_none() {
        return;
    }
    let Ok(question) = serde_json::to_value(question) else { return };
    let shared = shared.clone();
    tokio::task::spawn_local(async move {
        if let Err(error) = shared.asking.ask(Ask::Proxies { question, monitors: None }).await {
            tracing::warn!(%error, "other proxies were not told");
        }
    });
}

/// Whoever cannot be reached, or says what makes no sense, is left out.
fn read(answer: Result<JobAnswer, ProxyError>) -> Vec<Told> {
    match answer {
        Ok(JobAnswer::Asked(Answer::Told(told))) => {
            told.into_iter().filter_map(|told| serde_json::from_value(told).ok()).collect()
        }
        _ => Vec::new(),
    }
}

/// The sum of what was counted.
pub fn sum(told: &[Told]) -> i64 {
    told.iter().map(|told| if let Told::Count(count) = told { *count } else { 0 }).sum()
}
