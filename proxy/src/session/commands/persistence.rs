//! Commands about disks and the end of the process.
//!
//! | command | answer |
//! | --- | --- |
//! | LASTSAVE | the start: what is in memory has never been anywhere else |
//! | SAVE, BGSAVE, BGREWRITEAOF | refused: an OK would promise a file |
//! | SHUTDOWN | the process ends as by SIGTERM (replies are sent, clients let go); with SAVE it is refused |
//! | SHUTDOWN ABORT | Valkey's "No shutdown in progress.": nobody can ask during one |

use swell_engine::Fault;
use swell_wire::{Args, Out};

use super::done;
use crate::error::ProxyError;
use crate::session::{Flow, SessionCx};

pub fn last_save(cx: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    out.int((cx.core.shared.started_at_ms / 1000) as i64);
    Flow::Done
}

pub fn refuse(_: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    done(Err(ProxyError::NoDisk), out)
}

/// With an option or without: what it would write is nowhere.
pub fn bgsave(_: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let is_known = |word: &[u8]| word.eq_ignore_ascii_case(b"schedule") || word.eq_ignore_ascii_case(b"cancel");
    let fits = args.len() == 1 || args.len() == 2 && is_known(args.slice(1));
    done(Err(if fits { ProxyError::NoDisk } else { Fault::Syntax.into() }), out)
}

/// Nothing is answered: the connection closes.
pub fn shutdown(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    match Shutdown::parse(args) {
        Ok(Shutdown { abort: true, .. }) => done(Err(ProxyError::NoShutdown), out),
        Ok(Shutdown { save: true, .. }) => done(Err(ProxyError::NoDisk), out),
        Ok(_) => {
            tracing::info!(client = %cx.session.info.addr, "a client has asked the process to end");
            cx.session.closing = true;
            // SAFETY: a system call that sends this process the signal that it waits for anyway.
            unsafe { libc::kill(libc::getpid(), libc::SIGTERM) };
            Flow::Done
        }
        Err(error) => done(Err(error), out),
    }
}

/// What SHUTDOWN is asked for.
#[derive(Default)]
struct Shutdown {
    save: bool,
    nosave: bool,
    abort: bool,
    other: bool,
}

impl Shutdown {
    /// SAVE and NOSAVE exclude each other, and ABORT everything else.
    fn parse(args: Args<'_>) -> Result<Shutdown, ProxyError> {
        let mut asked = Shutdown::default();
        for word in args.from(1).iter() {
            match word.to_ascii_lowercase().as_slice() {
                b"save" => asked.save = true,
                b"nosave" => asked.nosave = true,
                b"abort" => asked.abort = true,
                b"now" | b"force" | b"safe" | b"failover" => asked.other = true,
                _ => return Err(Fault::Syntax.into()),
            }
        }
        let is_mixed = asked.save && asked.nosave || asked.abort && (asked.save || asked.nosave || asked.other);
        if is_mixed { Err(Fault::Syntax.into()) } else { Ok(asked) }
    }
}
