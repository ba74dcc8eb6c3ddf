//! MONITOR: who is shown every command, and how a command is shown.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use swell_engine::commands::table::Command;
use swell_engine::spec::{Body, Flags};
use swell_wire::{Arg, Args};

use super::redact::{REDACTED, is_secret};
use crate::clients::{ClientInfo, canonical};
use crate::core::Core;
use crate::push::Message;
use crate::session::Session;

/// Bytes of one argument that are shown: each may take four in the line.
const ARG_BYTES_MAX: usize = 1024 * 1024;

/// Clients of this proxy that monitor. What they are sent is bounded by their output limits.
#[derive(Debug, Default)]
pub struct Monitors(Mutex<Vec<Arc<ClientInfo>>>);

impl Monitors {
    /// Whether anybody monitors.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// A client monitors from now on.
    pub fn add(&self, client: &Arc<ClientInfo>) {
        client.monitors.store(true, Relaxed);
        self.lock().push(client.clone());
    }

    /// It does so no longer. Says whether it did.
    pub fn remove(&self, client: &ClientInfo) -> bool {
        let mut monitors = self.lock();
        let before = monitors.len();
        monitors.retain(|monitor| monitor.id != client.id);
        client.monitors.store(false, Relaxed);
        monitors.len() < before
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<ClientInfo>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    /// Shows a command to all who monitor, on whichever worker they are served. What administers is not shown.
    #[cold]
    pub fn show_to_monitors(&self, session: &Session, command: Command, args: Args<'_>) {
        let flags = command.spec.flags;
        // Scripts are flagged so that Valkey can show them before what they call; what they call is not shown here.
        let is_script = matches!(command.spec.body, Body::Script(_));
        if flags.has(Flags::ADMIN) || flags.has(Flags::SKIP_MONITOR) && !is_script {
            return;
        }
        let source = canonical(session.info.addr).to_string();
        let line = line(self.observer.mark_us(), session.db.number(), &source, command, args);
        let message = Message::new(|out| out.simple(&line));
        for monitor in self.shared.watch.monitors.lock().iter() {
            self.push(monitor, &message);
        }
    }
}

/// `seconds.microseconds [database source] "word" "word"`.
fn line(unix_us: u64, db: u8, source: &str, command: Command, args: Args<'_>) -> String {
    let mut line = format!("{}.{:06} [{db} {source}]", unix_us / 1_000_000, unix_us % 1_000_000);
    for at in 0..args.len() {
        line.push(' ');
        match args.get(at) {
            _ if is_secret(command.spec, args, at) => quote(REDACTED, &mut line),
            Arg::Slice(bytes) => quote(bytes, &mut line),
            Arg::Segments(segments) => {
                let shown: Vec<u8> = segments.range(0, segments.len().min(ARG_BYTES_MAX)).flatten().copied().collect();
                quote(&shown, &mut line);
                if segments.len() > ARG_BYTES_MAX {
                    // Writing to a String cannot fail.
                    let _ = write!(line, "... ({} more bytes)", segments.len() - ARG_BYTES_MAX);
                }
            }
        }
    }
    line
}

/// As redis-cli would want it typed.
fn quote(bytes: &[u8], line: &mut String) {
    line.push('"');
    for byte in bytes {
        match byte {
            b'\\' | b'"' => {
                line.push('\\');
                line.push(char::from(*byte));
            }
            b'\n' => line.push_str("\\n"),
            b'\r' => line.push_str("\\r"),
            b'\t' => line.push_str("\\t"),
            0x07 => line.push_str("\\a"),
            0x08 => line.push_str("\\b"),
            b' '..=b'~' => line.push(char::from(*byte)),
            // Writing to a String cannot fail.
            other => drop(write!(line, "\\x{other:02x}")),
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;
    use swell_wire::OwnedArgs;

    /// What valkey-server's MONITOR prints.
    #[test]
    fn lines_are_valkeys() {
        let show = |words: &[&[u8]]| {
            let owned = OwnedArgs::from_slices(words);
            let command = catalog::resp().by_name(words[0]).unwrap();
            line(1_795_458_409_485_375, 3, "127.0.0.1:33626", command, owned.as_args())
        };
        let head = "1795458409.485375 [3 127.0.0.1:33626] ";
        assert_eq!(show(&[b"set", b"a", b"c d\xff"]), format!("{head}\"set\" \"a\" \"c d\\xff\""));
        assert_eq!(
            show(&[b"get", b"\n\r\t\x07\x08\"\\ \0"]),
            format!("{head}\"get\" \"\\n\\r\\t\\a\\b\\\"\\\\ \\x00\"")
        );
        assert_eq!(show(&[b"AUTH", b"x"]), format!("{head}\"AUTH\" \"(redacted)\""));
    }
}
