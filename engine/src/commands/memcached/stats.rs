//! stats: what the server has counted.

use super::doc::TOPIC;
use crate::spec::*;

pub(super) static STATS: Spec = Spec {
    name: "stats",
    summary: "Returns the server's statistics, general ones or those of a topic; 'reset' sets counters to zero.",
    since: "1.0",
    complexity: "O(1)",
    group: Group::Memcached,
    arity: -1,
    flags: Flags::LOADING.and(Flags::STALE),
    acl: Acl::DANGEROUS,
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: TOPIC,
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
