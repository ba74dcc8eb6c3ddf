//! The transcript files' format: lines into cases of steps.

use std::collections::HashMap;

use regex_lite::Regex;

use crate::harness::{Topology, tests_dir, unescape};

/// The tag of what holds for several nodes only.
const ONLY_SEVERAL: &str = "@several";

/// What stands between `== name` and the next.
pub struct Case {
    pub name: String,
    /// Line number in the file.
    pub line: usize,
    /// Servers it does not hold for; `several` for those of several nodes, `remote` for those with a link between, `moving`
    /// for those whose slots move meanwhile, `pipelined` where all of a connection's requests go out in one write.
    pub not: Vec<String>,
    /// It holds for several nodes only.
    pub only_several: bool,
    pub resp3: bool,
    /// Keys that share a slot where the data is on several nodes.
    pub same_slot: Vec<String>,
    pub steps: Vec<Step>,
}

/// A request, and the replies expected after it.
pub struct Step {
    pub line: usize,
    /// Which connection, from 1.
    pub conn: usize,
    pub text: String,
    /// `>-`: as it is.
    pub raw: bool,
    pub expect: Vec<Expect>,
}

/// One expected line.
pub struct Expect {
    pub line: usize,
    pub what: What,
}

pub enum What {
    Line(String),
    Pattern(String),
    /// That many elements in any order; of a map, pairs.
    AnyOrder {
        count: usize,
        map: bool,
    },
    /// Any one whole reply.
    Any,
    Eof,
    Nothing,
}

/// Texts that patterns have captured in this case.
#[derive(Default)]
pub struct Captured(HashMap<String, String>);

impl Captured {
    /// The text with `${name}` replaced.
    pub fn fill_in(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
    }

    /// Whether a line is as expected; named groups of a pattern are kept.
    pub fn matches(&mut self, what: &What, line: &[u8]) -> bool {
        match what {
            What::Line(text) => unescape(&self.fill_in(text)) == line,
            What::Pattern(pattern) => {
                let pattern = format!("(?s)^(?:{})$", self.fill_in(pattern));
                let regex = Regex::new(&pattern).unwrap_or_else(|why| panic!("{pattern}: {why}"));
                let text = String::from_utf8_lossy(line);
                let Some(groups) = regex.captures(&text) else { return false };
                for name in regex.capture_names().flatten() {
                    if let Some(group) = groups.name(name) {
                        self.0.insert(name.to_owned(), group.as_str().to_owned());
                    }
                }
                true
            }
            _ => false,
        }
    }
}

impl Case {
    /// Whether it holds for a server whose data is there.
    pub fn holds_for(&self, server: &str, place: Topology) -> bool {
        let is_out = self.not.iter().any(|tag| match tag.as_str() {
            "several" => place.is_several(),
            "remote" => place != Topology::Embedded,
            "moving" => place == Topology::Moving3,
            tag => tag == server,
        });
        !is_out && (place.is_several() || !self.only_several)
    }
}

/// Reads a file of tests/transcripts.
///
/// # Panics
/// Names the line that cannot be read.
pub fn read(file: &str) -> Vec<Case> {
    let path = tests_dir().join("transcripts").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{file}: {why}"));
    let mut cases: Vec<Case> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if let Some(title) = line.strip_prefix("== ") {
            cases.push(start_case(title, number));
        } else if !line.trim().is_empty() && !line.starts_with('#') {
            let case = cases.last_mut().unwrap_or_else(|| panic!("{file}:{number}: a case begins with =="));
            add_line(case, line, number).unwrap_or_else(|why| panic!("{file}:{number}: {why}: {line}"));
        }
    }
    assert!(!cases.is_empty(), "{file} has no case");
    cases
}

fn start_case(title: &str, line: usize) -> Case {
    let is_tag = |word: &&str| *word == ONLY_SEVERAL || word.starts_with("@not-");
    let (tags, words): (Vec<&str>, Vec<&str>) = title.split_whitespace().partition(is_tag);
    let not = tags.iter().filter_map(|tag| tag.strip_prefix("@not-")).map(str::to_owned).collect();
    let only_several = tags.contains(&ONLY_SEVERAL);
    Case { name: words.join(" "), line, not, only_several, resp3: false, same_slot: Vec::new(), steps: Vec::new() }
}

fn add_line(case: &mut Case, text: &str, line: usize) -> Result<(), String> {
    if text.trim() == "resp3" {
        case.resp3 = true;
        return Ok(());
    }
    if let Some(keys) = text.strip_prefix("same-slot ") {
        case.same_slot = keys.split_whitespace().map(str::to_owned).collect();
        return Ok(());
    }
    if let Some(expected) = text.strip_prefix('<') {
        let step = case.steps.last_mut().ok_or("a reply needs a request before it")?;
        step.expect.push(Expect { line, what: expectation(expected)? });
        return Ok(());
    }
    let (number, rest) = text.split_once('>').ok_or("neither request nor reply")?;
    let conn = if number.is_empty() { 1 } else { number.parse().map_err(|_| "no number of a connection")? };
    let raw = rest.starts_with('-');
    let rest = rest.strip_prefix('-').unwrap_or(rest);
    let text = rest.strip_prefix(' ').unwrap_or(rest).to_owned();
    case.steps.push(Step { line, conn, text, raw, expect: Vec::new() });
    Ok(())
}

fn expectation(text: &str) -> Result<What, String> {
    let rest = |text: &str| text.strip_prefix(' ').unwrap_or(text).to_owned();
    let count = |text: &str| text.trim().parse().map_err(|_| "no number of elements".to_owned());
    Ok(match text {
        "any" => What::Any,
        "eof" => What::Eof,
        "none" => What::Nothing,
        "" => What::Line(String::new()),
        _ => match text.as_bytes()[0] {
            b' ' => What::Line(rest(text)),
            b'~' => What::Pattern(rest(&text[1..])),
            b'*' => What::AnyOrder { count: count(&text[1..])?, map: false },
            b'%' => What::AnyOrder { count: count(&text[1..])?, map: true },
            _ => return Err("no such kind of reply line".to_owned()),
        },
    })
}

#[test]
fn a_case_is_read() {
    let mut case = start_case("a name @not-redis", 1);
    for line in ["resp3", "same-slot a b", "> GET k", "< $1", "<", "<~ :(?<n>[0-9]+)", "<* 2", "2>- x", "<eof"] {
        add_line(&mut case, line, 2).unwrap();
    }
    assert_eq!(case.same_slot, ["a", "b"]);
    assert!(
        case.resp3
            && !case.holds_for("redis", Topology::Embedded)
            && case.holds_for("valkey", Topology::Remote3)
            && case.name == "a name"
    );
    let holds = |text, place| start_case(text, 1).holds_for("swell", place);
    assert!(holds("a @not-several", Topology::Remote1) && !holds("a @not-several", Topology::Moving3));
    assert!(!holds("a @several", Topology::Remote1) && holds("a @several", Topology::Remote3));
    assert!(holds("a @not-moving", Topology::Remote3) && !holds("a @not-moving", Topology::Moving3));
    assert!(holds("a @not-remote", Topology::Embedded) && !holds("a @not-remote", Topology::Remote1));
    assert_eq!((case.steps.len(), case.steps[0].expect.len(), case.steps[1].conn, case.steps[1].raw), (2, 4, 2, true));
    let mut captured = Captured::default();
    assert!(captured.matches(&case.steps[0].expect[2].what, b":42"));
    assert_eq!(captured.fill_in("<${n}>"), "<42>");
    assert!(!captured.matches(&case.steps[0].expect[2].what, b":x"));
    assert!(add_line(&mut case, "hello", 3).is_err() && add_line(&mut case, "<* x", 3).is_err());
}
