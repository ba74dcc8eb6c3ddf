//! HELLO.

use swell_engine::number::parse_i64;
use swell_wire::{Args, Out, Proto};

use super::auth::authenticate;
use super::client::{ClientName, quoted};
use super::{done, pair};
use crate::error::ProxyError;
use crate::pubsub;
use crate::session::{Flow, SessionCx};

/// The version of Redis whose commands and replies clients may count on.
pub const REDIS_VERSION: &str = "7.2.4";

/// What the request asks for.
#[derive(Default)]
struct Hello<'a> {
    proto: Option<Proto>,
    user_and_password: Option<(&'a [u8], &'a [u8])>,
    name: Option<ClientName>,
}

pub fn hello(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let result = Hello::parse(args).and_then(|hello| hello.apply(cx, args));
    done(result.map(|()| introduce(cx, out)), out)
}

impl<'a> Hello<'a> {
    /// Nothing is changed unless everything is well-formed.
    fn parse(args: Args<'a>) -> Result<Hello<'a>, ProxyError> {
        let mut hello = Hello::default();
        if let Some(version) = args.opt(1) {
            hello.proto = Some(match parse_i64(version).ok_or(ProxyError::ProtocolNotInteger)? {
                2 => Proto::Resp2,
                3 => Proto::Resp3,
                _ => return Err(ProxyError::UnsupportedProtocol),
            });
        }
        let mut at = 2;
        while let Some(word) = args.opt(at) {
            if word.eq_ignore_ascii_case(b"AUTH")
                && let (Some(user), Some(password)) = (args.opt(at + 1), args.opt(at + 2))
            {
                hello.user_and_password = Some((user, password));
                at += 3;
            } else if word.eq_ignore_ascii_case(b"SETNAME")
                && let Some(name) = args.opt(at + 1)
            {
                hello.name = Some(ClientName::parse(name)?);
                at += 2;
            } else {
                return Err(ProxyError::HelloOption(quoted(word)));
            }
        }
        Ok(hello)
    }

    fn apply(self, cx: &mut SessionCx<'_>, args: Args<'_>) -> Result<(), ProxyError> {
        if let Some((user, password)) = self.user_and_password {
            authenticate(cx, args, user, password)?;
        }
        if !cx.session.authenticated {
            return Err(ProxyError::HelloUnauthenticated);
        }
        if let Some(name) = self.name {
            name.give(cx.session);
        }
        if self.proto.is_some_and(|proto| proto != cx.session.proto) {
            // What was published before is told as it would have been then.
            pubsub::receive(cx.core);
        }
        cx.session.proto = self.proto.unwrap_or(cx.session.proto);
        if cx.session.proto == Proto::Resp3 {
            // Others may have it told what is stale in their place.
            cx.session.open_inbox(cx.core);
        }
        cx.session.show();
        Ok(())
    }
}

/// Who answers. What Redis does not say stands last: some clients read the pairs by position.
fn introduce(cx: &SessionCx<'_>, out: &mut Out) {
    out.set_proto(cx.session.proto);
    out.map(8);
    pair(out, "server", "redis");
    pair(out, "version", REDIS_VERSION);
    out.bulk(b"proto");
    out.int(if cx.session.proto == Proto::Resp3 { 3 } else { 2 });
    out.bulk(b"id");
    out.int(cx.session.info.id as i64);
    pair(out, "mode", "standalone");
    pair(out, "role", "master");
    out.bulk(b"modules");
    out.array(0);
    pair(out, "swell_version", cx.core.shared.version);
}
