//! Which clients a CLIENT LIST or CLIENT KILL is about.

use swell_engine::Fault;
use swell_engine::acl::Users;
use swell_engine::number::parse_i64;
use swell_wire::Args;

use super::quoted;
use crate::clients::{ClientInfo, canonical};
use crate::error::ProxyError;

/// Conditions that all have to hold; none given: every client.
#[derive(Debug, Default)]
pub struct Filter {
    /// Any of these; empty: any.
    ids: Vec<u64>,
    addr: Option<Vec<u8>>,
    laddr: Option<Vec<u8>>,
    kind: Option<ClientKind>,
    user: Option<Vec<u8>>,
    age_seconds_min: Option<u64>,
    /// Whether the caller itself is left out; nothing: what the command does by itself.
    pub skip_me: Option<bool>,
}

/// What a connection is for. Nobody is a primary or a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientKind {
    Normal,
    Primary,
    Replica,
    PubSub,
}

impl Filter {
    /// The client from this address.
    pub fn by_address(addr: &[u8]) -> Filter {
        Filter { addr: Some(addr.to_vec()), skip_me: Some(false), ..Filter::default() }
    }

    /// Reads options from argument `from` on.
    ///
    /// # Errors
    /// [`Fault::Syntax`], and what is said of the single values.
    pub fn parse(args: Args<'_>, from: usize) -> Result<Filter, ProxyError> {
        let mut filter = Filter::default();
        let mut at = from;
        while let Some(word) = args.opt(at) {
            let value = args.opt(at + 1).ok_or(Fault::Syntax)?;
            at = match word.to_ascii_uppercase().as_slice() {
                b"ID" => filter.parse_ids(args, at + 1)?,
                option => {
                    filter.parse_option(option, value)?;
                    at + 2
                }
            };
        }
        Ok(filter)
    }

    /// Itself, if there is the user that it asks for.
    ///
    /// # Errors
    /// [`ProxyError::NoSuchUser`].
    pub fn known_to(self, users: &Users) -> Result<Filter, ProxyError> {
        match &self.user {
            Some(user) if users.get(user).is_none() => Err(ProxyError::NoSuchUser(quoted(user))),
            _ => Ok(self),
        }
    }

    /// Whether this client is meant. `is_me`: it is the caller.
    pub fn fits(&self, info: &ClientInfo, now_ms: u64, is_me: bool) -> bool {
        let age_seconds = now_ms.saturating_sub(info.connected_at_ms) / 1000;
        let is_at = |wanted: &Option<Vec<u8>>, address| {
            wanted.as_ref().is_none_or(|wanted| wanted.as_slice() == canonical(address).to_string().as_bytes())
        };
        (self.ids.is_empty() || self.ids.contains(&info.id))
            && is_at(&self.addr, info.addr)
            && is_at(&self.laddr, info.laddr)
            && self.user.as_ref().is_none_or(|user| info.user().name() == user.as_slice())
            && self.kind.is_none_or(|kind| kind == ClientKind::of(info))
            && self.age_seconds_min.is_none_or(|least| age_seconds >= least)
            && !(is_me && self.skip_me == Some(true))
    }

    /// One number at least, and all that follow it; returns where the next option stands.
    fn parse_ids(&mut self, args: Args<'_>, mut at: usize) -> Result<usize, ProxyError> {
        let from = at;
        while let Some(id) = args.opt(at).and_then(parse_i64) {
            let id = u64::try_from(id).ok().filter(|id| *id > 0).ok_or(ProxyError::BadClientId)?;
            self.ids.push(id);
            at += 1;
        }
        if at == from { Err(Fault::Syntax.into()) } else { Ok(at) }
    }

    fn parse_option(&mut self, option: &[u8], value: &[u8]) -> Result<(), ProxyError> {
        match option {
            b"ADDR" => self.addr = Some(value.to_vec()),
            b"LADDR" => self.laddr = Some(value.to_vec()),
            b"TYPE" => self.kind = Some(ClientKind::parse(value)?),
            b"USER" => self.user = Some(value.to_vec()),
            b"MAXAGE" => self.age_seconds_min = Some(parse_age(value)?),
            b"SKIPME" if value.eq_ignore_ascii_case(b"YES") => self.skip_me = Some(true),
            b"SKIPME" if value.eq_ignore_ascii_case(b"NO") => self.skip_me = Some(false),
            _ => return Err(Fault::Syntax.into()),
        }
        Ok(())
    }
}

impl ClientKind {
    fn of(info: &ClientInfo) -> ClientKind {
        if info.is_subscribed() { ClientKind::PubSub } else { ClientKind::Normal }
    }

    fn parse(word: &[u8]) -> Result<ClientKind, ProxyError> {
        match word.to_ascii_uppercase().as_slice() {
            b"NORMAL" => Ok(ClientKind::Normal),
            b"MASTER" | b"PRIMARY" => Ok(ClientKind::Primary),
            b"REPLICA" | b"SLAVE" => Ok(ClientKind::Replica),
            b"PUBSUB" => Ok(ClientKind::PubSub),
            _ => Err(ProxyError::UnknownClientType(quoted(word))),
        }
    }
}

fn parse_age(value: &[u8]) -> Result<u64, ProxyError> {
    let seconds = parse_i64(value).ok_or(ProxyError::MaxAgeNotInteger)?;
    u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).ok_or(ProxyError::BadMaxAge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::{Door, Registry};
    use swell_wire::OwnedArgs;

    /// What the real server answers to CLIENT KILL with these options, or nothing where it is content.
    #[test]
    fn options_are_read_as_the_real_server_does() {
        for (words, expected) in [
            ("ID 1", ""),
            ("ID 1 2 3 type NORMAL skipme no", ""),
            ("ID 1 ID 2", ""),
            ("TYPE slave ADDR 1.2.3.4:5 LADDR x MAXAGE 7 USER default", ""),
            ("ID a", "ERR syntax error"),
            ("ID", "ERR syntax error"),
            ("ID 1 x", "ERR syntax error"),
            ("ID 0", "ERR client-id should be greater than 0"),
            ("ID 1 -1", "ERR client-id should be greater than 0"),
            ("ID 99999999999999999999", "ERR syntax error"),
            ("TYPE", "ERR syntax error"),
            ("TYPE nosuch", "ERR Unknown client type 'nosuch'"),
            ("MAXAGE 0", "ERR maxage should be greater than 0"),
            ("MAXAGE x", "ERR maxage is not an integer or out of range"),
            ("SKIPME maybe", "ERR syntax error"),
            ("FOO bar", "ERR syntax error"),
        ] {
            let error = parse(words).err().map_or(String::new(), |error| error.to_string());
            assert_eq!(error, expected, "{words}");
        }
    }

    #[test]
    fn all_conditions_have_to_hold() {
        let clients = Registry::default();
        let (addr, laddr) = ("[::ffff:10.0.0.1]:1000", "10.0.0.2:6379");
        let users = Users::default();
        let user = users.default_user().clone();
        let info = clients.add(Door::Resp, user, addr.parse().unwrap(), laddr.parse().unwrap(), -1, 5_000);
        let fits = |words: &str, is_me| parse(words).unwrap().fits(&info, 15_000, is_me);
        assert!(parse("USER nobody").unwrap().known_to(&users).is_err());
        assert!(parse("USER default").unwrap().known_to(&users).is_ok());
        for words in [
            "",
            "USER default",
            "ID 7 1",
            "ADDR 10.0.0.1:1000",
            "LADDR 10.0.0.2:6379 TYPE normal",
            "MAXAGE 10",
            "SKIPME no",
        ] {
            assert!(fits(words, true), "{words}");
        }
        for words in
            ["USER other", "ID 2", "ADDR 10.0.0.1:1001", "LADDR 10.0.0.2:6379 TYPE pubsub", "MAXAGE 11", "SKIPME yes"]
        {
            assert!(!fits(words, true), "{words}");
        }
        assert!(fits("SKIPME yes", false));
    }

    fn parse(words: &str) -> Result<Filter, ProxyError> {
        let words: Vec<&str> = words.split_whitespace().collect();
        Filter::parse(OwnedArgs::from_slices(&words).as_args(), 0)
    }
}
