//! Subscribers whose user may not hear any more what they have subscribed to: they end, as in Valkey.

use std::collections::BTreeSet;

use swell_engine::acl::{self, User};
use swell_node::broker::Topic;

use crate::core::Core;

/// Ends the clients of this worker who are subscribed to what their users, as they are now, may not hear.
pub fn end_strangers(core: &Core) {
    let (users, clients) = (core.shared.access.users(), &core.shared.clients);
    let user_of = |id: u64| users.get(clients.get(id)?.user().name()).cloned();
    let mut strangers = BTreeSet::new();
    for topic in Topic::ALL {
        for (name, inboxes) in core.desk.table.names(topic) {
            for id in inboxes.keys().copied().filter(|id| !strangers.contains(id)).collect::<Vec<_>>() {
                let may_hear = |user: &User| acl::may_hear(user, name, topic == Topic::Pattern);
                if user_of(id).is_some_and(|user| !may_hear(&user)) {
                    strangers.insert(id);
                }
            }
        }
    }
    strangers.into_iter().for_each(|id| {
        clients.kill(id);
    });
}
