//! What a client is sent without having asked: messages of channels, invalidations, what MONITOR shows. Each client that
//! may get such has an [`Inbox`] on its worker; its task is woken and writes what is in it between two replies, also while
//! an answer is late. The worker that a client is served by delivers without a lock; everybody else by [`Mail::Push`].
//!
//! To send something to a client: on a worker [`Core::push`], from any other thread [`Shared::push`]. To be able to get
//! something a session calls `Session::open_inbox` first.
//!
//! [`Core::push`]: crate::core::Core::push
//! [`Shared::push`]: crate::shared::Shared::push
//! [`Mail::Push`]: crate::shared::Mail::Push

pub mod inbox;
pub mod limits;
pub mod message;

pub use inbox::{Inbox, Inboxes};
pub use limits::{Class, OutputLimit, OutputLimits};
pub use message::{Bytes, Encoded, Message};

/// Bytes on their way to one client from other threads, over which it is ended: its worker is far behind.
pub const MAIL_BYTES_MAX: u64 = 64 * 1024 * 1024;
