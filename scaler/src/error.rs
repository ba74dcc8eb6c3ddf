//! What can go wrong in the scaler, in words for whoever runs it.

use std::io;
use std::path::PathBuf;

/// Why the scaler does not start, or is not ready.
#[derive(Debug, thiserror::Error)]
pub enum ScalerError {
    #[error("cannot listen for members at {0}: {1}")]
    Listen(String, io::Error),
    #[error("a control server without a secret must listen at a Unix socket, not at {0}")]
    NoSecret(String),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("the first slot map cannot be written; the log says why")]
    NotKept,
    #[error("cannot start the scaler's thread: {0}")]
    Thread(io::Error),
    #[error("not all nodes were there after {after_ms} ms: {missing}")]
    NotReady { after_ms: u128, missing: String },
    #[error(
        "process {pid}, a node of an earlier run, has not ended {after_ms} ms after it was killed: its slots stay its own"
    )]
    NotEnded { pid: u32, after_ms: u128 },
    #[error(
        "{0} nodes of a `swell scaler` still run for this data directory: start `swell scaler` again, or end them with \
        `swell scaler --down`"
    )]
    LivingNodes(usize),
    #[error("the scaler has ended")]
    Ended,
}

/// Why the store cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot {doing} {}: {why}", path.display())]
    Io { doing: &'static str, path: PathBuf, why: io::Error },
    #[error("{} is damaged at byte {at} ({what}); move it away to start with an empty cache", path.display())]
    Damaged { path: PathBuf, at: u64, what: &'static str },
    #[error("{} was written by a newer Swell (format {format})", path.display())]
    Newer { path: PathBuf, format: u8 },
    #[error("a record of {0} bytes is longer than the store takes")]
    TooLong(usize),
}
