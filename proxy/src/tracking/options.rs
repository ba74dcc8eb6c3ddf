//! CLIENT TRACKING's options: how they are read, and which may follow which.

use swell_engine::Fault;
use swell_engine::number::parse_i64;
use swell_engine::track::Tracker;
use swell_wire::Args;

use crate::error::ProxyError;

/// Of which reads copies are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Of all.
    #[default]
    Reads,
    /// Of those behind CLIENT CACHING YES.
    OptIn,
    /// Of all but those behind CLIENT CACHING NO.
    OptOut,
    /// Whatever is read: every key with one of its prefixes.
    Broadcast,
}

/// What CLIENT CACHING has said of the next command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caching {
    Yes,
    No,
}

/// What a client has asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub mode: Mode,
    /// Its own changes are not told.
    pub noloop: bool,
    /// The number of the client that is told in its place; 0: itself.
    pub redirect: u64,
    /// For [`Mode::Broadcast`]: disjoint. The empty one is all keys.
    pub prefixes: Vec<Vec<u8>>,
}

/// CLIENT TRACKING's arguments.
#[derive(Debug, Default)]
struct Asked {
    redirect: Option<i64>,
    prefixes: Vec<Vec<u8>>,
    broadcast: bool,
    opt_in: bool,
    opt_out: bool,
    noloop: bool,
}

impl Options {
    /// The places of those of its prefixes as which this key begins.
    pub fn matches<'o>(&'o self, key: &'o [u8]) -> impl Iterator<Item = usize> + 'o {
        let prefixes = self.prefixes.iter().enumerate();
        prefixes.filter(move |(_, prefix)| key.starts_with(prefix)).map(|(at, _)| at)
    }

    /// Whether the next read is to be remembered.
    pub fn remembers(&self, caching: Option<Caching>) -> bool {
        match self.mode {
            Mode::Reads => true,
            Mode::OptIn => caching == Some(Caching::Yes),
            Mode::OptOut => caching != Some(Caching::No),
            Mode::Broadcast => false,
        }
    }

    /// What the node has to know of this client.
    pub fn tracker(&self, client: u64, caching: Option<Caching>) -> Tracker {
        Tracker { id: client, remembers: self.remembers(caching) }
    }

    /// Reads `CLIENT TRACKING ON|OFF options`: nothing for OFF. `before`: what holds for the client so far; `is_client`:
    /// whether there is a client of this number.
    ///
    /// # Errors
    /// In Valkey's words and order.
    pub fn read(
        args: Args<'_>,
        before: Option<&Options>,
        is_client: impl Fn(u64) -> bool,
    ) -> Result<Option<Options>, ProxyError> {
        let asked = Asked::read(args, is_client)?;
        let word = args.slice(2);
        if word.eq_ignore_ascii_case(b"OFF") {
            return Ok(None);
        }
        if !word.eq_ignore_ascii_case(b"ON") {
            return Err(Fault::Syntax.into());
        }
        asked.after(before).map(Some)
    }
}

impl Asked {
    fn read(args: Args<'_>, is_client: impl Fn(u64) -> bool) -> Result<Asked, ProxyError> {
        let (mut asked, mut at) = (Asked::default(), 3);
        while let Some(word) = args.opt(at) {
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            match args.opt(at + 1) {
                Some(number) if is("REDIRECT") => {
                    if asked.redirect.is_some() {
                        return Err(ProxyError::TrackingRedirectTwice);
                    }
                    let id = parse_i64(number).ok_or(Fault::NotInteger)?;
                    if !u64::try_from(id).is_ok_and(&is_client) {
                        return Err(ProxyError::TrackingRedirectUnknown);
                    }
                    asked.redirect = Some(id);
                    at += 1;
                }
                Some(prefix) if is("PREFIX") => {
                    asked.prefixes.push(prefix.to_vec());
                    at += 1;
                }
                _ if is("BCAST") => asked.broadcast = true,
                _ if is("OPTIN") => asked.opt_in = true,
                _ if is("OPTOUT") => asked.opt_out = true,
                _ if is("NOLOOP") => asked.noloop = true,
                _ => return Err(Fault::Syntax.into()),
            }
            at += 1;
        }
        Ok(asked)
    }

    fn after(self, before: Option<&Options>) -> Result<Options, ProxyError> {
        if !self.broadcast && !self.prefixes.is_empty() {
            return Err(ProxyError::TrackingPrefixAlone);
        }
        let mode_before = before.map(|options| options.mode);
        if mode_before.is_some_and(|mode| (mode == Mode::Broadcast) != self.broadcast) {
            return Err(ProxyError::TrackingBroadcastSwitch);
        }
        if self.broadcast && (self.opt_in || self.opt_out) {
            return Err(ProxyError::TrackingBroadcastOpt);
        }
        if self.opt_in && self.opt_out {
            return Err(ProxyError::TrackingBothOpts);
        }
        if self.opt_in && mode_before == Some(Mode::OptOut) || self.opt_out && mode_before == Some(Mode::OptIn) {
            return Err(ProxyError::TrackingOptSwitch);
        }
        let mut options = Options {
            mode: match (self.broadcast, self.opt_in, self.opt_out) {
                (true, ..) => Mode::Broadcast,
                (_, true, _) => Mode::OptIn,
                (_, _, true) => Mode::OptOut,
                _ => Mode::Reads,
            },
            noloop: self.noloop,
            redirect: self.redirect.unwrap_or(0) as u64,
            prefixes: Vec::new(),
        };
        if self.broadcast {
            options.prefixes = joined(before.map_or(&[], |options| &options.prefixes), self.prefixes)?;
        }
        Ok(options)
    }
}

/// The prefixes of before with those that are new; with none at all, the empty one.
fn joined(before: &[Vec<u8>], asked: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, ProxyError> {
    let overlap = |one: &[u8], other: &[u8]| one.starts_with(other) || other.starts_with(one);
    let quoted = |prefix: &[u8]| String::from_utf8_lossy(prefix).into_owned();
    for (at, prefix) in asked.iter().enumerate() {
        if let Some(known) = before.iter().find(|known| overlap(known, prefix)) {
            return Err(ProxyError::TrackingPrefixKnown(quoted(prefix), quoted(known)));
        }
        if let Some(other) = asked[at + 1..].iter().find(|other| overlap(other, prefix)) {
            return Err(ProxyError::TrackingPrefixTwice(quoted(prefix), quoted(other)));
        }
    }
    let mut prefixes = before.to_vec();
    let asked = if asked.is_empty() { vec![Vec::new()] } else { asked };
    prefixes.extend(asked);
    prefixes.sort();
    prefixes.dedup();
    Ok(prefixes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use swell_wire::OwnedArgs;

    /// The options that hold after these requests, or the last error. Client 7 is there.
    fn after(requests: &[&str]) -> Result<Option<Options>, String> {
        let mut options = None;
        for request in requests {
            let args = OwnedArgs::from_slices(&request.split(' ').collect::<Vec<_>>());
            options =
                Options::read(args.as_args(), options.as_ref(), |id| id == 7).map_err(|error| error.to_string())?;
        }
        Ok(options)
    }

    #[test]
    fn options_follow_each_other_as_in_valkey() {
        let mode = |requests: &[&str]| after(requests).unwrap().map(|options| options.mode);
        assert_eq!(mode(&["client tracking on"]), Some(Mode::Reads));
        assert_eq!(mode(&["client tracking on", "client tracking on optin"]), Some(Mode::OptIn));
        assert_eq!(mode(&["client tracking on", "client tracking off bcast"]), None);
        let prefixes = after(&["client tracking on bcast prefix b prefix a", "client tracking on bcast prefix c"]);
        assert_eq!(prefixes.unwrap().unwrap().prefixes, [b"a", b"b", b"c"]);
        let all = after(&["client tracking on bcast prefix b", "client tracking on bcast noloop"]).unwrap().unwrap();
        assert_eq!((all.prefixes.len(), all.noloop), (2, true));
        assert_eq!((all.matches(b"bx").count(), all.matches(b"x").count()), (2, 1));
        assert_eq!(after(&["client tracking on redirect 7"]).unwrap().unwrap().redirect, 7);
        for (requests, error) in [
            (&["client tracking on redirect 8"][..], "ERR The client ID you want redirect to does not exist"),
            (&["client tracking on redirect x"], "ERR value is not an integer or out of range"),
            (&["client tracking maybe"], "ERR syntax error"),
            (&["client tracking on prefix a"], "ERR PREFIX option requires BCAST mode to be enabled"),
            (&["client tracking on optin optout"], "ERR You can't specify both OPTIN mode and OPTOUT mode"),
            (
                &["client tracking on bcast prefix a prefix ab"],
                "ERR Prefix 'a' overlaps with another provided prefix 'ab'. Prefixes for a single client must not \
                 overlap.",
            ),
            (
                &["client tracking on bcast prefix a", "client tracking on bcast prefix abc"],
                "ERR Prefix 'abc' overlaps with an existing prefix 'a'. Prefixes for a single client must not overlap.",
            ),
        ] {
            assert_eq!(after(requests), Err(error.to_owned()), "{requests:?}");
        }
    }

    #[test]
    fn what_is_remembered() {
        let options = |mode| Options { mode, ..Options::default() };
        let yes_or_no = [None, Some(Caching::Yes), Some(Caching::No)];
        for (mode, remembers) in [
            (Mode::Reads, [true, true, true]),
            (Mode::OptIn, [false, true, false]),
            (Mode::OptOut, [true, true, false]),
            (Mode::Broadcast, [false, false, false]),
        ] {
            assert_eq!(yes_or_no.map(|caching| options(mode).remembers(caching)), remembers, "{mode:?}");
        }
    }
}
