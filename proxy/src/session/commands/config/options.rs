//! The options that CONFIG knows: those that do something here, and those that clients and test suites look at.

use std::sync::LazyLock;
use std::sync::atomic::Ordering::Relaxed;

use swell_engine::evict::{Policy, SAMPLES};
use swell_engine::key::DATABASES;
use swell_engine::notify::Class;
use swell_engine::value::limits::LIMITS;
use swell_wire::limits::BULK_BYTES_MAX;

use super::defaults::DEFAULTS;
use super::value;
use crate::core::Core;
use crate::error::ConfigRefusal;
use crate::files;
use crate::observe::{LogKind, Watch};
use crate::push::limits::{self, OutputLimit};

/// Least size of the two buffer limits, in bytes (Redis's).
const BUFFER_BYTES_MIN: i64 = 1024 * 1024;
const INT_MAX: i64 = i32::MAX as i64;

/// One option.
pub struct ConfigOption {
    /// In lower case.
    pub name: &'static str,
    kind: Kind,
}

/// A value that was read and fits, on its way to its option.
pub struct Change(&'static str, Value);

enum Kind {
    /// Fixed when the server starts, or by what it is.
    Fixed(fn(&Core) -> String),
    /// Redis lets it be changed; here it may be "changed" to what it is.
    Constant(&'static str),
    /// Whole numbers from `min` to `max`.
    Integer {
        min: i64,
        max: i64,
        get: fn(&Core) -> u64,
        set: fn(&mut Core, u64),
    },
    /// Sizes from `min` to `max` bytes.
    Memory {
        min: i64,
        max: i64,
        get: fn(&Core) -> u64,
        set: fn(&mut Core, u64),
    },
    /// What commands are watched for: numbers from `min` to `max` that may be below zero.
    Watched {
        min: i64,
        max: i64,
        get: fn(&Watch) -> i64,
        set: fn(&Watch, i64),
    },
    /// `latency-tracking`.
    Tracking,
    /// `latency-tracking-info-percentiles`.
    Percentiles,
    /// How many clients: as many as the system lets.
    Clients,
    Policy,
    /// Classes of keyspace notifications.
    Notified,
    Password,
    /// A hard and a soft limit for each class of clients.
    OutputLimits,
    /// What new users begin with.
    Channels,
    /// A threshold between compact and large values.
    Limit,
}

enum Value {
    Same,
    Number(fn(&mut Core, u64), u64),
    Watched(fn(&Watch, i64), i64),
    Tracking(bool),
    Percentiles(Vec<f64>),
    Policy(Policy),
    Notified(Class),
    Password(String),
    OutputLimits(Vec<(limits::Class, OutputLimit)>),
    Channels(bool),
    /// One of [`LIMITS`] by its place.
    Limit(usize, i64),
}

/// By name.
pub static OPTIONS: &[ConfigOption] = &[
    ConfigOption { name: "acl-pubsub-default", kind: Kind::Channels },
    fixed("aclfile", |core| core.shared.access.path().map_or_else(String::new, |path| path.display().to_string())),
    ConfigOption {
        name: "acllog-max-len",
        kind: Kind::Integer {
            min: 0,
            max: i64::MAX,
            get: |core| core.shared.access.log.len_max(),
            set: |core, len| core.shared.access.log.set_len_max(len),
        },
    },
    constant("appendonly", "no"),
    fixed("bind", |core| core.shared.resp_bind.get().map_or_else(String::new, ToString::to_string)),
    script_limit("busy-reply-threshold"),
    ConfigOption { name: "client-output-buffer-limit", kind: Kind::OutputLimits },
    ConfigOption {
        name: "client-query-buffer-limit",
        kind: Kind::Memory {
            min: BUFFER_BYTES_MIN,
            max: i64::MAX,
            get: |core| core.shared.settings.query_buffer_bytes_max(),
            set: |core, bytes| core.shared.settings.query_buffer_bytes_max.store(bytes, Relaxed),
        },
    },
    fixed("cluster-enabled", |_| "no".to_owned()),
    SLOWER_THAN.named("commandlog-execution-slower-than"),
    kept(
        "commandlog-large-reply-max-len",
        |watch| watch.logs.of(LogKind::LargeReply).max(),
        |watch, max| watch.logs.of(LogKind::LargeReply).set_max(max),
    ),
    kept(
        "commandlog-large-request-max-len",
        |watch| watch.logs.of(LogKind::LargeRequest).max(),
        |watch, max| watch.logs.of(LogKind::LargeRequest).set_max(max),
    ),
    larger_than(
        "commandlog-reply-larger-than",
        |watch| watch.reply_bytes.load(Relaxed),
        |watch, bytes| watch.reply_bytes.store(bytes, Relaxed),
    ),
    larger_than(
        "commandlog-request-larger-than",
        |watch| watch.request_bytes.load(Relaxed),
        |watch, bytes| watch.request_bytes.store(bytes, Relaxed),
    ),
    SLOW_KEPT.named("commandlog-slow-execution-max-len"),
    fixed("daemonize", |_| "no".to_owned()),
    fixed("databases", |_| DATABASES.to_string()),
    fixed("enable-debug-command", |_| "yes".to_owned()),
    limit("hash-max-listpack-entries"),
    limit("hash-max-listpack-value"),
    limit("hash-max-ziplist-entries"),
    limit("hash-max-ziplist-value"),
    limit("hll-sparse-max-bytes"),
    constant("hz", "10"),
    fixed("io-threads", |core| core.shared.workers.to_string()),
    ConfigOption {
        name: "latency-monitor-threshold",
        kind: Kind::Watched {
            min: 0,
            max: i64::MAX,
            get: |watch| watch.latency_ms.load(Relaxed),
            set: |watch, ms| watch.latency_ms.store(ms, Relaxed),
        },
    },
    ConfigOption { name: "latency-tracking", kind: Kind::Tracking },
    ConfigOption { name: "latency-tracking-info-percentiles", kind: Kind::Percentiles },
    ConfigOption {
        name: "lfu-decay-time",
        kind: Kind::Integer {
            min: 0,
            max: INT_MAX,
            get: |core| core.handle.engine().settings().lfu_decay_minutes().into(),
            set: |core, minutes| core.handle.engine().settings().set_lfu_decay_minutes(minutes as u32),
        },
    },
    ConfigOption {
        name: "lfu-log-factor",
        kind: Kind::Integer {
            min: 0,
            max: INT_MAX,
            get: |core| core.handle.engine().settings().lfu_log_factor().into(),
            set: |core, factor| core.handle.engine().settings().set_lfu_log_factor(factor as u32),
        },
    },
    limit("list-max-listpack-size"),
    limit("list-max-ziplist-size"),
    script_limit("lua-time-limit"),
    ConfigOption { name: "maxclients", kind: Kind::Clients },
    ConfigOption {
        name: "maxmemory",
        kind: Kind::Memory {
            min: 0,
            max: i64::MAX,
            get: |core| core.handle.engine().settings().maxmemory_total_bytes(),
            set: |core, bytes| core.handle.engine().settings().set_maxmemory_total_bytes(bytes),
        },
    },
    ConfigOption { name: "maxmemory-policy", kind: Kind::Policy },
    fixed("maxmemory-samples", |_| SAMPLES.to_string()),
    ConfigOption { name: "notify-keyspace-events", kind: Kind::Notified },
    fixed("port", |core| core.shared.resp_port.load(Relaxed).to_string()),
    constant("protected-mode", "yes"),
    ConfigOption {
        name: "proto-max-bulk-len",
        kind: Kind::Memory {
            min: BUFFER_BYTES_MIN,
            max: BULK_BYTES_MAX as i64,
            get: |core| core.handle.engine().settings().string_bytes_max() as u64,
            set: |core, bytes| {
                core.handle.engine().settings().set_string_bytes_max(bytes);
                // The other workers follow with their next tick.
                core.follow_settings();
            },
        },
    },
    ConfigOption { name: "requirepass", kind: Kind::Password },
    constant("save", ""),
    limit("set-max-intset-entries"),
    limit("set-max-listpack-entries"),
    limit("set-max-listpack-value"),
    SLOWER_THAN.named("slowlog-log-slower-than"),
    SLOW_KEPT.named("slowlog-max-len"),
    limit("stream-node-max-bytes"),
    limit("stream-node-max-entries"),
    constant("tcp-keepalive", "0"),
    ConfigOption {
        name: "timeout",
        kind: Kind::Integer {
            min: 0,
            max: INT_MAX,
            get: |core| core.shared.settings.timeout_seconds.load(Relaxed),
            set: |core, seconds| core.shared.settings.timeout_seconds.store(seconds, Relaxed),
        },
    },
    limit("zset-max-listpack-entries"),
    limit("zset-max-listpack-value"),
    limit("zset-max-ziplist-entries"),
    limit("zset-max-ziplist-value"),
];

/// All options, the live ones first; then those that only show how things are.
pub fn all() -> impl Iterator<Item = &'static ConfigOption> {
    static ALL: LazyLock<Vec<ConfigOption>> = LazyLock::new(|| {
        let is_live = |name: &str| OPTIONS.iter().any(|option| option.name == name);
        DEFAULTS.iter().filter(|(name, _)| !is_live(name)).map(|(name, value)| constant(name, value)).collect()
    });
    OPTIONS.iter().chain(ALL.iter())
}

/// The two of the slow log have two names each.
const SLOWER_THAN: ConfigOption =
    larger_than("", |watch| watch.slow_us.load(Relaxed), |watch, us| watch.slow_us.store(us, Relaxed));
const SLOW_KEPT: ConfigOption =
    kept("", |watch| watch.logs.of(LogKind::Slow).max(), |watch, max| watch.logs.of(LogKind::Slow).set_max(max));

impl ConfigOption {
    const fn named(self, name: &'static str) -> ConfigOption {
        let kind = match self.kind {
            Kind::Watched { min, max, get, set } => Kind::Watched { min, max, get, set },
            _ => Kind::Constant(""),
        };
        ConfigOption { name, kind }
    }

    /// Whether no value is taken.
    pub fn is_immutable(&self) -> bool {
        matches!(self.kind, Kind::Fixed(_))
    }

    /// Its value as CONFIG GET prints it.
    pub fn show(&self, core: &Core) -> String {
        match &self.kind {
            Kind::Fixed(show) => show(core),
            Kind::Constant(value) => (*value).to_owned(),
            Kind::Integer { get, .. } | Kind::Memory { get, .. } => get(core).to_string(),
            Kind::Watched { get, .. } => get(&core.shared.watch).to_string(),
            Kind::Tracking => value::switch_name(core.shared.watch.tracking.load(Relaxed)).to_owned(),
            Kind::Percentiles => {
                let percentiles = core.shared.watch.percentiles();
                percentiles.iter().map(f64::to_string).collect::<Vec<_>>().join(" ")
            }
            Kind::Clients => core.shared.settings.maxclients.load(Relaxed).to_string(),
            Kind::Policy => core.handle.engine().settings().policy().name().to_owned(),
            Kind::Notified => core.handle.engine().settings().notified().to_string(),
            Kind::Limit => core.handle.engine().settings().live_limits().get(limit_of(self.name)).to_string(),
            Kind::OutputLimits => core.shared.settings.output_limits.show(),
            Kind::Password => core.shared.access.requirepass().clone(),
            Kind::Channels => {
                if core.shared.access.all_channels() { "allchannels" } else { "resetchannels" }.to_owned()
            }
        }
    }

    /// Reads a value; nothing is changed before [`Change::apply`].
    ///
    /// # Errors
    /// Why the value does not fit.
    pub fn read(&self, text: &[u8]) -> Result<Change, ConfigRefusal> {
        Ok(Change(
            self.name,
            match &self.kind {
                Kind::Fixed(_) => return Err(ConfigRefusal::Immutable),
                Kind::Constant(value) if value.as_bytes().eq_ignore_ascii_case(text) => Value::Same,
                Kind::Constant(_) => return Err(ConfigRefusal::Immutable),
                Kind::Integer { min, max, set, .. } => {
                    Value::Number(*set, value::within(value::integer(text)?, *min, *max)?)
                }
                Kind::Memory { min, max, set, .. } => {
                    let bytes = i64::try_from(value::memory(text)?).unwrap_or(i64::MAX);
                    Value::Number(*set, value::within(bytes, *min, *max)?)
                }
                Kind::Limit => {
                    let at = limit_of(self.name);
                    let limit = &LIMITS[at];
                    let number = match limit.is_size {
                        true => i64::try_from(value::memory(text)?).unwrap_or(i64::MAX),
                        false => value::integer(text)?,
                    };
                    Value::Limit(at, value::between(number, limit.min, limit.max)?)
                }
                Kind::Watched { min, max, set, .. } => {
                    Value::Watched(*set, value::between(value::integer(text)?, *min, *max)?)
                }
                Kind::Tracking => Value::Tracking(value::switch(text)?),
                Kind::Percentiles => Value::Percentiles(value::percentiles(text)?),
                Kind::Clients => Value::Number(set_clients, clients(text)?),
                Kind::Policy => {
                    let name = std::str::from_utf8(text).ok();
                    Value::Policy(name.and_then(|name| name.parse().ok()).ok_or(ConfigRefusal::UnknownPolicy)?)
                }
                Kind::OutputLimits => {
                    let text = std::str::from_utf8(text).map_err(|_| ConfigRefusal::OutputLimitClass)?;
                    Value::OutputLimits(limits::parse(text, value::memory)?)
                }
                Kind::Notified => Value::Notified(Class::parse(text).ok_or(ConfigRefusal::UnknownClass)?),
                Kind::Channels => Value::Channels(match text.to_ascii_lowercase().as_slice() {
                    b"allchannels" => true,
                    b"resetchannels" => false,
                    _ => return Err(ConfigRefusal::UnknownChannels),
                }),
                Kind::Password => {
                    Value::Password(std::str::from_utf8(text).map_err(|_| ConfigRefusal::NotUtf8)?.to_owned())
                }
            },
        ))
    }
}

/// Options that the nodes have to know, too: they are part of the cache state.
const OF_THE_CACHE: [&str; 7] = [
    "busy-reply-threshold",
    "lfu-decay-time",
    "lfu-log-factor",
    "maxmemory",
    "maxmemory-policy",
    "notify-keyspace-events",
    "proto-max-bulk-len",
];

impl Change {
    /// The change as an entry of the cache state, if the nodes have to know it.
    pub fn entry(&self) -> Option<(String, String)> {
        let value = match &self.1 {
            Value::Limit(at, number) => return Some((LIMITS[*at].name.to_owned(), number.to_string())),
            // The old name of the same.
            Value::Number(_, number) if self.0 == "lua-time-limit" => {
                return Some(("busy-reply-threshold".to_owned(), number.to_string()));
            }
            Value::Number(_, number) => number.to_string(),
            Value::Policy(policy) => policy.name().to_owned(),
            Value::Notified(classes) => classes.in_full(),
            Value::Same
            | Value::Password(_)
            | Value::Channels(_)
            | Value::OutputLimits(_)
            | Value::Watched(..)
            | Value::Tracking(_)
            | Value::Percentiles(_) => return None,
        };
        OF_THE_CACHE.contains(&self.0).then(|| (self.0.to_owned(), value))
    }

    /// The default user's new password, if that is what it is about.
    pub fn password(&self) -> Option<&str> {
        match &self.1 {
            Value::Password(password) => Some(password),
            _ => None,
        }
    }

    /// Gives the option its value, but for what the users have of it. A policy that is new makes every worker forget its candidates by itself.
    pub fn apply(self, core: &mut Core) {
        match self.1 {
            Value::Same => {}
            Value::Number(set, number) => set(core, number),
            Value::Watched(set, number) => set(&core.shared.watch, number),
            Value::Tracking(on) => core.shared.watch.tracking.store(on, Relaxed),
            Value::Percentiles(percentiles) => core.shared.watch.set_percentiles(percentiles),
            Value::Limit(at, number) => core.handle.engine().settings().live_limits().set(at, number),
            Value::Policy(policy) => {
                core.handle.engine().settings().set_policy(policy);
                core.handle.engine().settings().set_spares_only_resp(false);
            }
            Value::OutputLimits(changes) => {
                changes.into_iter().for_each(|(class, limit)| core.shared.settings.output_limits.set(class, limit));
            }
            Value::Notified(classes) => core.handle.engine().settings().set_notified(classes),
            Value::Password(password) => *core.shared.access.requirepass() = password,
            Value::Channels(all) => core.shared.access.set_all_channels(all),
        }
    }
}

const fn larger_than(name: &'static str, get: fn(&Watch) -> i64, set: fn(&Watch, i64)) -> ConfigOption {
    ConfigOption { name, kind: Kind::Watched { min: -1, max: i64::MAX, get, set } }
}

/// How many entries a log keeps.
const fn kept(name: &'static str, get: fn(&Watch) -> i64, set: fn(&Watch, i64)) -> ConfigOption {
    ConfigOption { name, kind: Kind::Watched { min: 0, max: i64::MAX, get, set } }
}

/// Milliseconds after which a script is told of, under both of its names.
const fn script_limit(name: &'static str) -> ConfigOption {
    ConfigOption {
        name,
        kind: Kind::Integer {
            min: 0,
            max: i64::MAX,
            get: |core| core.handle.engine().scripts().limit_ms(),
            set: |core, limit_ms| core.handle.engine().scripts().set_limit_ms(limit_ms),
        },
    }
}

const fn limit(name: &'static str) -> ConfigOption {
    ConfigOption { name, kind: Kind::Limit }
}

/// The place in [`LIMITS`] of an option, by its name or by its old one.
fn limit_of(name: &str) -> usize {
    let is_it = |limit: &swell_engine::value::limits::Limit| limit.name == name || limit.old_name == Some(name);
    LIMITS.iter().position(is_it).expect("a test looks every limit up")
}

const fn fixed(name: &'static str, show: fn(&Core) -> String) -> ConfigOption {
    ConfigOption { name, kind: Kind::Fixed(show) }
}

const fn constant(name: &'static str, value: &'static str) -> ConfigOption {
    ConfigOption { name, kind: Kind::Constant(value) }
}

fn set_clients(core: &mut Core, clients: u64) {
    core.shared.settings.maxclients.store(clients as usize, Relaxed);
}

/// Raises the limit of open files on the way, which does no harm if another option is refused.
fn clients(text: &[u8]) -> Result<u64, ConfigRefusal> {
    let wanted = value::within(value::integer(text)?, 1, u32::MAX.into())?;
    match files::make_room_for_clients(wanted as usize) {
        Ok(room) if (room as u64) < wanted => Err(ConfigRefusal::TooManyClients(room as u64)),
        // A system that does not tell its limits is taken at the user's word.
        _ => Ok(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_in_lower_case() {
        assert!(OPTIONS.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert!(OPTIONS.iter().all(|option| option.name == option.name.to_ascii_lowercase()));
    }

    #[test]
    fn every_limit_is_an_option() {
        for name in LIMITS.iter().flat_map(|limit| [Some(limit.name), limit.old_name]).flatten() {
            assert!(OPTIONS.iter().any(|option| option.name == name && matches!(option.kind, Kind::Limit)), "{name}");
        }
        for option in OPTIONS.iter().filter(|option| matches!(option.kind, Kind::Limit)) {
            assert!(limit_of(option.name) < LIMITS.len());
        }
    }

    #[test]
    fn what_cannot_be_changed_may_be_set_to_what_it_is() {
        let option = |name| OPTIONS.iter().find(|option| option.name == name).unwrap();
        assert!(option("save").read(b"").is_ok());
        assert!(option("appendonly").read(b"NO").is_ok());
        assert_eq!(option("appendonly").read(b"yes").err(), Some(ConfigRefusal::Immutable));
        assert_eq!(option("databases").read(b"16").err(), Some(ConfigRefusal::Immutable));
        assert_eq!(option("maxclients").read(b"0").err(), Some(ConfigRefusal::OutOfRange(1, 4_294_967_295)));
    }
}
