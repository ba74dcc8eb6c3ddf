//! The command line as typed: what runs, with which options; and that it agrees with the option table.

use std::sync::Mutex;

use clap::CommandFactory;

use super::*;
use crate::config::{OPTIONS, option};
use crate::loadtest_cli::Loadtest;

static SERVED: Mutex<Vec<Config>> = Mutex::new(Vec::new());

/// What nodes and proxies were started with.
static JOINED: Mutex<Vec<(Config, NodeTask)>> = Mutex::new(Vec::new());

const PARTS: Parts = Parts {
    serve: |config| {
        SERVED.lock().expect("no test panics here").push(config);
        Ok(())
    },
    node: |config, task| {
        JOINED.lock().expect("no test panics here").push((config, task));
        Ok(())
    },
    proxy: |config, task| {
        let task = NodeTask { join: task.join, advertise: None, leave_with_stdin: false };
        JOINED.lock().expect("no test panics here").push((config, task));
        Ok(())
    },
    scaler: |config, _| {
        SERVED.lock().expect("no test panics here").push(config);
        Ok(())
    },
    commands_page: || "the commands".to_owned(),
    metrics_page: || "the metrics".to_owned(),
};

/// What is printed, or the error.
fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Result<String, String> {
    let cli = Cli::try_parse_from([&["swell"], arguments].concat()).map_err(|error| error.to_string())?;
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
    let mut out = Vec::new();
    cli.run(variables, &PARTS, &mut out).map_err(|error| format!("{error:#}"))?;
    Ok(String::from_utf8(out).expect("text is printed"))
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn every_option_is_a_flag_of_serve_with_its_sentence() {
    let command = Cli::command();
    let serve = command.find_subcommand("serve").expect("there is serve");
    let mut flags: Vec<_> = serve.get_arguments().filter_map(|flag| flag.get_long()).collect();
    flags.retain(|flag| !matches!(*flag, "config" | "print-config"));
    assert_eq!(flags, OPTIONS.iter().map(|row| row.name.as_str()).collect::<Vec<_>>());
    for row in OPTIONS.iter() {
        let flag = serve.get_arguments().find(|flag| flag.get_long() == Some(&row.name)).expect("it is there");
        let help = flag.get_help().expect("it has help").to_string();
        assert!(help.starts_with(row.sentence.trim_end_matches('.')) && help.contains(&row.variable), "{help}");
    }
}

#[test]
fn swell_alone_serves_and_takes_the_same_flags() {
    run(&["--workers", "7"], &[]).expect("it serves");
    run(&["serve", "--workers", "8"], &[]).expect("it serves");
    let served = SERVED.lock().expect("no test panics here");
    for workers in [7, 8] {
        let config = served.iter().find(|config| config.workers == workers).expect("it was served");
        assert!(!config.is_default("workers") && config.is_default("resp"));
    }
}

#[test]
fn print_config_shows_values_and_origins_and_serves_nothing() {
    let text = run(&["--print-config", "--maxmemory=100mb"], &[("SWELL_WORKERS", "19")]).expect("it is printed");
    let line = |name: &str| {
        let found = text.lines().find(|line| line.starts_with(&format!("{name} = "))).expect("every option is there");
        let (value, origin) = found.split_once("  # from ").expect("every line has an origin");
        (value.trim_end().to_owned(), origin.to_owned())
    };
    assert_eq!(text.lines().count(), OPTIONS.len());
    assert_eq!(line("maxmemory"), ("maxmemory = \"100mb\"".to_owned(), "--maxmemory".to_owned()));
    assert_eq!(line("workers"), ("workers = 19".to_owned(), "SWELL_WORKERS".to_owned()));
    assert_eq!(line("http"), ("http = \"127.0.0.1:9121\"".to_owned(), "default".to_owned()));
    assert!(SERVED.lock().expect("no test panics here").iter().all(|config| config.workers != 19));
}

#[test]
fn the_pages_are_printed() {
    assert_eq!(run(&["print", "commands"], &[]).as_deref(), Ok("the commands"));
    assert_eq!(run(&["print", "metrics"], &[]).as_deref(), Ok("the metrics"));
    assert_eq!(run(&["print", "config"], &[]), Ok(print::config_page()));
    assert_eq!(run(&["print", "example-toml"], &[]), Ok(print::example_toml()));
}

#[test]
fn bill_and_health_find_the_server_by_its_own_options() {
    // Nobody serves port 1 here, so that the errors tell where they asked.
    let error = run(&["bill", "--http", "127.0.0.1:1"], &[("SWELL_HTTP", "127.0.0.1:2")]).expect_err("nobody answers");
    assert!(error.starts_with("no Swell answers at http://127.0.0.1:1: "), "{error}");
    let error = run(&["health"], &[("SWELL_HTTP", "0.0.0.0:1")]).expect_err("nobody answers");
    assert!(error.starts_with("no Swell answers at http://127.0.0.1:1: "), "{error}");
    assert_eq!(error.matches("refused").count(), 1, "{error}");
    let error = run(&["health"], &[("SWELL_HTTP", "off")]).expect_err("it is off");
    assert_eq!(error, "the HTTP listener is off, so there is nothing to ask: pass --http ADDR");
}

#[test]
fn a_node_and_a_proxy_are_told_where_to_join() {
    let typed = ["node", "--join", "unix:/run/n1", "--zone", "a", "--workers", "3", "--leave-with-stdin"];
    run(&typed, &[("SWELL_TOKEN", "t1")]).expect("it joins");
    run(&["proxy", "--join", "10.0.0.1:7000", "--token", "t2", "--resp", "7001"], &[]).expect("it joins");
    let joined = JOINED.lock().expect("no test panics here");
    let of = |token: &str| joined.iter().find(|(config, _)| config.token.get() == Some(token)).expect("it joined");
    let (config, task) = of("t1");
    assert_eq!((config.zone.as_str(), config.workers, task.leave_with_stdin), ("a", 3, true));
    assert_eq!((task.join.to_string().as_str(), &task.advertise), ("unix:/run/n1", &None));
    let (config, task) = of("t2");
    assert_eq!(task.join.to_string(), "10.0.0.1:7000");
    assert_eq!(config.resp.address().map(|address| address.port()), Some(7001));
}

#[test]
fn a_node_needs_an_address_and_takes_only_its_own_options() {
    let long = format!("unix:/{}", "s".repeat(107));
    for (typed, words) in [
        (&["node"][..], "--join"),
        (&["node", "--join", "nowhere"], "'nowhere' is no link address: write unix:PATH or HOST:PORT"),
        (&["node", "--join", &long], "a Unix socket's path has at most 107 bytes, and this one has 108"),
        (&["node", "--join", "unix:/n", "--maxmemory", "1gb"], "--maxmemory"),
        (&["proxy", "--join", "unix:/n", "--maxmemory", "1gb"], "--maxmemory"),
        (&["proxy", "--join", "unix:/n", "--nodes-min", "2"], "--nodes-min"),
    ] {
        let error = run(typed, &[]).expect_err("something is wrong here");
        assert!(error.contains(words), "{typed:?}: {error}");
    }
}

#[test]
fn peoples_commands_find_the_scaler_by_its_own_options() {
    let link = ("SWELL_LINK", "unix:/nowhere/a.sock");
    let tasks: [&[&str]; 5] = [&["nodes"], &["slots"], &["move", "0-5,9", "2"], &["drain", "2"], &["events", "--json"]];
    for typed in tasks {
        let error = run(typed, &[link]).expect_err("nobody is there");
        assert_eq!(error, "no Swell answers at unix:/nowhere/a.sock: there is no such socket", "{typed:?}");
    }
    let error = run(&["nodes", "--link", "unix:/nowhere/b.sock"], &[link]).expect_err("nobody is there");
    assert!(error.contains("/nowhere/b.sock"), "{error}");
    let error = run(&["nodes", "--data-dir", "/nowhere/data"], &[]).expect_err("nobody is there");
    assert!(error.contains(" unix:/nowhere/data/swell-link.sock: "), "{error}");
    let error = run(&["nodes", "--link", "127.0.0.1:1", "--token", "t"], &[]).expect_err("nobody is there");
    assert_eq!(error, "no Swell answers at 127.0.0.1:1: nobody listens there");
    let error = run(&["move", "0-16384", "1"], &[link]).expect_err("no such slot");
    assert!(error.starts_with("'0-16384' is not a list of slots"), "{error}");
}

#[test]
fn the_bench_takes_its_own_flags() {
    let typed = ["swell", "loadtest", "bench", "--peer", "redis=redis-server --port {port}", "--rounds", "3"];
    let cli = Cli::try_parse_from(typed).expect("it is the bench's");
    let Some(Task::Loadtest(LoadtestTask { tool: Some(Loadtest::Bench(args)), .. })) = cli.command else {
        panic!("it is another task");
    };
    assert_eq!((args.peers.len(), args.rounds), (1, 3));
}

#[test]
fn wrong_values_are_one_sentence_and_wrong_flags_name_the_near_one() {
    let error = run(&["--maxmemory", "12xb"], &[]).expect_err("it is no size");
    assert!(
        error.starts_with("--maxmemory: \"12xb\" does not fit: it takes a size") && !error.contains('\n'),
        "{error}"
    );
    let error = run(&["--maxmemroy", "1gb"], &[]).expect_err("there is no such flag");
    assert!(error.contains(&format!("--{}", option("maxmemory").name)), "{error}");
}
