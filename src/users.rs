//! The users that a cache begins with: those of the ACL file, or the default user with `requirepass`.

use anyhow::anyhow;
use swell_engine::acl::{DEFAULT_USER, Users};
use swell_proxy::access::{AclFile, file};

use crate::config::Config;

/// What the ACL file says, if there is one. A default user that it does not name has the password of `requirepass`: in
/// Valkey it would have none.
///
/// # Errors
/// The file cannot be read, or has lines that make no sense.
pub fn of_file(config: &Config) -> anyhow::Result<Option<AclFile>> {
    let Some(path) = &config.aclfile else { return Ok(None) };
    let mut users = file::read(path, false).map_err(|why| anyhow!("cannot begin because of ACL errors: {why}"))?;
    if let (Some(password), false) = (config.requirepass.get(), names_default(path)) {
        users.set_default_password(password.as_bytes());
    }
    Ok(Some(AclFile { path: path.clone(), users }))
}

/// The users that are configured, as an entry of the cache state; nothing: nobody said anything about users.
pub fn entry(config: &Config) -> Option<String> {
    match of_file(config) {
        Ok(Some(file)) => Some(file.users.to_entry()),
        Ok(None) => config.requirepass.get().map(|password| Users::with_password(password.as_bytes()).to_entry()),
        Err(error) => {
            tracing::error!("{error:#}");
            None
        }
    }
}

/// Whether the file has a line for the default user.
fn names_default(path: &std::path::Path) -> bool {
    let text = std::fs::read(path).unwrap_or_default();
    text.split(|byte| *byte == b'\n')
        .any(|line| line.trim_ascii().split(|byte| *byte == b' ').nth(1) == Some(DEFAULT_USER))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Scratch, config};

    #[test]
    fn the_file_counts_and_the_password_where_it_names_no_default_user() {
        let scratch = Scratch::new();
        let begin = |text: &str| {
            let path = scratch.write("users.acl", text);
            of_file(&config(&[("requirepass", "s"), ("aclfile", path.to_str().unwrap())]))
        };
        let users = begin("user a on >p ~* +@all\n").unwrap().unwrap().users;
        assert!(users.authenticate(b"a", b"p").is_some() && users.authenticate(DEFAULT_USER, b"s").is_some());
        assert!(!users.default_user().is_open());
        let users = begin("user default on nopass ~* +@all\n").unwrap().unwrap().users;
        assert!(users.default_user().is_open());
        let error = begin("user a nosuch\n").unwrap_err().to_string();
        assert!(
            error.starts_with("cannot begin because of ACL errors: ") && error.contains(":1: Syntax error. "),
            "{error}"
        );
        assert!(of_file(&config(&[])).unwrap().is_none() && entry(&config(&[])).is_none());
        assert!(entry(&config(&[("requirepass", "s")])).unwrap().starts_with("user default on #"));
    }
}
