//! The command line: options from everywhere, what is refused and in which words, taken ports, reference pages.

use std::net::TcpListener;
use std::process::{Command, Output};

use crate::harness::{Dir, LISTENERS, Swell};

fn run(command: &mut Command) -> Output {
    command.output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("people read UTF-8")
}

/// Checks that a command was refused with one sentence that has all of `words` in it.
fn refused(command: &mut Command, words: &[&str]) {
    let output = run(command);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "one sentence: {said}");
    for word in words {
        assert!(said.contains(word), "{word} is not in: {said}");
    }
}

#[test]
fn a_second_swell_on_a_port_that_was_asked_for_is_refused() {
    let first = Swell::start(&[]);
    for (flag, address) in [("--resp", &first.resp), ("--memcached", &first.memcached), ("--http", &first.http)] {
        let mut second = Swell::command();
        second.arg("serve");
        for listener in LISTENERS {
            second.args([listener, if listener == flag { address } else { "127.0.0.1:0" }]);
        }
        refused(&mut second, &[address]);
    }
    assert_eq!(first.conn().cmd(&["PING"]).text(), "PONG");
}

/// The default port is held here unless something on this machine holds it anyway: taken it is in both cases.
#[test]
fn a_taken_default_port_is_named_and_the_others_start() {
    for (flag, port) in LISTENERS.into_iter().zip([6379, 11211, 9121]) {
        let _held = TcpListener::bind(("127.0.0.1", port));
        let others: Vec<&str> = LISTENERS.into_iter().filter(|listener| *listener != flag).collect();
        let swell = Swell::start_where(&others, &[]);
        let taken = [&swell.resp, &swell.memcached, &swell.http];
        let open: Vec<&str> =
            LISTENERS.into_iter().zip(taken).filter(|(_, at)| !at.is_empty()).map(|(l, _)| l).collect();
        assert_eq!(open, others, "which listeners are open");
        let log = swell.log();
        assert!(log.contains(&port.to_string()) && log.contains(flag), "{flag} and {port} should be named in: {log}");
    }
}

#[test]
fn listeners_can_be_off() {
    let swell = Swell::start(&["--memcached", "off", "--http", "off"]);
    assert_eq!((swell.memcached.as_str(), swell.http.as_str()), ("", ""));
    assert_eq!(swell.conn().cmd(&["PING"]).text(), "PONG");
    let mut none = Swell::command();
    refused(none.args(["serve", "--resp", "off", "--memcached", "off", "--http", "off"]), &["--resp"]);
}

#[test]
fn the_banner_has_three_lines_with_the_addresses() {
    let swell = Swell::start(&[]);
    let log = swell.log();
    for address in [&swell.resp, &swell.memcached, &swell.http] {
        assert!(log.contains(address.as_str()), "{address} is not in: {log}");
    }
}

#[test]
fn print_config_says_where_each_value_came_from() {
    let dir = Dir::new("config");
    let file = dir.path().join("some.toml");
    std::fs::write(&file, "maxmemory-policy = \"allkeys-lfu\"\nmaxclients = 77\n").unwrap();
    let mut command = Swell::command();
    command.args(["serve", "--print-config", "--workers", "3", "--config"]).arg(&file);
    command.env("SWELL_MAXMEMORY", "64mb").env("SWELL_MAXCLIENTS", "88");
    let output = run(&mut command);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    let line = |name: &str| {
        let found = shown.lines().find(|line| line.split([' ', '=']).next() == Some(name));
        found.unwrap_or_else(|| panic!("{name} is not in:\n{shown}")).to_owned()
    };
    let checks = [
        ("workers", "3", "--workers"),
        ("maxmemory", "64", "SWELL_MAXMEMORY"),
        ("maxclients", "88", "SWELL_MAXCLIENTS"),
        ("maxmemory-policy", "allkeys-lfu", "some.toml"),
        ("resp", "127.0.0.1:6379", "default"),
    ];
    for (name, value, origin) in checks {
        let line = line(name);
        assert!(line.contains(value) && line.contains(origin), "{value} and {origin} in: {line}");
    }
}

#[test]
fn unknown_names_are_refused_with_the_nearest_known_one() {
    let dir = Dir::new("config");
    let file = dir.path().join("some.toml");
    std::fs::write(&file, "maxmemry = \"64mb\"\n").unwrap();
    let mut by_file = Swell::command();
    refused(by_file.args(["serve", "--config"]).arg(&file), &["maxmemry", "maxmemory", "some.toml"]);
    let mut by_variable = Swell::command();
    refused(by_variable.arg("serve").env("SWELL_WORKER", "2"), &["SWELL_WORKER", "SWELL_WORKERS"]);
    let by_flag = run(Swell::command().args(["serve", "--maxmemry", "64mb"]));
    assert!(!by_flag.status.success() && text(&by_flag.stderr).contains("--maxmemory"), "{}", text(&by_flag.stderr));
}

#[test]
fn values_that_do_not_fit_are_refused() {
    for (flag, value) in
        [("--maxmemory", "much"), ("--workers", "0"), ("--maxmemory-policy", "lru"), ("--resp", "here")]
    {
        refused(Swell::command().args(["serve", flag, value]), &[flag, value]);
    }
}

#[test]
fn health_says_by_its_exit_code_whether_swell_serves() {
    let mut swell = Swell::start(&[]);
    let health = |address: &str| run(Swell::command().args(["health", "--http", address]));
    assert!(health(&swell.http).status.success());
    swell.signal("TERM");
    swell.exited(crate::harness::DEADLINE);
    let gone = health(&swell.http);
    assert_eq!(gone.status.code(), Some(1));
    assert!(text(&gone.stderr).contains(&swell.http), "{}", text(&gone.stderr));
}

#[test]
fn the_reference_pages_are_printed() {
    let pages = [("commands", "getex"), ("config", "maxmemory-policy"), ("metrics", "swell_")];
    for (page, word) in pages {
        let output = run(Swell::command().args(["print", page]));
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stdout).to_ascii_lowercase().contains(word), "{word} is not on the page {page}");
    }
}
