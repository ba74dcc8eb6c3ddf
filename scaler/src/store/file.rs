//! The store in one file of the data directory (which the caller has locked): a log of records, each with its length and
//! checksums, synced one by one, and written anew from time to time.
//!
//! The file begins with [`MAGIC`] and its format's number. A record is a head of 12 bytes (length, CRC-32 of the length,
//! CRC-32 of the text; little-endian) and a text: the JSON of a list of [`Record`]s. The first record is a
//! [`Record::All`].
//!
//! A crash while a record is written leaves less of it than its head says, or zeroes where nothing was written. That
//! record was never acted on, and is cut off. JSON has no zeroes; so a record that is all there but for its checksum is
//! damage, wherever it stands, and is refused: it may have been acted on.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{Kept, Record, Store};
use crate::error::StoreError;

/// The file's name in the data directory.
pub const NAME: &str = "scaler.log";
/// While it is written anew.
const NAME_NEW: &str = "scaler.log.new";
/// What the file begins with, before the byte that is its format.
const MAGIC: [u8; 7] = *b"swellmp";
/// What is written. The first one had no [`Record::AskedMode`]; it is read, and written anew as this one.
const FORMAT: u8 = 2;
/// Bytes before the first record.
const BEGIN_BYTES: usize = MAGIC.len() + 1;
/// Bytes of a record's head.
const HEAD_BYTES: usize = 12;
/// Longest text of a record: a whole slot map takes a few hundred KiB at most.
const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The file is written anew when it has grown by this many times what it had then ...
const GROWTH_MAX: u64 = 8;
/// ... and is larger than this.
const SMALL_BYTES: u64 = 1024 * 1024;

/// The store in a file.
#[derive(Debug)]
pub struct FileStore {
    dir: PathBuf,
    kept: Kept,
    /// None before the file is written for the first time, and after an append that failed: then the file's end is
    /// unknown, and the next append writes it anew.
    log: Option<File>,
    bytes: u64,
    /// What it had when it was last written anew.
    bytes_anew: u64,
}

/// What a file's bytes say.
struct Reading {
    kept: Kept,
    /// Where the last whole record ends.
    end: u64,
    format: u8,
}

/// What stands at a place of the file.
enum Next<'a> {
    Record {
        text: &'a [u8],
        bytes: usize,
    },
    /// The file ends, or was about to grow when the machine stopped.
    End,
    Damage(&'static str),
}

impl FileStore {
    /// The store in this directory. Nothing is read yet.
    pub fn new(dir: &Path) -> FileStore {
        FileStore { dir: dir.to_owned(), kept: Kept::default(), log: None, bytes: 0, bytes_anew: 0 }
    }

    fn path(&self) -> PathBuf {
        self.dir.join(NAME)
    }

    fn failed(&self, doing: &'static str, why: io::Error) -> StoreError {
        StoreError::Io { doing, path: self.path(), why }
    }

    /// Writes everything into a new file, which then takes the old one's place.
    fn write_anew(&mut self, kept: &Kept) -> Result<(), StoreError> {
        self.log = None;
        let mut bytes = MAGIC.to_vec();
        bytes.push(FORMAT);
        write_record(&[Record::All(Box::new(kept.clone()))], &mut bytes)?;
        let new = self.dir.join(NAME_NEW);
        let replaced = || -> io::Result<File> {
            let mut file = File::create(&new)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&new, self.path())?;
            File::open(&self.dir)?.sync_all()?;
            Ok(file)
        };
        self.log = Some(replaced().map_err(|why| self.failed("write", why))?);
        self.bytes = bytes.len() as u64;
        self.bytes_anew = self.bytes;
        Ok(())
    }

    fn grown(&self) -> bool {
        self.bytes > SMALL_BYTES && self.bytes > self.bytes_anew * GROWTH_MAX
    }
}

impl Store for FileStore {
    fn load(&mut self) -> Result<Kept, StoreError> {
        let path = self.path();
        let mut file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(self.kept.clone()),
            Err(why) => return Err(self.failed("open", why)),
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|why| self.failed("read", why))?;
        let reading = read(&bytes, &path)?;
        if reading.end < bytes.len() as u64 {
            tracing::warn!(cut_bytes = bytes.len() as u64 - reading.end, "the last record was not written whole");
            let cut = file.set_len(reading.end).and_then(|()| file.sync_all());
            cut.map_err(|why| self.failed("cut", why))?;
        }
        file.seek(SeekFrom::Start(reading.end)).map_err(|why| self.failed("read", why))?;
        self.kept = reading.kept;
        self.bytes = reading.end;
        self.bytes_anew = 0;
        self.log = (reading.format == FORMAT).then_some(file);
        Ok(self.kept.clone())
    }

    fn append(&mut self, records: &[Record]) -> Result<(), StoreError> {
        let mut kept = self.kept.clone();
        records.iter().for_each(|record| kept.apply(record));
        match self.log.take() {
            Some(mut log) if !self.grown() => {
                let mut bytes = Vec::new();
                write_record(records, &mut bytes)?;
                let written = log.write_all(&bytes).and_then(|()| log.sync_data());
                written.map_err(|why| self.failed("write", why))?;
                self.bytes += bytes.len() as u64;
                self.log = Some(log);
            }
            _ => self.write_anew(&kept)?,
        }
        self.kept = kept;
        Ok(())
    }
}

/// What the bytes of a file say; `path` is for errors.
fn read(bytes: &[u8], path: &Path) -> Result<Reading, StoreError> {
    let damaged = |at: usize, what| StoreError::Damaged { path: path.to_owned(), at: at as u64, what };
    let format = match bytes.strip_prefix(&MAGIC).and_then(|rest| rest.first()) {
        Some(format @ 1..=FORMAT) => *format,
        Some(format) if *format > FORMAT => {
            return Err(StoreError::Newer { path: path.to_owned(), format: *format });
        }
        _ => return Err(damaged(0, "it does not begin as such a file does")),
    };
    let (mut kept, mut at) = (None, BEGIN_BYTES);
    loop {
        match next(&bytes[at..]) {
            Next::Record { text, bytes } => {
                let records: Vec<Record> =
                    serde_json::from_slice(text).map_err(|_| damaged(at, "a record makes no sense"))?;
                kept = Some(applied(kept, &records).ok_or_else(|| damaged(at, "the first record is missing"))?);
                at += bytes;
            }
            Next::Damage(what) => return Err(damaged(at, what)),
            Next::End => break,
        }
    }
    // The file came into being whole, with its first record.
    let kept = kept.ok_or_else(|| damaged(at, "the first record is missing"))?;
    Ok(Reading { kept, end: at as u64, format })
}

fn applied(kept: Option<Kept>, records: &[Record]) -> Option<Kept> {
    let mut kept = match (kept, records.first()) {
        (Some(kept), _) => kept,
        (None, Some(Record::All(all))) => (**all).clone(),
        (None, _) => return None,
    };
    records.iter().for_each(|record| kept.apply(record));
    Some(kept)
}

fn next(rest: &[u8]) -> Next<'_> {
    let Some(head) = rest.first_chunk::<HEAD_BYTES>() else { return Next::End };
    let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (len, len_crc, text_crc) = (number(0) as usize, number(4), number(8));
    if crc32fast::hash(&head[..4]) != len_crc || len == 0 {
        let nothing = rest[HEAD_BYTES..].iter().all(|byte| *byte == 0);
        return if nothing { Next::End } else { Next::Damage("a record's length is wrong") };
    }
    let Some(text) = rest[HEAD_BYTES..].get(..len) else { return Next::End };
    if crc32fast::hash(text) == text_crc {
        return Next::Record { text, bytes: HEAD_BYTES + len };
    }
    let is_last = rest.len() == HEAD_BYTES + len;
    match is_last && text.contains(&0) {
        true => Next::End,
        false => Next::Damage("a record's checksum is wrong"),
    }
}

fn write_record(records: &[Record], out: &mut Vec<u8>) -> Result<(), StoreError> {
    let text = serde_json::to_vec(records).map_err(|why| StoreError::Io {
        doing: "write",
        path: PathBuf::from(NAME),
        why: why.into(),
    })?;
    if text.len() > RECORD_BYTES_MAX {
        return Err(StoreError::TooLong(text.len()));
    }
    let len = (text.len() as u32).to_le_bytes();
    out.extend_from_slice(&len);
    out.extend_from_slice(&crc32fast::hash(&len).to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&text).to_le_bytes());
    out.extend_from_slice(&text);
    Ok(())
}

#[cfg(test)]
mod tests;
