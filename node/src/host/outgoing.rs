//! The source's end of streams: each is pumped in slices, written as fast as the socket and the bound let it, sealed
//! when the step function says so.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, spawn_local, yield_now};
use tokio::time::{Instant, sleep};

use crate::embedded::Handle;
use crate::handover::local::Input;
use crate::handover::message::{Failure, Group, HandoverId};
use crate::handover::source;
use crate::host::bucket::Bucket;
use crate::host::executor::tell;
use crate::host::incoming::Begin;
use crate::host::wire::{LinkError, Wire, Writer};
use crate::link::frame::{self, Kind};
use crate::link::hello::{Hello, Purpose};
use crate::link::socket::Address;
use crate::stream::source::Outgoing;

/// Bytes pumped before others get their turn, and that wait for the socket at most (one record may exceed it).
const SLICE_BYTES: usize = 64 * 1024;
/// A group is sealed once its snapshot is out and no more than this waits to be sent.
pub const SPOOL_SMALL_BYTES: usize = 64 * 1024;
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
#[derive(Default)]
pub struct Streams(HashMap<HandoverId, Running>);

/// One stream; ends when dropped.
struct Running {
    /// All gates are Sealed.
    sealed: Rc<Notify>,
    task: AbortHandle,
}

/// One stream's task.
struct Pump {
    id: HandoverId,
    stream: Outgoing,
    handle: Rc<RefCell<Handle>>,
    report: mpsc::Sender<Input>,
    writer: Writer,
    bucket: Bucket,
    buffer: Vec<u8>,
    reported: Instant,
}

impl Streams {
    /// Whether none is under way.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Begins one.
    pub fn start(&mut self, job: Job, handle: &Rc<RefCell<Handle>>, report: &mpsc::Sender<Input>) {
        let (id, sealed) = (job.group.id, Rc::new(Notify::new()));
        let task = spawn_local(run(job, handle.clone(), report.clone(), sealed.clone()));
        self.0.insert(id, Running { sealed, task: task.abort_handle() });
    }

    /// The group's gates are Sealed: its tail and end go out.
    pub fn seal(&mut self, id: HandoverId) {
        if let Some(running) = self.0.get(&id) {
            running.sealed.notify_one();
        }
    }

    /// Ends one, if it is under way.
    pub fn stop(&mut self, id: HandoverId) {
        self.0.remove(&id);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(job: Job, handle: Rc<RefCell<Handle>>, report: mpsc::Sender<Input>, sealed: Rc<Notify>) {
    let id = job.group.id;
    if let Err(why) = stream(job, handle, &report, &sealed).await {
        tell(&report, source::Input::StreamBroken { id, why }).await;
    }
}

async fn stream(
    job: Job,
    handle: Rc<RefCell<Handle>>,
    report: &mpsc::Sender<Input>,
    sealed: &Notify,
) -> Result<(), Failure> {
    let mut wire = connect(&job).await.map_err(broken)?;
    let (now, node) = (Instant::now(), handle.borrow().node().clone());
    let mut pump = Pump {
        id: job.group.id,
        stream: Outgoing::begin(node, &job.group.slots),
        handle,
        report: report.clone(),
        writer: wire.writer(),
        bucket: Bucket::new(job.bytes_per_second_max, now),
        buffer: Vec::new(),
        reported: now,
    };
    tokio::select! {
        done = pump.run(sealed) => done?,
        error = wire.closed() => return Err(broken(error)),
    }
    // The target has all of it, or will find out. The stream stays until it is stopped.
    Err(broken(wire.closed().await))
}

impl Pump {
    /// Copies, waits for the seal, sends the rest.
    async fn run(&mut self, sealed: &Notify) -> Result<(), Failure> {
        let id = self.id;
        while !self.slice()? {
            let wait = self.send().await?;
            self.progress().await;
            match wait {
                Duration::ZERO => yield_now().await,
                wait => sleep(wait).await,
            }
        }
        self.send().await?;
        tell(&self.report, source::Input::CopyDrained { id }).await;
        sealed.notified().await;
        self.finish()?;
        self.send().await?;
        tell(&self.report, source::Input::StreamSent { id }).await;
        Ok(())
    }
}

impl Pump {
    fn slice(&mut self) -> Result<bool, Failure> {
        Ok(true)
    }
    fn finish(&mut self) -> Result<(), Failure> {
        let at = frame::begin(Kind::Stream, &mut self.buffer);
        frame::end(at, &mut self.buffer);
        Ok(())
    }
    async fn send(&mut self) -> Result<Duration, Failure> {
        self.writer.write(&self.buffer).await.map_err(broken)?;
        let wait = self.bucket.take(self.buffer.len(), Instant::now());
        self.buffer.clear();
        Ok(wait)
    }
    async fn progress(&mut self) {}
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
