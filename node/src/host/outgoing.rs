//! The source's end of streams: each is pumped in slices, written as fast as the socket and the bound let it, sealed
//! when the step function says so.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, spawn_local, yield_now};
use tokio::time::{Instant, sleep, timeout};

use crate::embedded::Node;
use crate::handover::local::Input;
use crate::handover::message::{Failure, Group, HandoverId};
use crate::handover::source;
use crate::host::bucket::Bucket;
use crate::host::executor::tell;
use crate::host::incoming::{Aside, Begin, say};
use crate::host::pace::{Pace, SEALED_TICK};
use crate::host::wire::{LinkError, STALL_WAIT, Wire, Writer};
use crate::link::frame::{self, BadFrame, CHUNK_BYTES, Kind};
use crate::link::hello::{Hello, Purpose};
use crate::link::socket::Address;
use crate::stream::StreamError;
use crate::stream::source::{Outgoing, Pumped};

/// Streams out of one node at a time: each may hold a spool.
pub const STREAMS_MAX: usize = 64;
/// Keys copied before others get their turn; some hundred microseconds' work.
const KEYS_PER_SLICE: usize = 512;
/// Bytes that wait for the socket at most (one record may exceed it), and that are written before others get their turn.
const SLICE_BYTES_MAX: usize = 256 * 1024;
/// A bounded stream is written in smaller slices, but not in smaller ones than this.
const SLICE_BYTES_MIN: usize = 4 * 1024;
/// A bounded stream's slice is what goes out in this part of a second.
const SLICES_PER_SECOND: u64 = 20;
/// A group is sealed once its snapshot is out and no more than this waits to be sent.
pub const SPOOL_SMALL_BYTES: u64 = 64 * 1024;
/// How often a target is waited for before the seal, so that no more than that is left to be applied, at most: where
/// clients write faster than it applies, the seal has to come some time.
const CATCH_UPS_MAX: usize = 8;
/// How long a target may wait, before the copy, until those are known to it who have subscribed at the source ...
const SUBSCRIBERS_WAIT: Duration = Duration::from_secs(2);
/// ... and once more while the group is sealed.
const SEALED_SUBSCRIBERS_WAIT: Duration = Duration::from_millis(5);
/// Between two reports of how far a copy is.
const PROGRESS_TICK: Duration = Duration::from_millis(250);

/// What is to be streamed where.
#[derive(Clone, Debug)]
pub struct Job {
    pub group: Group,
    pub target_address: String,
    /// 0: no bound.
    pub bytes_per_second_max: u64,
    pub secret: String,
}

/// The streams under way.
pub struct Streams {
    running: HashMap<HandoverId, Running>,
    pace: Pace,
}

/// One stream; ends when dropped. The gates are the executor's: the end of a stream never changes them.
struct Running {
    /// There once the target has answered.
    stream: Rc<RefCell<Option<Outgoing>>>,
    /// All gates are Sealed.
    sealed: Rc<Notify>,
    task: AbortHandle,
    pace: Pace,
    is_sealed: bool,
}

/// One stream's task.
struct Pump {
    node: Arc<Node>,
    id: HandoverId,
    stream: Rc<RefCell<Option<Outgoing>>>,
    report: mpsc::Sender<Input>,
    writer: Writer,
    /// The target has applied what it was asked about.
    applied: Rc<Notify>,
    pace: Pace,
    bucket: Bucket,
    slice_bytes: usize,
    buffer: Vec<u8>,
    reported: Instant,
}

impl Default for Streams {
    fn default() -> Streams {
        Streams { running: HashMap::new(), pace: Pace::new(Instant::now()) }
    }
}

impl Streams {
    /// Whether none is under way.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// What bulk work of this thread keeps to.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Begins one.
    ///
    /// # Errors
    /// There are [`STREAMS_MAX`] already.
    pub fn start(&mut self, job: Job, node: &Arc<Node>, report: &mpsc::Sender<Input>) -> Result<(), Failure> {
        if self.running.len() >= STREAMS_MAX {
            return Err(Failure::Stream(format!("{STREAMS_MAX} others are under way")));
        }
        let (id, sealed, stream) = (job.group.id, Rc::new(Notify::new()), Rc::default());
        let pace = self.pace.clone();
        let task = spawn_local(run(job, node.clone(), report.clone(), sealed.clone(), Rc::clone(&stream), pace));
        let (task, pace) = (task.abort_handle(), self.pace.clone());
        self.running.insert(id, Running { stream, sealed, task, pace, is_sealed: false });
        Ok(())
    }

    /// Sets the group's gates to Sealed and counts its keys; then its tail and end go out.
    ///
    /// # Errors
    /// The stream has just failed.
    pub fn seal(&mut self, id: HandoverId) -> Result<(), Failure> {
        let running = self.running.get_mut(&id).ok_or(StreamError::Over)?;
        running.stream.borrow_mut().as_mut().ok_or(StreamError::Over)?.seal()?;
        if !std::mem::replace(&mut running.is_sealed, true) {
            self.pace.sealed(Instant::now());
        }
        running.sealed.notify_one();
        Ok(())
    }

    /// Ends one, if it is under way.
    pub fn stop(&mut self, id: HandoverId) {
        self.running.remove(&id);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
        if self.is_sealed {
            self.pace.unsealed();
        }
        if let Some(stream) = self.stream.borrow_mut().take() {
            stream.cut();
        }
    }
}

async fn run(
    job: Job,
    node: Arc<Node>,
    report: mpsc::Sender<Input>,
    sealed: Rc<Notify>,
    stream: Rc<RefCell<Option<Outgoing>>>,
    pace: Pace,
) {
    let id = job.group.id;
    if let Err(why) = copy(job, node, &report, &sealed, stream, pace).await {
        tell(&report, source::Input::StreamBroken { id, why }).await;
    }
}

async fn copy(
    job: Job,
    node: Arc<Node>,
    report: &mpsc::Sender<Input>,
    sealed: &Notify,
    stream: Rc<RefCell<Option<Outgoing>>>,
    pace: Pace,
) -> Result<(), Failure> {
    let mut wire = connect(&job).await.map_err(broken)?;
    *stream.borrow_mut() = Some(Outgoing::begin(&node, &job.group.slots));
    let (now, applied) = (Instant::now(), Rc::new(Notify::new()));
    let mut pump = Pump {
        node,
        id: job.group.id,
        stream,
        report: report.clone(),
        writer: wire.writer(),
        applied: Rc::clone(&applied),
        pace,
        bucket: Bucket::new(job.bytes_per_second_max, now),
        slice_bytes: slice_bytes(job.bytes_per_second_max),
        buffer: Vec::new(),
        reported: now,
    };
    tokio::select! {
        done = pump.run(sealed) => done?,
        error = listen(&mut wire, &applied) => return Err(broken(error)),
    }
    // The target has all of it, or will find out. The link stays until the stream is stopped.
    Err(broken(wire.closed().await))
}

impl Pump {
    /// Copies, waits for the seal, sends the rest.
    async fn run(&mut self, sealed: &Notify) -> Result<(), Failure> {
        let id = self.id;
        self.say_subscribers(SUBSCRIBERS_WAIT).await?;
        self.copy().await?;
        for _ in 0..CATCH_UPS_MAX {
            self.wait_for_target().await?;
            if self.copy().await? < SPOOL_SMALL_BYTES {
                break;
            }
        }
        self.report_progress(true).await;
        tell(&self.report, source::Input::CopyDrained { id }).await;
        sealed.notified().await;
        // From the seal on nobody new is taken on here: the executor has seen to it.
        self.say_subscribers(SEALED_SUBSCRIBERS_WAIT).await?;
        while !self.with_stream(|stream| Ok(stream.is_drained()))? {
            self.fill()?;
            self.send().await?;
        }
        tell(&self.report, source::Input::StreamSent { id }).await;
        Ok(())
    }

    /// Copies until little is left to be sent; how many bytes went out.
    async fn copy(&mut self) -> Result<u64, Failure> {
        let mut sent = 0;
        loop {
            while self.pace.is_sealed(Instant::now()) {
                sleep(SEALED_TICK).await;
            }
            let began = Instant::now();
            let is_small = self.slice()?;
            let rest = self.pace.worked(began, Instant::now());
            sent += self.buffer.len() as u64;
            let wait = self.send().await?.max(rest);
            self.report_progress(false).await;
            if is_small {
                return Ok(sent);
            }
            match wait {
                Duration::ZERO => yield_now().await,
                wait => sleep(wait).await,
            }
        }
    }

    /// Waits until the target has applied all that went out: sockets hold megabytes, for which writers would wait once
    /// the group is sealed.
    async fn wait_for_target(&mut self) -> Result<(), Failure> {
        say(&self.writer, &Aside::Applied).await.map_err(broken)?;
        let silent = |_| broken(LinkError::Silent(STALL_WAIT));
        timeout(STALL_WAIT, self.applied.notified()).await.map_err(silent)
    }

    /// Who has subscribed here must be known at the target before it can be ready: what is published there reaches
    /// whom it would have reached here.
    async fn say_subscribers(&mut self, wait: Duration) -> Result<(), Failure> {
        let peers: Vec<u64> = self.node.broker().subscribed().into_iter().map(|peer| peer.0).collect();
        if !peers.is_empty() {
            let said = Aside::Subscribers { peers, wait_ms: wait.as_millis() as u64 };
            say(&self.writer, &said).await.map_err(broken)?;
        }
        Ok(())
    }

    /// Copies a slice, and fills the buffer; whether everything has been copied and little is left to be sent.
    fn slice(&mut self) -> Result<bool, Failure> {
        let pumped = self.with_stream(|stream| stream.pump(KEYS_PER_SLICE))?;
        self.fill()?;
        let unsent = self.with_stream(|stream| Ok(stream.progress().spool_bytes))?;
        Ok(pumped == Pumped::Copied && unsent < SPOOL_SMALL_BYTES)
    }

    /// Frames what there is to be sent.
    fn fill(&mut self) -> Result<(), Failure> {
        while self.buffer.len() < self.slice_bytes {
            let (at, buffer) = (frame::begin(Kind::Stream, &mut self.buffer), &mut self.buffer);
            let bytes_max = self.slice_bytes.min(CHUNK_BYTES);
            let taken = match self.stream.borrow_mut().as_mut() {
                Some(stream) => stream.take(buffer, bytes_max)?,
                None => return Err(StreamError::Over.into()),
            };
            if taken == 0 {
                buffer.truncate(at);
                break;
            }
            frame::end(at, buffer);
        }
        Ok(())
    }

    /// Writes the buffer; how long to wait before more is copied.
    async fn send(&mut self) -> Result<Duration, Failure> {
        self.writer.write(&self.buffer).await.map_err(broken)?;
        let wait = self.bucket.take(self.buffer.len(), Instant::now());
        self.buffer.clear();
        Ok(wait)
    }

    async fn report_progress(&mut self, at_once: bool) {
        let now = Instant::now();
        if !at_once && now.duration_since(self.reported) < PROGRESS_TICK {
            return;
        }
        self.reported = now;
        let progress = self.with_stream(|stream| Ok(stream.progress())).unwrap_or_default();
        let input = source::Input::Copied { id: self.id, keys: progress.keys, bytes: progress.bytes_taken };
        tell(&self.report, input).await;
    }

    fn with_stream<R>(&self, act: impl FnOnce(&mut Outgoing) -> Result<R, StreamError>) -> Result<R, Failure> {
        let mut stream = self.stream.borrow_mut();
        Ok(act(stream.as_mut().ok_or(StreamError::Over)?)?)
    }
}

/// Hears what the target says, until the link is lost.
async fn listen(wire: &mut Wire, applied: &Notify) -> LinkError {
    loop {
        match wire.next().await {
            Ok(frame) if frame.kind == Kind::Control => applied.notify_one(),
            Ok(_) => return BadFrame::OutOfPlace("a target says only what it has applied").into(),
            Err(error) => return error,
        }
    }
}

fn slice_bytes(bytes_per_second_max: u64) -> usize {
    match bytes_per_second_max {
        0 => SLICE_BYTES_MAX,
        bound => {
            usize::try_from(bound / SLICES_PER_SECOND).unwrap_or(usize::MAX).clamp(SLICE_BYTES_MIN, SLICE_BYTES_MAX)
        }
    }
}

async fn connect(job: &Job) -> Result<Wire, LinkError> {
    let address: Address = job.target_address.parse().map_err(std::io::Error::other)?;
    let wire = Wire::call(&address, &Hello::new(Purpose::Stream, &job.secret, Some(job.group.to))).await?;
    let mut bytes = Vec::new();
    frame::json(Kind::Control, &Begin { id: job.group.id }, &mut bytes);
    wire.writer().write(&bytes).await?;
    Ok(wire)
}

fn broken(error: LinkError) -> Failure {
    Failure::Stream(error.to_string())
}
