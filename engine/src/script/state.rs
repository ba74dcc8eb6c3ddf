//! Libraries and loaded scripts in the cache state document, so that every proxy and node has them. The document's texts
//! are UTF-8 and bodies are any bytes: each byte is a character there.

use std::collections::BTreeMap;

use super::library::{Index, Library};
use super::store::lock;
use crate::engine::Engine;

/// Before the name of a library whose code is the value; no code: there is none of this name any longer.
const LIBRARY: &str = "function:";
/// Before the SHA-1 of a script that SCRIPT LOAD has brought.
const SCRIPT: &str = "script:";
/// Counts SCRIPT FLUSH.
const FLUSHES: &str = "script-flushes";
/// Bytes of loaded scripts in the document. What is more stays with the proxy that has it.
const SCRIPT_BYTES_MAX: usize = 4 * 1024 * 1024;

type Entries = BTreeMap<String, String>;

fn to_text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn to_bytes(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|char| u8::try_from(u32::from(char)).ok()).collect()
}

/// What a document has to say for the libraries to be these.
pub fn library_entries(now: &Index, next: &Index) -> Vec<(String, String)> {
    let gone = now.libraries().filter(|library| next.library(&library.name).is_none());
    let gone = gone.map(|library| (format!("{LIBRARY}{}", library.name), String::new()));
    let new = next.libraries().filter(|library| now.library(&library.name).is_none_or(|old| old.code != library.code));
    gone.chain(new.map(|library| (format!("{LIBRARY}{}", library.name), to_text(&library.code)))).collect()
}

/// What it has to say for this script to be loaded; nothing if it says so already, or if there are too many.
pub fn script_entry(state: &Entries, sha: &[u8; 40], body: &[u8]) -> Option<(String, String)> {
    let name = format!("{SCRIPT}{}", String::from_utf8_lossy(sha));
    if state.get(&name).is_some_and(|body| !body.is_empty()) {
        return None;
    }
    let bytes: usize = state.iter().filter(|(name, _)| name.starts_with(SCRIPT)).map(|(_, body)| body.len()).sum();
    (bytes + body.len() <= SCRIPT_BYTES_MAX).then(|| (name, to_text(body)))
}

/// What it has to say for all scripts to be forgotten.
pub fn flush_entries(state: &Entries) -> Vec<(String, String)> {
    let flushes = state.get(FLUSHES).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0) + 1;
    let scripts = state.iter().filter(|(name, body)| name.starts_with(SCRIPT) && !body.is_empty());
    let gone = scripts.map(|(name, _)| (name.clone(), String::new()));
    gone.chain([(FLUSHES.to_owned(), flushes.to_string())]).collect()
}

impl Engine {
    /// Takes over what a document says about scripts and functions. A library that cannot be loaded is left out: another
    /// version of ours has taken it.
    pub(crate) fn apply_scripts(&self, entries: &Entries) {
        let scripts = self.scripts();
        if let Some(flushes) = entries.get(FLUSHES) {
            let mut seen = lock(&scripts.flushes_seen);
            if *seen != *flushes {
                seen.clone_from(flushes);
                scripts.store.flush();
            }
        }
        for (name, text) in entries.range(SCRIPT.to_owned()..).take_while(|(name, _)| name.starts_with(SCRIPT)) {
            let known = scripts.store.find(&name.as_bytes()[SCRIPT.len()..]);
            if known.is_none()
                && let Some(body) = to_bytes(text).filter(|body| !body.is_empty())
            {
                // What is wrong with a first line was told to whoever has brought it.
                let _ = scripts.store.keep(&body, true);
            }
        }
        let now = scripts.libraries.index();
        let mut next = (*now).clone();
        let mut changed = false;
        for (name, text) in entries.range(LIBRARY.to_owned()..).take_while(|(name, _)| name.starts_with(LIBRARY)) {
            let (name, code) = (&name[LIBRARY.len()..], to_bytes(text).unwrap_or_default());
            if code.is_empty() {
                changed |= next.remove(name);
            } else if next.library(name).is_none_or(|library| library.code != code)
                && let Ok(library) = Library::load(self, &code)
            {
                changed |= next.add(library, true).is_ok();
            }
        }
        if changed {
            scripts.libraries.set(next);
        }
    }

    /// What a document has to say for the scripts and libraries here.
    pub(crate) fn script_entries(&self) -> Vec<(String, String)> {
        library_entries(&Index::default(), &self.scripts().libraries.index())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_scripts_go_by_the_document() {
        let (one, other) = (Engine::new(1), Engine::new(1));
        let code = b"#!lua name=l\nredis.register_function('f', function() return '\xff' end)";
        let mut index = Index::default();
        index.add(Library::load(&one, code).unwrap(), false).unwrap();
        let mut entries = Entries::default();
        entries.extend(library_entries(&Index::default(), &index));
        let script = one.scripts().load(b"return 1").unwrap();
        entries.extend(script_entry(&entries, &script.sha, &script.body));
        assert!(script_entry(&entries, &script.sha, &script.body).is_none(), "it is said already");
        other.apply_scripts(&entries);
        assert!(other.scripts().libraries.find(b"F").is_some());
        assert_eq!(other.scripts().store.find(&script.sha).unwrap().body, b"return 1");
        entries.extend(library_entries(&index, &Index::default()));
        entries.extend(flush_entries(&entries));
        other.apply_scripts(&entries);
        assert!(other.scripts().libraries.find(b"f").is_none());
        assert!(other.scripts().store.find(&script.sha).is_none());
    }
}
