//! Scripts by the SHA-1 of their body, what they say of themselves in their first line, and what is known of how they
//! run. One store for each engine, also where that holds no data: a proxy finds bodies here.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rapidhash::v3::rapidhash_v3;

use super::api::hex;
use super::limits::{EVALS_BYTES_MAX, EVALS_MAX, SHORT_RUNS};
use crate::error::Fault;
use crate::run::LockSet;

/// What a script or function may do, by the names of its flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    pub const NO_WRITES: Flags = Flags(1);
    pub const ALLOW_OOM: Flags = Flags(2);
    pub const ALLOW_STALE: Flags = Flags(4);
    pub const NO_CLUSTER: Flags = Flags(8);
    pub const ALLOW_CROSS_SLOT: Flags = Flags(16);

    pub const NAMES: [(Flags, &'static str); 5] = [
        (Flags::NO_WRITES, "no-writes"),
        (Flags::ALLOW_OOM, "allow-oom"),
        (Flags::ALLOW_STALE, "allow-stale"),
        (Flags::NO_CLUSTER, "no-cluster"),
        (Flags::ALLOW_CROSS_SLOT, "allow-cross-slot-keys"),
    ];

    pub fn by_name(name: &[u8]) -> Option<Flags> {
        Flags::NAMES.iter().find(|(_, known)| known.as_bytes() == name).map(|(flag, _)| *flag)
    }

    pub fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    pub fn and(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Flags::NAMES.into_iter().filter(move |(flag, _)| self.has(*flag)).map(|(_, name)| name)
    }
}

/// How something has run so far.
#[derive(Debug, Default)]
pub struct Habits {
    /// Short runs, one after the other.
    short_runs: AtomicU32,
    has_needs: AtomicBool,
    /// Stripes that it reached for and found taken: locked from the beginning the next time.
    needs: Mutex<LockSet>,
}

impl Habits {
    /// Whether it may run on a worker.
    #[inline]
    pub fn is_short(&self) -> bool {
        self.short_runs.load(Relaxed) >= SHORT_RUNS
    }

    pub fn was_short(&self) {
        if !self.is_short() {
            self.short_runs.fetch_add(1, Relaxed);
        }
    }

    pub fn was_long(&self) {
        self.short_runs.store(0, Relaxed);
    }

    #[inline]
    pub fn needs(&self) -> LockSet {
        if self.has_needs.load(Relaxed) { *lock(&self.needs) } else { LockSet::default() }
    }

    pub fn set_needs(&self, needs: LockSet) {
        *lock(&self.needs) = needs;
        self.has_needs.store(needs != LockSet::default(), Relaxed);
    }
}

/// One script.
#[derive(Debug)]
pub struct Script {
    pub sha: [u8; 40],
    pub body: Vec<u8>,
    /// Where the code begins: behind the first line if that is about the script.
    pub code_from: usize,
    /// Nothing: it says nothing, and what it does decides.
    pub flags: Option<Flags>,
    pub habits: Habits,
    /// SCRIPT LOAD has brought it: it stays until SCRIPT FLUSH.
    is_loaded: AtomicBool,
    /// When it was used last, by a count of the store's.
    used: AtomicU64,
}

impl Script {
    /// Reads a body's first line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(sha: [u8; 40], body: &[u8]) -> Result<Script, Fault> {
        let (code_from, flags) = match body.strip_prefix(b"#!") {
            None => (0, None),
            Some(_) => {
                // The line end stays: lines are counted.
                let end =
                    body.iter().position(|byte| *byte == b'\n').ok_or(Fault::say("ERR Invalid script shebang"))?;
                (end, Some(read_shebang(&body[2..end])?))
            }
        };
        let (habits, is_loaded, used) = (Habits::default(), AtomicBool::new(false), AtomicU64::new(0));
        Ok(Script { sha, body: body.to_vec(), code_from, flags, habits, is_loaded, used })
    }

    /// What Lua compiles.
    pub fn code(&self) -> &[u8] {
        &self.body[self.code_from..]
    }
}

/// The words of a first line: the engine, then its options.
pub fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty())
}

fn read_shebang(line: &[u8]) -> Result<Flags, Fault> {
    let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    let mut engine = line.split(|byte| byte.is_ascii_whitespace());
    let name = engine.next().unwrap_or_default();
    if name.is_empty() {
        let first = words(line).next().unwrap_or_default();
        return Err(Fault::Other(format!("ERR Unknown lua shebang option: {}", text(first)).into()));
    }
    if !name.eq_ignore_ascii_case(b"lua") {
        return Err(Fault::Other(format!("ERR Could not find scripting engine '{}'", text(name)).into()));
    }
    let mut flags = Flags::default();
    for word in words(&line[name.len()..]) {
        let Some(list) = word.strip_prefix(b"flags=") else {
            return Err(Fault::Other(format!("ERR Unknown lua shebang option: {}", text(word)).into()));
        };
        for flag in list.split(|byte| *byte == b',').filter(|flag| !flag.is_empty()) {
            let unknown = || Fault::Other(format!("ERR Unexpected flag in script shebang: {}", text(flag)).into());
            flags = flags.and(Flags::by_name(flag).ok_or_else(unknown)?);
        }
    }
    Ok(flags)
}

/// All scripts.
#[derive(Debug, Default)]
pub struct Store {
    scripts: Mutex<Scripts>,
    /// Changes when scripts are forgotten: states then forget what they have compiled.
    flushes: AtomicU64,
    clock: AtomicU64,
    /// Hashes of bodies that have passed by not long ago.
    noted: Mutex<HashSet<u64>>,
}

#[derive(Debug, Default)]
struct Scripts {
    by_sha: HashMap<[u8; 40], Arc<Script>>,
    /// Those that EVAL has brought.
    evals: usize,
    eval_bytes: usize,
}

impl Store {
    /// Changes with every [`Store::flush`].
    #[inline]
    pub fn flushes(&self) -> u64 {
        self.flushes.load(Relaxed)
    }

    /// A script by its SHA-1 in hexadecimal digits of any case.
    pub fn find(&self, sha: &[u8]) -> Option<Arc<Script>> {
        let mut key: [u8; 40] = sha.try_into().ok()?;
        key.make_ascii_lowercase();
        let found = lock(&self.scripts).by_sha.get(&key).cloned()?;
        found.used.store(self.clock.fetch_add(1, Relaxed), Relaxed);
        Some(found)
    }

    /// The script of this body, kept from now on if it was not. `is_loaded`: by SCRIPT LOAD.
    ///
    /// # Errors
    /// Its first line is wrong.
    pub fn keep(&self, body: &[u8], is_loaded: bool) -> Result<Arc<Script>, Fault> {
        let sha = hex(body);
        let found = self.find(&sha);
        let script = match found {
            Some(script) if !is_loaded || script.is_loaded.load(Relaxed) => return Ok(script),
            Some(script) => script,
            None => Arc::new(Script::read(sha, body)?),
        };
        script.used.store(self.clock.fetch_add(1, Relaxed), Relaxed);
        let mut scripts = lock(&self.scripts);
        let is_new = scripts.by_sha.insert(sha, script.clone()).is_none();
        if is_loaded {
            if !script.is_loaded.swap(true, Relaxed) && !is_new {
                scripts.evals -= 1;
                scripts.eval_bytes -= body.len();
            }
        } else if is_new {
            scripts.evals += 1;
            scripts.eval_bytes += body.len();
            scripts.evict(&sha);
        }
        Ok(script)
    }

    /// Keeps a body that passes by, on its way to a node; one that makes no sense is the node's to refuse.
    pub fn note(&self, body: &[u8]) {
        let hash = rapidhash_v3(body);
        {
            let mut noted = lock(&self.noted);
            if noted.len() > EVALS_MAX {
                noted.clear();
            }
            if !noted.insert(hash) {
                return;
            }
        }
        let _ = self.keep(body, false);
    }

    /// Forgets a body that does not compile.
    pub fn drop_bad(&self, script: &Script) {
        if !script.is_loaded.load(Relaxed) {
            lock(&self.scripts).remove(&script.sha);
        }
    }

    /// Forgets all.
    pub fn flush(&self) {
        *lock(&self.scripts) = Scripts::default();
        lock(&self.noted).clear();
        self.flushes.fetch_add(1, Relaxed);
    }

    /// Scripts and the bytes of their bodies.
    pub fn size(&self) -> (usize, usize) {
        let scripts = lock(&self.scripts);
        (scripts.by_sha.len(), scripts.by_sha.values().map(|script| script.body.len()).sum())
    }
}

impl Scripts {
    fn remove(&mut self, sha: &[u8; 40]) {
        if let Some(script) = self.by_sha.remove(sha)
            && !script.is_loaded.load(Relaxed)
        {
            self.evals -= 1;
            self.eval_bytes -= script.body.len();
        }
    }

    /// Forgets those of EVAL that were not used for the longest time, but for this one.
    fn evict(&mut self, but: &[u8; 40]) {
        while self.evals > EVALS_MAX || self.evals > 1 && self.eval_bytes > EVALS_BYTES_MAX {
            let evals = self.by_sha.values().filter(|script| !script.is_loaded.load(Relaxed) && script.sha != *but);
            let Some(oldest) = evals.min_by_key(|script| script.used.load(Relaxed)).map(|script| script.sha) else {
                return;
            };
            self.remove(&oldest);
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_of_evals_scripts_go_and_loaded_ones_stay() {
        let store = Store::default();
        let body = |number: usize| format!("return {number}").into_bytes();
        let loaded = store.keep(&body(0), true).unwrap();
        for number in 1..=EVALS_MAX {
            store.keep(&body(number), false).unwrap();
        }
        store.find(&hex(&body(1))).expect("the first is still there, and was used now");
        store.keep(&body(EVALS_MAX + 1), false).unwrap();
        assert!(store.find(&hex(&body(1))).is_some() && store.find(&hex(&body(2))).is_none());
        assert!(store.find(&loaded.sha.to_ascii_uppercase()).is_some());
        assert_eq!(store.size().0, EVALS_MAX + 1);
        let flushes = store.flushes();
        store.flush();
        assert!(store.find(&loaded.sha).is_none() && store.flushes() != flushes);
    }

    #[test]
    fn first_lines_are_read_as_valkey_reads_them() {
        let read = |body: &str| Script::read([b'0'; 40], body.as_bytes()).map(|script| script.flags);
        assert_eq!(read("return 1"), Ok(None));
        assert_eq!(read("#!lua flags=no-writes,allow-oom\nx"), Ok(Some(Flags::NO_WRITES.and(Flags::ALLOW_OOM))));
        assert_eq!(read("#!lua").unwrap_err().to_string(), "ERR Invalid script shebang");
        assert_eq!(read("#!js\nx").unwrap_err().to_string(), "ERR Could not find scripting engine 'js'");
        let words = "ERR Unexpected flag in script shebang: x";
        assert_eq!(read("#!lua flags=x\ny").unwrap_err().to_string(), words);
    }
}
