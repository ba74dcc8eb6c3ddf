//! The table of all commands: joins the families, numbers them, finds names without allocating.

use std::sync::LazyLock;

use swell_wire::Args;

use super::{
    bitmap, cluster, connection, generic, geo, hash, hyperloglog, list, memcached, pubsub, scripting, server, set,
    sorted_set, stream, string, transactions,
};
use crate::spec::{Body, CommandId, Spec};

/// Longest command name with its subcommand, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Marks a subcommand in the index: its joined name is not a name that a client may call.
const SUBCOMMAND: u16 = 1 << 15;

/// One command with its number.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    pub id: CommandId,
    pub spec: &'static Spec,
}

/// What a name leads to.
#[derive(Clone, Copy, Debug)]
pub enum Found {
    Command(Command),
    /// No such command.
    Unknown,
    /// The container exists, this subcommand does not.
    UnknownSubcommand(&'static Spec),
}

/// Commands by name.
#[derive(Debug)]
pub struct Table {
    commands: Vec<Command>,
    /// Open addressing by the hash of the name.
    index: Vec<Slot>,
    /// Names in capitals are other names: memcached's verbs.
    case_matters: bool,
}

/// A name in the index, ready to be compared: one cache line leads from a request's first word to its command.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    name: Name,
    /// Bits that a client may set or not: those that make letters small.
    either: Name,
    /// The command's index + 1, [`SUBCOMMAND`] where it is one; 0: nothing is here.
    at: u16,
}

/// A name's length, its first eight bytes and, where it is longer, its last eight: all of it up to 16 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Name {
    head: u64,
    tail: u64,
    len: usize,
}

/// Both tables. Ids are dense over both: RESP first, then memcached.
#[derive(Debug)]
pub struct Tables {
    pub resp: Table,
    pub memcached: Table,
}

/// The families of RESP commands.
static FAMILIES: &[&[&Spec]] = &[
    bitmap::SPECS,
    cluster::SPECS,
    connection::SPECS,
    generic::SPECS,
    geo::SPECS,
    hash::SPECS,
    hyperloglog::SPECS,
    list::SPECS,
    pubsub::SPECS,
    scripting::SPECS,
    server::SPECS,
    set::SPECS,
    sorted_set::SPECS,
    stream::SPECS,
    string::SPECS,
    transactions::SPECS,
];

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let resp = Table::new(FAMILIES.concat(), 0, false);
    let memcached = Table::new(memcached::SPECS.to_vec(), resp.commands.len(), true);
    Tables { resp, memcached }
});

/// The tables, made on first use.
pub fn tables() -> &'static Tables {
    &TABLES
}

impl Tables {
    /// Commands of both tables: the size of an array indexed by [`CommandId`].
    pub fn len(&self) -> usize {
        self.resp.commands.len() + self.memcached.commands.len()
    }

    /// Never: there are commands.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The command with this number.
    pub fn by_id(&self, id: CommandId) -> Option<Command> {
        let at = id.0 as usize;
        let resp = self.resp.commands.len();
        self.resp.commands.get(at).or_else(|| self.memcached.commands.get(at.checked_sub(resp)?)).copied()
    }

    /// All commands, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = Command> {
        self.resp.commands.iter().chain(&self.memcached.commands).copied()
    }
}

impl Table {
    fn new(mut specs: Vec<&'static Spec>, first_id: usize, case_matters: bool) -> Table {
        specs.sort_by_key(|spec| spec.name);
        let commands: Vec<Command> = specs
            .into_iter()
            .enumerate()
            .map(|(at, spec)| Command { id: CommandId((first_id + at) as u16), spec })
            .collect();
        let mut index = vec![Slot::default(); (commands.len() * 4).next_power_of_two()];
        for (at, command) in commands.iter().enumerate() {
            let name = Name::of(command.spec.name.as_bytes());
            let mut place = name.hash() as usize & (index.len() - 1);
            while index[place].at != 0 {
                place = (place + 1) & (index.len() - 1);
            }
            let mark = if command.spec.container().is_some() { SUBCOMMAND } else { 0 };
            let either = if case_matters { Name::default() } else { name.letters() };
            index[place] = Slot { name, either, at: (at as u16 + 1) | mark };
        }
        Table { commands, index, case_matters }
    }

    /// The command that these arguments call, by name and, for containers, subcommand.
    #[inline]
    pub fn find(&self, args: Args<'_>) -> Found {
        let Some((command, false)) = self.look_up(args.slice(0)) else { return Found::Unknown };
        if !matches!(command.spec.body, Body::Container) || args.len() < 2 {
            return Found::Command(command);
        }
        match self.subcommand(command.spec, args.slice(1)) {
            Some(subcommand) => Found::Command(subcommand),
            None => Found::UnknownSubcommand(command.spec),
        }
    }

    /// A command by name (in any case, but for memcached's verbs); subcommands as "container|subcommand".
    #[inline]
    pub fn by_name(&self, name: &[u8]) -> Option<Command> {
        self.look_up(name).map(|(command, _)| command)
    }

    /// A command by name, and whether it is a subcommand.
    #[inline]
    fn look_up(&self, name: &[u8]) -> Option<(Command, bool)> {
        let asked = Name::of(name);
        let mut place = asked.hash() as usize & (self.index.len() - 1);
        loop {
            let slot = &self.index[place];
            if slot.at == 0 {
                return None;
            }
            if asked.is(slot) {
                let command = self.commands[usize::from(slot.at & !SUBCOMMAND) - 1];
                if name.len() <= 2 * WORD_BYTES || self.is_called(command.spec.name.as_bytes(), name) {
                    return Some((command, slot.at & SUBCOMMAND != 0));
                }
            }
            place = (place + 1) & (self.index.len() - 1);
        }
    }

    /// Whether a name is called so, byte by byte.
    #[cold]
    fn is_called(&self, known: &[u8], name: &[u8]) -> bool {
        known == name || !self.case_matters && known.eq_ignore_ascii_case(name)
    }

    /// A container's subcommand.
    pub fn subcommand(&self, container: &Spec, name: &[u8]) -> Option<Command> {
        let mut joined = [0u8; NAME_BYTES_MAX];
        let parent = container.name.as_bytes();
        let len = parent.len() + 1 + name.len();
        let joined = joined.get_mut(..len)?;
        joined[..parent.len()].copy_from_slice(parent);
        joined[parent.len()] = b'|';
        joined[parent.len() + 1..].copy_from_slice(name);
        self.by_name(joined)
    }

    /// All commands and subcommands, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = Command> {
        self.commands.iter().copied()
    }

    /// The subcommands of a container.
    pub fn subcommands<'t>(&'t self, container: &'t Spec) -> impl Iterator<Item = Command> + 't {
        self.iter().filter(move |command| command.spec.container() == Some(container.name))
    }
}

/// Bytes of each part of a [`Name`].
const WORD_BYTES: usize = 8;
/// What makes every letter of a word small.
const SMALL: u64 = 0x2020_2020_2020_2020;

impl Name {
    #[inline]
    fn of(name: &[u8]) -> Name {
        let tail = match name.len().checked_sub(WORD_BYTES) {
            Some(from @ 1..) => word(&name[from..]),
            _ => 0,
        };
        Name { head: word(name), tail, len: name.len() }
    }

    /// Does not see case.
    #[inline]
    fn hash(&self) -> u64 {
        let mixed = (self.head | SMALL) ^ (self.tail | SMALL).rotate_left(29) ^ self.len as u64;
        mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40
    }

    /// Whether this, in whatever case the slot allows, is the slot's name as far as a [`Name`] goes.
    #[inline]
    fn is(&self, slot: &Slot) -> bool {
        let Slot { name, either, .. } = slot;
        self.len == name.len && self.head | either.head == name.head && self.tail | either.tail == name.tail
    }

    /// The bit that makes it small, for each letter of a name in small letters.
    fn letters(&self) -> Name {
        let mask = |word: u64| {
            u64::from_le_bytes(word.to_le_bytes().map(|byte| if byte.is_ascii_lowercase() { 0x20 } else { 0 }))
        };
        Name { head: mask(self.head), tail: mask(self.tail), len: 0 }
    }
}

/// The first eight bytes, or fewer and zeros. Parts overlap instead of being copied byte by byte.
#[inline]
fn word(bytes: &[u8]) -> u64 {
    let len = bytes.len();
    match (bytes.first_chunk::<WORD_BYTES>(), bytes.first_chunk::<4>(), bytes.first_chunk::<2>()) {
        (Some(word), _, _) => u64::from_le_bytes(*word),
        (_, Some(first), _) => {
            let last = bytes.last_chunk::<4>().map_or(0, |last| u32::from_le_bytes(*last));
            u64::from(u32::from_le_bytes(*first)) | u64::from(last) << (8 * (len - 4))
        }
        (_, _, Some(first)) => {
            let last = bytes.last_chunk::<2>().map_or(0, |last| u16::from_le_bytes(*last));
            u64::from(u16::from_le_bytes(*first)) | u64::from(last) << (8 * (len - 2))
        }
        _ => bytes.first().map_or(0, |byte| u64::from(*byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Access, Begin, Flags, Merge, Spread};
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_sorted_and_found_in_any_case_where_case_does_not_matter() {
        let tables = tables();
        for table in [&tables.resp, &tables.memcached] {
            let names: Vec<&str> = table.iter().map(|command| command.spec.name).collect();
            let unique: BTreeSet<&str> = names.iter().copied().collect();
            assert_eq!(names, unique.into_iter().collect::<Vec<_>>());
            for command in table.iter() {
                assert_eq!(table.by_name(command.spec.name.as_bytes()).unwrap().id, command.id);
                let in_capitals = table.by_name(command.spec.name.to_uppercase().as_bytes());
                let expected = (!table.case_matters).then_some(command.id);
                assert_eq!(in_capitals.map(|found| found.id), expected, "{}", command.spec.name);
                assert!(command.spec.name.len() <= NAME_BYTES_MAX);
            }
            assert!(table.by_name(b"no-such").is_none() && table.by_name(b"").is_none());
        }
        for (at, command) in tables.iter().enumerate() {
            assert_eq!(command.id.0 as usize, at);
            assert_eq!(tables.by_id(command.id).unwrap().spec.name, command.spec.name);
        }
    }

    #[test]
    fn a_name_with_one_other_bit_is_another_name_unless_it_is_a_letters_case() {
        for table in [&tables().resp, &tables().memcached] {
            for command in table.iter() {
                let name = command.spec.name.as_bytes();
                for bit in 0..name.len() * 8 {
                    let mut other = name.to_vec();
                    other[bit / 8] ^= 1 << (bit % 8);
                    let expected = table.iter().find(|known| {
                        let known = known.spec.name.as_bytes();
                        known == other || !table.case_matters && known.eq_ignore_ascii_case(&other)
                    });
                    let found = table.by_name(&other).map(|found| found.id);
                    assert_eq!(found, expected.map(|command| command.id), "{}", other.escape_ascii());
                }
                let (longer, shorter) = ([name, b"\0"].concat(), &name[..name.len() - 1]);
                assert!(table.by_name(&longer).is_none());
                assert_eq!(table.by_name(shorter).is_some(), table.iter().any(|c| c.spec.name.as_bytes() == shorter));
            }
        }
    }

    #[test]
    fn subcommands_are_called_by_two_words_only() {
        let find = |words: &[&str]| {
            let owned = swell_wire::OwnedArgs::from_slices(words);
            match tables().resp.find(owned.as_args()) {
                Found::Command(command) => command.spec.name,
                Found::Unknown => "-",
                Found::UnknownSubcommand(_) => "?",
            }
        };
        assert_eq!(find(&["OBJECT", "Encoding", "k"]), "object|encoding");
        assert_eq!(find(&["object|encoding", "k", "k"]), "-");
        assert_eq!(find(&["object", "nosuch"]), "?");
        assert_eq!(find(&["object"]), "object");
    }

    #[test]
    fn families_register_in_order() {
        for family in FAMILIES.iter().chain([&memcached::SPECS]) {
            assert!(
                family.windows(2).all(|pair| pair[0].name < pair[1].name),
                "{:?}",
                family.iter().map(|s| s.name).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn laws_of_the_table() {
        for command in tables().iter() {
            let spec = command.spec;
            let name = spec.name;
            assert!(!(spec.flags.has(Flags::WRITE) && spec.flags.has(Flags::READONLY)), "{name} reads or writes");
            assert!(!spec.flags.has(Flags::DENYOOM) || spec.is_write(), "{name}: only writes are refused when full");
            assert!(!spec.summary.is_empty() && spec.summary.ends_with('.'), "{name} has a sentence");
            assert_ne!(spec.arity, 0, "{name}");
            // Further ones may be left out (PFMERGE's sources), and so may channels.
            let first = spec.keys.first().filter(|keys| keys.access != Access::Channel);
            if let Some(Begin::Index(first)) = first.map(|keys| keys.begin) {
                assert!(
                    first < spec.arity.unsigned_abs() as usize,
                    "{name}: the first key is inside the shortest call"
                );
            }
            if let Spread::Split(merge) = spec.spread {
                assert!(!spec.keys.is_empty() && merge != Merge::Union, "{name}: a split has keys and a merge");
            }
            if let Some(container) = spec.container() {
                let parent = tables().resp.by_name(container.as_bytes()).expect(name);
                assert!(matches!(parent.spec.body, Body::Container), "{container} is a container");
            }
            if spec.body.is_for_keys() {
                assert!(!spec.keys.is_empty(), "{name} runs under its keys' locks");
            }
        }
    }
}
