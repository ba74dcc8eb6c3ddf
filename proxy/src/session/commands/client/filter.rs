//! Which clients a CLIENT LIST or CLIENT KILL is about.

use std::sync::atomic::Ordering::Relaxed;

use swell_engine::acl::Users;
use swell_engine::key::DATABASES;
use swell_engine::number::parse_i64;
use swell_engine::{Db, Fault};
use swell_wire::Args;

use super::list::flags;
use super::quoted;
use crate::clients::{ClientInfo, canonical};
use crate::error::ProxyError;

/// Flags that CLIENT LIST may show, here or in Valkey.
const FLAGS: &[u8] = b"ABEIMNOPRSTUbcdeirtux";
/// What a client may be capable of.
const CAPABILITIES: &[u8] = b"r";

/// Conditions that all have to hold; none given: every client.
#[derive(Debug, Default)]
pub struct Filter {
    only: Conditions,
    /// None of these may hold.
    not: Conditions,
    age_seconds_min: Option<u64>,
    idle_seconds_min: Option<u64>,
    /// Whether the caller itself is left out; nothing: what the command does by itself.
    pub skip_me: Option<bool>,
}

/// What may be asked of a client, or asked not to be.
#[derive(Debug, Default)]
struct Conditions {
    /// Any of these; empty: nothing is asked.
    ids: Vec<u64>,
    addr: Option<Vec<u8>>,
    laddr: Option<Vec<u8>>,
    ip: Option<Vec<u8>>,
    kind: Option<ClientKind>,
    user: Option<Vec<u8>>,
    name: Option<Vec<u8>>,
    lib_name: Option<Vec<u8>>,
    lib_version: Option<Vec<u8>>,
    /// All of these letters.
    flags: Option<Vec<u8>>,
    capabilities: Option<Vec<u8>>,
    db: Option<Db>,
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
        let only = Conditions { addr: Some(addr.to_vec()), ..Conditions::default() };
        Filter { only, skip_me: Some(false), ..Filter::default() }
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
            let word = word.to_ascii_uppercase();
            let (option, conditions) = match word.strip_prefix(b"NOT-") {
                Some(option) => (option, &mut filter.not),
                None => (&word[..], &mut filter.only),
            };
            at = match option {
                b"ID" => conditions.parse_ids(args, at + 1)?,
                option => {
                    if !conditions.parse(option, value)? {
                        filter.parse_option(&word, value)?;
                    }
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
        let asked = [&self.only.user, &self.not.user].into_iter().flatten();
        let unknown = asked.into_iter().find(|user| users.get(user).is_none()).map(|user| quoted(user));
        unknown.map_or(Ok(self), |user| Err(ProxyError::NoSuchUser(user)))
    }

    /// Whether this client is meant. `is_me`: it is the caller.
    pub fn fits(&self, info: &ClientInfo, now_ms: u64, is_me: bool) -> bool {
        let seconds_since = |ms: u64| now_ms.saturating_sub(ms) / 1000;
        self.only.each(info).all(|holds| holds)
            && !self.not.each(info).any(|holds| holds)
            && self.age_seconds_min.is_none_or(|least| seconds_since(info.connected_at_ms) >= least)
            && self.idle_seconds_min.is_none_or(|least| seconds_since(info.last_active_ms.load(Relaxed)) >= least)
            && !(is_me && self.skip_me == Some(true))
    }

    /// What cannot be turned round.
    fn parse_option(&mut self, option: &[u8], value: &[u8]) -> Result<(), ProxyError> {
        match option {
            b"MAXAGE" => {
                self.age_seconds_min = Some(seconds(value, ProxyError::MaxAgeNotInteger, ProxyError::BadMaxAge)?);
            }
            b"IDLE" => self.idle_seconds_min = Some(seconds(value, ProxyError::IdleNotInteger, ProxyError::BadIdle)?),
            b"SKIPME" if value.eq_ignore_ascii_case(b"YES") => self.skip_me = Some(true),
            b"SKIPME" if value.eq_ignore_ascii_case(b"NO") => self.skip_me = Some(false),
            _ => return Err(Fault::Syntax.into()),
        }
        Ok(())
    }
}

impl Conditions {
    /// Whether each that is asked for holds.
    fn each(&self, info: &ClientInfo) -> impl Iterator<Item = bool> {
        let is =
            |wanted: &Option<Vec<u8>>, text: &str| wanted.as_ref().map(|wanted| wanted.as_slice() == text.as_bytes());
        let has = |wanted: &Option<Vec<u8>>, letters: &str| {
            wanted.as_ref().map(|wanted| wanted.iter().all(|letter| letters.as_bytes().contains(letter)))
        };
        let names = info.names().clone();
        // A name that was never given is no name.
        let is_named = |wanted: &Option<Vec<u8>>, text: &str| is(wanted, text).map(|fits| fits && !text.is_empty());
        let capabilities = if info.can_redirect.load(Relaxed) { "r" } else { "" };
        [
            (!self.ids.is_empty()).then(|| self.ids.contains(&info.id)),
            is(&self.addr, &canonical(info.addr).to_string()),
            is(&self.laddr, &canonical(info.laddr).to_string()),
            is(&self.ip, &canonical(info.addr).ip().to_string()),
            self.kind.map(|kind| kind == ClientKind::of(info)),
            self.user.as_ref().map(|user| info.user().name() == user.as_slice()),
            is_named(&self.name, &names.name),
            is_named(&self.lib_name, &names.lib_name),
            is_named(&self.lib_version, &names.lib_version),
            has(&self.flags, &flags(info)),
            has(&self.capabilities, capabilities),
            self.db.map(|db| db.number() == info.db.load(Relaxed)),
        ]
        .into_iter()
        .flatten()
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

    /// Reads one condition; false: it is none of these.
    fn parse(&mut self, option: &[u8], value: &[u8]) -> Result<bool, ProxyError> {
        let text = || Some(value.to_vec());
        match option {
            b"ADDR" => self.addr = text(),
            b"LADDR" => self.laddr = text(),
            b"IP" => self.ip = text(),
            b"NAME" => self.name = text(),
            b"LIB-NAME" => self.lib_name = text(),
            b"LIB-VER" => self.lib_version = text(),
            b"TYPE" => self.kind = Some(ClientKind::parse(value)?),
            b"USER" => self.user = text(),
            b"FLAGS" if value.iter().all(|letter| FLAGS.contains(letter)) => self.flags = text(),
            b"FLAGS" => return Err(ProxyError::UnknownClientFlags(quoted(value))),
            b"CAPA" if value.iter().all(|letter| CAPABILITIES.contains(letter)) => self.capabilities = text(),
            b"CAPA" => return Err(ProxyError::UnknownCapabilities(quoted(value))),
            b"DB" => {
                let number = parse_i64(value).ok_or(ProxyError::DbNotInteger)?;
                self.db = Some(Db::new(number).ok_or(ProxyError::NoSuchDb(DATABASES - 1))?);
            }
            _ => return Ok(false),
        }
        Ok(true)
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

fn seconds(value: &[u8], no_number: ProxyError, too_low: ProxyError) -> Result<u64, ProxyError> {
    let seconds = parse_i64(value).ok_or(no_number)?;
    u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).ok_or(too_low)
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
            ("IDLE x", "ERR idle is not an integer or out of range"),
            ("IDLE 0", "ERR idle should be greater than 0"),
            ("FLAGS N NOT-FLAGS x NOT-ID 1 2 NOT-TYPE pubsub", ""),
            ("FLAGS Zq", "ERR Unknown flags found in the provided filter: Zq"),
            ("CAPA x", "ERR Unknown capa found in the provided filter: x"),
            ("DB x", "ERR DB is not an integer or out of range"),
            ("DB 16", "ERR DB number should be between 0 and 15"),
            ("DB -1", "ERR DB number should be between 0 and 15"),
            ("NOT-MAXAGE 1", "ERR syntax error"),
            ("NOT-IDLE 1", "ERR syntax error"),
            ("NAME", "ERR syntax error"),
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
        assert!(parse("NOT-USER nobody").unwrap().known_to(&users).is_err());
        assert!(parse("USER default").unwrap().known_to(&users).is_ok());
        for words in [
            "",
            "USER default",
            "ID 7 1",
            "ADDR 10.0.0.1:1000",
            "LADDR 10.0.0.2:6379 TYPE normal",
            "MAXAGE 10",
            "SKIPME no",
            "IP 10.0.0.1 FLAGS N",
            "DB 0",
            "NOT-DB 1 NOT-NAME x NOT-IP 10.0.0.2 NOT-CAPA r",
            "IDLE 10",
        ] {
            assert!(fits(words, true), "{words}");
        }
        for words in [
            "ID 2",
            "ADDR 10.0.0.1:1001",
            "LADDR 10.0.0.2:6379 TYPE pubsub",
            "MAXAGE 11",
            "SKIPME yes",
            "IP 10.0.0.2",
            "NOT-IP 10.0.0.1",
            "FLAGS xN",
            "NOT-FLAGS N",
            "DB 1",
            "NAME me",
            "NOT-ID 3 1",
            "CAPA r",
        ] {
            assert!(!fits(words, true), "{words}");
        }
        assert!(fits("SKIPME yes", false));
    }

    fn parse(words: &str) -> Result<Filter, ProxyError> {
        let words: Vec<&str> = words.split_whitespace().collect();
        Filter::parse(OwnedArgs::from_slices(&words).as_args(), 0)
    }
}
