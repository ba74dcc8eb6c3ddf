//! What scripts reach through the proxy in their process: the commands that it answers itself.

use std::sync::{Arc, Weak};

use swell_engine::commands::table::Command;
use swell_engine::script::outside::{Caller, Outside};
use swell_wire::{Args, Out};

use crate::clients::ClientInfo;
use crate::core::Core;
use crate::error::ProxyError;
use crate::session::{Flow, Session, SessionCx, commands};
use crate::shared::Shared;

/// Scripts run on any thread: each command gets a session of its own, for as long as it takes.
struct Through {
    shared: Weak<Shared>,
}

/// Lets the scripts of this process's node reach its proxy.
pub fn attach(shared: &Arc<Shared>) {
    let through = Through { shared: Arc::downgrade(shared) };
    shared.node.engine().scripts().use_outside(Box::new(through));
}

impl Outside for Through {
    fn call(&self, command: Command, caller: &Caller, args: Args<'_>, out: &mut Out) {
        let (Some(shared), Some(body)) = (self.shared.upgrade(), commands::body_of(command.id)) else {
            return out.error(&ProxyError::Internal.to_string());
        };
        let mut core = Core::new(shared, 0);
        // What the user may do was checked where the command was called.
        let user = core.shared.access.users().default_user().clone();
        let mut session = Session::new(Arc::new(ClientInfo::of_script(user)), &core.shared.access);
        (session.db, session.proto, session.in_exec) = (caller.db, caller.proto, true);
        out.set_proto(caller.proto);
        let at = out.mark();
        let cx = &mut SessionCx { core: &mut core, session: &mut session, command, ticket: None };
        if let Flow::Late(_) = body(cx, args, out) {
            out.truncate(at);
            out.error("ERR this command is late, and a script does not wait");
        }
    }
}
