//! The command line as typed: what runs, with which options; and that it agrees with the option table.

use std::sync::Mutex;

use clap::CommandFactory;

use super::*;
use crate::config::option;

static SERVED: Mutex<Vec<Config>> = Mutex::new(Vec::new());

const PARTS: Parts = Parts {
    serve: |config| {
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
fn the_bench_takes_its_own_flags() {
    let typed = ["swell", "loadtest", "bench", "--peer", "redis=redis-server --port {port}", "--rounds", "3"];
    let cli = Cli::try_parse_from(typed).expect("it is the bench's");
    let Some(Task::Loadtest { tool: Loadtest::Bench(args) }) = cli.command else {
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
