//! `docs/commands.md`: every command with what it takes, where it runs and what it costs, from the command tables.

use swell_engine::commands::table::tables;
use swell_engine::spec::{Access, Begin, Body, Find, Flags, Group, KeySpec, Merge, Pricing, Spec, Spread, WorkUnit};

const INTRO: &str = "\
# Commands

Printed by `swell print commands`.

- **arguments**: how many there are with the command's name (and its subcommand's); `2+` is two or more.
- **flags**: as `COMMAND INFO` gives them; memcached's verbs have the same ones.
- **keys**: at which arguments they stand and what happens to them. `1`: the first argument after the name; `last`: the \
last one.
- **spread**: what happens when the keys lie in several places. *one*: it has one key. *split (…)*: each key's part goes \
to where it lies, and the replies are merged as it says in parentheses. *every node (…)*: all of them are asked. \
*gather*: all keys are used at once, atomically. *none*: it has no key.
- **price** under the `elasticache` profile. *fixed*: an ECPU for each kilobyte of values, one at least. *free*: not \
metered. *vCPU*: the dearer of *fixed* and the vCPU time that its work takes. *items*: the dearer of *fixed* and an ECPU \
for each key. Under the `swell` profile every RESP command goes by vCPU time.
- **work**: what the engine counts of it: one for each *call*, each *key* that is named, or each *element* that is \
visited.
- **since**: the version of Redis, or of memcached, that first had it.
";

const HEAD: &str = "\
| command | arguments | flags | keys | spread | price | work | since | what it does |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
";

/// The families of the page in their order, with their headings.
const FAMILIES: [(Group, &str); 17] = [
    (Group::String, "Strings"),
    (Group::Bitmap, "Bitmaps"),
    (Group::HyperLogLog, "HyperLogLogs"),
    (Group::List, "Lists"),
    (Group::Hash, "Hashes"),
    (Group::Set, "Sets"),
    (Group::SortedSet, "Sorted sets"),
    (Group::Geo, "Geo"),
    (Group::Stream, "Streams"),
    (Group::Generic, "Keys of any type"),
    (Group::PubSub, "Pub/sub"),
    (Group::Transactions, "Transactions"),
    (Group::Scripting, "Scripts and functions"),
    (Group::Connection, "Connection"),
    (Group::Server, "Server"),
    (Group::Cluster, "Cluster"),
    (Group::Memcached, "memcached"),
];

/// The text of `docs/commands.md`.
pub fn commands_page() -> String {
    let mut text = INTRO.to_owned();
    for (group, heading) in FAMILIES {
        let rows: String = tables()
            .iter()
            .map(|command| command.spec)
            .filter(|spec| spec.group == group && !is_heading(spec))
            .map(row)
            .collect();
        if !rows.is_empty() {
            text += &format!("\n## {heading}\n\n{HEAD}{rows}");
        }
    }
    text
}

/// A container whose name alone does nothing: its subcommands have rows of their own.
fn is_heading(spec: &Spec) -> bool {
    matches!(spec.body, Body::Container)
}

fn row(spec: &Spec) -> String {
    format!(
        "| `{}` | {} | {} | {} | {} | {} | {} | {} | {} |\n",
        typed_name(spec),
        arity(spec),
        flags(spec),
        keys(spec),
        spread(spec.spread),
        price(spec),
        work(spec.cost.work),
        spec.since,
        spec.summary.replace('|', "\\|"),
    )
}

/// As it is typed: RESP commands in capitals as everybody writes them, memcached's as they must be written.
fn typed_name(spec: &Spec) -> String {
    match spec.group {
        Group::Memcached => spec.name.to_owned(),
        _ => spec.name.to_uppercase().replace('|', " "),
    }
}

fn arity(spec: &Spec) -> String {
    match spec.arity {
        least if least < 0 => format!("{}+", least.unsigned_abs()),
        exact => exact.to_string(),
    }
}

fn flags(spec: &Spec) -> String {
    let names: Vec<&str> =
        Flags::NAMES.iter().filter(|(flag, _)| spec.flags.has(*flag)).map(|(_, name)| *name).collect();
    names.join(" ")
}

fn keys(spec: &Spec) -> String {
    let groups: Vec<String> = spec.keys.iter().map(key_group).collect();
    groups.join("; ")
}

fn key_group(keys: &KeySpec) -> String {
    let access = match keys.access {
        Access::Channel => "channel",
        Access::Read => "read",
        Access::Write => "write",
        Access::Delete => "delete",
    };
    let first = match keys.begin {
        Begin::Index(at) => at.to_string(),
        Begin::Keyword { word, .. } | Begin::Option { word, .. } => format!("after {word}"),
        // SORT's patterns.
        Begin::Unknown => return format!("as the data says {access}"),
    };
    match keys.find {
        Find::Range { last: 0, .. } => format!("{first} {access}"),
        Find::Range { last, step } => format!("{first} to {}{} {access}", last_key(keys.begin, last), every(step)),
        Find::Part { of: 2, step } => format!("{first}: the first half of the rest{} {access}", every(step)),
        Find::Part { of, step } => format!("{first}: one of {of} parts of the rest{} {access}", every(step)),
        Find::Count { number, step, .. } => {
            let at = match keys.begin {
                Begin::Index(at) => format!("argument {}", at + number),
                Begin::Keyword { word, .. } | Begin::Option { word, .. } => format!("the number after {word}"),
                Begin::Unknown => "the data".to_owned(),
            };
            format!("as many as {at} says{} {access}", every(step))
        }
    }
}

/// `last` is relative to the first key, or from the end when it is negative.
fn last_key(begin: Begin, last: isize) -> String {
    match (begin, last) {
        (_, -1) => "last".to_owned(),
        (_, ..-1) => format!("{} before last", -last - 1),
        (Begin::Index(at), _) => (at as isize + last).to_string(),
        _ => format!("{last} further"),
    }
}

fn every(step: usize) -> String {
    match step {
        0 | 1 => String::new(),
        2 => ", every second,".to_owned(),
        step => format!(", every {step}th,"),
    }
}

fn spread(spread: Spread) -> String {
    match spread {
        Spread::Anywhere => "none".to_owned(),
        Spread::One => "one".to_owned(),
        Spread::Split(merge) => format!("split ({})", merge_words(merge)),
        Spread::EveryNode(merge) => format!("every node ({})", merge_words(merge)),
        Spread::Gather => "gather".to_owned(),
    }
}

fn merge_words(merge: Merge) -> &'static str {
    match merge {
        Merge::Ok => "all OK",
        Merge::Sum => "sum",
        Merge::InOrder => "in order",
        Merge::Union => "union",
        Merge::Values => "values, one END",
        Merge::Any => "any",
    }
}

fn price(spec: &Spec) -> &'static str {
    match (spec.group, spec.cost.work, spec.cost.elasticache) {
        (Group::Memcached, WorkUnit::Key, _) => "items",
        (Group::Memcached, _, _) => "fixed",
        (_, _, Pricing::Fixed) => "fixed",
        (_, _, Pricing::Free) => "free",
        (_, _, Pricing::Variable) => "vCPU",
    }
}

fn work(unit: WorkUnit) -> &'static str {
    match unit {
        WorkUnit::Call => "call",
        WorkUnit::Key => "key",
        WorkUnit::Element => "element",
    }
}

#[cfg(test)]
mod tests {
    use swell_meter::{Profile, Tariff};

    use super::*;
    use crate::print::tests::committed_page_is;

    fn row_of(name: &str) -> String {
        let table =
            if name.starts_with(|letter: char| letter.is_lowercase()) { &tables().memcached } else { &tables().resp };
        row(table.by_name(name.replace(' ', "|").as_bytes()).expect(name).spec)
    }

    #[test]
    fn docs_commands_md_is_what_is_printed() {
        committed_page_is("docs/commands.md", &commands_page());
    }

    #[test]
    fn every_command_has_one_row() {
        let page = commands_page();
        for command in tables().iter().filter(|command| !is_heading(command.spec)) {
            let rows = page.matches(&row(command.spec)).count();
            assert_eq!(rows, 1, "{}", command.spec.name);
        }
        let rows = page.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, tables().iter().filter(|command| !is_heading(command.spec)).count());
    }

    #[test]
    fn rows_have_as_many_columns_as_their_head() {
        let columns = |line: &str| line.replace("\\|", "").matches('|').count();
        for command in tables().iter() {
            assert_eq!(
                columns(&row(command.spec)),
                columns(HEAD.lines().next().unwrap_or("")),
                "{}",
                command.spec.name
            );
        }
    }

    #[test]
    fn keys_read_as_they_are_counted() {
        for (name, words) in [
            ("GET", "| 1 read | one | fixed |"),
            ("MSET", "| 1 to last, every second, write |"),
            ("DEL", "| 1 to last delete | split (sum) | fixed |"),
            ("RENAME", "| 1 delete; 2 write | gather |"),
            ("MGET", "| 1 to last read | split (in order) | vCPU | key |"),
            ("OBJECT ENCODING", "| 2 read | one | free |"),
            ("get", "| 1 to last read | split (values, one END) | items | key |"),
        ] {
            let row = row_of(name);
            assert!(row.contains(words), "{row}");
        }
    }

    /// The page says in words what the tariff does in numbers.
    #[test]
    fn prices_are_the_tariffs() {
        let tariff = Tariff::new(Profile::Elasticache);
        for command in tables().iter() {
            let (one, many) = (tariff.ecpu_milli(command.id, 0, 1), tariff.ecpu_milli(command.id, 0, 1_000_000));
            match price(command.spec) {
                "free" => assert_eq!((one, many), (0, 0), "{}", command.spec.name),
                "fixed" => assert_eq!((one, many), (1000, 1000), "{}", command.spec.name),
                "items" => assert_eq!((one, many), (1000, 1_000_000_000), "{}", command.spec.name),
                _ => assert!(one >= 1000 && many >= one, "{}", command.spec.name),
            }
        }
    }
}
