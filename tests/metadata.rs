//! What `COMMAND INFO` and `COMMAND DOCS` say, against valkey-server 9.1, for every command that Swell lists.
//!
//! What is meant to differ is in a list here, each line with its reason. Summaries are ours and only have to be there.

use crate::harness::{Real, Reply, Server, Subject};

/// Fields of `COMMAND INFO`, by position.
const FIELDS: [&str; 9] =
    ["name", "arity", "flags", "first key", "last key", "step", "ACL categories", "tips", "key specifications"];

/// Fields of `COMMAND DOCS` that have to agree.
/// Not the summary and the complexity: their sentences are Swell's own.
const DOCUMENTED: [&str; 3] = ["since", "group", "arguments"];

/// (command, field, why Swell says something else): every other difference fails.
const DIFFERENCES: &[(&str, &str, &str)] =
    &[("exec", "flags", "skip_slowlog is Redis 7.2's name for what Valkey 9 calls skip_commandlog")];

#[test]
fn command_info_agrees() {
    let (subject, valkey) = both();
    let listed = infos(&subject, &[]);
    assert!(listed.len() > 40, "only {} commands are listed", listed.len());
    let names: Vec<String> = listed.iter().map(|info| info.items()[0].text()).collect();
    let oracle = infos(&valkey, &names);
    let mut found = Vec::new();
    for (info, real) in listed.iter().zip(&oracle) {
        compare_info(info, real, &mut found);
    }
    report(&found);
}

#[test]
fn command_docs_agree() {
    let (subject, valkey) = both();
    let listed = ask(&subject, &["COMMAND", "DOCS"]);
    let oracle = ask(&valkey, &["COMMAND", "DOCS"]);
    let mut found = Vec::new();
    for pair in listed.items().chunks_exact(2) {
        compare_docs(&pair[0].text(), &pair[1], &oracle, &mut found);
    }
    report(&found);
}

#[test]
fn command_lists_agree_with_each_other() {
    let subject = Subject::resp();
    let names: Vec<String> = infos(&subject, &[]).iter().map(|info| info.items()[0].text()).collect();
    assert_eq!(ask(&subject, &["COMMAND", "COUNT"]).int(), i64::try_from(names.len()).unwrap());
    let docs = ask(&subject, &["COMMAND", "DOCS"]);
    let mut documented: Vec<String> = docs.items().chunks_exact(2).map(|pair| pair[0].text()).collect();
    let mut listed: Vec<String> = ask(&subject, &["COMMAND", "LIST"]).items().iter().map(Reply::text).collect();
    listed.retain(|name| !name.contains('|'));
    let mut names = names;
    for list in [&mut documented, &mut listed, &mut names] {
        list.sort();
    }
    assert_eq!(names, documented);
    assert_eq!(names, listed);
}

fn both() -> (Server, Server) {
    (Subject::resp(), Real::valkey(&[]))
}

/// A reply in RESP3, maps and sets in the order of their contents.
fn ask(server: &Server, words: &[&str]) -> Reply {
    let mut conn = server.conn();
    conn.cmd(&["HELLO", "3"]);
    conn.cmd(words).sorted()
}

/// `COMMAND INFO` of the names, or of all; sorted by name when of all.
fn infos(server: &Server, names: &[String]) -> Vec<Reply> {
    let mut words = vec!["COMMAND"];
    if !names.is_empty() {
        words.push("INFO");
        words.extend(names.iter().map(String::as_str));
    }
    let mut infos = ask(server, &words).items().to_vec();
    if names.is_empty() {
        infos.sort_by_key(|info| info.items()[0].text());
    }
    infos
}

fn compare_info(info: &Reply, real: &Reply, found: &mut Vec<String>) {
    let info = info.items();
    let name = info[0].text();
    if *real == Reply::Null {
        return note(&name, "name", "listed", "unknown", found);
    }
    let real = real.items();
    for (index, field) in FIELDS.iter().enumerate() {
        if info[index] != real[index] {
            note(&name, field, &format!("{:?}", info[index]), &format!("{:?}", real[index]), found);
        }
    }
    for sub in info[9].items() {
        let sub_name = sub.items()[0].text();
        let same = real[9].items().iter().find(|real| real.items()[0].text() == sub_name);
        match same {
            Some(same) => compare_info(sub, same, found),
            None => note(&sub_name, "name", "listed", "unknown", found),
        }
    }
}

fn compare_docs(name: &str, docs: &Reply, oracle: &Reply, found: &mut Vec<String>) {
    let Some(real) = oracle.field(name) else { return note(name, "name", "listed", "unknown", found) };
    if docs.field("summary").is_none_or(|summary| summary.text().is_empty()) {
        note(name, "summary", "nothing", "a sentence", found);
    }
    for field in DOCUMENTED {
        let ours = docs.field(field).cloned().map(without_words);
        let theirs = real.field(field).cloned().map(without_words);
        if ours != theirs {
            note(name, field, &format!("{ours:?}"), &format!("{theirs:?}"), found);
        }
    }
    let none = Reply::Map(Vec::new());
    let subcommands = real.field("subcommands").unwrap_or(&none);
    for pair in docs.field("subcommands").unwrap_or(&none).items().chunks_exact(2) {
        compare_docs(&pair[0].text(), &pair[1], subcommands, found);
    }
}

/// Arguments without what is said to people only, and without a slip: that a count is a key.
fn without_words(reply: Reply) -> Reply {
    match reply {
        Reply::Array(items) => Reply::Array(items.into_iter().map(without_words).collect()),
        Reply::Map(items) => {
            let is_integer =
                items.chunks_exact(2).any(|pair| is_text(&pair[0], "type") && is_text(&pair[1], "integer"));
            let is_said = |pair: &&[Reply]| {
                let is = |name| is_text(&pair[0], name);
                !(is("display_text") || is("summary") || is_integer && is("key_spec_index"))
            };
            let kept = items.chunks_exact(2).filter(is_said).flatten().cloned();
            Reply::Map(kept.map(without_words).collect())
        }
        other => other,
    }
}

fn is_text(reply: &Reply, text: &str) -> bool {
    matches!(reply, Reply::Bulk(_) | Reply::Simple(_)) && reply.text() == text
}

fn note(name: &str, field: &str, ours: &str, theirs: &str, found: &mut Vec<String>) {
    if !DIFFERENCES.iter().any(|(command, known, _)| *command == name && *known == field) {
        found.push(format!("{name}: {field}\n    swell  {ours}\n    valkey {theirs}"));
    }
}

fn report(found: &[String]) {
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}
