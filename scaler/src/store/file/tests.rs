//! Files that were cut, damaged, or could not be written.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use swell_node::control::ScalingMode;
use swell_node::handover::message::{Group, HandoverId};
use swell_ring::{CacheState, Epoch, Member, NodeId, SlotMap, SlotSet};

use super::*;
use crate::store::{AskedMode, Guest};

/// A folder of its own for each test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let name = format!("swell-store-{}-{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn load(&self) -> Result<Kept, StoreError> {
        FileStore::new(&self.0).load()
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.0.join(NAME)).unwrap()
    }

    fn write(&self, bytes: &[u8]) {
        fs::write(self.0.join(NAME), bytes).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn member(id: u32) -> Member {
    Member { id: NodeId(id), address: format!("unix:/run/node-{id}.sock"), zone: "a".to_owned() }
}

/// One append each, of every kind of record.
fn appends() -> Vec<Vec<Record>> {
    let map = SlotMap::single(Epoch(4), member(1)).with_member(member(2));
    let slots: SlotSet = "100-163".parse().unwrap();
    let group = |id| Group { id: HandoverId(id), slots: slots.clone(), from: NodeId(1), to: NodeId(2) };
    let mut state = CacheState { version: 3, ..CacheState::default() };
    state.entries.insert("maxmemory".to_owned(), "1gb".to_owned());
    let paused = AskedMode { mode: ScalingMode::Paused, configured: ScalingMode::On };
    vec![
        vec![Record::Incarnation(1), Record::NextNode(3)],
        vec![Record::Map(map.clone())],
        vec![Record::State { state, configured: BTreeMap::new() }],
        vec![Record::NextHandover(8), Record::Intent(group(6)), Record::Intent(group(7))],
        vec![Record::Guest(Guest { id: NodeId(2), boot: "b".to_owned(), pid: 77 })],
        vec![Record::Ended(HandoverId(6)), Record::Map(map.assigned(&slots, NodeId(2)))],
        vec![Record::AskedMode(Some(paused))],
        vec![Record::GuestGone(NodeId(2))],
    ]
}

/// What is kept after each append, and the length of the file then.
fn written(folder: &Folder) -> Vec<(Kept, usize)> {
    let mut store = FileStore::new(&folder.0);
    let mut kept = store.load().unwrap();
    let mut steps = Vec::new();
    for records in appends() {
        store.append(&records).unwrap();
        records.iter().for_each(|record| kept.apply(record));
        steps.push((kept.clone(), folder.bytes().len()));
    }
    steps
}

#[test]
fn what_was_appended_is_read_again() {
    let folder = Folder::new();
    assert_eq!(folder.load().unwrap(), Kept::default());
    let steps = written(&folder);
    let (last, _) = steps.last().unwrap();
    assert_eq!((last.incarnation, last.next_node, last.next_handover), (1, 3, 8));
    assert_eq!(last.intents.iter().map(|group| group.id.0).collect::<Vec<_>>(), [7]);
    assert_eq!(folder.load().unwrap(), *last);
}

#[test]
fn a_file_that_ends_anywhere_gives_all_whole_records() {
    let folder = Folder::new();
    let steps = written(&folder);
    let bytes = folder.bytes();
    let first = steps[0].1;
    for len in 0..bytes.len() {
        folder.write(&bytes[..len]);
        let loaded = folder.load();
        if len < first {
            // The file takes its place whole: one without its first record was never ours.
            assert!(matches!(loaded, Err(StoreError::Damaged { .. })), "{len}: {loaded:?}");
            continue;
        }
        let (kept, end) = steps.iter().rev().find(|(_, end)| *end <= len).unwrap();
        assert_eq!(loaded.unwrap(), *kept, "{len}");
        assert_eq!(folder.bytes().len(), *end, "{len}: the rest is cut off");
    }
}

#[test]
fn a_record_of_which_some_was_never_written_is_cut_off() {
    let folder = Folder::new();
    let steps = written(&folder);
    let bytes = folder.bytes();
    let (before, end) = &steps[steps.len() - 2];
    for from in *end..bytes.len() {
        let mut torn = bytes.clone();
        torn[from..].fill(0);
        folder.write(&torn);
        assert_eq!(folder.load().unwrap(), *before, "from {from}");
        assert_eq!(folder.bytes().len(), *end, "from {from}");
    }
    // The file grew, and nothing of the record was written.
    let mut grown = bytes[..*end].to_vec();
    grown.resize(end + 4096, 0);
    folder.write(&grown);
    assert_eq!(folder.load().unwrap(), *before);
    assert_eq!(folder.bytes().len(), *end);
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    let folder = Folder::new();
    written(&folder);
    let bytes = folder.bytes();
    for at in 0..bytes.len() {
        // None of these bits makes a zero of a byte of JSON: that would look as if it was never written.
        for bit in [0, 3, 7] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            folder.write(&flipped);
            let loaded = folder.load();
            let is_format = at == MAGIC.len();
            let is_refused = matches!(loaded, Err(StoreError::Damaged { .. }))
                || is_format && matches!(loaded, Err(StoreError::Newer { .. }));
            assert!(is_refused, "byte {at}, bit {bit}: {loaded:?}");
            assert_eq!(folder.bytes(), flipped, "a damaged file is left as it is");
        }
    }
}

#[test]
fn appending_goes_on_behind_what_was_cut_off() {
    let folder = Folder::new();
    let steps = written(&folder);
    let bytes = folder.bytes();
    folder.write(&bytes[..bytes.len() - 3]);
    let mut store = FileStore::new(&folder.0);
    let mut kept = store.load().unwrap();
    assert_eq!(kept, steps[steps.len() - 2].0);
    let more = Record::NextNode(9);
    store.append(std::slice::from_ref(&more)).unwrap();
    kept.apply(&more);
    assert_eq!(folder.load().unwrap(), kept);
}

#[test]
fn a_file_that_has_grown_is_written_anew() {
    let folder = Folder::new();
    let mut store = FileStore::new(&folder.0);
    let mut kept = store.load().unwrap();
    let mut most = 0;
    for version in 1..200 {
        let mut state = CacheState { version, ..CacheState::default() };
        state.entries.insert("filler".to_owned(), "x".repeat(20_000));
        let record = Record::State { state, configured: BTreeMap::new() };
        store.append(std::slice::from_ref(&record)).unwrap();
        kept.apply(&record);
        most = most.max(folder.bytes().len());
    }
    assert!(most as u64 <= SMALL_BYTES + 25_000, "it grew to {most}");
    assert!((folder.bytes().len() as u64) < SMALL_BYTES);
    assert_eq!(folder.load().unwrap(), kept);
    assert!(!folder.0.join(NAME_NEW).exists());
}

#[test]
fn what_could_not_be_appended_is_not_kept_and_the_next_append_writes_the_file_anew() {
    let folder = Folder::new();
    let mut store = FileStore::new(&folder.0);
    let mut kept = store.load().unwrap();
    store.append(&[Record::NextNode(5)]).unwrap();
    kept.apply(&Record::NextNode(5));
    // A file that cannot be written: opened for reading only.
    store.log = Some(File::open(folder.0.join(NAME)).unwrap());
    let failed = store.append(&[Record::NextNode(6)]);
    assert!(matches!(failed, Err(StoreError::Io { doing: "write", .. })), "{failed:?}");
    assert_eq!(folder.load().unwrap(), kept);
    store.append(&[Record::NextHandover(7)]).unwrap();
    kept.apply(&Record::NextHandover(7));
    assert_eq!(folder.load().unwrap(), kept);
}

#[test]
fn words_for_a_damaged_file_name_it_and_say_what_to_do() {
    let folder = Folder::new();
    folder.write(b"something else entirely");
    let why = folder.load().unwrap_err().to_string();
    assert!(why.contains(NAME) && why.contains("move it away"), "{why}");
    folder.write(b"swellmp\x03");
    assert!(matches!(folder.load(), Err(StoreError::Newer { format: 3, .. })));
}

#[test]
fn a_file_of_the_first_format_is_read_and_written_anew() {
    let folder = Folder::new();
    let mut kept = written(&folder).pop().unwrap().0;
    let mut bytes = folder.bytes();
    bytes[MAGIC.len()] = 1;
    // It knew of no such thing as the mode that was asked for.
    let first = serde_json::to_string(&kept).unwrap();
    assert!(first.contains("asked_mode"));
    let old: Kept = serde_json::from_str(&first.replace("asked_mode", "something_else")).unwrap();
    assert_eq!(old.asked_mode, None);
    folder.write(&bytes);
    let mut store = FileStore::new(&folder.0);
    assert_eq!(store.load().unwrap(), kept);
    assert_eq!(folder.bytes(), bytes, "reading changes nothing");
    store.append(&[Record::NextNode(9)]).unwrap();
    kept.apply(&Record::NextNode(9));
    assert_eq!((folder.bytes()[MAGIC.len()], folder.load().unwrap()), (FORMAT, kept));
}
