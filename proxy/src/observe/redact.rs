//! Arguments that are nobody's business: passwords in commands that are shown to others.

use swell_engine::Spec;
use swell_wire::Args;

/// What stands in their place.
pub const REDACTED: &[u8] = b"(redacted)";

/// Whether argument `at` is a secret.
pub fn is_secret(spec: &Spec, args: Args<'_>, at: usize) -> bool {
    let word = |at: usize| args.opt(at).unwrap_or_default();
    let is = |at: usize, name: &str| word(at).eq_ignore_ascii_case(name.as_bytes());
    match spec.name {
        "auth" => at >= 1,
        "hello" => (2..args.len()).any(|option| is(option, "auth") && (option + 1..option + 3).contains(&at)),
        "acl|setuser" | "acl|deluser" => at >= 2,
        "config|set" => {
            at >= 3
                && at % 2 == 1
                && [
                    "requirepass",
                    "masterauth",
                    "primaryauth",
                    "masteruser",
                    "primaryuser",
                    "tls-key-file-pass",
                    "tls-client-key-file-pass",
                ]
                .iter()
                .any(|name| is(at - 1, name))
        }
        "migrate" => {
            (3..args.len()).any(|option| is(option, "auth") && at == option + 1)
                || (3..args.len()).any(|option| is(option, "auth2") && (option + 1..option + 3).contains(&at))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;
    use swell_engine::commands::table::Found;
    use swell_wire::OwnedArgs;

    /// As valkey-server shows them in its SLOWLOG.
    #[test]
    fn secrets_are_not_shown() {
        for (line, expected) in [
            ("AUTH x", "AUTH *"),
            ("AUTH default x", "AUTH * *"),
            ("HELLO 3 AUTH default x SETNAME y", "HELLO 3 AUTH * * SETNAME y"),
            ("CONFIG SET requirepass a maxmemory 0", "CONFIG SET requirepass * maxmemory 0"),
            ("CONFIG SET maxmemory 0 requirepass a", "CONFIG SET maxmemory 0 requirepass *"),
            ("SET auth x", "SET auth x"),
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            let owned = OwnedArgs::from_slices(&words);
            let args = owned.as_args();
            let Found::Command(command) = catalog::resp().find(args) else { panic!("{line}") };
            let shown: Vec<&str> =
                (0..args.len()).map(|at| if is_secret(command.spec, args, at) { "*" } else { words[at] }).collect();
            assert_eq!(shown.join(" "), expected);
        }
    }
}
