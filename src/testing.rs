//! What the unit tests of this crate share: a directory of their own, a machine of known size.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::Config;
use crate::config::layers::{Typed, Written};
use crate::machine::Machine;

/// A directory that goes when it is dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("swell-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a temporary directory can be made");
        Scratch(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file, with the directories on its way, and returns where it is.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("the file has a directory")).expect("directories can be made");
        fs::write(&path, text).expect("the file can be written");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own cleaning of temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What these flags mean on [`machine`]; everything else is the default.
pub fn config(flags: &[(&'static str, &str)]) -> Config {
    let values = flags.iter().map(|(field, text)| (*field, (*text).to_owned())).collect();
    let written = Written::gather(&Typed { values, config: None }, [], &machine()).expect("no file is read");
    Config::resolve(&written).expect("the flags fit")
}

/// 8 GiB and four cores.
pub fn machine() -> Machine {
    Machine { ram_bytes: 8 << 30, cgroup_bytes: None, cores: 4 }
}
