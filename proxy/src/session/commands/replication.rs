//! Commands about replicas, of which there are none: nodes share the slots instead.
//!
//! | command | answer |
//! | --- | --- |
//! | ROLE | a primary at offset 0 without replicas |
//! | REPLICAOF NO ONE, SLAVEOF NO ONE | OK: it is what it is already |
//! | REPLICAOF of a host | refused: nothing would follow that host |
//! | FAILOVER | refused in Valkey's words: there is no replica |
//! | SYNC, PSYNC, REPLCONF | refused: there is no stream of all data to follow |

use swell_engine::Fault;
use swell_engine::number::parse_i64;
use swell_wire::{Args, Out};

use super::done;
use crate::error::ProxyError;
use crate::session::{Flow, SessionCx};

/// Ports end here.
const PORT_MAX: i64 = 65_535;

pub fn role(_: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    out.array(3);
    out.bulk(b"master");
    out.int(0);
    out.array(0);
    Flow::Done
}

pub fn replica_of(_: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let is = |at: usize, word: &[u8]| args.slice(at).eq_ignore_ascii_case(word);
    if is(1, b"no") && is(2, b"one") {
        out.ok();
        return Flow::Done;
    }
    let is_port = parse_i64(args.slice(2)).is_some_and(|port| (0..=PORT_MAX).contains(&port));
    done(Err(if is_port { ProxyError::NoReplication } else { ProxyError::BadPrimaryPort }), out)
}

pub fn failover(_: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    done(Err(failover_refusal(args)), out)
}

pub fn refuse(_: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    done(Err(ProxyError::NoReplication), out)
}

/// `[TO host port [FORCE]] [ABORT] [TIMEOUT milliseconds]`.
fn failover_refusal(args: Args<'_>) -> ProxyError {
    let mut at = 1;
    while at < args.len() {
        let words = match args.slice(at).to_ascii_lowercase().as_slice() {
            b"abort" if args.len() == 2 => return ProxyError::NoFailover,
            b"to" => 3,
            b"timeout" => 2,
            b"force" => 1,
            _ => return Fault::Syntax.into(),
        };
        at += words;
        if at > args.len() {
            return Fault::Syntax.into();
        }
    }
    ProxyError::NoReplicas
}
