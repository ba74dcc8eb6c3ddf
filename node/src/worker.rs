//! The threads of a node's link server: each one a single-threaded runtime with its own handle on the node, a mailbox for
//! sockets that have said Hello, and a task for each link.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use swell_wire::lazy;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::Notify;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::embedded::{Handle, Node};
use crate::link::frame;
use crate::link::serve::Sessions;
use crate::link::socket::{Detached, Socket};
use crate::link::stats::Counts;
use crate::upkeep::Upkeep;
use crate::view::View;

/// Bytes read from a link at once.
const READ_BYTES: usize = 256 * 1024;
/// Bytes that may wait for a link's socket before no more is read from it.
const UNSENT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Reads and writes of one link before others have their turn.
const TURNS_MAX: usize = 4;
/// Sockets that may wait for their worker to take them.
const MAILBOX_MAX: usize = 1024;
/// Between two reports of a busy worker.
const TICK: Duration = Duration::from_millis(100);
/// Between two reports of an idle one.
const IDLE_TICK: Duration = Duration::from_secs(1);
/// Until upkeep goes on when there is much to do: a millisecond's work in five.
const BUSY_TICK: Duration = Duration::from_millis(5);

/// A node's link workers.
#[derive(Debug)]
pub struct NodeWorkers {
    workers: Vec<LinkWorker>,
    next: AtomicUsize,
}

/// One of them: a thread.
#[derive(Debug)]
pub struct LinkWorker {
    mailbox: Sender<Mail>,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
enum Mail {
    Link(Detached),
    Stop,
}

/// What a worker's tasks share.
struct Worker {
    node: Arc<Node>,
    view: Arc<View>,
    handle: RefCell<Handle>,
    scratch: RefCell<Box<[u8]>>,
    /// What its links have counted since the last tick.
    counts: RefCell<Counts>,
    /// Something happened since the last tick.
    active: Cell<bool>,
    /// Nothing had happened at the last tick either.
    resting: Cell<bool>,
    /// The first frames after a quiet time call the ticker back to its quick pace.
    awake: Notify,
}

/// One link.
struct Link {
    worker: Rc<Worker>,
    socket: Socket,
    sessions: Sessions,
    /// The beginning of a frame that is not complete.
    unread: Vec<u8>,
    /// Until the first session has waited too long.
    sleep: Option<(u64, Pin<Box<Sleep>>)>,
}

/// Why a link has ended.
#[derive(Debug)]
enum End {
    Closed,
    Io(io::Error),
    Bad(frame::BadFrame),
}

impl NodeWorkers {
    /// Starts `count` workers (at least one). The first one does the node's upkeep.
    ///
    /// # Errors
    /// As the system says when it makes threads or runtimes.
    pub fn start(count: usize, node: &Arc<Node>, view: &Arc<View>) -> io::Result<NodeWorkers> {
        let workers = (0..count.max(1)).map(|index| LinkWorker::start(index, node, view)).collect::<io::Result<_>>()?;
        Ok(NodeWorkers { workers, next: AtomicUsize::new(0) })
    }

    /// Gives a link that has said Hello to the next worker in turn; one whose mailbox is full (it hangs) is passed by,
    /// and if all are the link is closed.
    pub fn give(&self, socket: Detached) {
        let mut mail = Mail::Link(socket);
        for _ in 0..self.workers.len() {
            let worker = &self.workers[self.next.fetch_add(1, Relaxed) % self.workers.len()];
            match worker.mailbox.try_send(mail) {
                Ok(()) => return,
                Err(error) => mail = error.into_inner(),
            }
        }
        tracing::error!("a link was closed because no worker takes it");
    }

    /// Closes all links and waits for the threads to end.
    pub fn stop(self) {
        for LinkWorker { mailbox, thread } in self.workers {
            // A worker that has ended has nothing to stop; one whose mailbox is full stops when it is dropped.
            let _ = mailbox.try_send(Mail::Stop);
            drop(mailbox);
            if thread.join().is_err() {
                tracing::error!("a link worker has panicked");
            }
        }
    }
}

impl LinkWorker {
    fn start(index: usize, node: &Arc<Node>, view: &Arc<View>) -> io::Result<LinkWorker> {
        let (mailbox, mails) = channel(MAILBOX_MAX);
        let (node, view) = (node.clone(), view.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name(format!("node-{index}")).spawn(move || {
            let tasks = tokio::task::LocalSet::new();
            tasks.block_on(&runtime, Worker::run(index, node, view, mails));
        })?;
        Ok(LinkWorker { mailbox, thread })
    }
}

impl Worker {
    async fn run(index: usize, node: Arc<Node>, view: Arc<View>, mails: Receiver<Mail>) {
        let seed = unix_ns() ^ (index as u64) << 56;
        let worker = Rc::new(Worker {
            handle: RefCell::new(node.handle(seed)),
            node,
            view,
            scratch: RefCell::new(vec![0; READ_BYTES].into_boxed_slice()),
            counts: RefCell::new(Counts::with_heat()),
            active: Cell::new(false),
            resting: Cell::new(true),
            awake: Notify::new(),
        });
        worker.tick_until_stopped(index, mails).await;
        worker.handle.borrow_mut().report();
        worker.node.totals().add(&mut worker.counts.borrow_mut());
    }

    async fn tick_until_stopped(self: &Rc<Self>, index: usize, mut mails: Receiver<Mail>) {
        let mut upkeep = (index == 0).then(Upkeep::default);
        let mut links = tokio::task::JoinSet::new();
        let mut next = Instant::now() + IDLE_TICK;
        lazy::enable();
        loop {
            tokio::select! {
                () = sleep_until(next) => {
                    let late = Instant::now().saturating_duration_since(next);
                    self.node.totals().note_delay(late.as_micros() as u64);
                    next = Instant::now() + self.tick(&mut upkeep);
                }
                () = self.awake.notified() => next = next.min(Instant::now() + TICK),
                mail = mails.recv() => match mail {
                    Some(Mail::Link(socket)) => match socket.attach() {
                        Ok(socket) => {
                            links.spawn_local(Link::new(self.clone(), socket));
                        }
                        Err(error) => tracing::warn!(%error, "a link could not be taken over"),
                    },
                    Some(Mail::Stop) | None => break,
                },
                Some(ended) = links.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a link's task has panicked");
                    }
                }
            }
        }
        // Before the handle is used for the last time: links that end count what they have done.
        links.shutdown().await;
    }

    /// Reports, and (one worker of all) does the node's upkeep. Returns when to come again.
    fn tick(&self, upkeep: &mut Option<Upkeep>) -> Duration {
        let mut handle = self.handle.borrow_mut();
        let was_active = self.active.replace(false);
        handle.report();
        self.node.totals().add(&mut self.counts.borrow_mut());
        if was_active {
            self.node.note_change();
        }
        handle.trim_if_idle(was_active);
        if !self.resting.replace(!was_active) && !was_active {
            lazy::give_back_all();
        }
        let has_garbage = handle.free_garbage();
        let pace = match lazy::free_some() || has_garbage {
            true => BUSY_TICK,
            false if was_active => TICK,
            false => IDLE_TICK,
        };
        let Some(upkeep) = upkeep else { return pace };
        self.node.settle_broadcast();
        if upkeep.tick(&mut handle, unix_ns() / 1_000_000) {
            return BUSY_TICK;
        }
        let (_, volatile) = self.node.key_counts();
        if volatile > 0 { pace.min(TICK) } else { pace }
    }

    fn note_active(&self) {
        if !self.active.replace(true) {
            self.awake.notify_one();
        }
    }
}

impl Link {
    fn new(worker: Rc<Worker>, socket: Socket) -> Link {
        let sessions = Sessions::new(worker.node.clone(), worker.view.clone());
        Link { worker, socket, sessions, unread: Vec::new(), sleep: None }
    }

    /// Moves everything on that can move.
    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let worker = self.worker.clone();
        worker.note_active();
        let started = unix_ns();
        // The worker's counts are lent to the link while it runs.
        self.sessions.swap_counts(&mut worker.counts.borrow_mut());
        let end = self.turns(cx, started / 1_000_000);
        self.sessions.counts().busy_ns += unix_ns().saturating_sub(started);
        self.sessions.swap_counts(&mut worker.counts.borrow_mut());
        end
    }

    fn turns(&mut self, cx: &mut Context<'_>, now_ms: u64) -> Poll<End> {
        if let Some((_, sleep)) = &mut self.sleep
            && sleep.as_mut().poll(cx).is_ready()
        {
            self.sleep = None;
        }
        if let Err(bad) = self.sessions.resume(&mut self.worker.handle.borrow_mut(), now_ms, cx.waker()) {
            return Poll::Ready(End::Bad(bad));
        }
        for turn in 0..=TURNS_MAX {
            if let Err(bad) = self.sessions.take_news(cx.waker()) {
                return Poll::Ready(End::Bad(bad));
            }
            match self.write(cx) {
                Err(error) => return Poll::Ready(End::Io(error)),
                Ok(true) if self.sessions.outbox().unsent_bytes() > UNSENT_BYTES_MAX => break,
                Ok(_) => {}
            }
            if turn == TURNS_MAX {
                // Others first; there may be more.
                cx.waker().wake_by_ref();
                break;
            }
            match self.poll_read(cx) {
                Poll::Pending => break,
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => return Poll::Ready(End::Closed),
                Poll::Ready(Err(end)) => return Poll::Ready(end),
            }
        }
        self.set_deadline(cx);
        self.sessions.go_on_later(cx);
        Poll::Pending
    }

    /// Reads what the socket has and serves it. False: the peer has closed.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, End>> {
        let worker = self.worker.clone();
        let mut scratch = worker.scratch.borrow_mut();
        let kept = self.unread.len();
        let wanted = frame::wanted(&self.unread).unwrap_or(0);
        if wanted > scratch.len() {
            return self.poll_read_long(cx, wanted, &mut scratch);
        }
        scratch[..kept].copy_from_slice(&self.unread);
        let mut buf = ReadBuf::new(&mut scratch[kept..]);
        match ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buf)) {
            Ok(()) if buf.filled().is_empty() => return Poll::Ready(Ok(false)),
            Ok(()) => {}
            Err(error) => return Poll::Ready(Err(End::Io(error))),
        }
        let read = buf.filled().len();
        let bytes = &scratch[..kept + read];
        let consumed = match self.take(cx, bytes) {
            Ok(consumed) => consumed,
            Err(end) => return Poll::Ready(Err(end)),
        };
        self.unread.clear();
        self.unread.extend_from_slice(&bytes[consumed..]);
        Poll::Ready(Ok(true))
    }

    /// As `poll_read`, for a frame that is longer than the buffer.
    fn poll_read_long(&mut self, cx: &mut Context<'_>, wanted: usize, scratch: &mut [u8]) -> Poll<Result<bool, End>> {
        let missing = wanted.saturating_sub(self.unread.len()).clamp(1, scratch.len());
        let mut buf = ReadBuf::new(&mut scratch[..missing]);
        match ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buf)) {
            Ok(()) if buf.filled().is_empty() => return Poll::Ready(Ok(false)),
            Ok(()) => self.unread.extend_from_slice(buf.filled()),
            Err(error) => return Poll::Ready(Err(End::Io(error))),
        }
        if self.unread.len() < wanted {
            return Poll::Ready(Ok(true));
        }
        let mut unread = std::mem::take(&mut self.unread);
        match self.take(cx, &unread) {
            Ok(consumed) => {
                unread.drain(..consumed);
                self.unread = unread;
                Poll::Ready(Ok(true))
            }
            Err(end) => Poll::Ready(Err(end)),
        }
    }

    fn take(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Result<usize, End> {
        let mut handle = self.worker.handle.borrow_mut();
        self.sessions.take(&mut handle, bytes, unix_ns() / 1_000_000, cx.waker()).map_err(End::Bad)
    }

    /// One write, if there is anything to send; says whether the socket takes no more for now.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        loop {
            let Some(bytes) = self.sessions.outbox().chunk() else { return Ok(false) };
            let len = bytes.len();
            match self.socket.try_write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => {
                    self.sessions.outbox().advance(sent);
                    self.sessions.counts().bytes_out += sent as u64;
                    if sent == len && self.sessions.outbox().is_empty() {
                        return Ok(false);
                    }
                    if sent == len {
                        // A long reply goes on; requests that came meanwhile first.
                        cx.waker().wake_by_ref();
                        return Ok(false);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match self.socket.poll_write_ready(cx) {
                    Poll::Pending => return Ok(true),
                    Poll::Ready(ready) => ready?,
                },
                Err(error) => return Err(error),
            }
        }
    }

    fn set_deadline(&mut self, cx: &mut Context<'_>) {
        let Some(deadline) = self.sessions.deadline_ms() else {
            self.sleep = None;
            return;
        };
        if self.sleep.as_ref().is_some_and(|(until, _)| *until == deadline) {
            return;
        }
        let wait = Duration::from_millis(deadline.saturating_sub(unix_ns() / 1_000_000) + 1);
        let mut sleep = Box::pin(sleep_until(Instant::now() + wait));
        if sleep.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        self.sleep = Some((deadline, sleep));
    }
}

impl Future for Link {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.drive(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(end) => {
                match end {
                    End::Closed => tracing::debug!("a link has ended"),
                    End::Io(error) => tracing::warn!(%error, "a link was lost"),
                    End::Bad(error) => tracing::error!(%error, "a link was closed for what came over it"),
                }
                Poll::Ready(())
            }
        }
    }
}

#[inline]
pub(crate) fn unix_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
