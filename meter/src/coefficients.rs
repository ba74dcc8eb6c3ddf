//! Measured vCPU times by command, as tables: docs/metering.md says how they were measured.

/// What one command's execution takes: `base_ns + unit_ns × work`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coefficient {
    /// As in the command table.
    pub name: &'static str,
    /// Nanoseconds of vCPU time for a call.
    pub base_ns: u32,
    /// Nanoseconds of vCPU time for each unit of work.
    pub unit_ns: u32,
}

/// The vCPU times of one engine. A command without a row takes one baseline.
#[derive(Clone, Copy, Debug)]
pub struct Coefficients {
    /// Nanoseconds of vCPU time that are one ECPU.
    pub baseline_ns: u32,
    /// Sorted by name.
    pub rows: &'static [Coefficient],
}

impl Coefficients {
    /// A command's row.
    pub fn of(&self, name: &str) -> Option<&'static Coefficient> {
        self.rows.binary_search_by_key(&name, |row| row.name).ok().map(|at| &self.rows[at])
    }
}

const fn row(name: &'static str, base_ns: u32, unit_ns: u32) -> Coefficient {
    Coefficient { name, base_ns, unit_ns }
}

/// Valkey 9.1, by its own command statistics; ElastiCache's own estimator takes 3 µs of them as one ECPU. Only
/// commands that ElastiCache neither lists as fixed nor leaves unmetered.
pub static ELASTICACHE: Coefficients = Coefficients {
    baseline_ns: 3000,
    rows: &[
        row("append", 3495, 0),
        row("bitcount", 1600, 110),
        row("bitfield", 4297, 237),
        row("bitfield_ro", 3397, 161),
        row("bitop", 6392, 181),
        row("bitpos", 2497, 92),
        row("copy", 3680, 37),
        row("delifeq", 4000, 0),
        row("dump", 7391, 308),
        row("expiretime", 1480, 0),
        row("flushall", 38000, 0),
        row("flushdb", 31000, 0),
        row("geoadd", 6280, 1727),
        row("geodist", 5000, 0),
        row("geohash", 3485, 916),
        row("geopos", 4387, 3089),
        row("georadius", 2062, 820),
        row("georadius_ro", 2066, 859),
        row("georadiusbymember", 0, 836),
        row("georadiusbymember_ro", 555, 879),
        row("geosearch", 3340, 666),
        row("geosearchstore", 11235, 1120),
        row("getdel", 3013, 0),
        row("getex", 4105, 0),
        row("getrange", 1955, 0),
        row("getset", 3990, 0),
        row("hdel", 4150, 601),
        row("hexpire", 5164, 507),
        row("hexpireat", 7632, 487),
        row("hexpiretime", 3276, 174),
        row("hgetall", 4148, 210),
        row("hgetdel", 5765, 1208),
        row("hgetex", 7825, 656),
        row("hkeys", 3517, 124),
        row("hmget", 3152, 829),
        row("hmset", 3686, 1235),
        row("hpersist", 5490, 515),
        row("hpexpire", 5070, 542),
        row("hpexpireat", 6827, 550),
        row("hpexpiretime", 3406, 232),
        row("hpttl", 4151, 174),
        row("hrandfield", 6368, 134),
        row("hscan", 6479, 310),
        row("hsetex", 9167, 1017),
        row("hstrlen", 4278, 0),
        row("httl", 4190, 185),
        row("hvals", 4377, 128),
        row("keys", 0, 86),
        row("lcs", 10640, 118),
        row("lindex", 2667, 0),
        row("linsert", 3057, 33),
        row("lmove", 8056, 0),
        row("lmpop", 4183, 53),
        row("lpop", 3373, 37),
        row("lpos", 2141, 29),
        row("lpush", 11970, 139),
        row("lpushx", 8155, 131),
        row("lrange", 2291, 47),
        row("lrem", 3047, 34),
        row("lset", 4056, 0),
        row("ltrim", 3106, 4),
        row("mget", 1074, 868),
        row("mset", 1550, 908),
        row("msetex", 3577, 2057),
        row("msetnx", 984, 644),
        row("pexpiretime", 1555, 0),
        row("pfadd", 1355, 2507),
        row("pfcount", 0, 8684),
        row("pfdebug", 2889, 0),
        row("pfmerge", 1434524, 416126),
        row("pfselftest", 365761000, 0),
        row("randomkey", 7902, 0),
        row("rename", 3412, 0),
        row("renamenx", 2955, 0),
        row("restore", 5937, 962),
        row("rpop", 4301, 56),
        row("rpoplpush", 7944, 0),
        row("rpush", 4884, 348),
        row("rpushx", 6682, 194),
        row("sadd", 3551, 1409),
        row("scan", 2881, 473),
        row("sdiff", 4669, 446),
        row("sdiffstore", 5917, 511),
        row("setrange", 3245, 0),
        row("sinter", 4980, 214),
        row("sintercard", 6017, 143),
        row("sinterstore", 3482, 523),
        row("smembers", 3998, 151),
        row("smismember", 2960, 904),
        row("smove", 11833, 0),
        row("sort", 215, 695),
        row("sort_ro", 0, 836),
        row("spop", 5524, 307),
        row("srandmember", 3548, 81),
        row("srem", 4635, 287),
        row("sscan", 3956, 218),
        row("substr", 1882, 0),
        row("sunion", 5199, 470),
        row("sunionstore", 9577, 298),
        row("touch", 989, 659),
        row("xack", 6765, 679),
        row("xadd", 7802, 46),
        row("xautoclaim", 9265, 3294),
        row("xclaim", 13364, 5264),
        row("xdel", 3660, 952),
        row("xgroup|create", 3278, 0),
        row("xgroup|createconsumer", 5417, 0),
        row("xgroup|delconsumer", 5020, 422),
        row("xgroup|destroy", 8445, 182),
        row("xgroup|help", 5474, 0),
        row("xgroup|setid", 3389, 0),
        row("xinfo|consumers", 3438, 538),
        row("xinfo|groups", 3732, 840),
        row("xinfo|help", 4947, 0),
        row("xinfo|stream", 7397, 594),
        row("xpending", 8743, 848),
        row("xrange", 5446, 620),
        row("xread", 10102, 707),
        row("xreadgroup", 10818, 2609),
        row("xrevrange", 5133, 664),
        row("xsetid", 4639, 0),
        row("xtrim", 4619, 97),
        row("zadd", 4254, 2127),
        row("zcount", 7000, 0),
        row("zdiff", 7976, 190),
        row("zdiffstore", 13816, 116),
        row("zincrby", 7722, 0),
        row("zinter", 8185, 208),
        row("zintercard", 5668, 60),
        row("zinterstore", 12215, 173),
        row("zlexcount", 8889, 0),
        row("zmpop", 5361, 301),
        row("zmscore", 2793, 713),
        row("zpopmax", 5274, 1494),
        row("zpopmin", 4929, 295),
        row("zrandmember", 3504, 96),
        row("zrange", 2970, 75),
        row("zrangebylex", 6586, 103),
        row("zrangebyscore", 3747, 138),
        row("zrangestore", 11049, 374),
        row("zrank", 6111, 0),
        row("zrem", 4456, 501),
        row("zremrangebylex", 5159, 125),
        row("zremrangebyrank", 2536, 31),
        row("zremrangebyscore", 3271, 108),
        row("zrevrange", 3229, 94),
        row("zrevrangebylex", 7639, 150),
        row("zrevrangebyscore", 3813, 110),
        row("zrevrank", 5667, 0),
        row("zscan", 3862, 1533),
        row("zunion", 3375, 431),
        row("zunionstore", 16237, 309),
    ],
};

/// This engine, by `cargo run --release -p swell-meter --example calibrate`: of each row the lowest of five runs. The
/// baseline is the dearer of GET and SET.
pub static SWELL: Coefficients = Coefficients {
    baseline_ns: 670,
    rows: &[
        row("append", 707, 0),
        row("bitcount", 900, 116),
        row("bitfield", 858, 124),
        row("bitfield_ro", 871, 60),
        row("bitop", 2173, 186),
        row("copy", 1820, 3),
        row("dbsize", 3892, 0),
        row("debug|object", 736, 0),
        row("decr", 589, 0),
        row("decrby", 609, 0),
        row("del", 0, 669),
        row("delifeq", 1226, 0),
        row("dump", 638, 82),
        row("exists", 291, 441),
        row("expire", 798, 0),
        row("expireat", 865, 0),
        row("expiretime", 617, 0),
        row("flushall", 551, 219),
        row("flushdb", 531, 208),
        row("geoadd", 2860, 931),
        row("geodist", 2131, 0),
        row("geohash", 797, 530),
        row("geopos", 865, 1572),
        row("georadius", 3039, 108),
        row("georadius_ro", 2650, 105),
        row("georadiusbymember", 3797, 110),
        row("georadiusbymember_ro", 1629, 104),
        row("geosearch", 1694, 111),
        row("geosearchstore", 997, 403),
        row("get", 607, 0),
        row("getbit", 730, 0),
        row("getdel", 728, 0),
        row("getex", 928, 0),
        row("getrange", 663, 0),
        row("getset", 766, 0),
        row("hdel", 3036, 217),
        row("hexists", 1487, 0),
        row("hexpiretime", 2296, 102),
        row("hget", 1613, 0),
        row("hgetall", 848, 47),
        row("hgetdel", 4822, 485),
        row("hincrby", 3874, 0),
        row("hincrbyfloat", 6251, 0),
        row("hkeys", 1017, 36),
        row("hlen", 1029, 0),
        row("hmget", 1168, 468),
        row("hmset", 2767, 442),
        row("hpersist", 4449, 258),
        row("hpexpiretime", 1913, 149),
        row("hpttl", 2105, 97),
        row("hrandfield", 2587, 28),
        row("hscan", 3319, 85),
        row("hset", 1713, 733),
        row("hsetnx", 3707, 0),
        row("hstrlen", 1823, 0),
        row("httl", 1981, 117),
        row("hvals", 1037, 39),
        row("incr", 755, 0),
        row("incrby", 667, 0),
        row("incrbyfloat", 1346, 0),
        row("keys", 662, 340),
        row("lcs", 4219, 3),
        row("memory|usage", 536, 0),
        row("mget", 27, 546),
        row("move", 2054, 0),
        row("mset", 84, 515),
        row("msetex", 0, 1240),
        row("msetnx", 198, 261),
        row("object|encoding", 559, 0),
        row("object|idletime", 589, 0),
        row("object|refcount", 629, 0),
        row("persist", 663, 0),
        row("pexpire", 730, 0),
        row("pexpireat", 706, 0),
        row("pexpiretime", 589, 0),
        row("pfadd", 2188, 2514),
        row("pfcount", 0, 4795),
        row("pfdebug", 1868, 0),
        row("pfmerge", 2377916, 368210),
        row("psetex", 813, 0),
        row("pttl", 597, 0),
        row("randomkey", 5119, 0),
        row("rename", 1541, 0),
        row("renamenx", 1550, 0),
        row("restore", 1651, 893),
        row("scan", 1428, 168),
        row("set", 670, 0),
        row("setbit", 778, 0),
        row("setex", 856, 0),
        row("setnx", 478, 0),
        row("setrange", 721, 0),
        row("sort", 1007, 32),
        row("sort_ro", 1259, 31),
        row("strlen", 617, 0),
        row("substr", 688, 0),
        row("swapdb", 5125, 0),
        row("touch", 173, 542),
        row("ttl", 611, 0),
        row("type", 617, 0),
        row("unlink", 84, 793),
    ],
};

#[cfg(test)]
mod tests {
    use swell_engine::commands::table::tables;
    use swell_engine::spec::{Body, Pricing};

    use super::*;

    #[test]
    fn rows_are_sorted_unique_and_of_commands_that_are_there() {
        for table in [&ELASTICACHE, &SWELL] {
            assert!(table.rows.windows(2).all(|pair| pair[0].name < pair[1].name));
            for row in table.rows {
                assert!(tables().resp.by_name(row.name.as_bytes()).is_some(), "{}", row.name);
                assert_eq!(table.of(row.name), Some(row));
            }
            assert_eq!(table.of("no-such"), None);
        }
    }

    #[test]
    fn every_variable_command_was_measured_on_valkey_and_no_other() {
        // A container is never run, only its subcommands are.
        for command in tables().resp.iter().filter(|command| !matches!(command.spec.body, Body::Container)) {
            let is_variable = command.spec.cost.elasticache == Pricing::Variable;
            assert_eq!(ELASTICACHE.of(command.spec.name).is_some(), is_variable, "{}", command.spec.name);
        }
    }

    #[test]
    fn simple_reads_and_writes_are_one_baseline_at_most() {
        for name in ["get", "set"] {
            let row = SWELL.of(name).expect(name);
            assert!(row.base_ns + row.unit_ns <= SWELL.baseline_ns);
        }
    }
}
