//! The ledger's file: SQLite, one writer. Minutes are kept for a week, hours for years.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, Transaction, params};

use super::{Charge, HOUR_MS, MINUTE_MS, Minute, Stored};
use crate::counters::Usage;
use crate::parts::{Dimension, OTHER, Part, clean_name, has_room};

/// Which tables there are. A book with a higher number is of a later Swell.
const VERSION: i64 = 2;
/// Books of this version know no users, clients, databases and prefixes.
const WITHOUT_PARTS: i64 = 1;
/// Minutes are kept for so many hours: a week.
pub const MINUTES_KEPT_HOURS: u64 = 7 * 24;
/// Hours are kept for so many hours: five years.
pub const HOURS_KEPT_HOURS: u64 = 5 * 366 * 24;
/// The last number of a proxy's start that has said nothing for so long is forgotten: a month.
const SEQUENCES_KEPT_MS: u64 = 30 * 24 * HOUR_MS;
/// How long to wait for somebody who has the file locked, such as a backup.
const LOCK_WAIT: Duration = Duration::from_secs(2);
/// Memory for pages of the file, in KiB.
const PAGES_KIB: i64 = 512;

const TABLES: &str = "
    CREATE TABLE sequence (
        proxy TEXT NOT NULL, boot TEXT NOT NULL, sequence INTEGER NOT NULL, seen_ms INTEGER NOT NULL,
        PRIMARY KEY (proxy, boot)) WITHOUT ROWID;
    CREATE TABLE minute (
        cache TEXT NOT NULL, at INTEGER NOT NULL, command TEXT NOT NULL, calls INTEGER NOT NULL,
        failed INTEGER NOT NULL, ecpu_milli INTEGER NOT NULL, bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL,
        work INTEGER NOT NULL, PRIMARY KEY (cache, at, command)) WITHOUT ROWID;
    CREATE TABLE hour (
        cache TEXT NOT NULL, at INTEGER NOT NULL, command TEXT NOT NULL, calls INTEGER NOT NULL,
        failed INTEGER NOT NULL, ecpu_milli INTEGER NOT NULL, bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL,
        work INTEGER NOT NULL, PRIMARY KEY (cache, at, command)) WITHOUT ROWID;
    CREATE TABLE stored_minute (
        cache TEXT NOT NULL, at INTEGER NOT NULL, byte_ms REAL NOT NULL, ms INTEGER NOT NULL,
        PRIMARY KEY (cache, at)) WITHOUT ROWID;
    CREATE TABLE stored_hour (
        cache TEXT NOT NULL, at INTEGER NOT NULL, byte_ms REAL NOT NULL, ms INTEGER NOT NULL,
        PRIMARY KEY (cache, at)) WITHOUT ROWID;
    CREATE TABLE pruned (hours INTEGER NOT NULL);
    INSERT INTO pruned VALUES (0);
";

/// What came with version 2.
const PART_TABLES: &str = "
    CREATE TABLE part_minute (
        cache TEXT NOT NULL, at INTEGER NOT NULL, dimension TEXT NOT NULL, name TEXT NOT NULL, calls INTEGER NOT NULL,
        failed INTEGER NOT NULL, ecpu_milli INTEGER NOT NULL, bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL,
        work INTEGER NOT NULL, PRIMARY KEY (cache, at, dimension, name)) WITHOUT ROWID;
    CREATE TABLE part_hour (
        cache TEXT NOT NULL, at INTEGER NOT NULL, dimension TEXT NOT NULL, name TEXT NOT NULL, calls INTEGER NOT NULL,
        failed INTEGER NOT NULL, ecpu_milli INTEGER NOT NULL, bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL,
        work INTEGER NOT NULL, PRIMARY KEY (cache, at, dimension, name)) WITHOUT ROWID;
    PRAGMA user_version = 2;
";

/// The ledger's file, open.
#[derive(Debug)]
pub struct Book {
    connection: Connection,
    cache: String,
    has_parts: bool,
}

/// Why the ledger's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    #[error("the ledger: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("the ledger was written by a later Swell (its tables are version {0}, this Swell knows {VERSION})")]
    Later(i64),
}

/// What was used in each minute or hour of a period.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Used {
    /// By the Unix millisecond at which a minute (or an hour, where the minutes are gone) begins.
    pub slices: BTreeMap<u64, Slice>,
    /// The whole period's, by name in the dimension that was asked for.
    pub parts: BTreeMap<String, Usage>,
}

/// What was used in a minute or an hour.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slice {
    /// By command, as [`crate::label`] names it.
    pub commands: BTreeMap<String, Usage>,
    pub stored: Stored,
}

impl Book {
    /// Opens or makes the file for writing. `cache`: whose usage it is.
    ///
    /// # Errors
    /// It cannot be opened or made, or is no ledger of this version.
    pub fn open(path: &Path, cache: &str) -> Result<Book, BookError> {
        Book::prepared(Connection::open(path)?, cache)
    }

    /// One that lasts as long as its value.
    ///
    /// # Errors
    /// As [`Book::open`].
    pub fn in_memory(cache: &str) -> Result<Book, BookError> {
        Book::prepared(Connection::open_in_memory()?, cache)
    }

    /// Opens the file for reading only, beside the writer.
    ///
    /// # Errors
    /// There is none, or it is no ledger of this version.
    pub fn read(path: &Path, cache: &str) -> Result<Book, BookError> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(LOCK_WAIT)?;
        match version(&connection)? {
            0 => Err(BookError::Sqlite(rusqlite::Error::QueryReturnedNoRows)),
            known @ WITHOUT_PARTS..=VERSION => {
                Ok(Book { connection, cache: cache.to_owned(), has_parts: known > WITHOUT_PARTS })
            }
            later => Err(BookError::Later(later)),
        }
    }

    fn prepared(mut connection: Connection, cache: &str) -> Result<Book, BookError> {
        connection.busy_timeout(LOCK_WAIT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // A confirmed charge is forgotten by its proxy, so it has to be on the disk.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "cache_size", -PAGES_KIB)?;
        let transaction = connection.transaction()?;
        match version(&transaction)? {
            0 => transaction.execute_batch(&[TABLES, PART_TABLES].concat())?,
            WITHOUT_PARTS => transaction.execute_batch(PART_TABLES)?,
            VERSION => {}
            later => return Err(BookError::Later(later)),
        }
        transaction.commit()?;
        Ok(Book { connection, cache: cache.to_owned(), has_parts: true })
    }

    /// Stores charges durably, all or none. Those whose number is stored already change nothing; returns how many of
    /// these there were. `now_ms`: Unix milliseconds.
    ///
    /// # Errors
    /// The file cannot be written, as on a full disk: nothing has changed.
    pub fn store<'c>(
        &mut self,
        charges: impl IntoIterator<Item = &'c Charge>,
        now_ms: u64,
    ) -> Result<usize, BookError> {
        let transaction = self.connection.transaction()?;
        let mut repeated = 0;
        for charge in charges {
            if is_new(&transaction, charge, now_ms)? {
                charge.minutes.iter().try_for_each(|minute| add(&transaction, &self.cache, minute))?;
            } else {
                repeated += 1;
            }
        }
        transaction.commit()?;
        Ok(repeated)
    }

    /// Forgets what is older than is kept. `now_ms`: Unix milliseconds.
    ///
    /// # Errors
    /// The file cannot be written: nothing has changed.
    pub fn prune(&mut self, now_ms: u64) -> Result<(), BookError> {
        let this_hour = now_ms / HOUR_MS;
        let minutes_from_hour = signed(this_hour.saturating_sub(MINUTES_KEPT_HOURS));
        let hours_from = signed(this_hour.saturating_sub(HOURS_KEPT_HOURS));
        let transaction = self.connection.transaction()?;
        transaction.execute("UPDATE pruned SET hours = max(hours, ?1)", [minutes_from_hour])?;
        for (table, from) in [
            ("minute", minutes_from_hour * 60),
            ("part_minute", minutes_from_hour * 60),
            ("stored_minute", minutes_from_hour * 60),
            ("hour", hours_from),
            ("part_hour", hours_from),
            ("stored_hour", hours_from),
        ] {
            transaction.execute(&format!("DELETE FROM {table} WHERE at < ?1"), [from])?;
        }
        let seen_from = signed(now_ms.saturating_sub(SEQUENCES_KEPT_MS));
        transaction.execute("DELETE FROM sequence WHERE seen_ms < ?1", [seen_from])?;
        transaction.commit()?;
        Ok(())
    }

    /// What was used from `from_ms` to `to_ms`, Unix milliseconds: in whole minutes, and in whole hours where the
    /// minutes are not kept any more. A minute or an hour that has begun belongs to the period. `dimension`: whose names
    /// are wanted, too.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn used(&self, from_ms: u64, to_ms: u64, dimension: Option<Dimension>) -> Result<Used, BookError> {
        let pruned = self.connection.query_row("SELECT hours FROM pruned", [], |row| row.get::<_, i64>(0))?;
        let minutes_from_ms = unsigned(pruned) * HOUR_MS;
        let mut used = Used::default();
        let dimension = dimension.filter(|_| self.has_parts);
        let periods = [
            ("hour", HOUR_MS, from_ms, to_ms.min(minutes_from_ms)),
            ("minute", MINUTE_MS, from_ms.max(minutes_from_ms), to_ms),
        ];
        for (table, slice_ms, from_ms, to_ms) in periods.into_iter().filter(|(.., from_ms, to_ms)| from_ms < to_ms) {
            self.read_slices(table, slice_ms, from_ms, to_ms, &mut used)?;
            if let Some(dimension) = dimension {
                self.read_parts(table, dimension, (from_ms / slice_ms, to_ms.div_ceil(slice_ms)), &mut used)?;
            }
        }
        Ok(used)
    }

    /// When the ledger begins, Unix milliseconds: its oldest hour.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn begins_ms(&self) -> Result<Option<u64>, BookError> {
        let oldest = "SELECT min(at) FROM (SELECT min(at) AS at FROM hour WHERE cache = ?1
                      UNION ALL SELECT min(at) FROM stored_hour WHERE cache = ?1)";
        let at: Option<i64> = self.connection.query_row(oldest, [&self.cache], |row| row.get(0))?;
        Ok(at.map(|at| unsigned(at) * HOUR_MS))
    }

    /// Lets the file grow to this size at most, as a full disk would.
    #[cfg(test)]
    fn limit_pages(&self, pages: i64) {
        self.connection.pragma_update(None, "max_page_count", pages).unwrap();
    }

    fn read_slices(
        &self,
        table: &str,
        slice_ms: u64,
        from_ms: u64,
        to_ms: u64,
        used: &mut Used,
    ) -> Result<(), BookError> {
        let (from, to) = (signed(from_ms / slice_ms), signed(to_ms.div_ceil(slice_ms)));
        let select = format!(
            "SELECT at, command, calls, failed, ecpu_milli, bytes_in, bytes_out, work FROM {table}
             WHERE cache = ?1 AND at >= ?2 AND at < ?3"
        );
        let mut select = self.connection.prepare(&select)?;
        let mut rows = select.query(params![self.cache, from, to])?;
        while let Some(row) = rows.next()? {
            let slice = used.slices.entry(unsigned(row.get(0)?) * slice_ms).or_default();
            slice.commands.entry(row.get(1)?).or_default().add(&usage(row, 2)?);
        }
        let select = format!("SELECT at, byte_ms, ms FROM stored_{table} WHERE cache = ?1 AND at >= ?2 AND at < ?3");
        let mut select = self.connection.prepare(&select)?;
        let mut rows = select.query(params![self.cache, from, to])?;
        while let Some(row) = rows.next()? {
            let slice = used.slices.entry(unsigned(row.get(0)?) * slice_ms).or_default();
            slice.stored.add(&Stored { byte_ms: row.get(1)?, ms: unsigned(row.get(2)?) });
        }
        Ok(())
    }

    fn read_parts(
        &self,
        table: &str,
        dimension: Dimension,
        (from, to): (u64, u64),
        used: &mut Used,
    ) -> Result<(), BookError> {
        let select = format!(
            "SELECT name, calls, failed, ecpu_milli, bytes_in, bytes_out, work FROM part_{table}
             WHERE cache = ?1 AND at >= ?2 AND at < ?3 AND dimension = ?4"
        );
        let mut select = self.connection.prepare(&select)?;
        let mut rows = select.query(params![self.cache, signed(from), signed(to), dimension.name()])?;
        while let Some(row) = rows.next()? {
            used.parts.entry(row.get(0)?).or_default().add(&usage(row, 1)?);
        }
        Ok(())
    }
}

fn version(connection: &Connection) -> Result<i64, rusqlite::Error> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Whether this charge has not been stored; notes its number.
fn is_new(transaction: &Transaction<'_>, charge: &Charge, now_ms: u64) -> Result<bool, rusqlite::Error> {
    let last: Option<i64> = transaction
        .prepare("SELECT sequence FROM sequence WHERE proxy = ?1 AND boot = ?2")?
        .query_row([&charge.proxy, &charge.boot], |row| row.get(0))
        .optional()?;
    let sequence = signed(charge.sequence);
    if last.is_some_and(|last| last >= sequence) {
        return Ok(false);
    }
    transaction.prepare("INSERT OR REPLACE INTO sequence VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        charge.proxy,
        charge.boot,
        sequence,
        signed(now_ms)
    ])?;
    Ok(true)
}

fn add(transaction: &Transaction<'_>, cache: &str, minute: &Minute) -> Result<(), rusqlite::Error> {
    for (table, at) in [("minute", minute.at), ("hour", minute.at / 60)] {
        let insert = format!(
            "INSERT INTO {table} VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT DO UPDATE SET calls = calls + excluded.calls, failed = failed + excluded.failed,
             ecpu_milli = ecpu_milli + excluded.ecpu_milli, bytes_in = bytes_in + excluded.bytes_in,
             bytes_out = bytes_out + excluded.bytes_out, work = work + excluded.work"
        );
        let mut insert = transaction.prepare(&insert)?;
        for (command, usage) in &minute.commands {
            let [calls, failed, ecpu_milli, bytes_in, bytes_out, work] = columns(usage);
            let at = signed(at);
            insert.execute(params![cache, at, command, calls, failed, ecpu_milli, bytes_in, bytes_out, work])?;
        }
        add_parts(transaction, table, (cache, at), &minute.parts)?;
        if minute.stored.ms > 0 {
            let insert = format!(
                "INSERT INTO stored_{table} VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET byte_ms = byte_ms + excluded.byte_ms, ms = ms + excluded.ms"
            );
            let stored = (minute.stored.byte_ms, signed(minute.stored.ms));
            transaction.prepare(&insert)?.execute(params![cache, signed(at), stored.0, stored.1])?;
        }
    }
    Ok(())
}

/// Adds to names that are there; makes new ones as long as there is room, and then adds to what is for all others.
fn add_parts(
    transaction: &Transaction<'_>,
    table: &str,
    (cache, at): (&str, u64),
    parts: &[Part],
) -> Result<(), rusqlite::Error> {
    let mut update = transaction.prepare(&format!(
        "UPDATE part_{table} SET calls = calls + ?5, failed = failed + ?6, ecpu_milli = ecpu_milli + ?7,
         bytes_in = bytes_in + ?8, bytes_out = bytes_out + ?9, work = work + ?10
         WHERE cache = ?1 AND at = ?2 AND dimension = ?3 AND name = ?4"
    ))?;
    let mut insert =
        transaction.prepare(&format!("INSERT INTO part_{table} VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"))?;
    let mut count = transaction.prepare(&format!(
        "SELECT count(*), count(nullif(name <> '{OTHER}', 1)) FROM part_{table}
         WHERE cache = ?1 AND at = ?2 AND dimension = ?3"
    ))?;
    let at = signed(at);
    for Part(dimension, name, usage) in parts {
        let dimension = dimension.name();
        let [calls, failed, ecpu_milli, bytes_in, bytes_out, work] = columns(usage);
        // Another process's word is no longer than this one's own would be.
        let cleaned = clean_name(name.as_bytes());
        if update.execute((cache, at, dimension, &*cleaned, calls, failed, ecpu_milli, bytes_in, bytes_out, work))? > 0
        {
            continue;
        }
        let (names, others): (i64, i64) =
            count.query_row(params![cache, at, dimension], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if has_room(unsigned(names) as usize, others > 0) {
            insert.execute((cache, at, dimension, &*cleaned, calls, failed, ecpu_milli, bytes_in, bytes_out, work))?;
        } else if update.execute((cache, at, dimension, OTHER, calls, failed, ecpu_milli, bytes_in, bytes_out, work))?
            == 0
        {
            insert.execute((cache, at, dimension, OTHER, calls, failed, ecpu_milli, bytes_in, bytes_out, work))?;
        }
    }
    Ok(())
}

/// As they stand in a row.
fn columns(usage: &Usage) -> [i64; 6] {
    [usage.calls, usage.failed, usage.ecpu_milli, usage.bytes_in, usage.bytes_out, usage.work].map(signed)
}

/// `first`: the column of the calls.
fn usage(row: &Row<'_>, first: usize) -> Result<Usage, rusqlite::Error> {
    let number = |column: usize| row.get(first + column).map(unsigned);
    Ok(Usage {
        calls: number(0)?,
        failed: number(1)?,
        ecpu_milli: number(2)?,
        bytes_in: number(3)?,
        bytes_out: number(4)?,
        work: number(5)?,
    })
}

/// SQLite's numbers have a sign. What does not fit is as good as endless.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::NAMES_MAX;

    fn charge(proxy: &str, sequence: u64, at: u64, calls: u64) -> Charge {
        let usage = Usage { calls, ecpu_milli: calls * 1000, work: calls, ..Usage::default() };
        let stored = Stored { byte_ms: 5.0, ms: 1 };
        let parts = vec![Part(Dimension::Client, proxy.to_owned(), usage)];
        let minutes = vec![Minute { at, commands: vec![("get".to_owned(), usage)], parts, stored }];
        Charge { proxy: proxy.to_owned(), boot: "b".to_owned(), sequence, minutes }
    }

    fn calls(book: &Book, from_ms: u64, to_ms: u64) -> u64 {
        let used = book.used(from_ms, to_ms, None).unwrap();
        used.slices.values().flat_map(|slice| slice.commands.values()).map(|usage| usage.calls).sum()
    }

    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("swell-meter-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_charge_that_comes_twice_counts_once_also_after_a_restart() {
        let folder = Folder::new("twice");
        let path = folder.0.join("ledger.db");
        let mut book = Book::open(&path, "default").unwrap();
        let (one, two) = (charge("p", 1, 10, 3), charge("p", 2, 10, 4));
        assert_eq!(book.store([&one], 0).unwrap(), 0);
        assert_eq!(book.store([&one, &two, &two, &charge("q", 1, 11, 100)], 0).unwrap(), 2);
        drop(book);
        let mut book = Book::open(&path, "default").unwrap();
        assert_eq!(book.store([&two], 0).unwrap(), 1);
        assert_eq!(calls(&book, 0, HOUR_MS), 107);
        // Another reads beside the writer, in whole minutes.
        let reader = Book::read(&path, "default").unwrap();
        assert_eq!(calls(&reader, 10 * MINUTE_MS + 5, 10 * MINUTE_MS + 6), 7);
        assert_eq!(calls(&reader, 11 * MINUTE_MS, 12 * MINUTE_MS), 100);
        assert_eq!(calls(&Book::read(&path, "another").unwrap(), 0, HOUR_MS), 0);
        assert_eq!(reader.begins_ms().unwrap(), Some(0));
    }

    /// Names, with calls and thousandths of an ECPU.
    fn names(book: &Book, to_ms: u64, dimension: Dimension) -> Vec<(String, u64)> {
        let used = book.used(0, to_ms, Some(dimension)).unwrap();
        used.parts.into_iter().map(|(name, usage)| (name, usage.calls)).collect()
    }

    #[test]
    fn names_are_kept_by_minute_and_by_hour_and_are_bounded() {
        let mut book = Book::in_memory("default").unwrap();
        book.store([&charge("a", 1, 10, 3), &charge("b", 1, 11, 4), &charge("a", 2, 12, 5), &charge("a", 2, 12, 5)], 0)
            .unwrap();
        let expected = [("a".to_owned(), 8), ("b".to_owned(), 4)];
        assert_eq!(names(&book, HOUR_MS, Dimension::Client), expected);
        assert_eq!(names(&book, 11 * MINUTE_MS, Dimension::Client), [("a".to_owned(), 3)]);
        assert!(names(&book, HOUR_MS, Dimension::User).is_empty());
        book.prune((MINUTES_KEPT_HOURS + 1) * HOUR_MS).unwrap();
        assert_eq!(names(&book, HOUR_MS, Dimension::Client), expected);
        // More names than there is room for, in two minutes of an hour.
        for number in 0..NAMES_MAX as u64 * 2 {
            let at = MINUTES_KEPT_HOURS * 600 + number % 2;
            book.store([&charge(&format!("p{number}"), 1, at, 1), &charge("p0", number + 2, at, 1)], 0).unwrap();
        }
        for table in ["part_minute", "part_hour"] {
            let most = format!("SELECT max(n) FROM (SELECT count(*) AS n FROM {table} GROUP BY at, dimension)");
            let most: i64 = book.connection.query_row(&most, [], |row| row.get(0)).unwrap();
            assert_eq!(most, NAMES_MAX as i64 + 1, "{table}");
        }
        let all = names(&book, u64::MAX / 2, Dimension::Client);
        assert_eq!(all.iter().map(|(_, calls)| calls).sum::<u64>(), 12 + NAMES_MAX as u64 * 4);
    }

    #[test]
    fn a_book_of_the_first_version_is_read_and_goes_on() {
        let folder = Folder::new("older");
        let path = folder.0.join("ledger.db");
        let mut book = Book::open(&path, "default").unwrap();
        book.store([&charge("p", 1, 10, 3)], 0).unwrap();
        let back = "DROP TABLE part_minute; DROP TABLE part_hour; PRAGMA user_version = 1;";
        book.connection.execute_batch(back).unwrap();
        drop(book);
        let reader = Book::read(&path, "default").unwrap();
        assert!(names(&reader, HOUR_MS, Dimension::Client).is_empty());
        assert_eq!(calls(&reader, 0, HOUR_MS), 3);
        let mut book = Book::open(&path, "default").unwrap();
        book.store([&charge("p", 2, 10, 4)], 0).unwrap();
        assert_eq!(names(&book, HOUR_MS, Dimension::Client), [("p".to_owned(), 4)]);
        assert_eq!(calls(&book, 0, HOUR_MS), 7);
    }

    #[test]
    fn a_full_disk_changes_nothing_and_room_lets_it_go_on() {
        let folder = Folder::new("full");
        let mut book = Book::open(&folder.0.join("ledger.db"), "default").unwrap();
        let mut large = charge("p", 1, 10, 1);
        let usage = large.minutes[0].commands[0].1;
        large.minutes[0].commands = (0..5000).map(|number| (format!("command-{number}"), usage)).collect();
        book.limit_pages(20);
        let error = book.store([&large], 0).unwrap_err().to_string();
        assert!(error.contains("full"), "{error}");
        assert_eq!(calls(&book, 0, HOUR_MS), 0);
        book.limit_pages(1 << 20);
        assert_eq!(book.store([&large], 0).unwrap(), 0);
        assert_eq!(calls(&book, 0, HOUR_MS), 5000);
    }

    #[test]
    fn old_minutes_go_and_their_hours_stay() {
        let mut book = Book::in_memory("default").unwrap();
        let now_hour = MINUTES_KEPT_HOURS + 100;
        for hour in 0..now_hour {
            book.store([&charge("p", hour + 1, hour * 60 + 59, 1)], 0).unwrap();
        }
        let all = now_hour * HOUR_MS;
        book.prune(all).unwrap();
        assert_eq!(calls(&book, 0, all), now_hour);
        let used = book.used(0, all, None).unwrap();
        assert_eq!(used.slices.keys().filter(|at| *at % HOUR_MS == 0).count(), 100);
        assert_eq!(used.slices.values().map(|slice| slice.stored.ms).sum::<u64>(), now_hour);
        // Across the border, by the hour before it and by the minute behind it.
        assert_eq!(calls(&book, 99 * HOUR_MS + 1, 100 * HOUR_MS + 1), 1);
        assert_eq!(calls(&book, 99 * HOUR_MS, 101 * HOUR_MS), 2);
        book.prune((now_hour + HOURS_KEPT_HOURS) * HOUR_MS).unwrap();
        assert_eq!(calls(&book, 0, all), 0);
    }

    #[test]
    fn what_is_no_ledger_is_refused() {
        let folder = Folder::new("strange");
        let path = folder.0.join("ledger.db");
        assert!(Book::read(&path, "default").is_err());
        std::fs::write(&path, "this is no database, but it is long enough to be taken for one".repeat(50)).unwrap();
        assert!(Book::open(&path, "default").is_err() && Book::read(&path, "default").is_err());
        std::fs::remove_file(&path).unwrap();
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(Book::open(&path, "default"), Err(BookError::Later(99))));
    }
}
