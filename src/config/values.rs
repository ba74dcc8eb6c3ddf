//! What option values mean: addresses, sizes, switches, names; how each is read from text and written back.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

pub use swell_engine::evict::Policy;
pub use swell_meter::Profile;
use swell_node::link::socket::Address;

use crate::place;

/// Longest password, in bytes (Redis's own limit).
pub const PASSWORD_BYTES_MAX: usize = 512;
/// Longest name of a zone, in bytes.
pub const WORD_BYTES_MAX: usize = 64;

/// Reads one kind of value. Reading what `show` wrote gives the same value.
pub trait Reader {
    type Value;
    /// # Errors
    /// What the option takes, to follow the words "it takes".
    fn read(&self, text: &str) -> Result<Self::Value, String>;
    /// The value as a person would write it.
    fn show(&self, value: &Self::Value) -> String;
    /// Whether the value must not be shown to anybody.
    fn secret(&self) -> bool {
        false
    }
}

/// Where a listener is, if it is wanted at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    Off,
    At(SocketAddr),
}

impl Listen {
    /// The address as configured; port 0 lets the kernel choose.
    pub fn address(self) -> Option<SocketAddr> {
        match self {
            Listen::Off => None,
            Listen::At(address) => Some(address),
        }
    }
}

/// A password; empty means that none is set. Never printed by `Debug`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Password(String);

impl Password {
    /// The password, unless none is set.
    pub fn get(&self) -> Option<&str> {
        Some(self.0.as_str()).filter(|text| !text.is_empty())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "Password(none)" } else { "Password(hidden)" })
    }
}

macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($variant),+ }

        impl $name {
            /// Every name with its value, in the order of the reference page.
            pub const NAMES: &'static [(&'static str, $name)] = &[$(($text, $name::$variant)),+];

            /// The name as it is written.
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }
        }
    };
}

/// Every price profile with its name.
pub const PROFILES: &[(&str, Profile)] =
    &[(Profile::Elasticache.name(), Profile::Elasticache), (Profile::Swell.name(), Profile::Swell)];

names! {
    /// Where the first node lives.
    FirstNode { Embedded = "embedded", Process = "process" }
}

names! {
    /// Whether the scaler acts on what it decides.
    Scaling { On = "on", Off = "off", DryRun = "dry-run" }
}

names! {
    /// How log lines look.
    LogFormat { Auto = "auto", Text = "text", Json = "json" }
}

names! {
    /// The least severe log lines that are written.
    LogLevel { Error = "error", Warn = "warn", Info = "info", Debug = "debug", Trace = "trace" }
}

/// Reads [`Listen`]: `off`, an address with a port, `localhost:6379`, or a port of 127.0.0.1.
pub struct ListenAt;

impl Reader for ListenAt {
    type Value = Listen;

    fn read(&self, text: &str) -> Result<Listen, String> {
        if text.eq_ignore_ascii_case("off") {
            return Ok(Listen::Off);
        }
        let port = text.strip_prefix("localhost:").unwrap_or(text);
        let address = match port.parse() {
            Ok(port) => Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
            Err(_) => text.parse().ok(),
        };
        let wanted = "an IP address with a port, such as 127.0.0.1:6379 or [::]:6379, or off";
        address.map(Listen::At).ok_or_else(|| wanted.to_owned())
    }

    fn show(&self, value: &Listen) -> String {
        value.address().map_or_else(|| "off".to_owned(), |address| address.to_string())
    }
}

/// Reads a number of bytes in Redis's notation; both ends of the range are allowed.
pub struct Bytes {
    pub min: u64,
    pub max: u64,
}

impl Reader for Bytes {
    type Value = u64;

    fn read(&self, text: &str) -> Result<u64, String> {
        let bytes = parse_bytes(text)
            .ok_or("a size, such as 1048576, 100mb (of 1024s), 100m (of 1000s) or 512MiB".to_owned())?;
        match (self.min..=self.max).contains(&bytes) {
            true => Ok(bytes),
            false => Err(format!("a size from {} to {}", show_bytes(self.min), show_bytes(self.max))),
        }
    }

    fn show(&self, value: &u64) -> String {
        show_bytes(*value)
    }
}

/// Reads a whole number; both ends of the range are allowed.
pub struct Count {
    pub min: usize,
    pub max: usize,
}

impl Reader for Count {
    type Value = usize;

    fn read(&self, text: &str) -> Result<usize, String> {
        let number = text.parse().ok().filter(|number| (self.min..=self.max).contains(number));
        number.ok_or_else(|| format!("a whole number from {} to {}", self.min, self.max))
    }

    fn show(&self, value: &usize) -> String {
        value.to_string()
    }
}

/// Reads a number of cores, parts of one included; 0 is no limit.
pub struct Cores {
    pub min: f64,
    pub max: f64,
}

impl Reader for Cores {
    type Value = f64;

    fn read(&self, text: &str) -> Result<f64, String> {
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let number = text.parse().ok().filter(|_| is_number);
        let number = number.filter(|cores| *cores == 0.0 || (self.min..=self.max).contains(cores));
        number.ok_or_else(|| {
            format!("a number of cores from {} to {}, such as 0.5, or 0 for no limit", self.min, self.max)
        })
    }

    fn show(&self, value: &f64) -> String {
        value.to_string()
    }
}

/// Reads a time in whole seconds, 0 included.
pub struct Seconds {
    pub max: u64,
}

impl Reader for Seconds {
    type Value = u64;

    fn read(&self, text: &str) -> Result<u64, String> {
        let number = text.parse().ok().filter(|number| *number <= self.max);
        number.ok_or_else(|| format!("a whole number of seconds from 0 to {}", self.max))
    }

    fn show(&self, value: &u64) -> String {
        value.to_string()
    }
}

/// Reads `on` or `off`; `yes`, `no`, `true` and `false` mean the same.
pub struct Switch;

impl Reader for Switch {
    type Value = bool;

    fn read(&self, text: &str) -> Result<bool, String> {
        match text.to_ascii_lowercase().as_str() {
            "on" | "yes" | "true" => Ok(true),
            "off" | "no" | "false" => Ok(false),
            _ => Err("on or off".to_owned()),
        }
    }

    fn show(&self, value: &bool) -> String {
        if *value { "on" } else { "off" }.to_owned()
    }
}

/// Reads the byte that ends a key's prefix: `off`, or one visible ASCII character.
pub struct Separator;

impl Reader for Separator {
    type Value = Option<u8>;

    fn read(&self, text: &str) -> Result<Option<u8>, String> {
        match text.as_bytes() {
            [byte] if byte.is_ascii_graphic() => Ok(Some(*byte)),
            _ if text.eq_ignore_ascii_case("off") || text == "false" => Ok(None),
            _ => Err("one character, such as :, or off".to_owned()),
        }
    }

    fn show(&self, value: &Option<u8>) -> String {
        value.map_or_else(|| "off".to_owned(), |byte| char::from(byte).to_string())
    }
}

/// Reads one of the names in a list, in any case.
pub struct OneOf<T: 'static>(pub &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Reader for OneOf<T> {
    type Value = T;

    fn read(&self, text: &str) -> Result<T, String> {
        let found = self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        found.map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<_> = self.0.iter().map(|(name, _)| *name).collect();
            one_of(&names)
        })
    }

    fn show(&self, value: &T) -> String {
        let found = self.0.iter().find(|(_, other)| other == value);
        found.map(|(name, _)| (*name).to_owned()).unwrap_or_default()
    }
}

/// Reads the name of an eviction policy, in any case.
pub struct PolicyName;

impl Reader for PolicyName {
    type Value = Policy;

    fn read(&self, text: &str) -> Result<Policy, String> {
        text.parse().map_err(|()| one_of(&Policy::NAMES.map(|(_, name)| name)))
    }

    fn show(&self, value: &Policy) -> String {
        value.name().to_owned()
    }
}

/// Reads a path; empty text is none.
pub struct File;

impl Reader for File {
    type Value = Option<PathBuf>;

    fn read(&self, text: &str) -> Result<Option<PathBuf>, String> {
        match text.contains('\0') {
            true => Err("a path, which has no zero bytes".to_owned()),
            false => Ok(Some(PathBuf::from(text)).filter(|_| !text.is_empty())),
        }
    }

    fn show(&self, value: &Option<PathBuf>) -> String {
        value.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
    }
}

/// Reads where a link server listens; empty text is nowhere in particular.
pub struct LinkAt;

impl Reader for LinkAt {
    type Value = Option<Address>;

    fn read(&self, text: &str) -> Result<Option<Address>, String> {
        if text.is_empty() {
            return Ok(None);
        }
        let address: Address = text.parse().map_err(|_| "unix:PATH or HOST:PORT".to_owned())?;
        if matches!(&address, Address::Tcp(text) if text.ends_with(":0")) {
            return Err("a port that others can be told, so not 0".to_owned());
        }
        place::check_length(&address).map_err(|bytes| {
            let max = place::SOCKET_PATH_BYTES_MAX;
            format!("a Unix socket's path of at most {max} bytes, and this one has {bytes}")
        })?;
        Ok(Some(address))
    }

    fn show(&self, value: &Option<Address>) -> String {
        value.as_ref().map(Address::to_string).unwrap_or_default()
    }
}

/// Reads a short name; empty text is none.
pub struct Word;

impl Reader for Word {
    type Value = String;

    fn read(&self, text: &str) -> Result<String, String> {
        let fits = text.len() <= WORD_BYTES_MAX && !text.chars().any(|c| c.is_control() || c.is_whitespace());
        if fits { Ok(text.to_owned()) } else { Err(format!("a name without spaces of at most {WORD_BYTES_MAX} bytes")) }
    }

    fn show(&self, value: &String) -> String {
        value.clone()
    }
}

/// Reads a password, or what else it is called; empty text is none.
pub struct Secret(pub &'static str);

impl Reader for Secret {
    type Value = Password;

    fn read(&self, text: &str) -> Result<Password, String> {
        match text.len() <= PASSWORD_BYTES_MAX {
            true => Ok(Password(text.to_owned())),
            false => Err(format!("a {} of at most {PASSWORD_BYTES_MAX} bytes", self.0)),
        }
    }

    fn show(&self, value: &Password) -> String {
        value.0.clone()
    }

    fn secret(&self) -> bool {
        true
    }
}

/// Bytes in Redis's notation: `k`, `m`, `g`, `t` count in thousands, `kb`, `mb`, `gb`, `tb` (and `KiB` and so on) in
/// 1024s, in any case. None when `text` is no such size or does not fit.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "m" => 1_000_000,
        "g" => 1_000_000_000,
        "t" => 1_000_000_000_000,
        "kb" | "kib" => 1 << 10,
        "mb" | "mib" => 1 << 20,
        "gb" | "gib" => 1 << 30,
        "tb" | "tib" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// The shortest exact way to write `bytes` so that [`parse_bytes`] reads the same number.
pub fn show_bytes(bytes: u64) -> String {
    let units = [("gb", 30), ("mb", 20), ("kb", 10)];
    let exact = units.iter().find(|(_, bits)| bytes != 0 && bytes.trailing_zeros() >= *bits);
    exact.map_or_else(|| bytes.to_string(), |(unit, bits)| format!("{}{unit}", bytes >> bits))
}

/// `text` as a TOML value: bare where it is a plain number, else quoted.
pub fn toml_value(text: &str) -> String {
    let plain = text.parse::<i64>().is_ok_and(|number| number.to_string() == text);
    // JSON escapes all that TOML wants escaped but DEL.
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f") }
}

/// "a, b or c", for what an option takes.
fn one_of(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [others @ .., last] => format!("{} or {last}", others.join(", ")),
    }
}
