//! The stream of slots between two nodes of one process, while clients write: what arrives is what was sealed.

mod common;
mod fields;
mod hostile;
mod large;
mod measure;
mod spool;
mod types;
mod writers;
