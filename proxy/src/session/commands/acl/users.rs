//! ACL LIST, USERS, GETUSER, SETUSER, DELUSER.

use std::rc::Rc;

use swell_engine::acl::{DEFAULT_USER, Description, User, Users};
use swell_wire::{Args, Out};

use crate::access::change::{self, Edit, Reply};
use crate::error::ProxyError;
use crate::session::commands::done;
use crate::session::{Flow, SessionCx};

pub fn list(cx: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    let users = cx.core.shared.access.users();
    out.array(users.iter().count());
    users.iter().for_each(|user| out.bulk(&user.line()));
    Flow::Done
}

pub fn users(cx: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    let users = cx.core.shared.access.users();
    out.array(users.iter().count());
    users.iter().for_each(|user| out.bulk(user.name()));
    Flow::Done
}

pub fn get_user(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    match cx.core.shared.access.users().get(args.slice(2)) {
        Some(user) => describe(user, out),
        None => out.null(),
    }
    Flow::Done
}

pub fn set_user(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let name = args.slice(2).to_vec();
    if !Users::is_name(&name) {
        return done(Err(ProxyError::BadUserName), out);
    }
    let rules: Vec<Vec<u8>> = args.from(3).iter().map(<[u8]>::to_vec).collect();
    let all_channels = cx.core.shared.access.all_channels();
    edit(cx, out, move |users| {
        let mut users = users.clone();
        users.set(&name, &rules, all_channels).map_err(|error| ProxyError::Rules(error.to_string()))?;
        Ok((users, Reply::Ok))
    })
}

/// All or, if the default user is among them, none.
pub fn del_user(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let names: Vec<Vec<u8>> = args.from(2).iter().map(<[u8]>::to_vec).collect();
    if names.iter().any(|name| name == DEFAULT_USER) {
        return done(Err(ProxyError::DefaultUserStays), out);
    }
    edit(cx, out, move |users| {
        let mut users = users.clone();
        let removed = names.iter().filter(|name| users.remove(name)).count();
        Ok((users, Reply::Int(removed as i64)))
    })
}

/// Changes the users by a function, and answers what it says.
pub fn edit(
    cx: &mut SessionCx<'_>,
    out: &mut Out,
    edit: impl Fn(&Users) -> Result<(Users, Reply), ProxyError> + 'static,
) -> Flow {
    let edit: Edit = Rc::new(edit);
    let answer = |_: &mut SessionCx<'_>, result: Result<Reply, ProxyError>, out: &mut Out| {
        done(
            result.map(|reply| match reply {
                Reply::Ok => out.ok(),
                Reply::Int(number) => out.int(number),
            }),
            out,
        )
    };
    change::begin(cx, edit, Vec::new(), answer, out)
}

/// A user's name for error replies.
pub fn name_of(user: &User) -> String {
    String::from_utf8_lossy(user.name()).into_owned()
}

fn describe(user: &User, out: &mut Out) {
    let mut descriptions = user.descriptions();
    let root = descriptions.next().unwrap_or_default();
    out.map(7);
    out.bulk(b"flags");
    let flags: Vec<&str> =
        [Some(if user.is_on() { "on" } else { "off" }), user.takes_any_password().then_some("nopass")]
            .into_iter()
            .flatten()
            .collect();
    out.set(flags.len());
    flags.iter().for_each(|flag| out.bulk(flag.as_bytes()));
    out.bulk(b"passwords");
    out.array(user.hashes().count());
    user.hashes().for_each(|hash| out.bulk(hash.as_bytes()));
    describe_selector(&root, out);
    out.bulk(b"selectors");
    let rest: Vec<Description> = descriptions.collect();
    out.array(rest.len());
    for selector in rest {
        out.map(4);
        describe_selector(&selector, out);
    }
}

fn describe_selector(selector: &Description, out: &mut Out) {
    let Description { commands, keys, channels, databases } = selector;
    for (name, text) in [("commands", commands), ("keys", keys), ("channels", channels), ("databases", databases)] {
        out.bulk(name.as_bytes());
        out.bulk(text);
    }
}
