//! Command lines of servers as a person types them: split into words as a shell would, with places to fill in.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result};

use super::args::Protocol;

/// A server's name in the report and its command line, split but not filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerSpec {
    pub name: String,
    /// As it was typed.
    pub command_line: String,
    words: Vec<String>,
}

/// What the places of a command line are filled with for one start of a server.
#[derive(Debug, Clone)]
pub struct Fill {
    pub port: u16,
    pub memcached_port: u16,
    /// Where a server with nodes listens for them and for people's commands.
    pub link: String,
    pub maxmemory_bytes: u64,
    pub policy: String,
}

impl FromStr for PeerSpec {
    type Err = String;

    /// Reads `NAME=COMMANDLINE`.
    fn from_str(text: &str) -> Result<PeerSpec, String> {
        let (name, command_line) = text.split_once('=').ok_or("must be NAME=COMMANDLINE")?;
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            return Err(format!("{name:?} is no name: use letters, digits, '-', '_' and '.'"));
        }
        let words = split_words(command_line)?;
        let has = |place: &str| words.iter().any(|word| word.contains(place));
        if words.is_empty() {
            return Err(format!("{name} has no command line"));
        }
        if !has("{port}") && !has("{mcport}") {
            return Err(format!("the command line of {name} has no {{port}} or {{mcport}}"));
        }
        Ok(PeerSpec { name: name.to_owned(), command_line: command_line.to_owned(), words })
    }
}

impl PeerSpec {
    /// Swell itself as this executable, with one worker and only the endpoint that is measured.
    pub fn this_swell(protocol: Protocol) -> PeerSpec {
        let endpoints = match protocol {
            Protocol::Resp => "--resp 127.0.0.1:{port} --memcached off",
            Protocol::Memcached => "--resp off --memcached 127.0.0.1:{mcport}",
        };
        format!("swell={{exe}} serve --workers 1 {endpoints} --http off").parse().expect("a valid command line")
    }

    /// Swell as one proxy with two nodes, each a process with one thread, and a durable slot map.
    pub fn this_cluster() -> PeerSpec {
        let line = "swell={exe} serve --workers 1 --node-workers 1 --resp 127.0.0.1:{port} --memcached off --http off \
                    --first-node process --nodes-min 2 --data-dir data --link {link}";
        line.parse().expect("a valid command line")
    }

    /// Whether people's commands can reach this server: it listens where `{link}` says.
    pub fn has_link(&self) -> bool {
        self.mentions("{link}")
    }

    /// What this server is spoken to in when the bench's protocol is `preferred`.
    pub fn protocol(&self, preferred: Protocol) -> Protocol {
        if self.mentions("{port}") { preferred } else { Protocol::Memcached }
    }

    /// The port of `fill` that this server listens on for `protocol`.
    pub fn port(&self, fill: &Fill, protocol: Protocol) -> u16 {
        if protocol == Protocol::Memcached && self.mentions("{mcport}") { fill.memcached_port } else { fill.port }
    }

    /// Whether the command line itself sets the memory limit.
    pub fn takes_maxmemory(&self) -> bool {
        self.mentions("{maxmemory}") || self.mentions("{maxmemory_mb}")
    }

    /// The words of the command line, filled in. Errors when `{exe}` is used and this program's path is unknown.
    pub fn words(&self, fill: &Fill) -> Result<Vec<String>> {
        let exe = if self.mentions("{exe}") { this_program()? } else { String::new() };
        let places = [
            ("{exe}", exe),
            ("{port}", fill.port.to_string()),
            ("{mcport}", fill.memcached_port.to_string()),
            ("{link}", fill.link.clone()),
            ("{maxmemory}", fill.maxmemory_bytes.to_string()),
            ("{maxmemory_mb}", (fill.maxmemory_bytes >> 20).max(1).to_string()),
            ("{policy}", fill.policy.clone()),
        ];
        Ok(self.words.iter().map(|word| substitute(word, &places)).collect())
    }

    fn mentions(&self, place: &str) -> bool {
        self.words.iter().any(|word| word.contains(place))
    }
}

/// Splits a command line at blanks. Single quotes keep everything, double quotes all but `\"` and `\\`, and a
/// backslash outside quotes keeps the next character; nothing else is special (no variables, no pipes).
pub fn split_words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match c {
            c if c.is_whitespace() => words.extend(word.take()),
            '\'' | '"' => quoted(c, &mut rest, word.get_or_insert_default())?,
            '\\' => {
                let kept = rest.next().ok_or("the command line ends in a backslash")?;
                word.get_or_insert_default().push(kept);
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(quote: char, rest: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), String> {
    while let Some(c) = rest.next() {
        match c {
            c if c == quote => return Ok(()),
            '\\' if quote == '"' => match rest.next() {
                Some(kept @ ('"' | '\\')) => word.push(kept),
                Some(other) => word.extend(['\\', other]),
                None => break,
            },
            c => word.push(c),
        }
    }
    Err(format!("the command line has a {quote} without its pair"))
}

/// Fills each place in one pass, so that what is filled in is never read as a place itself.
fn substitute(word: &str, places: &[(&str, String)]) -> String {
    let mut filled = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = rest.find('{') {
        filled.push_str(&rest[..at]);
        rest = &rest[at..];
        match places.iter().find(|(place, _)| rest.starts_with(place)) {
            Some((place, value)) => {
                filled.push_str(value);
                rest = &rest[place.len()..];
            }
            None => {
                filled.push('{');
                rest = &rest[1..];
            }
        }
    }
    filled.push_str(rest);
    filled
}

fn this_program() -> Result<String> {
    let path: PathBuf = std::env::current_exe().context("cannot find this program's own path for {exe}")?;
    path.into_os_string()
        .into_string()
        .map_err(|path| anyhow::anyhow!("{path:?} is not UTF-8, so {{exe}} cannot name it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill() -> Fill {
        let (link, policy) = ("unix:/l.sock".to_owned(), "allkeys-lru".to_owned());
        Fill { port: 7001, memcached_port: 7002, link, maxmemory_bytes: 64 << 20, policy }
    }

    fn spec(text: &str) -> PeerSpec {
        text.parse().expect("a valid peer")
    }

    #[test]
    fn words_are_split_as_a_shell_splits_them() {
        let line = r#"redis-server --port {port}  --save "" --name 'a "b" c' x\ y "q\"\\\n" e'f'g"#;
        let expected =
            ["redis-server", "--port", "{port}", "--save", "", "--name", "a \"b\" c", "x y", "q\"\\\\n", "efg"];
        assert_eq!(split_words(line).expect("valid"), expected);
        assert_eq!(split_words("  ").expect("valid"), Vec::<String>::new());
        assert!(split_words("a 'b").is_err());
        assert!(split_words("a \\").is_err());
    }

    #[test]
    fn places_are_filled_once_and_unknown_braces_stay() {
        let peer = spec("m=serve -p {port}{mcport} {{port}} {x} {link} -m {maxmemory_mb} {maxmemory}/{policy} {");
        let words = peer.words(&fill()).expect("filled");
        assert_eq!(
            words,
            ["serve", "-p", "70017002", "{7001}", "{x}", "unix:/l.sock", "-m", "64", "67108864/allkeys-lru", "{"]
        );
        assert_eq!(substitute("{a}", &[("{a}", "{b}".to_owned()), ("{b}", "no".to_owned())]), "{b}");
    }

    #[test]
    fn the_ports_of_a_command_line_say_what_it_speaks() {
        let fill = fill();
        let redis = spec("redis=redis-server --port {port}");
        let cached = spec("mc=memcached -p {mcport}");
        let both = spec("s=swell --resp {port} --memcached {mcport}");
        assert_eq!(redis.protocol(Protocol::Resp), Protocol::Resp);
        assert_eq!(cached.protocol(Protocol::Resp), Protocol::Memcached);
        assert_eq!(both.protocol(Protocol::Memcached), Protocol::Memcached);
        assert_eq!(cached.port(&fill, Protocol::Memcached), 7002);
        assert_eq!(both.port(&fill, Protocol::Resp), 7001);
        assert_eq!(both.port(&fill, Protocol::Memcached), 7002);
        assert_eq!(redis.port(&fill, Protocol::Memcached), 7001);
    }

    #[test]
    fn the_default_subject_is_this_program() {
        let own = this_program().expect("a path");
        for protocol in [Protocol::Resp, Protocol::Memcached] {
            let swell = PeerSpec::this_swell(protocol);
            assert_eq!(swell.protocol(protocol), protocol);
            assert_eq!(swell.words(&fill()).expect("filled")[..2], [own.clone(), "serve".to_owned()]);
        }
    }

    #[test]
    fn unusable_peers_are_refused_with_the_reason() {
        let reason = |text: &str| text.parse::<PeerSpec>().expect_err("refused");
        assert!(reason("redis-server").contains("NAME=COMMANDLINE"));
        assert!(reason("a b=x {port}").contains("no name"));
        assert!(reason("r=").contains("no command line"));
        assert!(reason("r=redis-server").contains("{port}"));
    }
}
