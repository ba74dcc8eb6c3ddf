//! One HTTP/1.1 exchange over a fresh connection, for the admin endpoint.

use std::collections::BTreeMap;

use super::Conn;

/// A response: status, header fields in lower case, body.
pub struct Response {
    pub status: u16,
    pub fields: BTreeMap<String, String>,
    pub body: String,
}

/// GETs `path` from `addr`.
pub fn get(addr: &str, path: &str) -> Response {
    request(addr, "GET", path, &[])
}

/// Sends a request without a body and with further header fields.
///
/// # Panics
/// When the answer is not HTTP.
pub fn request(addr: &str, method: &str, path: &str, fields: &[(&str, &str)]) -> Response {
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head.push_str(&format!("Host: {addr}\r\n"));
    }
    for (name, value) in fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let mut conn = Conn::open(addr);
    conn.send(head.as_bytes());
    let bytes = conn.until_closed().unwrap_or_else(|why| panic!("{method} {path}: {why}"));
    parse(&String::from_utf8(bytes).expect("the admin endpoint speaks UTF-8"))
}

fn parse(text: &str) -> Response {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP response: {text}"));
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let fields: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let chunked = fields.get("transfer-encoding").is_some_and(|coding| coding.contains("chunked"));
    let body = if chunked { unchunk(body) } else { body.to_owned() };
    Response { status: status.unwrap_or_else(|| panic!("no status: {head}")), fields, body }
}

fn unchunk(mut text: &str) -> String {
    let mut body = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let size = usize::from_str_radix(size.split(';').next().unwrap_or("0").trim(), 16).expect("a chunk size");
        if size == 0 {
            break;
        }
        body.push_str(&rest[..size]);
        text = &rest[size + 2..];
    }
    body
}
