//! The stream of slots: moves the content of a group of slots from one engine into another while both are in use. No
//! sockets here: bytes come out at the source ([`source::Outgoing`]) and go in at the target ([`target::Incoming`]).
//!
//! The source walks the group in the order (slot, database, hash) and puts a snapshot of each key into a spool. What
//! changes meanwhile goes into the same spool, if the walk has passed it. **A change of a key that the walk has not
//! reached is not sent**: the snapshot will carry the newer state when it gets there. A replica would need the
//! value as it was first, so that its reader sees one moment of the whole; a hand-over needs only that the last state
//! arrives, for nobody reads the target before the end. So no value is ever copied because it is about to change.
//! Snapshot and changes of a key are put into the one FIFO under the lock of its stripe, which is why their order is
//! right.
//!
//! Databases are named by where they live: which number clients call them by (SWAPDB) is cache state, the same on all
//! nodes, and no part of the stream.

pub mod record;
pub mod source;
pub mod spool;
pub mod target;

use swell_engine::import::ImportFault;
use swell_ring::Slot;

use crate::handover::message::Failure;

/// Why a stream failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    #[error("not everybody who has subscribed at the source is known at the target yet")]
    Subscribers,
    #[error("clients write faster than the stream is taken: the spool is full")]
    SpoolFull,
    #[error("not all of the group has been copied yet")]
    NotCopied,
    #[error("the stream is over")]
    Over,
    #[error("bytes that are no stream of slots: {0}")]
    Bad(&'static str),
    #[error("a record of slot {}, which is not in the group", .0.number())]
    OutsideGroup(Slot),
    #[error("the target has not the memory for it")]
    NoMemory,
    #[error("the target counts {target} keys, the source {source_keys}")]
    Counts { source_keys: u64, target: u64 },
    #[error("{0}")]
    Refused(ImportFault),
}

impl From<ImportFault> for StreamError {
    fn from(fault: ImportFault) -> StreamError {
        match fault {
            ImportFault::NoMemory => StreamError::NoMemory,
            other => StreamError::Refused(other),
        }
    }
}

impl From<StreamError> for Failure {
    fn from(error: StreamError) -> Failure {
        match error {
            StreamError::SpoolFull => Failure::SpoolFull,
            StreamError::NoMemory => Failure::NoMemory,
            StreamError::Counts { source_keys, target } => Failure::Counts { source_keys, target },
            other => Failure::Stream(other.to_string()),
        }
    }
}
