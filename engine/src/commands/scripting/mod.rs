//! Scripts and functions. What runs them is `crate::script`.

mod eval;
mod fcall;
mod function;
mod script;

use crate::spec::Spec;

/// Sorted by name.
pub static SPECS: &[&Spec] = &[
    &eval::EVAL,
    &eval::EVAL_RO,
    &eval::EVALSHA,
    &eval::EVALSHA_RO,
    &fcall::FCALL,
    &fcall::FCALL_RO,
    &function::FUNCTION,
    &function::DELETE,
    &function::DUMP,
    &function::FLUSH,
    &function::HELP,
    &function::KILL,
    &function::LIST,
    &function::LOAD,
    &function::RESTORE,
    &function::STATS,
    &script::SCRIPT,
    &script::DEBUG,
    &script::EXISTS,
    &script::FLUSH,
    &script::HELP,
    &script::KILL,
    &script::LOAD,
    &script::SHOW,
];
