//! The durable ledger of a running Swell: one thread, the only writer of its file. It takes what this process's proxy
//! has charged, and what other proxies send through the scaler.
//!
//! A write that fails loses nothing: this process's spool keeps its charge, other proxies say theirs again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::task::{Wake, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use swell_meter::Dimension;
use swell_meter::store::{Book, BookError, Charge, Spool, Used};
use swell_node::control::Account;
use swell_proxy::charges::TAKE_EVERY;
use swell_proxy::shared::unix_ms;
use swell_scaler::Charges;
use swell_scaler::charges::Stored;

/// The file in the data directory.
pub const FILE: &str = "ledger.db";
/// Messages that wait for the thread at most. Proxies say again what finds no room.
const MESSAGES_MAX: usize = 1024;
/// Charges of other proxies that are written at once.
const BATCH_MAX: usize = 256;
/// After a write that failed.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// Stored bytes are written this often while nothing else is.
const STORED_EVERY: Duration = Duration::from_secs(10);
/// How often what is too old is removed.
const PRUNE_EVERY: Duration = Duration::from_secs(600);
/// While writing fails, the log says so this often.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);
/// How long a question about a period may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// What the ledger counts about itself.
#[derive(Debug, Default)]
pub struct Gauges {
    pub charges: AtomicU64,
    pub repeated: AtomicU64,
    pub failures: AtomicU64,
    /// Of this process's own proxy.
    pub pending_ecpu_milli: AtomicU64,
}

/// A running ledger.
#[derive(Debug)]
pub struct Keeper {
    door: Door,
    thread: JoinHandle<()>,
}

/// How others reach the thread.
#[derive(Clone, Debug)]
pub struct Door(SyncSender<Message>);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("the ledger does not answer: it has ended, or is busy")]
    NoAnswer,
    #[error("{0}")]
    Book(String),
}

/// What a period is asked for.
type Answer = Result<(Used, Option<u64>), LedgerError>;

#[derive(Debug)]
enum Message {
    /// This process's proxy has charged something.
    Usage,
    /// Another proxy's charge.
    Charge(Box<Charge>, Stored),
    Ask {
        from_ms: u64,
        to_ms: u64,
        dimension: Option<Dimension>,
        answer: SyncSender<Answer>,
    },
    Stop,
}

/// This process's own proxy: its spool, and the sums that it takes from.
#[derive(Debug)]
struct Own {
    spool: Spool,
    ledger: Arc<swell_meter::Ledger>,
}

struct Bell(SyncSender<Message>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Full: then the thread looks anyhow.
        let _ = self.0.try_send(Message::Usage);
    }
}

/// Where the ledger of this data directory is.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

/// Opens the ledger's file in the data directory; without one, a ledger that ends with the process.
///
/// # Errors
/// The file cannot be opened or made, or is no ledger.
pub fn open(data_dir: Option<&Path>, cache: &str) -> Result<Book, BookError> {
    match data_dir {
        Some(dir) => Book::open(&path(dir), cache),
        None => Book::in_memory(cache),
    }
}

impl Keeper {
    /// Starts the thread. `spool` and `ledger`: of this process's own proxy.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn start(
        book: Book,
        spool: Spool,
        ledger: Arc<swell_meter::Ledger>,
        gauges: Arc<Gauges>,
    ) -> std::io::Result<Keeper> {
        let (sender, inbox) = sync_channel(MESSAGES_MAX);
        ledger.wake_on_usage(Waker::from(Arc::new(Bell(sender.clone()))));
        let writer = Writer::new(book, Own { spool, ledger }, gauges);
        let thread = std::thread::Builder::new().name("ledger".to_owned()).spawn(move || writer.run(&inbox))?;
        Ok(Keeper { door: Door(sender), thread })
    }

    /// For those who ask.
    pub fn door(&self) -> Door {
        self.door.clone()
    }

    /// For what other proxies send to the scaler.
    pub fn charges(&self) -> Charges {
        let sender = self.door.0.clone();
        Charges::to(move |charged, stored| match charge(charged) {
            // Full: the proxy says it again.
            Ok(charge) => drop(sender.try_send(Message::Charge(Box::new(charge), stored))),
            Err(why) => tracing::error!(why, "a proxy's charge makes no sense, so it is not in the ledger"),
        })
    }

    /// Writes what there is, and ends. The proxies of this process must have ended.
    pub fn stop(self) {
        // Without a receiver the thread has ended already.
        let _ = self.door.0.send(Message::Stop);
        if self.thread.join().is_err() {
            tracing::error!("the ledger's thread panicked");
        }
    }
}

impl Door {
    /// What was used in a period, Unix milliseconds, and when the ledger begins. What this process has charged so far is
    /// in it; of other proxies, what was less than a second ago may not be. `dimension`: whose names are wanted, too.
    ///
    /// # Errors
    /// The ledger has ended, takes too long, or cannot be read.
    pub fn used(&self, from_ms: u64, to_ms: u64, dimension: Option<Dimension>) -> Answer {
        let (answer, answered) = sync_channel(1);
        let ask = Message::Ask { from_ms, to_ms, dimension, answer };
        self.0.try_send(ask).map_err(|_| LedgerError::NoAnswer)?;
        answered.recv_timeout(ANSWER_MAX).map_err(|_| LedgerError::NoAnswer)?
    }
}

/// The thread.
struct Writer {
    book: Book,
    own: Own,
    gauges: Arc<Gauges>,
    others: Vec<(Charge, Stored)>,
    /// When to write; none: nothing waits.
    due: Option<Instant>,
    prune_at: Instant,
    /// Writing fails, and the log has said so then.
    complained: Option<Instant>,
}

impl Writer {
    fn new(book: Book, own: Own, gauges: Arc<Gauges>) -> Writer {
        let prune_at = Instant::now();
        Writer { book, own, gauges, others: Vec::new(), due: None, prune_at, complained: None }
    }

    fn run(mut self, inbox: &Receiver<Message>) {
        loop {
            let wait = self.due.map_or(STORED_EVERY, |due| due.saturating_duration_since(Instant::now()));
            match inbox.recv_timeout(wait) {
                Ok(Message::Usage) => self.is_due_in(TAKE_EVERY),
                Ok(Message::Charge(charge, stored)) => {
                    self.others.push((*charge, stored));
                    self.is_due_in(if self.others.len() < BATCH_MAX { TAKE_EVERY } else { Duration::ZERO });
                }
                Ok(Message::Ask { from_ms, to_ms, dimension, answer }) => {
                    self.write();
                    // The asker may have stopped waiting.
                    let _ = answer.send(self.used(from_ms, to_ms, dimension));
                }
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => self.is_due_in(Duration::ZERO),
            }
            if self.due.is_some_and(|due| due <= Instant::now()) {
                self.write();
            }
        }
        self.others.extend(inbox.try_iter().filter_map(|message| match message {
            Message::Charge(charge, stored) => Some((*charge, stored)),
            _ => None,
        }));
        self.write();
        if !self.own.spool.is_empty() {
            let milli = self.own.spool.ecpu_milli();
            tracing::error!(ecpu_milli = milli, "the ledger ends without what could not be written");
        }
    }

    fn is_due_in(&mut self, wait: Duration) {
        let due = Instant::now() + wait;
        // While writing fails, nobody's news makes it be tried more often.
        if self.complained.is_none() || self.due.is_none() {
            self.due = Some(self.due.map_or(due, |before| before.min(due)));
        }
    }

    /// Writes all there is. Whatever comes of it, nothing waits for the disk afterwards but this process's spool.
    fn write(&mut self) {
        self.due = None;
        self.own.spool.observe(self.own.ledger.take(unix_ms()));
        let mut others = std::mem::take(&mut self.others);
        // A spool that has waited for long has more than one charge.
        loop {
            let own = self.own.spool.charge().cloned();
            if own.is_none() && others.is_empty() {
                break;
            }
            match self.book.store(own.iter().chain(others.iter().map(|(charge, _)| charge)), unix_ms()) {
                Ok(repeated) => self.stored(own.as_ref(), std::mem::take(&mut others), repeated),
                Err(error) => {
                    self.failed(&error);
                    break;
                }
            }
        }
        self.gauges.pending_ecpu_milli.store(self.own.spool.ecpu_milli(), Relaxed);
        if self.prune_at <= Instant::now() {
            self.prune_at = Instant::now() + PRUNE_EVERY;
            if let Err(error) = self.book.prune(unix_ms()) {
                self.failed(&error);
            }
        }
    }

    fn stored(&mut self, own: Option<&Charge>, others: Vec<(Charge, Stored)>, repeated: usize) {
        let charges = others.len() + usize::from(own.is_some());
        self.gauges.charges.fetch_add((charges - repeated) as u64, Relaxed);
        self.gauges.repeated.fetch_add(repeated as u64, Relaxed);
        if let Some(own) = own {
            self.own.spool.confirmed(&own.boot, own.sequence);
        }
        for (_, stored) in others {
            // A link that was lost meanwhile: the proxy says it again, and it does not count twice.
            let _ = stored.send(());
        }
        if self.complained.take().is_some() {
            tracing::info!("the ledger can be written again; nothing was lost");
        }
    }

    fn failed(&mut self, error: &BookError) {
        self.gauges.failures.fetch_add(1, Relaxed);
        let now = Instant::now();
        if self.complained.is_none_or(|complained| now >= complained + COMPLAIN_EVERY) {
            tracing::error!(%error, "the ledger cannot be written; what is charged waits in memory");
            self.complained = Some(now);
        }
        self.due = Some(now + RETRY_EVERY);
    }

    fn used(&self, from_ms: u64, to_ms: u64, dimension: Option<Dimension>) -> Answer {
        let book = |error: BookError| LedgerError::Book(error.to_string());
        Ok((self.book.used(from_ms, to_ms, dimension).map_err(book)?, self.book.begins_ms().map_err(book)?))
    }
}

/// What a proxy has sent, as the meter means it.
fn charge(charged: Account) -> Result<Charge, String> {
    let Account { proxy, boot, sequence, minutes } = charged;
    let minutes = serde_json::from_value(minutes).map_err(|error| error.to_string())?;
    Ok(Charge { proxy, boot, sequence, minutes })
}

#[cfg(test)]
mod tests {
    use swell_engine::commands::table::tables;
    use swell_meter::store::MINUTE_MS;
    use swell_meter::{Counters, Ledger, Profile, Tariff};
    use tokio::sync::oneshot;

    use super::*;

    fn get(ledger: &Ledger, calls: u64) {
        let (tariff, mut counters) = (Tariff::new(Profile::Elasticache), Counters::new());
        let id = tables().resp.by_name(b"get").expect("it is there").id;
        for _ in 0..calls {
            counters.charge(&tariff, id, 0, 0, 1, false);
        }
        counters.drain_into(ledger);
    }

    fn start() -> (Keeper, Arc<Ledger>, Arc<Gauges>) {
        let (ledger, gauges) = (Arc::new(Ledger::new(unix_ms(), 0)), Arc::new(Gauges::default()));
        let book = open(None, "default").expect("memory is there");
        let spool = Spool::new("here", "boot", true);
        let keeper = Keeper::start(book, spool, ledger.clone(), gauges.clone()).expect("a thread can be had");
        (keeper, ledger, gauges)
    }

    fn calls(door: &Door) -> u64 {
        let (used, _) = door.used(0, unix_ms() + 1, None).expect("it answers");
        used.slices.values().flat_map(|slice| slice.commands.values()).map(|usage| usage.calls).sum()
    }

    #[test]
    fn an_answer_has_all_that_was_charged_here() {
        let (keeper, ledger, gauges) = start();
        get(&ledger, 5);
        assert_eq!(calls(&keeper.door()), 5);
        get(&ledger, 1);
        assert_eq!(calls(&keeper.door()), 6);
        assert_eq!(gauges.pending_ecpu_milli.load(Relaxed), 0);
        let door = keeper.door();
        keeper.stop();
        assert!(matches!(door.used(0, 1, None), Err(LedgerError::NoAnswer)));
    }

    #[test]
    fn other_proxies_charges_are_confirmed_and_count_once() {
        let (keeper, _ledger, gauges) = start();
        let usage = r#"{"calls":3,"failed":0,"ecpu_milli":3000,"bytes_in":0,"bytes_out":0,"work":3}"#;
        let at = unix_ms() / MINUTE_MS;
        let minutes = format!(r#"[{{"at":{at},"commands":[["get",{usage}]],"stored":{{"byte_ms":0.0,"ms":0}}}}]"#);
        let charged = |minutes: &str| {
            let minutes = serde_json::from_str(minutes).expect("JSON");
            let charge = charge(Account { proxy: "p".to_owned(), boot: "b".to_owned(), sequence: 1, minutes });
            charge.map(Box::new)
        };
        for _ in 0..2 {
            let (stored, is_stored) = oneshot::channel();
            let charge = charged(&minutes).expect("it makes sense");
            keeper.door.0.send(Message::Charge(charge, stored)).expect("it listens");
            is_stored.blocking_recv().expect("it is stored");
        }
        assert_eq!(calls(&keeper.door()), 3);
        let counts = (gauges.charges.load(Relaxed), gauges.repeated.load(Relaxed));
        assert_eq!((counts.0 >= 1, counts.1), (true, 1));
        assert!(charged(r#"[{"at":1}]"#).is_err() && charged("5").is_err());
        keeper.stop();
    }
}
