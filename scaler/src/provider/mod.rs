//! Who provides machines to run nodes on.

mod cgroup;
mod machine;
pub mod process;
