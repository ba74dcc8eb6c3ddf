//! What a cache keeps over a restart in its data directory: who it is. Data itself lives in memory only.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use swell_proxy::shared::random_u64;

/// The file with the identity.
const IDENTITY: &str = "identity.json";
/// The file that is locked for as long as a Swell uses the directory.
const LOCK: &str = "lock";

/// Who a cache is: stays the same over restarts if there is a data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// 40 hexadecimal digits: the virtual node's name in CLUSTER replies, which clients remember.
    pub node_id: String,
    /// The seed of the key hash: SCAN cursors mean the same under the same seed.
    pub hash_seed: u64,
}

/// A data directory in use by this process.
#[derive(Debug)]
pub struct DataDir {
    /// The lock goes with the file.
    _lock: File,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error("another Swell is using the data directory {0}")]
    Taken(PathBuf),
    #[error("cannot use the data directory {0}: {1}")]
    Io(PathBuf, io::Error),
    #[error("{0} is damaged ({1}); move it away to start as a new cache")]
    Damaged(PathBuf, String),
}

impl Identity {
    /// A new one.
    pub fn new() -> Identity {
        let digits = format!("{:016x}{:016x}", random_u64(), random_u64());
        Identity { node_id: format!("{digits}00000000"), hash_seed: random_u64() }
    }

    fn check(&self) -> Result<(), String> {
        let is_id = self.node_id.len() == 40 && self.node_id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_id { Ok(()) } else { Err("node_id is not 40 hexadecimal digits".to_owned()) }
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self::new()
    }
}

impl DataDir {
    /// Makes the directory if need be, locks it, and reads or writes the identity.
    ///
    /// # Errors
    /// Another process has it, it cannot be written, or what it holds makes no sense.
    pub fn open(dir: &Path) -> Result<(DataDir, Identity), DataDirError> {
        let io = |error| DataDirError::Io(dir.to_owned(), error);
        fs::create_dir_all(dir).map_err(io)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(dir.join(LOCK)).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DataDirError::Taken(dir.to_owned())),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        let identity = read_or_make(&dir.join(IDENTITY))?;
        Ok((DataDir { _lock: lock }, identity))
    }
}

fn read_or_make(path: &Path) -> Result<Identity, DataDirError> {
    let damaged = |why: String| DataDirError::Damaged(path.to_owned(), why);
    match fs::read(path) {
        Ok(bytes) => {
            let identity: Identity = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
            identity.check().map_err(damaged)?;
            Ok(identity)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let identity = Identity::new();
            write(path, &identity).map_err(|error| DataDirError::Io(path.to_owned(), error))?;
            Ok(identity)
        }
        Err(error) => Err(DataDirError::Io(path.to_owned(), error)),
    }
}

/// Writes beside the file and renames: whoever looks sees all of it or nothing.
fn write(path: &Path, identity: &Identity) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut text = serde_json::to_vec_pretty(identity)?;
    text.push(b'\n');
    fs::write(&beside, text)?;
    File::open(&beside)?.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    #[test]
    fn stays_the_same_and_belongs_to_one_process() {
        let scratch = Scratch::new();
        let dir = scratch.path().join("deep/data");
        let (held, first) = DataDir::open(&dir).unwrap();
        assert!(matches!(DataDir::open(&dir), Err(DataDirError::Taken(taken)) if taken == dir));
        drop(held);
        let (_held, again) = DataDir::open(&dir).unwrap();
        assert_eq!(again, first);
        assert_ne!(Identity::new(), first);
    }

    #[test]
    fn what_is_damaged_is_refused_and_left_alone() {
        let scratch = Scratch::new();
        for text in ["{", r#"{"node_id":"x","hash_seed":1}"#, r#"{"hash_seed":1}"#] {
            let path = scratch.write("identity.json", text);
            assert!(matches!(DataDir::open(scratch.path()), Err(DataDirError::Damaged(..))), "{text}");
            assert_eq!(fs::read_to_string(path).unwrap(), text);
        }
    }
}
