//! Which processes were started for a data directory: a file for each, so that the next scaler finds those that are left.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use swell_node::link::socket::Address;
use swell_ring::NodeId;

use super::cgroup;
use super::identity::{Handle, Identity};
use crate::error::ScalerError;

/// The folder in the data directory.
pub(crate) const NAME: &str = "children";
/// Largest of its files, in bytes.
const RECORD_BYTES_MAX: u64 = 64 * 1024;
/// How long killed processes may take to be gone.
const KILL_WAIT: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A child, as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) process: Identity,
    /// Where it was told to listen.
    pub(crate) address: String,
    /// The node it is, once it has joined.
    pub(crate) node: Option<NodeId>,
    /// It lives on when its scaler ends.
    pub(crate) outlives: bool,
    /// Its control groups.
    pub(crate) groups: Vec<PathBuf>,
}

/// The files. Without a folder nothing is remembered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records {
    folder: Option<PathBuf>,
}

/// What is done with processes that an earlier scaler has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leftovers {
    /// Those that were meant to live on do; others are killed.
    Adopt,
    /// They are killed; those that were meant to live on are an error.
    Refuse,
    /// All are killed.
    End,
}

impl Records {
    /// In this data directory, if there is one.
    pub(crate) fn new(data_dir: Option<&Path>) -> Records {
        Records { folder: data_dir.map(|dir| dir.join(NAME)) }
    }

    /// Remembers a child, or what is new about it. Whoever looks sees all of it or nothing.
    ///
    /// # Errors
    /// As the system says.
    pub(crate) fn write(&self, record: &Record) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        fs::create_dir_all(folder)?;
        let path = folder.join(file(record.process.pid));
        let draft = path.with_extension("new");
        // Not synced: a machine that has stopped runs no child either.
        fs::write(&draft, serde_json::to_vec(record)?)?;
        fs::rename(&draft, path)
    }

    /// Forgets a child that has been reaped.
    pub(crate) fn remove(&self, pid: u32) {
        if let Some(folder) = &self.folder {
            // What stays is of a process that does not run any more.
            let _ = fs::remove_file(folder.join(file(pid)));
        }
    }

    /// Sees to the processes that an earlier scaler has left: returns those that are adopted, by their numbers. The others
    /// have ended when this returns, so that their slots may be given away. Blocks.
    ///
    /// # Errors
    /// One does not end; or some were meant to live on, and must not be killed here.
    pub(crate) fn settle(&self, leftovers: Leftovers) -> Result<Vec<(Record, Handle)>, ScalerError> {
        let found = self.found();
        let living = |record: &Record| Handle::open(&record.process);
        let (stay, go): (Vec<Record>, Vec<Record>) =
            found.into_iter().partition(|record| record.outlives && leftovers != Leftovers::End);
        let stay: Vec<(Record, Handle)> =
            stay.into_iter().filter_map(|record| living(&record).map(|handle| (record, handle))).collect();
        if leftovers == Leftovers::Refuse && !stay.is_empty() {
            return Err(ScalerError::LivingNodes(stay.len()));
        }
        let going: Vec<(Record, Option<Handle>)> =
            go.into_iter().map(|record| (living(&record), record)).map(swap).collect();
        for (record, handle) in &going {
            if let Some(Err(why)) = handle.as_ref().map(Handle::kill) {
                tracing::debug!(%why, pid = record.process.pid, "it has ended by itself, or cannot be killed");
            }
        }
        let until = Instant::now() + KILL_WAIT;
        for (record, _) in &going {
            while record.process.lives() {
                if Instant::now() >= until {
                    return Err(ScalerError::NotEnded { pid: record.process.pid, after_ms: KILL_WAIT.as_millis() });
                }
                sleep(LOOK_EVERY);
            }
        }
        self.forget_all_but(&stay, going.iter().map(|(record, _)| record));
        Ok(stay)
    }

    /// What the files say, as far as it makes sense, in the order of their nodes.
    fn found(&self) -> Vec<Record> {
        let Some(folder) = &self.folder else { return Vec::new() };
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut found: Vec<Record> = entries.filter_map(|entry| read(&entry.path())).collect();
        found.sort_by_key(|record| (record.node.map_or(u32::MAX, |node| node.0), record.process.pid));
        found
    }

    fn forget_all_but<'a>(&self, stay: &[(Record, Handle)], gone: impl Iterator<Item = &'a Record>) {
        for record in gone {
            cgroup::remove(&record.groups);
            if let Ok(Address::Unix(socket)) = record.address.parse() {
                // A killed process leaves its socket's file behind, others do not.
                let _ = fs::remove_file(socket);
            }
        }
        let Some(folder) = &self.folder else { return };
        let keep: Vec<String> = stay.iter().map(|(record, _)| file(record.process.pid)).collect();
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if !keep.iter().any(|name| entry.file_name() == name.as_str()) {
                // It is looked at again, and passed over, next time.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn swap<A, B>((a, b): (A, B)) -> (B, A) {
    (b, a)
}

fn file(pid: u32) -> String {
    format!("{pid}.json")
}

fn read(path: &Path) -> Option<Record> {
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(RECORD_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    match serde_json::from_slice(&bytes) {
        Ok(record) => Some(record),
        Err(why) => {
            tracing::warn!(%why, path = %path.display(), "passed over what should name a child");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    struct Folder(PathBuf);

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn folder(name: &str) -> Folder {
        Folder(std::env::temp_dir().join(format!("swell-records-{name}-{}", std::process::id())))
    }

    fn sleeper(records: &Records, node: u32, outlives: bool) -> Child {
        let child = Command::new("sleep").arg("1000").spawn().expect("it runs");
        let process = Identity::of(child.id()).expect("it runs");
        let address = format!("unix:/nowhere/{node}");
        let record = Record { process, address, node: Some(NodeId(node)), outlives, groups: Vec::new() };
        records.write(&record).expect("the folder can be written");
        child
    }

    fn end(mut child: Child) {
        // It may have been killed already.
        let _ = child.kill();
        child.wait().expect("it is ours");
    }

    #[test]
    fn who_is_meant_to_live_on_is_adopted_and_others_are_killed() {
        let folder = folder("adopt");
        let records = Records::new(Some(&folder.0));
        let (stays, goes) = (sleeper(&records, 7, true), sleeper(&records, 8, false));
        let ended = sleeper(&records, 9, true);
        end(ended);
        fs::write(folder.0.join(NAME).join("12.json"), "{\"process\":").expect("it can be written");
        let adopted = records.settle(Leftovers::Adopt).expect("all end");
        assert_eq!(adopted.iter().map(|(record, _)| record.node).collect::<Vec<_>>(), [Some(NodeId(7))]);
        assert!(super::super::identity::has_ended(goes.id()));
        assert_eq!(fs::read_dir(folder.0.join(NAME)).expect("it is there").count(), 1, "the others are forgotten");
        let refused = records.settle(Leftovers::Refuse).expect_err("one lives");
        assert!(matches!(refused, ScalerError::LivingNodes(1)), "{refused}");
        assert!(records.settle(Leftovers::End).expect("all end").is_empty());
        assert!(super::super::identity::has_ended(stays.id()));
        assert!(records.settle(Leftovers::Refuse).expect("none is left").is_empty());
        end(stays);
        end(goes);
    }

    #[test]
    fn without_a_folder_there_is_nothing() {
        let records = Records::new(None);
        end(sleeper(&records, 1, true));
        assert!(records.settle(Leftovers::Refuse).expect("nothing is known").is_empty());
    }
}
