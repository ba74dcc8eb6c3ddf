//! The ready file: tells a waiting program that Swell answers, and where.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::listen::Addresses;

/// Writes the addresses as one JSON line; listeners that are off are null. A reader sees the whole line or no file.
///
/// # Errors
/// The directory is missing or not writable.
pub fn write(path: &Path, addresses: &Addresses) -> io::Result<()> {
    let mut line = serde_json::to_string(addresses)?;
    line.push('\n');
    let draft = draft(path);
    fs::write(&draft, line)?;
    fs::rename(&draft, path).inspect_err(|_| {
        // The rename's error is the one to tell; a draft that stays is small.
        let _ = fs::remove_file(&draft);
    })
}

/// Removes the file of an earlier run, so that nobody takes it for this one's.
///
/// # Errors
/// It is there and cannot be removed.
pub fn clear(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// In the same directory: a rename is atomic only within one file system.
fn draft(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    #[test]
    fn one_json_line_with_null_for_what_is_off_and_no_draft_left() {
        let scratch = Scratch::new();
        let path = scratch.path().join("ready.json");
        let addresses = Addresses {
            resp: "127.0.0.1:7000".parse().ok(),
            memcached: None,
            http: "[::1]:7002".parse().ok(),
            link: Some("unix:/run/x".to_owned()),
        };
        write(&path, &addresses).expect("the directory is writable");
        let text = fs::read_to_string(&path).expect("the file is there");
        assert_eq!(
            text,
            "{\"resp\":\"127.0.0.1:7000\",\"memcached\":null,\"http\":\"[::1]:7002\",\"link\":\"unix:/run/x\"}\n"
        );
        assert_eq!(fs::read_dir(scratch.path()).expect("it is a directory").count(), 1);
    }

    #[test]
    fn an_earlier_file_is_replaced_and_can_be_cleared_twice() {
        let scratch = Scratch::new();
        let path = scratch.write("ready.json", "old");
        write(&path, &Addresses { resp: None, memcached: None, http: None, link: None })
            .expect("the directory is writable");
        assert!(fs::read_to_string(&path).expect("the file is there").starts_with("{\"resp\":null"));
        clear(&path).expect("it can be removed");
        clear(&path).expect("nothing is left to remove");
        assert!(!path.exists());
    }

    #[test]
    fn a_directory_that_is_missing_is_an_error() {
        let addresses = Addresses { resp: None, memcached: None, http: None, link: None };
        let path = Scratch::new().path().join("no/ready.json");
        assert_eq!(write(&path, &addresses).expect_err("it is missing").kind(), io::ErrorKind::NotFound);
    }
}
