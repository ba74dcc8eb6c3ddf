//! How many files, and so how many clients, this process may have open.

/// File descriptors that are wanted beyond one for each client: listeners, logs, files, the HTTP side.
pub const OTHER_FILES: u64 = 512;

/// Raises the soft limit of open files so that `clients` fit, as far as the hard limit lets it, and returns how many
/// clients fit then.
///
/// # Errors
/// The system refuses to tell or to change the limit.
pub fn make_room_for_clients(clients: usize) -> std::io::Result<usize> {
    let wanted = (clients as u64).saturating_add(OTHER_FILES);
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit that the call fills.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    if limit.rlim_cur < wanted {
        limit.rlim_cur = wanted.min(limit.rlim_max);
        // SAFETY: `limit` is a valid rlimit that the call only reads.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(usize::try_from(limit.rlim_cur.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX).min(clients))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_clients_always_fit() {
        assert_eq!(make_room_for_clients(10).expect("the limit can be read"), 10);
    }
}
