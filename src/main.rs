//! The `swell` binary: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    swell::main_with(std::env::args_os(), &swell::run::PARTS)
}
