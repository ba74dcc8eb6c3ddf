//! flush_all: every item goes.

use super::doc::DELAY;
use crate::spec::*;

pub(super) static FLUSH_ALL: Spec = Spec {
    name: "flush_all",
    summary: "Removes every item of the database, at once or after a delay in seconds.",
    since: "1.1.10",
    complexity: "O(N) where N is the number of items.",
    group: Group::Memcached,
    arity: -1,
    flags: Flags::WRITE,
    acl: Acl::KEYSPACE.and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::EveryNode(Merge::Any),
    tips: &[],
    arguments: DELAY,
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
