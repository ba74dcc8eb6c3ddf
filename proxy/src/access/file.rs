//! Reading a file of users.

use std::path::Path;

use swell_engine::acl::{USERS_BYTES_MAX, Users};

/// Reads the users of a file. `all_channels`: what they begin with.
///
/// # Errors
/// In Valkey's words: it cannot be read, or has lines that make no sense.
pub fn read(path: &Path, all_channels: bool) -> Result<Users, String> {
    let name = path.display().to_string();
    let opening = |error: std::io::Error| {
        // Rust says the number, too.
        let text = error.to_string();
        let text = text.split(" (os error").next().unwrap_or_default();
        format!("Error loading ACLs, opening file '{name}': {text}")
    };
    let bytes = std::fs::metadata(path).map_err(opening)?.len();
    if bytes > USERS_BYTES_MAX as u64 {
        return Err(format!("Error loading ACLs, file '{name}' exceeds {USERS_BYTES_MAX} bytes"));
    }
    let text = std::fs::read(path).map_err(opening)?;
    Users::read(&name, &text, all_channels).map_err(|errors| errors.to_string())
}
