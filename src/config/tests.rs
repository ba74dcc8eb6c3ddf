//! The option table's laws, the layers over each other, and every way to write something wrong.

use std::collections::HashSet;
use std::ffi::OsString;

use super::layers::Typed;
use super::values::{Bytes, ListenAt, parse_bytes, show_bytes};
use super::*;
use crate::testing::{self, Scratch};

fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn resolve(file: Option<&str>, pairs: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Result<Config, String> {
    let scratch = Scratch::new();
    let config = file.map(|text| scratch.write("swell.toml", text));
    let values = flags.iter().map(|(field, text)| (*field, (*text).to_owned())).collect();
    let written = Written::gather(&Typed { values, config }, variables(pairs), &testing::machine());
    let config = written.and_then(|written| Config::resolve(&written));
    let directory = format!("{}/", scratch.path().display());
    config.map_err(|error| error.to_string().replace(&directory, ""))
}

fn refused(file: Option<&str>, pairs: &[(&str, &str)], flags: &[(&'static str, &str)]) -> String {
    resolve(file, pairs, flags).expect_err("something is wrong here")
}

#[test]
fn names_are_unique_and_follow_from_the_field() {
    let names: HashSet<_> = OPTIONS.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names.len(), OPTIONS.len());
    for row in OPTIONS.iter() {
        assert_eq!(row.name.replace('-', "_"), row.field);
        assert_eq!(row.variable, format!("SWELL_{}", row.field.to_uppercase()));
        assert!(row.field.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{}", row.field);
    }
}

#[test]
fn every_option_has_a_sentence_and_a_default_that_fits() {
    for row in OPTIONS.iter() {
        assert!(row.sentence.ends_with('.') && !row.sentence.contains("  "), "{}: {}", row.field, row.sentence);
        let default = row.default_on(&testing::machine());
        assert_eq!((row.check)(&default), Ok(()), "{}", row.field);
    }
}

#[test]
fn limits_in_bytes_say_so_in_their_names() {
    // What nodes are planned for is no limit.
    let is_limit = |row: &&OptionRow| row.field != "maxmemory" && !row.field.starts_with("node_");
    for row in OPTIONS.iter().filter(|row| row.placeholder == "SIZE").filter(is_limit) {
        assert!(row.name.ends_with("-bytes-max"), "{}", row.name);
    }
}

#[test]
fn the_defaults_are_those_that_are_promised() {
    let config = resolve(None, &[], &[]).expect("the defaults fit");
    assert_eq!(config.resp.address().map(|address| address.to_string()).as_deref(), Some("127.0.0.1:6379"));
    assert_eq!(config.memcached.address().map(|address| address.port()), Some(11211));
    assert_eq!(config.http.address().map(|address| address.port()), Some(9121));
    assert_eq!((config.workers, config.maxmemory, config.maxmemory_policy), (4, 4 << 30, Policy::NoEviction));
    assert!(config.metering && config.requirepass.get().is_none() && config.is_default("metering"));
}

#[test]
fn each_layer_goes_before_the_one_below_and_is_remembered() {
    let file = "workers = 1\nmaxclients = 11\ntimeout-seconds = 111\n";
    let env = [("SWELL_WORKERS", "2"), ("SWELL_MAXCLIENTS", "22")];
    let config = resolve(Some(file), &env, &[("workers", "3")]).expect("all of it fits");
    assert_eq!((config.workers, config.maxclients, config.timeout_seconds), (3, 22, 111));
    assert_eq!(*config.origin("workers"), Origin::Flag("workers".to_owned()));
    assert_eq!(*config.origin("maxclients"), Origin::Variable("SWELL_MAXCLIENTS".to_owned()));
    assert!(matches!(config.origin("timeout_seconds"), Origin::File(path) if path.ends_with("swell.toml")));
    assert_eq!(*config.origin("resp"), Origin::Default);
}

#[test]
fn a_value_that_repeats_the_default_is_still_somebodys() {
    let config = resolve(None, &[], &[("resp", "127.0.0.1:6379")]).expect("it fits");
    assert!(!config.is_default("resp"));
}

#[test]
fn the_file_can_be_named_by_its_variable() {
    let scratch = Scratch::new();
    let path = scratch.write("swell.toml", "workers = 6");
    let env = [(OsString::from("SWELL_CONFIG"), path.clone().into_os_string())];
    let written = Written::gather(&Typed::default(), env, &testing::machine()).expect("the file is there");
    assert_eq!(Config::resolve(&written).expect("it fits").workers, 6);
}

#[test]
fn keys_take_dashes_or_underscores_and_values_may_be_bare() {
    let file =
        "maxmemory_policy = \"allkeys-lru\"\nmemcached-item-bytes-max = 2097152\nmetering = false\nhttp = false\n";
    let config = resolve(Some(file), &[], &[]).expect("it fits");
    assert_eq!(config.maxmemory_policy, Policy::AllKeysLru);
    assert_eq!((config.memcached_item_bytes_max, config.metering, config.http), (2 << 20, false, Listen::Off));
}

#[test]
fn an_empty_variable_says_nothing() {
    assert!(resolve(None, &[("SWELL_WORKERS", "")], &[]).expect("it fits").is_default("workers"));
}

#[test]
fn variables_that_describe_a_service_named_swell_are_none_of_ours() {
    let env = [
        ("SWELL_SERVICE_HOST", "10.0.0.1"),
        ("SWELL_SERVICE_PORT", "6379"),
        ("SWELL_SERVICE_PORT_RESP", "6379"),
        ("SWELL_PORT", "tcp://10.0.0.1:6379"),
        ("SWELL_PORT_6379_TCP", "tcp://10.0.0.1:6379"),
        ("SWELL_PORT_6379_TCP_ADDR", "10.0.0.1"),
        ("SWELL_METRICS_PORT_9121_TCP_PROTO", "tcp"),
        ("SWELLING", "1"),
    ];
    resolve(None, &env, &[]).expect("they are passed over");
    assert!(refused(None, &[("SWELL_RESP_PORT", "6379")], &[]).starts_with("unknown variable SWELL_RESP_PORT"));
}

#[test]
fn unknown_names_are_refused_with_the_nearest() {
    let file = Some("maxmemroy = 1");
    assert_eq!(
        refused(file, &[], &[]),
        "unknown key \"maxmemroy\" in swell.toml: the nearest known one is \"maxmemory\""
    );
    assert_eq!(
        refused(None, &[("SWELL_MAXCLIENT", "1")], &[]),
        "unknown variable SWELL_MAXCLIENT: the nearest known one is SWELL_MAXCLIENTS"
    );
    assert!(refused(Some("[serve]\nworkers = 1"), &[], &[]).starts_with("unknown key \"serve\" in swell.toml"));
}

#[test]
fn wrong_files_say_where_and_what() {
    assert_eq!(
        refused(Some("workers = [1]"), &[], &[]),
        "\"workers\" in swell.toml must be text, a whole number, true or false"
    );
    let twice = "maxmemory-policy = \"noeviction\"\nmaxmemory_policy = \"noeviction\"";
    assert_eq!(
        refused(Some(twice), &[], &[]),
        "\"maxmemory-policy\" is in swell.toml twice, once with dashes and once with underscores"
    );
    let broken = refused(Some("workers = 1\nresp = \n"), &[], &[]);
    assert!(broken.starts_with("swell.toml, line 2: ") && !broken.contains('\n'), "{broken}");
    let large = "#".repeat(layers::FILE_BYTES_MAX as usize + 1);
    assert_eq!(
        refused(Some(&large), &[], &[]),
        "swell.toml is larger than 1048576 bytes, which no configuration file should be"
    );
    let typed = Typed { config: Some("/no/such/swell.toml".into()), ..Typed::default() };
    let error = Written::gather(&typed, [], &testing::machine()).expect_err("it is not there").to_string();
    assert!(error.starts_with("cannot read the configuration file /no/such/swell.toml: "), "{error}");
}

#[test]
fn wrong_values_name_their_place() {
    let wanted = "\"0\" does not fit: it takes a whole number from 1 to 256";
    assert_eq!(refused(Some("workers = 0"), &[], &[]), format!("workers in swell.toml: {wanted}"));
    assert_eq!(refused(None, &[("SWELL_WORKERS", "0")], &[]), format!("SWELL_WORKERS: {wanted}"));
    assert_eq!(refused(None, &[], &[("workers", "0")]), format!("--workers: {wanted}"));
    let policies = "noeviction, allkeys-lru, allkeys-lfu, allkeys-random, volatile-lru, volatile-lfu, volatile-random \
        or volatile-ttl";
    assert_eq!(
        refused(None, &[], &[("maxmemory_policy", "lru")]),
        format!("--maxmemory-policy: \"lru\" does not fit: it takes {policies}")
    );
}

#[test]
fn a_password_is_never_shown() {
    let long = "geheim".repeat(100);
    let error = refused(None, &[("SWELL_REQUIREPASS", &long)], &[]);
    assert_eq!(error, "SWELL_REQUIREPASS: it takes a password of at most 512 bytes");
    let config = resolve(None, &[("SWELL_REQUIREPASS", "geheim")], &[]).expect("it fits");
    assert_eq!(config.requirepass.get(), Some("geheim"));
    assert!(!format!("{config:?}").contains("geheim") && !config.explain().contains("geheim"));
    assert!(config.explain().contains("requirepass = \"(hidden)\""), "{}", config.explain());
}

#[test]
fn listeners_that_make_no_sense_together_are_refused() {
    let off = [("resp", "off"), ("memcached", "off"), ("http", "off")];
    assert_eq!(refused(None, &[], &off), "--resp, --memcached and --http are all off, so there is nothing to serve");
    let same = [("memcached", "127.0.0.1:6379")];
    let expected = "--resp and --memcached are both 127.0.0.1:6379: each needs a port of its own";
    assert_eq!(refused(None, &[], &same), expected);
    resolve(None, &[], &[("resp", "127.0.0.1:0"), ("memcached", "127.0.0.1:0")]).expect("port 0 is two ports");
}

#[test]
fn what_is_explained_is_a_file_that_means_the_same() {
    let flags = [("resp", "[::1]:7000"), ("data_dir", "/a \"b\" \\c"), ("maxmemory", "1000"), ("metering", "off")];
    let config = resolve(None, &[], &flags).expect("it fits");
    let again = resolve(Some(&config.explain()), &[], &[]).expect("it is a file");
    assert_eq!(again.shown(), config.shown());
}

#[test]
fn sizes_are_read_as_redis_reads_them() {
    let sizes = [
        ("0", 0),
        ("1048576", 1 << 20),
        ("1b", 1),
        ("1k", 1000),
        ("1kb", 1024),
        ("2M", 2_000_000),
        ("2mB", 2 << 20),
        ("3g", 3_000_000_000),
        ("3GB", 3 << 30),
        ("512MiB", 512 << 20),
        ("1tb", 1 << 40),
    ];
    for (text, bytes) in sizes {
        assert_eq!(parse_bytes(text), Some(bytes), "{text}");
    }
    for text in ["", "kb", "-1", "+1", "1.5gb", "1 gb", "1xb", "0x10", "18446744073709551616", "18014398509481984kb"] {
        assert_eq!(parse_bytes(text), None, "{text}");
    }
}

#[test]
fn sizes_are_shown_exactly() {
    for (bytes, text) in
        [(0, "0"), (1000, "1000"), (1024, "1kb"), (1536, "1536"), (3 << 30, "3gb"), (1 << 40, "1024gb")]
    {
        assert_eq!(show_bytes(bytes), text);
        assert_eq!(parse_bytes(text), Some(bytes));
    }
    let error = Bytes { min: 1 << 10, max: 1 << 20 }.read("2mb").expect_err("it is too much");
    assert_eq!(error, "a size from 1kb to 1mb");
}

#[test]
fn addresses_are_read_in_the_ways_people_write_them() {
    let addresses = [
        ("127.0.0.1:1", "127.0.0.1:1"),
        ("6380", "127.0.0.1:6380"),
        ("localhost:6380", "127.0.0.1:6380"),
        ("[::]:6379", "[::]:6379"),
        ("0.0.0.0:0", "0.0.0.0:0"),
        ("OFF", "off"),
    ];
    for (text, shown) in addresses {
        assert_eq!(ListenAt.read(text).map(|listen| ListenAt.show(&listen)).as_deref(), Ok(shown), "{text}");
    }
    for text in
        ["", ":6379", "127.0.0.1", "localhost", "example.com:6379", "65536", "::1:6379", "localhost:127.0.0.1:1"]
    {
        assert!(ListenAt.read(text).is_err(), "{text}");
    }
}

#[test]
fn what_depends_on_other_options_follows_them() {
    let config = resolve(None, &[], &[]).expect("it fits");
    assert_eq!((config.nodes_min, config.nodes_max, config.node_workers), (1, 1, 4));
    assert_eq!((config.first_node, &config.link, config.zone.as_str()), (FirstNode::Embedded, &None, ""));
    let config = resolve(Some("nodes-min = 3"), &[], &[("first_node", "process")]).expect("it fits");
    assert_eq!((config.nodes_max, config.node_workers, config.first_node), (3, 1, FirstNode::Process));
    assert!(config.is_default("nodes_max") && config.is_default("node_workers"));
    let config = resolve(None, &[("SWELL_NODES_MIN", "2")], &[("nodes_max", "5")]).expect("it fits");
    assert_eq!((config.nodes_max, config.node_workers), (5, 2));
    let nodes = [("nodes_min", "4"), ("nodes_max", "2")];
    assert_eq!(refused(None, &[], &nodes), "--nodes-max is 2, which is less than --nodes-min, which is 4");
    let error = refused(None, &[], &[("nodes_min", "129")]);
    assert_eq!(error, "--nodes-min: \"129\" does not fit: it takes a whole number from 1 to 128");
}

#[test]
fn nodes_are_held_to_parts_of_cores() {
    let config = resolve(Some("node-cpus = 0.5"), &[], &[("node_memory_max", "64mb")]).expect("it fits");
    assert_eq!((config.node_cpus, config.node_workers, config.node_memory_max), (0.5, 1, 64 << 20));
    let config = resolve(None, &[("SWELL_NODE_CPUS", "2.5")], &[]).expect("it fits");
    assert_eq!((config.node_cpus, config.node_workers, config.pin), (2.5, 3, true));
    assert!(config.explain().contains("node-cpus = \"2.5\""), "{}", config.explain());
    for wrong in ["-1", "0.001", "nan", "inf", "1e1", "", ".", "257"] {
        let error = refused(None, &[], &[("node_cpus", wrong)]);
        let wanted = "a number of cores from 0.01 to 256, such as 0.5, or 0 for no limit";
        assert_eq!(error, format!("--node-cpus: {wrong:?} does not fit: it takes {wanted}"));
    }
}

#[test]
fn links_are_sockets_or_need_a_token() {
    let link =
        |text: &str| resolve(None, &[], &[("link", text)]).map(|config| config.link.map(|link| link.to_string()));
    assert_eq!(link("unix:/run/swell.sock"), Ok(Some("unix:/run/swell.sock".to_owned())));
    let words = "--link 10.0.0.1:7000 can be reached from elsewhere, so it needs a cluster secret: set SWELL_TOKEN or \
        pass --token";
    assert_eq!(link("10.0.0.1:7000"), Err(words.to_owned()));
    let tcp = resolve(None, &[("SWELL_TOKEN", "geheim")], &[("link", "10.0.0.1:7000")]).expect("there is a token");
    let advertised = |link: &'static str, host: &'static str| {
        resolve(None, &[("SWELL_TOKEN", "t")], &[("link", link), ("advertise", host)]).map(|config| config.advertise)
    };
    assert_eq!(advertised("0.0.0.0:7000", "cache-1"), Ok("cache-1".to_owned()));
    let words = "--advertise 10.0.0.1:5 has a port: each node takes a free one, so it is a host only";
    assert_eq!(advertised("0.0.0.0:7000", "10.0.0.1:5"), Err(words.to_owned()));
    assert!(
        advertised("unix:/run/x.sock", "cache-1").is_err_and(|error| error.contains("pass --link HOST:PORT as well"))
    );
    assert!(!tcp.explain().contains("geheim") && !format!("{tcp:?}").contains("geheim"));
    assert_eq!(link("here"), Err("--link: \"here\" does not fit: it takes unix:PATH or HOST:PORT".to_owned()));
    assert!(
        link("127.0.0.1:0").is_err_and(|error| error.ends_with("it takes a port that others can be told, so not 0"))
    );
    let error = link(&format!("unix:/{}", "s".repeat(120))).expect_err("it is too long");
    assert!(error.ends_with("it takes a Unix socket's path of at most 107 bytes, and this one has 121"), "{error}");
    let error = refused(None, &[("SWELL_TOKEN", &"geheim".repeat(100))], &[]);
    assert_eq!(error, "SWELL_TOKEN: it takes a secret of at most 512 bytes");
    let error = refused(None, &[], &[("zone", "rack 1")]);
    assert_eq!(error, "--zone: \"rack 1\" does not fit: it takes a name without spaces of at most 64 bytes");
}

#[test]
fn nodes_max_names_the_commands_that_may_answer_crossslot() {
    let sentence = option("nodes_max").sentence;
    let named = sentence.split_once("CROSSSLOT: ").expect("it names them").1.trim_end_matches('.');
    assert_eq!(named, crate::cluster::atomic_commands().join(", "));
}
