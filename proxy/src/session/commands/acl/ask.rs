//! ACL WHOAMI, ACL CAT, ACL DRYRUN: questions that change nothing.

use swell_engine::commands::table::Found;
use swell_engine::spec::Acl;
use swell_engine::{Fault, acl};
use swell_wire::{Args, Out};

use super::users::name_of;
use crate::catalog;
use crate::error::ProxyError;
use crate::session::commands::client::quoted;
use crate::session::commands::done;
use crate::session::{Flow, SessionCx};

pub fn who_am_i(cx: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    out.bulk(cx.session.user().name());
    Flow::Done
}

pub fn cat(_: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let result = match args.len() {
        2 => {
            out.array(Acl::NAMES.len());
            Acl::NAMES.iter().for_each(|(_, name)| out.bulk(name.as_bytes()));
            Ok(())
        }
        3 => match acl::category(args.slice(2)) {
            Some(category) => {
                commands_of(category, out);
                Ok(())
            }
            None => Err(ProxyError::UnknownCategory(quoted(args.slice(2)))),
        },
        _ => Err(ProxyError::AclArguments(quoted(args.slice(1)))),
    };
    done(result, out)
}

/// DEBUG's subcommands are none in Redis.
fn commands_of(category: Acl, out: &mut Out) {
    let commands = catalog::resp().iter().filter(|command| command.spec.container() != Some("debug"));
    let names: Vec<&str> =
        commands.filter(|command| command.spec.acl.has(category)).map(|command| command.spec.name).collect();
    out.array(names.len());
    names.iter().for_each(|name| out.bulk(name.as_bytes()));
}

/// As if the user had the database selected that this connection has.
pub fn dry_run(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let result = try_run(cx, args, out);
    done(result, out)
}

fn try_run(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), ProxyError> {
    let users = cx.core.shared.access.users();
    let user = users.get(args.slice(2)).ok_or_else(|| ProxyError::UserNotFound(quoted(args.slice(2))))?;
    let call = args.from(3);
    let Found::Command(command) = catalog::resp().find(call) else {
        return Err(ProxyError::CommandNotFound(quoted(call.slice(0))));
    };
    if !command.spec.arity_fits(call.len()) {
        return Err(Fault::WrongArity(command.spec.name).into());
    }
    match acl::check(user, cx.session.db, command, call) {
        Ok(()) => out.ok(),
        Err(denied) => out.bulk(&denied.in_dryrun(&name_of(user), call)),
    }
    Ok(())
}
