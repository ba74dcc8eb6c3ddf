//! The process as a whole: command line, listeners, doors, limits, memory, metrics, leaving.

mod cli;
mod doors;
mod leaving;
mod limits;
mod memory;
mod nodes_cli;
mod pages;
mod several;
