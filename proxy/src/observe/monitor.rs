//! MONITOR: who is shown every command, and how a command is shown.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use swell_engine::commands::table::Command;
use swell_engine::spec::{Body, Flags};
use swell_wire::{Arg, Args};
use tokio::sync::Notify;

use super::redact::{REDACTED, is_secret};
use crate::clients::{ClientInfo, canonical};
use crate::core::Core;
use crate::push::Message;
use crate::session::Session;

/// Bytes of one argument that are shown: each may take four in the line.
const ARG_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of lines that wait for other proxies. What comes while there are so many is not shown there.
const OUTGOING_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of lines that are sent at once, about.
const BATCH_BYTES: usize = 128 * 1024;

/// Clients that monitor: those of this proxy, who are sent lines as far as their output limits go, and whether other
/// proxies have any.
#[derive(Debug, Default)]
pub struct Monitors {
    here: Mutex<Vec<Arc<ClientInfo>>>,
    elsewhere: AtomicBool,
    outgoing: Mutex<Outgoing>,
    /// Lines wait, or somebody here has begun or ended.
    added: Notify,
    changed: Notify,
}

/// Lines for other proxies.
#[derive(Debug, Default)]
struct Outgoing {
    lines: VecDeque<String>,
    bytes: usize,
    /// So many were not kept.
    lost: u64,
}

impl Monitors {
    /// Whether anybody monitors.
    pub fn is_empty(&self) -> bool {
        !self.elsewhere.load(Relaxed) && !self.any_here()
    }

    /// Whether any client of this proxy does.
    pub fn any_here(&self) -> bool {
        !self.lock().is_empty()
    }

    /// Whether clients of other proxies do; says whether that is new.
    pub fn set_elsewhere(&self, any: bool) -> bool {
        let was = self.elsewhere.swap(any, Relaxed);
        if !any {
            *self.outgoing() = Outgoing::default();
        }
        was != any
    }

    /// Lines for other proxies, when there are any.
    pub async fn take_outgoing(&self) -> Vec<String> {
        loop {
            let lines = self.outgoing().take();
            if !lines.is_empty() {
                return lines;
            }
            self.added.notified().await;
        }
    }

    /// Waits until the last client here has ended.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn send_out(&self, line: &str) {
        self.outgoing().add(line);
        self.added.notify_one();
    }

    fn outgoing(&self) -> MutexGuard<'_, Outgoing> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
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
        if monitors.is_empty() {
            self.changed.notify_one();
        }
        monitors.len() < before
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<ClientInfo>>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outgoing {
    fn add(&mut self, line: &str) {
        if self.bytes + line.len() > OUTGOING_BYTES_MAX {
            self.lost += 1;
        } else {
            self.bytes += line.len();
            self.lines.push_back(line.to_owned());
        }
    }

    /// The next ones. Where some are missing a line says how many.
    fn take(&mut self) -> Vec<String> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while bytes < BATCH_BYTES
            && let Some(line) = self.lines.pop_front()
        {
            bytes += line.len();
            taken.push(line);
        }
        self.bytes -= bytes;
        if self.lines.is_empty() && self.lost > 0 {
            taken.push(format!("{} commands of another proxy are not shown", std::mem::take(&mut self.lost)));
        }
        taken
    }
}

impl Core {
    /// Shows a command of another proxy's client to all here who monitor.
    pub fn show_line(&self, line: &str) {
        let message = Message::new(|out| out.simple(line));
        for monitor in self.shared.watch.monitors.lock().iter() {
            self.push(monitor, &message);
        }
    }

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
        self.show_line(&line);
        if self.shared.watch.monitors.elsewhere.load(Relaxed) {
            self.shared.watch.monitors.send_out(&line);
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
