//! Who provides machines to run nodes on.

pub mod process;
