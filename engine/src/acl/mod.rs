//! Users and what they may do. Rules as people write them (`+get ~cache:*`) are compiled to a bit for each command and
//! short lists of patterns; a user who may do everything is known by one flag, and nothing else of it is looked at.
//!
//! `words` reads rules, `describe` writes them, `check` asks them, `file` reads and writes many users at once. Nothing here
//! knows a socket or a clock.

mod bits;
mod check;
mod describe;
mod file;
mod names;
mod password;
mod patterns;
mod selector;
mod user;
mod users;
mod words;

pub use check::{check, check_sort, may_hear};
pub use describe::Description;
pub use file::FileErrors;
pub use names::category;
pub use password::PasswordHash;
pub use selector::Selector;
pub use user::User;
pub use users::{DEFAULT_USER, USERS_BYTES_MAX, Users};
pub use words::{RuleError, WrongRule};

#[cfg(test)]
mod tests;
