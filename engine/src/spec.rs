//! What a command is, as data: the one row that proxy, node, meter, `COMMAND` and the reference pages read.

use swell_wire::{Args, Out};

use crate::error::Fault;
use crate::exec::Exec;
use crate::script::How;
use crate::walk::WalkBody;

/// Index of a command in the joined table: dense, so that counters are array rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId(pub u16);

/// One command, or one subcommand ("client|list"). No field has a default.
#[derive(Debug)]
pub struct Spec {
    /// Lower case; a subcommand is named "container|subcommand".
    pub name: &'static str,
    /// One sentence for `COMMAND DOCS` and docs/commands.md.
    pub summary: &'static str,
    /// The Redis version that first had it.
    pub since: &'static str,
    /// Time complexity, in Redis's notation.
    pub complexity: &'static str,
    /// The family it is documented under.
    pub group: Group,
    /// Number of arguments with the name; negative: at least that many.
    pub arity: i16,
    /// Behaviour flags, as `COMMAND` lists them.
    pub flags: Flags,
    /// ACL categories beyond those that follow from flags and group; see [`Spec::categories`].
    pub acl: Acl,
    /// Where its keys are and what happens to them.
    pub keys: &'static [KeySpec],
    /// What happens when its keys lie in several places.
    pub spread: Spread,
    /// Command tips, as `COMMAND` lists them.
    pub tips: &'static [&'static str],
    /// The arguments' grammar, for `COMMAND DOCS`.
    pub arguments: &'static [ArgDoc],
    /// How it is priced.
    pub cost: Cost,
    /// Which arguments may be longer than 64 KiB without being copied into one piece first.
    pub long: Long,
    /// What runs.
    pub body: Body,
}

/// The documentation groups of Redis, and memcached's verbs as one of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Bitmap,
    Connection,
    Cluster,
    Generic,
    Geo,
    Hash,
    HyperLogLog,
    List,
    Memcached,
    PubSub,
    Scripting,
    Server,
    Set,
    SortedSet,
    Stream,
    String,
    Transactions,
}

/// A set of behaviour flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u32);

impl Flags {
    pub const NONE: Flags = Flags(0);
    pub const WRITE: Flags = Flags(1);
    pub const READONLY: Flags = Flags(1 << 1);
    pub const DENYOOM: Flags = Flags(1 << 2);
    pub const ADMIN: Flags = Flags(1 << 3);
    pub const NOSCRIPT: Flags = Flags(1 << 4);
    pub const LOADING: Flags = Flags(1 << 5);
    pub const STALE: Flags = Flags(1 << 6);
    pub const FAST: Flags = Flags(1 << 7);
    pub const NO_AUTH: Flags = Flags(1 << 8);
    pub const NO_MULTI: Flags = Flags(1 << 9);
    pub const ALLOW_BUSY: Flags = Flags(1 << 10);
    pub const SKIP_MONITOR: Flags = Flags(1 << 11);
    pub const SKIP_SLOWLOG: Flags = Flags(1 << 12);
    pub const NO_ASYNC_LOADING: Flags = Flags(1 << 13);
    pub const BLOCKING: Flags = Flags(1 << 14);
    pub const MOVABLEKEYS: Flags = Flags(1 << 15);
    /// Valkey counts it as a write in scripts that only read; not printed.
    pub const MAY_REPLICATE: Flags = Flags(1 << 16);
    pub const PUBSUB: Flags = Flags(1 << 17);
    pub const NO_MANDATORY_KEYS: Flags = Flags(1 << 18);

    /// Names as `COMMAND` prints them, in Valkey's order.
    pub const NAMES: &[(Flags, &str)] = &[
        (Flags::WRITE, "write"),
        (Flags::READONLY, "readonly"),
        (Flags::DENYOOM, "denyoom"),
        (Flags::ADMIN, "admin"),
        (Flags::PUBSUB, "pubsub"),
        (Flags::NOSCRIPT, "noscript"),
        (Flags::BLOCKING, "blocking"),
        (Flags::LOADING, "loading"),
        (Flags::STALE, "stale"),
        (Flags::SKIP_MONITOR, "skip_monitor"),
        (Flags::SKIP_SLOWLOG, "skip_slowlog"),
        (Flags::FAST, "fast"),
        (Flags::NO_AUTH, "no_auth"),
        (Flags::NO_MANDATORY_KEYS, "no_mandatory_keys"),
        (Flags::NO_ASYNC_LOADING, "no_async_loading"),
        (Flags::NO_MULTI, "no_multi"),
        (Flags::MOVABLEKEYS, "movablekeys"),
        (Flags::ALLOW_BUSY, "allow_busy"),
    ];

    /// Both sets together.
    pub const fn and(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// Whether every flag of `other` is set.
    #[inline]
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A set of ACL categories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acl(pub u32);

impl Acl {
    pub const NONE: Acl = Acl(0);
    pub const KEYSPACE: Acl = Acl(1);
    pub const READ: Acl = Acl(1 << 1);
    pub const WRITE: Acl = Acl(1 << 2);
    pub const STRING: Acl = Acl(1 << 3);
    pub const ADMIN: Acl = Acl(1 << 4);
    pub const FAST: Acl = Acl(1 << 5);
    pub const SLOW: Acl = Acl(1 << 6);
    pub const DANGEROUS: Acl = Acl(1 << 7);
    pub const CONNECTION: Acl = Acl(1 << 8);
    pub const TRANSACTION: Acl = Acl(1 << 9);
    pub const BLOCKING: Acl = Acl(1 << 10);
    pub const SET: Acl = Acl(1 << 11);
    pub const SORTED_SET: Acl = Acl(1 << 12);
    pub const LIST: Acl = Acl(1 << 13);
    pub const HASH: Acl = Acl(1 << 14);
    pub const BITMAP: Acl = Acl(1 << 15);
    pub const HYPERLOGLOG: Acl = Acl(1 << 16);
    pub const GEO: Acl = Acl(1 << 17);
    pub const STREAM: Acl = Acl(1 << 18);
    pub const PUBSUB: Acl = Acl(1 << 19);
    pub const SCRIPTING: Acl = Acl(1 << 20);

    /// Names as `COMMAND` and `ACL CAT` print them, in Valkey's order.
    pub const NAMES: &[(Acl, &str)] = &[
        (Acl::KEYSPACE, "keyspace"),
        (Acl::READ, "read"),
        (Acl::WRITE, "write"),
        (Acl::SET, "set"),
        (Acl::SORTED_SET, "sortedset"),
        (Acl::LIST, "list"),
        (Acl::HASH, "hash"),
        (Acl::STRING, "string"),
        (Acl::BITMAP, "bitmap"),
        (Acl::HYPERLOGLOG, "hyperloglog"),
        (Acl::GEO, "geo"),
        (Acl::STREAM, "stream"),
        (Acl::PUBSUB, "pubsub"),
        (Acl::ADMIN, "admin"),
        (Acl::FAST, "fast"),
        (Acl::SLOW, "slow"),
        (Acl::BLOCKING, "blocking"),
        (Acl::DANGEROUS, "dangerous"),
        (Acl::CONNECTION, "connection"),
        (Acl::TRANSACTION, "transaction"),
        (Acl::SCRIPTING, "scripting"),
    ];

    /// Both sets together.
    pub const fn and(self, other: Acl) -> Acl {
        Acl(self.0 | other.0)
    }

    /// Whether every category of `other` is in.
    pub const fn has(self, other: Acl) -> bool {
        self.0 & other.0 == other.0
    }
}

/// One group of keys in a command's arguments.
#[derive(Debug)]
pub struct KeySpec {
    /// A note for `COMMAND INFO`, or "".
    pub notes: &'static str,
    /// What is done with the keys.
    pub access: Access,
    /// Access flags, as `COMMAND INFO` prints them ("RW", "access", "update"…).
    pub flags: &'static [&'static str],
    /// Where they begin.
    pub begin: Begin,
    /// How they go on.
    pub find: Find,
}

/// What a command does with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
    Delete,
    /// It is no key but a channel, and only lies where a key of that name would (`not_key`).
    Channel,
}

/// Where a group of keys begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At this argument.
    Index(usize),
    /// After this word, searched from argument `from`. The first one counts.
    Keyword { word: &'static str, from: usize },
    /// After this word among the options that begin at argument `from`. The last one counts, as for the body. `takes`:
    /// how many arguments options take, this one among them, so that none of these is taken for an option. `shown`:
    /// whether `COMMAND INFO` tells the word; Valkey does for GEORADIUS, and not for SORT.
    Option { word: &'static str, from: usize, takes: &'static [(&'static str, usize)], shown: bool },
    /// The arguments do not tell (SORT's patterns): listed by `COMMAND INFO`, never found.
    Unknown,
}

/// How a group of keys goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// To `last` (relative to the first; -1: the last argument), every `step`.
    Range { last: isize, step: usize },
    /// The first of so many equal parts of what is left, every `step` (XREAD: keys, then as many ids).
    Part { of: usize, step: usize },
    /// The number of keys stands at `number` (relative to the beginning), the keys from `first`, every `step`.
    Count { number: usize, first: usize, step: usize },
}

/// What happens when a command's keys lie in several places (stripes do not matter, owners do).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// No key: the proxy or any node answers.
    Anywhere,
    /// One key.
    One,
    /// One part per key (with the arguments up to `step`), replies merged.
    Split(Merge),
    /// Every node answers for its slots; replies merged.
    EveryNode(Merge),
    /// All keys at one place, atomically.
    Gather,
}

/// How the replies of several parts become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// All must be +OK.
    Ok,
    /// Integers are added.
    Sum,
    /// Arrays are put together in the order of the request's keys.
    InOrder,
    /// Arrays are chained, duplicates dropped.
    Union,
    /// Memcached: VALUE blocks in the order of the keys, one END.
    Values,
    /// Any part's reply will do.
    Any,
}

/// How a command is priced; see docs/metering.md. `elasticache` follows the service's published lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// The rule under the `elasticache` price profile.
    pub elasticache: Pricing,
    /// What one unit of work is for this command, for docs/commands.md.
    pub work: WorkUnit,
}

/// The three rules of a price profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pricing {
    /// `max(1, KB)`.
    Fixed,
    /// Not metered.
    Free,
    /// `max(1, KB, vCPU time / baseline)`.
    Variable,
}

/// The logical unit that the engine counts while it executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkUnit {
    /// One per call.
    Call,
    /// One per key named.
    Key,
    /// One per key or element visited.
    Element,
}

/// Which arguments a command takes as segments when they are longer than 64 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Long {
    /// None: long arguments are put into one piece before the body runs.
    Never,
    /// This argument.
    At(usize),
    /// Every second argument from this one (MSET).
    EverySecond(usize),
    /// Every argument from this one (RPUSH).
    From(usize),
    /// None; but all behind the keys, whose number stands at this argument, are values (EVAL).
    BehindKeys(usize),
}

/// Runs a command under the locks of its keys.
pub type KeysBody = fn(&mut Exec<'_>, Args<'_>, &mut Out) -> Result<(), Fault>;

/// A command that may have much to do.
#[derive(Clone, Copy, Debug)]
pub struct Bulk {
    pub body: KeysBody,
    /// About how many elements a call will go over; asked under its locks, before it does anything. Where the call makes
    /// no sense, any number.
    pub size: fn(&Exec<'_>, Args<'_>) -> usize,
}

/// What runs when a command is called.
pub enum Body {
    /// Runs under the locks of all its keys' stripes, and may touch no other key. It has none where their number makes
    /// no sense ([`Spec::hash_keys`]), and has to refuse that before it looks at one.
    Keys(KeysBody),
    /// The same for one that may have much to do: then it runs on a helper thread, under the same locks.
    Bulk(Bulk),
    /// Runs with every stripe locked: short looks at the whole key space (DBSIZE, RANDOMKEY, SWAPDB).
    Whole(fn(&mut Exec<'_>, Args<'_>, &mut Out) -> Result<(), Fault>),
    /// Touches no key, and needs no lock: any node can run it.
    Free(KeysBody),
    /// Runs over the whole key space, a slot at a time.
    Walk(WalkBody),
    /// Runs a script under the locks of the keys that are declared; it may reach for others.
    Script(How),
    /// The proxy answers; its body is registered there.
    Session,
    /// Has only subcommands.
    Container,
}

impl Body {
    /// One that may have much to do.
    pub const fn bulk(body: KeysBody, size: fn(&Exec<'_>, Args<'_>) -> usize) -> Body {
        Body::Bulk(Bulk { body, size })
    }

    /// What runs under the locks of its keys.
    #[inline]
    pub fn for_keys(&self) -> Option<KeysBody> {
        match self {
            Body::Keys(body) | Body::Bulk(Bulk { body, .. }) => Some(*body),
            _ => None,
        }
    }

    /// Whether it takes every lock when it runs in one piece.
    #[inline]
    pub fn is_for_all(&self) -> bool {
        matches!(self, Body::Whole(_) | Body::Walk(_))
    }

    /// Whether it runs on a node in one go.
    #[inline]
    pub fn runs_in_one_go(&self) -> bool {
        matches!(self, Body::Keys(_) | Body::Bulk(_) | Body::Whole(_) | Body::Free(_) | Body::Script(_))
    }

    /// Whether it runs under the locks of its keys, wherever.
    #[inline]
    pub fn is_for_keys(&self) -> bool {
        matches!(self, Body::Keys(_) | Body::Bulk(_) | Body::Script(_))
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Body::Keys(_) => "Keys",
            Body::Bulk(_) => "Bulk",
            Body::Whole(_) => "Whole",
            Body::Free(_) => "Free",
            Body::Walk(_) => "Walk",
            Body::Script(_) => "Script",
            Body::Session => "Session",
            Body::Container => "Container",
        })
    }
}

/// One argument of a command's grammar, as `COMMAND DOCS` prints it.
#[derive(Debug)]
pub struct ArgDoc {
    pub name: &'static str,
    pub kind: ArgKind,
    /// The literal word, or "".
    pub token: &'static str,
    /// The Redis version that first had it, or "".
    pub since: &'static str,
    /// The Redis version from which on another form is to be preferred, or "".
    pub deprecated_since: &'static str,
    /// Which [`KeySpec`] it belongs to, for keys.
    pub key_spec_index: Option<u8>,
    pub optional: bool,
    pub multiple: bool,
    pub multiple_token: bool,
    /// For `OneOf` and `Block`.
    pub arguments: &'static [ArgDoc],
}

/// The type of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgKind {
    String,
    Integer,
    Double,
    Key,
    Pattern,
    UnixTime,
    PureToken,
    OneOf,
    Block,
}

impl ArgKind {
    /// The name `COMMAND DOCS` prints.
    pub const fn name(self) -> &'static str {
        match self {
            ArgKind::String => "string",
            ArgKind::Integer => "integer",
            ArgKind::Double => "double",
            ArgKind::Key => "key",
            ArgKind::Pattern => "pattern",
            ArgKind::UnixTime => "unix-time",
            ArgKind::PureToken => "pure-token",
            ArgKind::OneOf => "oneof",
            ArgKind::Block => "block",
        }
    }
}

impl Group {
    /// The name `COMMAND DOCS` prints.
    pub const fn name(self) -> &'static str {
        match self {
            Group::Bitmap => "bitmap",
            Group::Connection => "connection",
            Group::Cluster => "cluster",
            Group::Generic => "generic",
            Group::Geo => "geo",
            Group::Hash => "hash",
            Group::HyperLogLog => "hyperloglog",
            Group::List => "list",
            Group::Memcached => "memcached",
            Group::PubSub => "pubsub",
            Group::Scripting => "scripting",
            Group::Server => "server",
            Group::Set => "set",
            Group::SortedSet => "sorted-set",
            Group::Stream => "stream",
            Group::String => "string",
            Group::Transactions => "transactions",
        }
    }
}

impl Spec {
    /// Whether `count` arguments (with the name) are a legal call.
    #[inline]
    pub fn arity_fits(&self, count: usize) -> bool {
        let arity = self.arity as isize;
        if arity >= 0 { count as isize == arity } else { count as isize >= -arity }
    }

    /// Whether it may change data.
    #[inline]
    pub fn is_write(&self) -> bool {
        self.flags.has(Flags::WRITE)
    }

    /// The name a client types: a subcommand without its container.
    pub fn short_name(&self) -> &'static str {
        self.name.split_once('|').map_or(self.name, |(_, sub)| sub)
    }

    /// The container's name, for a subcommand.
    pub fn container(&self) -> Option<&'static str> {
        self.name.split_once('|').map(|(container, _)| container)
    }

    /// The keys' positions as `COMMAND` prints them: first, last (negative: from the end), step; zeroes without keys.
    /// Several key specs whose ranges follow each other are joined, as Valkey does.
    pub fn key_range(&self) -> (isize, isize, isize) {
        let mut joined: Option<(isize, isize, isize)> = None;
        for keys in self.keys {
            let (Begin::Index(first), Find::Range { last, step }) = (keys.begin, keys.find) else { continue };
            let (first, step) = (first as isize, step as isize);
            let last = if last >= 0 { first + last } else { last };
            joined = match joined {
                None => Some((first, last, step)),
                Some((from, to, 1)) if to >= 0 && first == to + 1 && step == 1 => Some((from, last, 1)),
                other => other,
            };
        }
        joined.unwrap_or((0, 0, 0))
    }
}
