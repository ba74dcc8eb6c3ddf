//! Changes of the users: made on what holds now, and true on every proxy before they are answered.

use std::rc::Rc;

use swell_engine::acl::{USERS_BYTES_MAX, Users};
use swell_node::control::{Answer, Ask};

use super::USERS;
use crate::error::ProxyError;
use crate::session::remote::{Finish, Remote};
use crate::session::{Flow, SessionCx};
use crate::shared::{Mail, Shared};
use crate::upstream::job::{Job, JobAnswer};

/// How often a change is made anew because somebody else's came first.
const TRIES_MAX: usize = 64;

/// A change of the users: the new ones and what to answer, or what is wrong.
pub type Edit = Rc<dyn Fn(&Users) -> Result<(Users, Reply), ProxyError>>;

/// What is answered when a change is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Ok,
    Int(i64),
}

/// Changes the users. `entries`: of the cache state, changed in the same step. `done` writes the reply.
pub fn begin(
    cx: &mut SessionCx<'_>,
    edit: Edit,
    entries: Vec<(String, String)>,
    done: impl FnOnce(&mut SessionCx<'_>, Result<Reply, ProxyError>, &mut swell_wire::Out) -> Flow + 'static,
    out: &mut swell_wire::Out,
) -> Flow {
    let shared = cx.core.shared.clone();
    if !shared.has_scaler || cx.session.in_exec && shared.route.is_alone() {
        let client = cx.session.info.id;
        shared.access.begin_change(client);
        let result = edited(&edit, &shared.access.users()).map(|(users, reply)| {
            if shared.access.replace(users, &shared.clients) {
                shared.tell_all(|| Mail::Channels);
            }
            reply
        });
        shared.access.end_change(client);
        if shared.has_scaler && result.is_ok() {
            // A transaction waits for nobody; whoever else there is hears of it at once, too.
            tokio::task::spawn_local(async move {
                let made = shared.access.users();
                let edit: Edit = Rc::new(move |_| Ok((Users::clone(&made), Reply::Ok)));
                if let Err(error) = make(&shared, &edit, &entries).await {
                    tracing::error!(%error, "users that were changed in a transaction are not in the cache state");
                }
            });
        }
        return done(cx, result, out);
    }
    if cx.session.in_exec {
        return done(cx, Err(ProxyError::ConfirmedByAll(cx.command.spec.name)), out);
    }
    let (command, client) = (cx.command, cx.session.info.id);
    shared.access.begin_change(client);
    let finish: Finish = Box::new(move |core, session, answer, out| {
        core.shared.access.end_change(client);
        // Its own user may be gone, or be another.
        session.follow_users(&core.shared.access);
        let result = match answer {
            Ok(JobAnswer::Users(reply)) => Ok(reply),
            Ok(_) => Err(ProxyError::Internal),
            Err(error) => Err(error),
        };
        done(&mut SessionCx { core, session, command, ticket: None }, result, out)
    });
    Remote::late(Job::Users { edit, entries }, finish)
}

/// Has the scaler make a change, anew where somebody else's came first.
///
/// # Errors
/// The change makes no sense, or not everybody could be told.
pub async fn make(shared: &Shared, edit: &Edit, entries: &[(String, String)]) -> Result<Reply, ProxyError> {
    // In this order: users that are newer than the version are refused, older ones would undo somebody's change.
    let mut base = shared.route.state_version();
    let mut users = shared.access.users();
    for _ in 0..TRIES_MAX {
        let (changed, reply) = edited(edit, &users)?;
        let mut entries = entries.to_vec();
        entries.push((USERS.to_owned(), changed.to_entry()));
        match shared.asking.ask(Ask::ChangeState { base, entries }).await? {
            // It was pushed here, too, before it was confirmed. What the answer says may be outdated already.
            Answer::StateChanged(_) => return Ok(reply),
            Answer::StateDiffers(state) => {
                base = state.version;
                if let Some(newest) = state.entries.get(USERS).and_then(|entry| Users::from_entry(entry).ok()) {
                    users = newest.into();
                }
            }
            _ => return Err(ProxyError::NoScaler),
        }
    }
    Err(ProxyError::StateChangedMeanwhile)
}

fn edited(edit: &Edit, users: &Users) -> Result<(Users, Reply), ProxyError> {
    let (users, reply) = edit(users)?;
    if users.to_entry().len() > USERS_BYTES_MAX {
        return Err(ProxyError::TooManyUsers(USERS_BYTES_MAX));
    }
    Ok((users, reply))
}
