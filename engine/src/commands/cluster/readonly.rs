//! READONLY, READWRITE, ASKING: what cluster clients say to a node before they send it a request.

use crate::spec::*;

pub static ASKING: Spec = Spec {
    name: "asking",
    summary: "Announces a request that a redirection led here.",
    since: "3.0.0",
    complexity: "O(1)",
    group: Group::Cluster,
    arity: 1,
    flags: Flags::FAST,
    acl: Acl::FAST.and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static READONLY: Spec = Spec {
    name: "readonly",
    summary: "Allows the connection to read from a replica.",
    since: "3.0.0",
    complexity: "O(1)",
    group: Group::Cluster,
    arity: 1,
    flags: Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
    acl: Acl::FAST.and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static READWRITE: Spec = Spec {
    name: "readwrite",
    summary: "Takes back READONLY.",
    since: "3.0.0",
    complexity: "O(1)",
    group: Group::Cluster,
    arity: 1,
    flags: Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
    acl: Acl::FAST.and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
