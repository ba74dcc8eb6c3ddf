//! Who provides machines to run nodes on.

pub mod cgroup;
mod child;
pub(crate) mod identity;
mod machine;
pub mod process;
pub(crate) mod records;
