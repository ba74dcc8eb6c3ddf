//! What was written: defaults, configuration file, `SWELL_*` variables and command line, laid over each other.
//!
//! Later layers win. For every option the layer that won is remembered, so that messages can say where to look.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::values::Reader;
use super::{OPTIONS, OptionRow, option};
use crate::machine::Machine;

/// The variable that names the configuration file.
pub const CONFIG_VARIABLE: &str = "SWELL_CONFIG";
/// Largest configuration file, in bytes.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// Names that begin with `SWELL_` and are no options: the file's, and the tests' leave to rewrite reference pages.
const OTHER_VARIABLES: &[&str] = &[CONFIG_VARIABLE, "SWELL_BLESS"];

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    File(PathBuf),
    /// The variable's name.
    Variable(String),
    /// The flag's name without its dashes.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Variable(name) => f.write_str(name),
            Origin::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// What was typed: values by field, and the configuration file.
#[derive(Clone, Debug, Default)]
pub struct Typed {
    pub values: BTreeMap<&'static str, String>,
    pub config: Option<PathBuf>,
}

/// The text that counts for every option, with its origin.
#[derive(Debug)]
pub struct Written {
    values: BTreeMap<&'static str, (String, Origin)>,
}

impl Written {
    /// Lays the layers over each other. Reads the configuration file where one is named, and nothing else.
    ///
    /// # Errors
    /// The configuration file cannot be read, is no TOML or has unknown keys; a `SWELL_*` variable is unknown.
    pub fn gather(
        typed: &Typed,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        machine: &Machine,
    ) -> Result<Self, ConfigError> {
        let variables = known_variables(variables)?;
        let file = typed.config.clone().or_else(|| variables.get(CONFIG_VARIABLE).map(PathBuf::from));
        let mut values = BTreeMap::new();
        for row in OPTIONS.iter() {
            values.insert(row.field, (row.default_on(machine), Origin::Default));
        }
        if let Some(path) = file {
            for (field, text) in parse_file(&path, &read_file(&path)?)? {
                values.insert(field, (text, Origin::File(path.clone())));
            }
        }
        for row in OPTIONS.iter() {
            if let Some(text) = variables.get(&row.variable) {
                values.insert(row.field, (text.clone(), Origin::Variable(row.variable.clone())));
            }
            if let Some(text) = typed.values.get(row.field) {
                values.insert(row.field, (text.clone(), Origin::Flag(row.name.clone())));
            }
        }
        // Now that it is known what the others are.
        for row in OPTIONS.iter() {
            let text = row.default_among(&|field| values[field].0.clone(), machine);
            if let Some((value, Origin::Default)) = values.get_mut(row.field) {
                *value = text;
            }
        }
        Ok(Written { values })
    }

    /// Reads the value of `field`.
    ///
    /// # Errors
    /// The text does not fit; the message names the place where it was written.
    pub(super) fn read<R: Reader>(&self, field: &'static str, reader: &R) -> Result<R::Value, ConfigError> {
        let (text, origin) = &self.values[field];
        reader.read(text).map_err(|wanted| {
            let place = place(option(field), origin);
            match reader.secret() {
                true => ConfigError::SecretValue { place, wanted },
                false => ConfigError::Value { place, text: text.clone(), wanted },
            }
        })
    }

    pub(super) fn origins(&self) -> BTreeMap<&'static str, Origin> {
        self.values.iter().map(|(field, (_, origin))| (*field, origin.clone())).collect()
    }
}

/// How a message names a value that was written at `origin`.
fn place(row: &OptionRow, origin: &Origin) -> String {
    match origin {
        Origin::File(path) => format!("{} in {}", row.name, path.display()),
        Origin::Default => format!("the default of --{}", row.name),
        other => other.to_string(),
    }
}

fn known_variables(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut known = BTreeMap::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with("SWELL_")).map(str::to_owned) else {
            continue;
        };
        let names = || OPTIONS.iter().map(|row| row.variable.as_str()).chain(OTHER_VARIABLES.iter().copied());
        if !names().any(|known| known == name) {
            if from_orchestrator(&name, &value) {
                continue;
            }
            let nearest = nearest(&name, names());
            return Err(ConfigError::UnknownVariable { name, nearest });
        }
        let Ok(value) = value.into_string() else {
            return Err(ConfigError::NotUnicode { name });
        };
        // Compose files and unit files leave variables empty to say nothing.
        if !value.is_empty() {
            known.insert(name, value);
        }
    }
    Ok(known)
}

/// Kubernetes and Docker describe a service called "swell" to its neighbours in variables such as
/// `SWELL_SERVICE_HOST` and `SWELL_PORT_6379_TCP_ADDR`; they are not addressed to Swell.
fn from_orchestrator(name: &str, value: &OsStr) -> bool {
    let address = |rest: &str| {
        let mut parts = rest.split('_');
        let port = parts.next().is_some_and(|port| port.parse::<u16>().is_ok());
        port && parts.next().is_some_and(|protocol| matches!(protocol, "TCP" | "UDP" | "SCTP"))
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_PORT") && value.to_str().is_some_and(|value| value.contains("://"))
        || name.contains("_SERVICE_PORT")
        || name.match_indices("_PORT_").any(|(at, word)| address(&name[at + word.len()..]))
}

fn read_file(path: &Path) -> Result<String, ConfigError> {
    let file = || path.display().to_string();
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|opened| opened.take(FILE_BYTES_MAX + 1).read_to_string(&mut text));
    match read {
        Err(why) => Err(ConfigError::Unreadable { file: file(), why }),
        Ok(bytes) if bytes as u64 > FILE_BYTES_MAX => Err(ConfigError::TooLarge { file: file(), max: FILE_BYTES_MAX }),
        Ok(_) => Ok(text),
    }
}

/// Values by field. Keys may have dashes or underscores.
fn parse_file(path: &Path, text: &str) -> Result<BTreeMap<&'static str, String>, ConfigError> {
    let file = || path.display().to_string();
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
        ConfigError::NotToml { file: file(), line, what: error.message().replace('\n', ", ") }
    })?;
    let mut values = BTreeMap::new();
    for (key, value) in table {
        let Some(row) = OPTIONS.iter().find(|row| row.name == key || row.field == key) else {
            let nearest = nearest(&key, OPTIONS.iter().map(|row| row.name.as_str()));
            return Err(ConfigError::UnknownKey { file: file(), key, nearest });
        };
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Float(number) => number.to_string(),
            toml::Value::Boolean(on) => if on { "on" } else { "off" }.to_owned(),
            _ => return Err(ConfigError::KeyType { file: file(), key: &row.name }),
        };
        if values.insert(row.field, text).is_some() {
            return Err(ConfigError::Twice { file: file(), key: &row.name });
        }
    }
    Ok(values)
}

/// The known name that is most like `name`.
fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> &'static str {
    let likeness = |other: &str| strsim::jaro_winkler(&name.to_ascii_lowercase(), &other.to_ascii_lowercase());
    known.max_by(|one, other| likeness(one).total_cmp(&likeness(other))).expect("there are options")
}
