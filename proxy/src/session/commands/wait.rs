//! WAIT and WAITAOF, where there are no replicas and no append-only file: who wants none is answered at once, who wants
//! some waits until his time is over.

use swell_engine::Fault;
use swell_engine::commands::blocking::Timeout;
use swell_engine::number::parse_i64;
use swell_wire::{Args, Out};

use crate::session::{Flow, Late, SessionCx, Wait};

pub fn wait(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let wanted = integer(args.slice(1));
    let mut answer = Out::new(out.proto());
    answer.int(0);
    answer_or_wait(cx, wanted.map(|wanted| wanted > 0), args.slice(2), answer, out)
}

pub fn wait_aof(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let mut answer = Out::new(out.proto());
    answer.array(2);
    answer.int(0);
    answer.int(0);
    let local = integer(args.slice(1)).and_then(|local| match local {
        0 | 1 => Ok(local),
        _ => Err(Fault::say("ERR value is out of range, value must between 0 and 1")),
    });
    let wanted = local.and_then(|local| {
        let replicas = integer(args.slice(2))?;
        if replicas < 0 {
            return Err(Fault::say("ERR value is out of range, must be positive"));
        }
        Ok((local, replicas))
    });
    // The timeout is read before it is said that there is no file.
    let wanted = wanted.and_then(|(local, replicas)| {
        Timeout::millis(args.slice(3), cx.core.now_ms)?;
        if local > 0 {
            return Err(Fault::say("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."));
        }
        Ok(replicas > 0)
    });
    answer_or_wait(cx, wanted, args.slice(3), answer, out)
}

fn answer_or_wait(
    cx: &mut SessionCx<'_>,
    waits: Result<bool, Fault>,
    timeout: &[u8],
    mut answer: Out,
    out: &mut Out,
) -> Flow {
    let now_ms = cx.core.now_ms;
    match waits.and_then(|waits| Ok((waits, Timeout::millis(timeout, now_ms)?))) {
        Ok((true, timeout)) if !cx.session.in_exec => {
            return Flow::Late(Late::Replicas(
                Wait { deadline_ms: timeout.deadline_ms(), since_us: now_ms * 1_000 },
                answer,
            ));
        }
        Ok(_) => out.append(&mut answer),
        Err(fault) => out.error(&fault.to_string()),
    }
    Flow::Done
}

fn integer(arg: &[u8]) -> Result<i64, Fault> {
    parse_i64(arg).ok_or(Fault::NotInteger)
}
