//! What has to be known of a request before it is sent: whether its reply comes at once, and what it may change.

use super::super::{Request, compare};

/// Commands that may make their client wait.
const WAITING: [&str; 12] = [
    "blpop",
    "brpop",
    "blmove",
    "brpoplpush",
    "blmpop",
    "bzpopmin",
    "bzpopmax",
    "bzmpop",
    "xread",
    "xreadgroup",
    "wait",
    "waitaof",
];

/// Commands after which a server may know scripts.
const SCRIPTING: [&str; 4] = ["eval", "eval_ro", "script", "function"];

/// Commands that change what a server says of a client, beside those that may make it wait.
const STATE_CHANGING: [&str; 9] = ["multi", "exec", "discard", "watch", "unwatch", "reset", "hello", "quit", "client"];

/// Times after which a client has waited enough, in seconds and in milliseconds: nobody else does anything meanwhile.
const SHORT_WAITS: [&[u8]; 2] = [b"0.011", b"11"];

/// A time to live that a pause outlasts, in milliseconds; and that pause.
const SHORT_MS: &[u8] = b"301";
pub const PAUSE_MS: u64 = 450;

/// Whether a request makes its client wait, but not for long.
pub fn waits_shortly(request: &Request) -> bool {
    request.iter().any(|word| SHORT_WAITS.contains(&&word[..]))
}

/// Whether a request gives a key a time to live that a pause outlasts.
pub fn sets_short_time(request: &Request) -> bool {
    request.last().is_some_and(|word| word == SHORT_MS)
}

/// Whether a request is answered by at least one reply, which is no push, before anybody else is served.
pub fn answers_at_once(request: &Request) -> bool {
    let name = compare::name(request);
    let is_reply_mode = name == "client" && request.get(1).is_some_and(|word| word.eq_ignore_ascii_case(b"REPLY"));
    let waits = WAITING.contains(&name.as_str()) && !waits_shortly(request);
    !waits && !name.ends_with("subscribe") && !is_reply_mode
}

/// Whether a server may have something else to say of its clients afterwards.
pub fn changes_states(request: &Request) -> bool {
    !answers_at_once(request) || STATE_CHANGING.contains(&compare::name(request).as_str())
}

/// Whether a server may know scripts afterwards.
pub fn leaves_scripts(request: &Request) -> bool {
    SCRIPTING.contains(&compare::name(request).as_str())
}
