//! Typical requests of the commands on collections and of those that look into a value, from little work to much.

/// A command with its requests, as templates.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// As in the command table.
    pub name: &'static str,
    /// In order of their work; one, if the work is always the same.
    pub templates: &'static [&'static str],
}

const fn case(name: &'static str, templates: &'static [&'static str]) -> Case {
    Case { name, templates }
}

/// Sorted by family and name.
pub static CASES: &[Case] = &[
    // Bitmaps.
    case("bitcount", &["bitcount $b100", "bitcount $b10000", "bitcount $b100000"]),
    case(
        "bitfield",
        &["bitfield $b100 incrby u8 8 1", "bitfield $b100 {10:incrby u8 8 1}", "bitfield $b100 {100:incrby u8 8 1}"],
    ),
    case(
        "bitfield_ro",
        &["bitfield_ro $b100 get u8 8", "bitfield_ro $b100 {10:get u8 8}", "bitfield_ro $b100 {100:get u8 8}"],
    ),
    case(
        "bitop",
        &["bitop and $new $b100 $b100", "bitop and $new $b10000 $b10000", "bitop and $new $b100000 $b100000"],
    ),
    case("bitpos", &["bitpos $b100 1", "bitpos $b10000 1", "bitpos $b100000 1"]),
    case("getbit", &["getbit $b100 77"]),
    case("setbit", &["setbit $b100 77 1"]),
    // Keys and strings.
    case("copy", &["copy $v100 $new", "copy $h100 $new", "copy $h1000 $new"]),
    case("delifeq", &["delifeq $v100 $same"]),
    case("dump", &["dump $h10", "dump $h100", "dump $h1000"]),
    case("lcs", &["lcs $v100 $v100", "lcs $v200 $v200", "lcs $v1000 $v1000"]),
    case("move", &["move $v100 1"]),
    case(
        "msetex",
        &["msetex 1 $v100 value ex 100", "msetex 10 {10:$v100 value} ex 100", "msetex 100 {100:$v100 value} ex 100"],
    ),
    case("restore", &["restore $new 0 $dump-h10", "restore $new 0 $dump-h100", "restore $new 0 $dump-h1000"]),
    case("sort", &["sort $l10 alpha", "sort $l100 alpha", "sort $l1000 alpha"]),
    case("sort_ro", &["sort_ro $l10 alpha", "sort_ro $l100 alpha", "sort_ro $l1000 alpha"]),
    // Geo.
    case("geoadd", &["geoadd $g100 15.1 37.1 $n", "geoadd $g100 {10:15.1 37.1 $n}", "geoadd $g100 {100:15.1 37.1 $n}"]),
    case("geodist", &["geodist $g100 $e $e"]),
    case("geohash", &["geohash $g100 $e", "geohash $g100 {10:$e}", "geohash $g100 {100:$e}"]),
    case("geopos", &["geopos $g100 $e", "geopos $g100 {10:$e}", "geopos $g100 {100:$e}"]),
    case(
        "georadius",
        &["georadius $g10 15.5 37.5 500 km", "georadius $g100 15.5 37.5 500 km", "georadius $g1000 15.5 37.5 500 km"],
    ),
    case(
        "georadius_ro",
        &[
            "georadius_ro $g10 15.5 37.5 500 km",
            "georadius_ro $g100 15.5 37.5 500 km",
            "georadius_ro $g1000 15.5 37.5 500 km",
        ],
    ),
    case(
        "georadiusbymember",
        &[
            "georadiusbymember $g10 $e 500 km",
            "georadiusbymember $g100 $e 500 km",
            "georadiusbymember $g1000 $e 500 km",
        ],
    ),
    case(
        "georadiusbymember_ro",
        &[
            "georadiusbymember_ro $g10 $e 500 km",
            "georadiusbymember_ro $g100 $e 500 km",
            "georadiusbymember_ro $g1000 $e 500 km",
        ],
    ),
    case(
        "geosearch",
        &[
            "geosearch $g10 fromlonlat 15.5 37.5 byradius 500 km",
            "geosearch $g100 fromlonlat 15.5 37.5 byradius 500 km",
            "geosearch $g1000 fromlonlat 15.5 37.5 byradius 500 km",
        ],
    ),
    case(
        "geosearchstore",
        &[
            "geosearchstore $new $g10 fromlonlat 15.5 37.5 byradius 500 km",
            "geosearchstore $new $g100 fromlonlat 15.5 37.5 byradius 500 km",
            "geosearchstore $new $g1000 fromlonlat 15.5 37.5 byradius 500 km",
        ],
    ),
    // Hashes.
    case("hdel", &["hdel $h100 $e", "hdel $h100 {10:$e}", "hdel $h100 {90:$e}"]),
    case("hexists", &["hexists $h100 $e"]),
    case(
        "hexpire",
        &[
            "hexpire $e100 100 fields 1 $e",
            "hexpire $e100 100 fields 10 {10:$e}",
            "hexpire $e100 100 fields 90 {90:$e}",
        ],
    ),
    case(
        "hexpireat",
        &[
            "hexpireat $e100 1900000000 fields 1 $e",
            "hexpireat $e100 1900000000 fields 10 {10:$e}",
            "hexpireat $e100 1900000000 fields 90 {90:$e}",
        ],
    ),
    case(
        "hexpiretime",
        &[
            "hexpiretime $e100 fields 1 $e",
            "hexpiretime $e100 fields 10 {10:$e}",
            "hexpiretime $e100 fields 90 {90:$e}",
        ],
    ),
    case("hget", &["hget $h100 $e"]),
    case("hgetall", &["hgetall $h10", "hgetall $h100", "hgetall $h1000"]),
    case(
        "hgetdel",
        &["hgetdel $h100 fields 1 $e", "hgetdel $h100 fields 10 {10:$e}", "hgetdel $h100 fields 90 {90:$e}"],
    ),
    case(
        "hgetex",
        &[
            "hgetex $e100 ex 100 fields 1 $e",
            "hgetex $e100 ex 100 fields 10 {10:$e}",
            "hgetex $e100 ex 100 fields 90 {90:$e}",
        ],
    ),
    case("hincrby", &["hincrby $h100 $n 1"]),
    case("hincrbyfloat", &["hincrbyfloat $h100 $n 1.5"]),
    case("hkeys", &["hkeys $h10", "hkeys $h100", "hkeys $h1000"]),
    case("hlen", &["hlen $h100"]),
    case("hmget", &["hmget $h100 $e", "hmget $h100 {10:$e}", "hmget $h100 {90:$e}"]),
    case("hmset", &["hmset $h100 $e value", "hmset $h100 {10:$e value}", "hmset $h100 {90:$e value}"]),
    case(
        "hpersist",
        &["hpersist $e100 fields 1 $e", "hpersist $e100 fields 10 {10:$e}", "hpersist $e100 fields 90 {90:$e}"],
    ),
    case(
        "hpexpire",
        &[
            "hpexpire $e100 10000 fields 1 $e",
            "hpexpire $e100 10000 fields 10 {10:$e}",
            "hpexpire $e100 10000 fields 90 {90:$e}",
        ],
    ),
    case(
        "hpexpireat",
        &[
            "hpexpireat $e100 1900000000000 fields 1 $e",
            "hpexpireat $e100 1900000000000 fields 10 {10:$e}",
            "hpexpireat $e100 1900000000000 fields 90 {90:$e}",
        ],
    ),
    case(
        "hpexpiretime",
        &[
            "hpexpiretime $e100 fields 1 $e",
            "hpexpiretime $e100 fields 10 {10:$e}",
            "hpexpiretime $e100 fields 90 {90:$e}",
        ],
    ),
    case("hpttl", &["hpttl $e100 fields 1 $e", "hpttl $e100 fields 10 {10:$e}", "hpttl $e100 fields 90 {90:$e}"]),
    case("hrandfield", &["hrandfield $h100", "hrandfield $h100 10", "hrandfield $h100 90"]),
    case("hscan", &["hscan $h1000 0 count 10", "hscan $h1000 0 count 100", "hscan $h1000 0 count 900"]),
    case("hset", &["hset $h100 $e value", "hset $h100 {10:$e value}", "hset $h100 {90:$e value}"]),
    case(
        "hsetex",
        &[
            "hsetex $e100 ex 100 fields 1 $e value",
            "hsetex $e100 ex 100 fields 10 {10:$e value}",
            "hsetex $e100 ex 100 fields 90 {90:$e value}",
        ],
    ),
    case("hsetnx", &["hsetnx $h100 $n value"]),
    case("hstrlen", &["hstrlen $h100 $e"]),
    case("httl", &["httl $e100 fields 1 $e", "httl $e100 fields 10 {10:$e}", "httl $e100 fields 90 {90:$e}"]),
    case("hvals", &["hvals $h10", "hvals $h100", "hvals $h1000"]),
    // HyperLogLogs.
    case("pfadd", &["pfadd $p1000 $n", "pfadd $p1000 {10:$n}", "pfadd $p1000 {100:$n}"]),
    case("pfcount", &["pfcount $p1000", "pfcount {4:$p1000}", "pfcount {16:$p1000}"]),
    case("pfdebug", &["pfdebug encoding $p1000"]),
    case("pfmerge", &["pfmerge $new $p1000", "pfmerge $new {4:$p1000}", "pfmerge $new {16:$p1000}"]),
    case("pfselftest", &["pfselftest"]),
    // Lists.
    case("lindex", &["lindex $l100 50"]),
    case(
        "linsert",
        &[
            "linsert $l100 before m:000001 new",
            "linsert $l100 before m:000090 new",
            "linsert $l1000 before m:000900 new",
        ],
    ),
    case("llen", &["llen $l100"]),
    case("lmove", &["lmove $l100 $l100 left right"]),
    case("lmpop", &["lmpop 1 $l100 left", "lmpop 1 $l100 left count 10", "lmpop 1 $l100 left count 90"]),
    case("lpop", &["lpop $l100", "lpop $l100 10", "lpop $l100 90"]),
    case("blmove", &["blmove $l100 $l100 left right 0"]),
    case("blmpop", &["blmpop 0 1 $l100 left", "blmpop 0 1 $l100 left count 10", "blmpop 0 1 $l100 left count 90"]),
    case("blpop", &["blpop $l100 0"]),
    case("brpop", &["brpop $l100 0"]),
    case("brpoplpush", &["brpoplpush $l100 $l100 0"]),
    case("lpos", &["lpos $l100 m:000001", "lpos $l100 m:000090", "lpos $l1000 m:000900"]),
    case("lpush", &["lpush $l100 $n", "lpush $l100 {10:$n}", "lpush $l100 {90:$n}"]),
    case("lpushx", &["lpushx $l100 $n", "lpushx $l100 {10:$n}", "lpushx $l100 {90:$n}"]),
    case("lrange", &["lrange $l100 0 9", "lrange $l100 0 89", "lrange $l1000 0 899"]),
    case("lrem", &["lrem $l10 0 m:000005", "lrem $l100 0 m:000050", "lrem $l1000 0 m:000500"]),
    case("lset", &["lset $l100 50 value"]),
    case("ltrim", &["ltrim $l100 1 -1", "ltrim $l100 10 -1", "ltrim $l1000 900 -1"]),
    case("rpop", &["rpop $l100", "rpop $l100 10", "rpop $l100 90"]),
    case("rpoplpush", &["rpoplpush $l100 $l100"]),
    case("rpush", &["rpush $l100 $n", "rpush $l100 {10:$n}", "rpush $l100 {90:$n}"]),
    case("rpushx", &["rpushx $l100 $n", "rpushx $l100 {10:$n}", "rpushx $l100 {90:$n}"]),
    // Sets.
    case("sadd", &["sadd $s100 $n", "sadd $s100 {10:$n}", "sadd $s100 {90:$n}"]),
    case("scard", &["scard $s100"]),
    case("sdiff", &["sdiff $s10 $t10", "sdiff $s100 $t100", "sdiff $s1000 $t1000"]),
    case("sdiffstore", &["sdiffstore $new $s10 $t10", "sdiffstore $new $s100 $t100", "sdiffstore $new $s1000 $t1000"]),
    case("sinter", &["sinter $s10 $t10", "sinter $s100 $t100", "sinter $s1000 $t1000"]),
    case("sintercard", &["sintercard 2 $s10 $t10", "sintercard 2 $s100 $t100", "sintercard 2 $s1000 $t1000"]),
    case(
        "sinterstore",
        &["sinterstore $new $s10 $t10", "sinterstore $new $s100 $t100", "sinterstore $new $s1000 $t1000"],
    ),
    case("sismember", &["sismember $s100 $e"]),
    case("smembers", &["smembers $s10", "smembers $s100", "smembers $s1000"]),
    case("smismember", &["smismember $s100 $e", "smismember $s100 {10:$e}", "smismember $s100 {90:$e}"]),
    case("smove", &["smove $s100 $t100 $e"]),
    case("spop", &["spop $s100", "spop $s100 10", "spop $s100 90"]),
    case("srandmember", &["srandmember $s100", "srandmember $s100 10", "srandmember $s100 90"]),
    case("srem", &["srem $s100 $e", "srem $s100 {10:$e}", "srem $s100 {90:$e}"]),
    case("sscan", &["sscan $s1000 0 count 10", "sscan $s1000 0 count 100", "sscan $s1000 0 count 900"]),
    case("sunion", &["sunion $s10 $t10", "sunion $s100 $t100", "sunion $s1000 $t1000"]),
    case(
        "sunionstore",
        &["sunionstore $new $s10 $t10", "sunionstore $new $s100 $t100", "sunionstore $new $s1000 $t1000"],
    ),
    // Sorted sets.
    case("zadd", &["zadd $z100 50 $n", "zadd $z100 {10:50 $n}", "zadd $z100 {90:50 $n}"]),
    case("zcard", &["zcard $z100"]),
    case("zcount", &["zcount $z1000 200 700"]),
    case("zdiff", &["zdiff 2 $z10 $y10", "zdiff 2 $z100 $y100", "zdiff 2 $z1000 $y1000"]),
    case(
        "zdiffstore",
        &["zdiffstore $new 2 $z10 $y10", "zdiffstore $new 2 $z100 $y100", "zdiffstore $new 2 $z1000 $y1000"],
    ),
    case("zincrby", &["zincrby $z100 1.5 $e"]),
    case("zinter", &["zinter 2 $z10 $y10", "zinter 2 $z100 $y100", "zinter 2 $z1000 $y1000"]),
    case("zintercard", &["zintercard 2 $z10 $y10", "zintercard 2 $z100 $y100", "zintercard 2 $z1000 $y1000"]),
    case(
        "zinterstore",
        &["zinterstore $new 2 $z10 $y10", "zinterstore $new 2 $z100 $y100", "zinterstore $new 2 $z1000 $y1000"],
    ),
    case("zlexcount", &["zlexcount $z1000 - +"]),
    case("zmpop", &["zmpop 1 $z100 min", "zmpop 1 $z100 min count 10", "zmpop 1 $z100 min count 90"]),
    case("bzmpop", &["bzmpop 0 1 $z100 min", "bzmpop 0 1 $z100 min count 10", "bzmpop 0 1 $z100 min count 90"]),
    case("bzpopmax", &["bzpopmax $z100 0"]),
    case("bzpopmin", &["bzpopmin $z100 0"]),
    case("zmscore", &["zmscore $z100 $e", "zmscore $z100 {10:$e}", "zmscore $z100 {90:$e}"]),
    case("zpopmax", &["zpopmax $z100", "zpopmax $z100 10", "zpopmax $z100 90"]),
    case("zpopmin", &["zpopmin $z100", "zpopmin $z100 10", "zpopmin $z100 90"]),
    case("zrandmember", &["zrandmember $z100", "zrandmember $z100 10", "zrandmember $z100 90"]),
    case("zrange", &["zrange $z100 0 9", "zrange $z100 0 89", "zrange $z1000 0 899"]),
    case("zrangebylex", &["zrangebylex $z100 - + limit 0 10", "zrangebylex $z100 - +", "zrangebylex $z1000 - +"]),
    case("zrangebyscore", &["zrangebyscore $z100 10 19", "zrangebyscore $z100 0 89", "zrangebyscore $z1000 0 899"]),
    case(
        "zrangestore",
        &["zrangestore $new $z100 0 9", "zrangestore $new $z100 0 89", "zrangestore $new $z1000 0 899"],
    ),
    case("zrank", &["zrank $z1000 $e"]),
    case("zrem", &["zrem $z100 $e", "zrem $z100 {10:$e}", "zrem $z100 {90:$e}"]),
    case(
        "zremrangebylex",
        &["zremrangebylex $z100 - (m:000010", "zremrangebylex $z100 - +", "zremrangebylex $z1000 - +"],
    ),
    case(
        "zremrangebyrank",
        &["zremrangebyrank $z100 0 0", "zremrangebyrank $z100 0 89", "zremrangebyrank $z1000 0 899"],
    ),
    case(
        "zremrangebyscore",
        &["zremrangebyscore $z100 0 0", "zremrangebyscore $z100 0 89", "zremrangebyscore $z1000 0 899"],
    ),
    case("zrevrange", &["zrevrange $z100 0 9", "zrevrange $z100 0 89", "zrevrange $z1000 0 899"]),
    case(
        "zrevrangebylex",
        &["zrevrangebylex $z100 + - limit 0 10", "zrevrangebylex $z100 + -", "zrevrangebylex $z1000 + -"],
    ),
    case(
        "zrevrangebyscore",
        &["zrevrangebyscore $z100 19 10", "zrevrangebyscore $z100 89 0", "zrevrangebyscore $z1000 899 0"],
    ),
    case("zrevrank", &["zrevrank $z1000 $e"]),
    case("zscan", &["zscan $z1000 0 count 10", "zscan $z1000 0 count 100", "zscan $z1000 0 count 900"]),
    case("zscore", &["zscore $z100 $e"]),
    case("zunion", &["zunion 2 $z10 $y10", "zunion 2 $z100 $y100", "zunion 2 $z1000 $y1000"]),
    case(
        "zunionstore",
        &["zunionstore $new 2 $z10 $y10", "zunionstore $new 2 $z100 $y100", "zunionstore $new 2 $z1000 $y1000"],
    ),
    // Streams.
    case("xack", &["xack $q100 g $id", "xack $q100 g {10:$id}", "xack $q100 g {90:$id}"]),
    case("xadd", &["xadd $x100 * field value", "xadd $x100 * {10:field value}", "xadd $x100 * {90:field value}"]),
    case(
        "xautoclaim",
        &["xautoclaim $q100 g d 0 0 count 1", "xautoclaim $q100 g d 0 0 count 10", "xautoclaim $q100 g d 0 0 count 90"],
    ),
    case("xclaim", &["xclaim $q100 g d 0 $id", "xclaim $q100 g d 0 {10:$id}", "xclaim $q100 g d 0 {90:$id}"]),
    case("xdel", &["xdel $x100 $id", "xdel $x100 {10:$id}", "xdel $x100 {90:$id}"]),
    case("xgroup|create", &["xgroup create $x100 g 0"]),
    case("xgroup|createconsumer", &["xgroup createconsumer $w100 g d"]),
    case(
        "xgroup|delconsumer",
        &["xgroup delconsumer $q10 g c", "xgroup delconsumer $q100 g c", "xgroup delconsumer $q1000 g c"],
    ),
    case("xgroup|destroy", &["xgroup destroy $q10 g", "xgroup destroy $q100 g", "xgroup destroy $q1000 g"]),
    case("xgroup|help", &["xgroup help"]),
    case("xgroup|setid", &["xgroup setid $w100 g 5"]),
    case("xinfo|consumers", &["xinfo consumers $k1 g", "xinfo consumers $k10 g", "xinfo consumers $k100 g"]),
    case("xinfo|groups", &["xinfo groups $r1", "xinfo groups $r10", "xinfo groups $r100"]),
    case("xinfo|help", &["xinfo help"]),
    case(
        "xinfo|stream",
        &["xinfo stream $x100", "xinfo stream $x100 full count 10", "xinfo stream $x100 full count 90"],
    ),
    case("xlen", &["xlen $x100"]),
    case("xpending", &["xpending $q100 g - + 1", "xpending $q100 g - + 10", "xpending $q100 g - + 90"]),
    case("xrange", &["xrange $x100 - + count 1", "xrange $x100 - + count 10", "xrange $x100 - + count 90"]),
    case(
        "xread",
        &["xread count 1 streams $x100 0", "xread count 10 streams $x100 0", "xread count 90 streams $x100 0"],
    ),
    case(
        "xreadgroup",
        &[
            "xreadgroup group g c count 1 streams $w100 >",
            "xreadgroup group g c count 10 streams $w100 >",
            "xreadgroup group g c count 90 streams $w100 >",
        ],
    ),
    case("xrevrange", &["xrevrange $x100 + - count 1", "xrevrange $x100 + - count 10", "xrevrange $x100 + - count 90"]),
    case("xsetid", &["xsetid $x100 200-0"]),
    case("xtrim", &["xtrim $x100 maxlen 99", "xtrim $x100 maxlen 90", "xtrim $x100 maxlen 10"]),
];
