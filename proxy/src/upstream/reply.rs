//! Looks into replies of nodes, as far as merging them needs it.

/// The integer of `:n`.
pub fn integer(reply: &[u8]) -> Option<i64> {
    std::str::from_utf8(reply.strip_prefix(b":")?.strip_suffix(b"\r\n")?).ok()?.parse().ok()
}

/// Number of elements of an array, and their bytes. RESP3's set counts as one.
pub fn array(reply: &[u8]) -> Option<(usize, &[u8])> {
    let (kind, rest) = reply.split_first()?;
    if !matches!(kind, b'*' | b'~') {
        return None;
    }
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    let count = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    Some((count, &rest[end + 2..]))
}

/// A bulk string and what follows it; null has no bytes.
pub fn bulk(reply: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    if let Some(rest) = reply.strip_prefix(b"$-1\r\n").or_else(|| reply.strip_prefix(b"_\r\n")) {
        return Some((None, rest));
    }
    let rest = reply.strip_prefix(b"$")?;
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    let len: usize = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    let bytes = rest.get(end + 2..end + 2 + len)?;
    Some((Some(bytes), rest.get(end + 2 + len + 2..)?))
}

/// Whether it is a null.
pub fn is_null(reply: &[u8]) -> bool {
    matches!(reply, b"$-1\r\n" | b"_\r\n" | b"*-1\r\n")
}

/// The code of an error reply: its first word, whichever the protocol.
pub fn error_code(reply: &[u8]) -> &[u8] {
    let line = reply.strip_prefix(b"-").unwrap_or(reply);
    line.split(|byte| matches!(byte, b' ' | b'\r')).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_looked_into() {
        assert_eq!(integer(b":-5\r\n"), Some(-5));
        assert_eq!(integer(b"+OK\r\n"), None);
        assert_eq!(array(b"*2\r\n$1\r\na\r\n$-1\r\n"), Some((2, &b"$1\r\na\r\n$-1\r\n"[..])));
        assert_eq!(bulk(b"$1\r\na\r\n:1\r\n"), Some((Some(&b"a"[..]), &b":1\r\n"[..])));
        assert_eq!(bulk(b"_\r\nx"), Some((None, &b"x"[..])));
        assert!(bulk(b"$5\r\na\r\n").is_none() && array(b"*").is_none());
        assert!(is_null(b"_\r\n") && !is_null(b"$0\r\n\r\n"));
        assert_eq!(error_code(b"-OOM command not allowed\r\n"), b"OOM");
        assert_eq!(error_code(b"SERVER_ERROR out of memory\r\n"), b"SERVER_ERROR");
    }
}
