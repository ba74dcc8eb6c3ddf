//! SELECT.

use swell_engine::number::parse_i64;
use swell_engine::{Db, Fault};
use swell_wire::{Args, Out};

use super::done;
use crate::error::ProxyError;
use crate::session::{Flow, SessionCx};

pub fn select(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let result = db_of(args.slice(1)).map(|db| {
        cx.session.db = db;
        cx.session.show();
        out.ok();
    });
    done(result, out)
}

fn db_of(arg: &[u8]) -> Result<Db, ProxyError> {
    let number = parse_i64(arg).ok_or(Fault::NotInteger)?;
    let number = i32::try_from(number).map_err(|_| ProxyError::OutOfInt)?;
    Ok(Db::new(number.into()).ok_or(Fault::DbOutOfRange)?)
}
