//! Bodies of the commands that the proxy answers, found by the command's number.

use std::sync::LazyLock;

use swell_engine::commands::table::tables;
use swell_engine::spec::CommandId;
use swell_wire::{Args, Out};

use crate::session::{Flow, SessionCx};

/// Writes a reply, or says that it will be late. Never waits for a stripe: it may run inside a transaction.
pub type SessionBody = fn(&mut SessionCx<'_>, Args<'_>, &mut Out) -> Flow;

/// One row per command, sorted by name; memcached verbs stand as "memcached:verb".
static ROWS: &[(&str, SessionBody)] = &[];

static BODIES: LazyLock<Vec<Option<SessionBody>>> = LazyLock::new(|| {
    let resp = tables().resp.iter().map(|command| find(command.spec.name));
    let memcached = tables().memcached.iter().map(|command| find(&format!("memcached:{}", command.spec.name)));
    resp.chain(memcached).collect()
});

/// The body of a command that the proxy answers.
pub fn body_of(id: CommandId) -> Option<SessionBody> {
    BODIES.get(id.0 as usize).copied().flatten()
}

fn find(name: &str) -> Option<SessionBody> {
    ROWS.iter().find(|(row, _)| *row == name).map(|(_, body)| *body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use swell_engine::spec::Body;

    #[test]
    fn every_session_command_has_exactly_one_body_and_no_other_has() {
        assert!(ROWS.windows(2).all(|pair| pair[0].0 < pair[1].0), "rows are sorted");
        let mut used = 0;
        for command in tables().iter() {
            let has_body = body_of(command.id).is_some();
            assert_eq!(has_body, matches!(command.spec.body, Body::Session), "{}", command.spec.name);
            used += usize::from(has_body);
        }
        assert_eq!(used, ROWS.len(), "every row belongs to a command");
    }
}
