//! ElastiCache's command families, as its metrics name them. They overlap: a GET reads and works on a string.

use swell_engine::Spec;
use swell_engine::spec::{Flags, Group};

use crate::ledger::Totals;

/// A family of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Every command that only reads.
    GetTypeCmds,
    /// Every command that may change data.
    SetTypeCmds,
    /// On strings, bitmaps among them.
    StringBasedCmds,
    HashBasedCmds,
    ListBasedCmds,
    SetBasedCmds,
    SortedSetBasedCmds,
    GeoSpatialBasedCmds,
    StreamBasedCmds,
    HyperLogLogBasedCmds,
    /// On keys of any type, or on the key space.
    KeyBasedCmds,
    /// On channels.
    PubSubBasedCmds,
    /// On the connection, the server, the cluster, transactions.
    NonKeyTypeCmds,
    /// memcached: retrieval, with or without touching.
    CmdGet,
    /// memcached: storage.
    CmdSet,
    /// memcached: those that set an expiry.
    CmdTouch,
    /// memcached: flush_all.
    CmdFlush,
}

/// What a family has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FamilyUsage {
    /// Client commands, failed ones included.
    pub calls: u64,
    /// Price in thousandths of an ECPU.
    pub ecpu_milli: u64,
}

impl Family {
    /// All families, in the order of bills and metrics.
    pub const ALL: [Family; 17] = [
        Family::GetTypeCmds,
        Family::SetTypeCmds,
        Family::StringBasedCmds,
        Family::HashBasedCmds,
        Family::ListBasedCmds,
        Family::SetBasedCmds,
        Family::SortedSetBasedCmds,
        Family::GeoSpatialBasedCmds,
        Family::StreamBasedCmds,
        Family::HyperLogLogBasedCmds,
        Family::KeyBasedCmds,
        Family::PubSubBasedCmds,
        Family::NonKeyTypeCmds,
        Family::CmdGet,
        Family::CmdSet,
        Family::CmdTouch,
        Family::CmdFlush,
    ];

    /// The metric's name. ElastiCache's ECPU metric of a RESP family is this name with `ECPUs` behind it.
    pub const fn name(self) -> &'static str {
        match self {
            Family::GetTypeCmds => "GetTypeCmds",
            Family::SetTypeCmds => "SetTypeCmds",
            Family::StringBasedCmds => "StringBasedCmds",
            Family::HashBasedCmds => "HashBasedCmds",
            Family::ListBasedCmds => "ListBasedCmds",
            Family::SetBasedCmds => "SetBasedCmds",
            Family::SortedSetBasedCmds => "SortedSetBasedCmds",
            Family::GeoSpatialBasedCmds => "GeoSpatialBasedCmds",
            Family::StreamBasedCmds => "StreamBasedCmds",
            Family::HyperLogLogBasedCmds => "HyperLogLogBasedCmds",
            Family::KeyBasedCmds => "KeyBasedCmds",
            Family::PubSubBasedCmds => "PubSubBasedCmds",
            Family::NonKeyTypeCmds => "NonKeyTypeCmds",
            Family::CmdGet => "CmdGet",
            Family::CmdSet => "CmdSet",
            Family::CmdTouch => "CmdTouch",
            Family::CmdFlush => "CmdFlush",
        }
    }

    /// Whether a command counts in this family.
    pub fn has(self, spec: &Spec) -> bool {
        if spec.group == Group::Memcached {
            return self.has_verb(spec.name);
        }
        match self {
            Family::GetTypeCmds => spec.flags.has(Flags::READONLY),
            Family::SetTypeCmds => spec.is_write(),
            Family::StringBasedCmds => matches!(spec.group, Group::String | Group::Bitmap),
            Family::HashBasedCmds => spec.group == Group::Hash,
            Family::ListBasedCmds => spec.group == Group::List,
            Family::SetBasedCmds => spec.group == Group::Set,
            Family::SortedSetBasedCmds => spec.group == Group::SortedSet,
            Family::GeoSpatialBasedCmds => spec.group == Group::Geo,
            Family::StreamBasedCmds => spec.group == Group::Stream,
            Family::HyperLogLogBasedCmds => spec.group == Group::HyperLogLog,
            Family::KeyBasedCmds => is_key_based(spec),
            Family::PubSubBasedCmds => spec.group == Group::PubSub,
            Family::NonKeyTypeCmds => !is_of_a_type(spec) && !is_key_based(spec),
            Family::CmdGet | Family::CmdSet | Family::CmdTouch | Family::CmdFlush => false,
        }
    }

    /// memcached's own `stats` count gat as touch and as get.
    fn has_verb(self, verb: &str) -> bool {
        match self {
            Family::CmdGet => matches!(verb, "get" | "gets" | "gat" | "gats"),
            Family::CmdSet => matches!(verb, "set" | "add" | "replace" | "append" | "prepend" | "cas"),
            Family::CmdTouch => matches!(verb, "touch" | "gat" | "gats"),
            Family::CmdFlush => verb == "flush_all",
            _ => false,
        }
    }
}

/// Usage by family, of those that were used, in the order of [`Family::ALL`].
pub fn by_family(totals: &Totals) -> Vec<(Family, FamilyUsage)> {
    Family::ALL
        .into_iter()
        .map(|family| (family, family_usage(family, totals)))
        .filter(|(_, usage)| usage.calls > 0)
        .collect()
}

fn family_usage(family: Family, totals: &Totals) -> FamilyUsage {
    totals.commands().filter(|(command, _)| family.has(command.spec)).fold(FamilyUsage::default(), |sum, (_, usage)| {
        FamilyUsage { calls: sum.calls + usage.calls, ecpu_milli: sum.ecpu_milli.saturating_add(usage.ecpu_milli) }
    })
}

/// The generic group, and what looks at one key for an operator (MEMORY USAGE, DEBUG OBJECT).
fn is_key_based(spec: &Spec) -> bool {
    match spec.group {
        Group::Generic => true,
        Group::Connection | Group::Cluster | Group::Scripting | Group::Server | Group::Transactions => {
            !spec.keys.is_empty()
        }
        _ => false,
    }
}

/// Whether a command belongs to a data type.
fn is_of_a_type(spec: &Spec) -> bool {
    !matches!(
        spec.group,
        Group::Generic
            | Group::Connection
            | Group::Cluster
            | Group::Scripting
            | Group::Server
            | Group::Transactions
            | Group::Memcached
    )
}

#[cfg(test)]
mod tests {
    use swell_engine::commands::table::tables;

    use super::*;

    fn families(name: &str) -> Vec<&'static str> {
        let (table, name) = match name.strip_prefix("memcached:") {
            Some(verb) => (&tables().memcached, verb),
            None => (&tables().resp, name),
        };
        let spec = table.by_name(name.as_bytes()).expect(name).spec;
        Family::ALL.into_iter().filter(|family| family.has(spec)).map(Family::name).collect()
    }

    #[test]
    fn families_overlap_as_elasticaches_do() {
        for (name, expected) in [
            ("get", &["GetTypeCmds", "StringBasedCmds"][..]),
            ("mset", &["SetTypeCmds", "StringBasedCmds"]),
            ("del", &["SetTypeCmds", "KeyBasedCmds"]),
            ("ttl", &["GetTypeCmds", "KeyBasedCmds"]),
            ("scan", &["GetTypeCmds", "KeyBasedCmds"]),
            ("sort", &["SetTypeCmds", "KeyBasedCmds"]),
            ("dump", &["GetTypeCmds", "KeyBasedCmds"]),
            ("restore", &["SetTypeCmds", "KeyBasedCmds"]),
            ("lcs", &["GetTypeCmds", "StringBasedCmds"]),
            ("bitcount", &["GetTypeCmds", "StringBasedCmds"]),
            ("hget", &["GetTypeCmds", "HashBasedCmds"]),
            ("hexpire", &["SetTypeCmds", "HashBasedCmds"]),
            ("lpop", &["SetTypeCmds", "ListBasedCmds"]),
            ("lrange", &["GetTypeCmds", "ListBasedCmds"]),
            ("sinterstore", &["SetTypeCmds", "SetBasedCmds"]),
            ("scard", &["GetTypeCmds", "SetBasedCmds"]),
            ("zadd", &["SetTypeCmds", "SortedSetBasedCmds"]),
            ("zrange", &["GetTypeCmds", "SortedSetBasedCmds"]),
            ("geoadd", &["SetTypeCmds", "GeoSpatialBasedCmds"]),
            ("geosearch", &["GetTypeCmds", "GeoSpatialBasedCmds"]),
            ("xread", &["GetTypeCmds", "StreamBasedCmds"]),
            ("xgroup|create", &["SetTypeCmds", "StreamBasedCmds"]),
            ("pfadd", &["SetTypeCmds", "HyperLogLogBasedCmds"]),
            ("memory|usage", &["GetTypeCmds", "KeyBasedCmds"]),
            ("memory|help", &["NonKeyTypeCmds"]),
            ("memcached:get", &["CmdGet"]),
            ("memcached:cas", &["CmdSet"]),
            ("memcached:gats", &["CmdGet", "CmdTouch"]),
            ("memcached:touch", &["CmdTouch"]),
            ("memcached:flush_all", &["CmdFlush"]),
            ("memcached:version", &[]),
        ] {
            assert_eq!(families(name), expected, "{name}");
        }
    }

    #[test]
    fn every_resp_command_has_one_family_by_what_it_works_on() {
        for command in tables().resp.iter() {
            let kinds = Family::ALL.into_iter().filter(|family| {
                !matches!(family, Family::GetTypeCmds | Family::SetTypeCmds) && !family.name().starts_with("Cmd")
            });
            let count = kinds.filter(|family| family.has(command.spec)).count();
            assert_eq!(count, 1, "{}", command.spec.name);
        }
    }
}
