//! The `swell` binary: everything is in the library.

use std::process::ExitCode;

/// Small and quick for what is not an entry: entries have a heap of their own.
#[global_allocator]
static GLOBAL: swell::memory::Allocator = swell::memory::Allocator;

fn main() -> ExitCode {
    swell::main_with(std::env::args_os(), &swell::run::PARTS)
}
