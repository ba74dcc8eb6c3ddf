//! The target's end of streams: each is read, applied a frame at a time, and reported to the step function.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, spawn_local, yield_now};
use tokio::time::{Instant, sleep, timeout};

use crate::broker::PeerId;
use crate::embedded::Handle;
use crate::handover::local::Input;
use crate::handover::message::{Failure, Group, HandoverId};
use crate::handover::target;
use crate::host::executor::tell;
use crate::host::wire::{GREETING_WAIT, LinkError, Wire, Writer};
use crate::link::frame::{self, BadFrame, Kind};
use crate::stream::StreamError;
use crate::stream::target::Incoming;

/// How long a source may send nothing before its stream is given up. (A slow one waits for its bandwidth.)
pub const SILENCE_WAIT: Duration = Duration::from_secs(30);
/// Between two looks whether a subscriber of the source is known here.
const SUBSCRIBERS_LOOK: Duration = Duration::from_millis(1);
/// Bytes applied before others get their turn.
const SLICE_BYTES: usize = 64 * 1024;

/// The first frame of a stream: which hand-over it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    pub id: HandoverId,
}

/// What is said between the frames of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aside {
    /// Who has subscribed at the source (see [`crate::broker`]), and how long to wait until they are known here.
    Subscribers { peers: Vec<u64>, wait_ms: u64 },
    /// From the source: say so when everything before this is applied. From the target: it is.
    Applied,
}

/// The groups that are Dark here, with their streams.
#[derive(Default)]
pub struct Streams(HashMap<HandoverId, Expected>);

/// A group whose slots are Dark. The gates are the executor's.
enum Expected {
    /// No stream has come yet.
    Waits(Incoming),
    Comes(AbortHandle),
}

impl Streams {
    /// Whether nothing is expected.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes a group's slots Dark; its stream may come then. The caller has made sure that there is nothing in them.
    pub fn prepare(&mut self, group: &Group, handle: &mut Handle) {
        self.0.insert(group.id, Expected::Waits(Incoming::prepare(handle, &group.slots)));
    }

    /// The stream has come. A second one for the same attempt is not heard.
    pub fn start(&mut self, id: HandoverId, wire: Wire, handle: &Rc<RefCell<Handle>>, report: &mpsc::Sender<Input>) {
        let incoming = match self.0.remove(&id) {
            Some(Expected::Waits(incoming)) => incoming,
            Some(other) => return drop(self.0.insert(id, other)),
            None => return,
        };
        let (handle, report) = (handle.clone(), report.clone());
        let task = spawn_local(async move {
            let input = match read(wire, incoming, &handle).await {
                Ok(result) => target::Input::StreamEnd { id, result: result.map_err(Failure::from) },
                Err(error) => target::Input::StreamBroken { id, why: Failure::Stream(error.to_string()) },
            };
            tell(&report, input).await;
        });
        self.0.insert(id, Expected::Comes(task.abort_handle()));
    }

    /// Forgets a group; its stream is cut.
    pub fn stop(&mut self, id: HandoverId) {
        if let Some(Expected::Comes(task)) = self.0.remove(&id) {
            task.abort();
        }
    }
}

/// Reads which hand-over a stream is for, and hands it over to the executor.
pub async fn begin(mut wire: Wire, place: mpsc::OwnedPermit<(HandoverId, Wire)>) {
    match timeout(GREETING_WAIT, first(&mut wire)).await.map_err(|_| LinkError::Silent(GREETING_WAIT)) {
        Ok(Ok(Begin { id })) => drop(place.send((id, wire))),
        Ok(Err(error)) | Err(error) => tracing::warn!(%error, "a stream did not begin well"),
    }
}

async fn first(wire: &mut Wire) -> Result<Begin, LinkError> {
    let frame = wire.next().await?;
    match frame.kind {
        Kind::Control => Ok(serde_json::from_slice(frame.rest)?),
        _ => Err(BadFrame::OutOfPlace("a stream does not say what it is for").into()),
    }
}

/// Applies frames until the stream's end, or until one cannot be applied.
async fn read(
    mut wire: Wire,
    mut incoming: Incoming,
    handle: &RefCell<Handle>,
) -> Result<Result<(), StreamError>, LinkError> {
    let mut applied = 0;
    loop {
        let frame = timeout(SILENCE_WAIT, wire.next()).await.map_err(|_| LinkError::Silent(SILENCE_WAIT))??;
        if frame.kind == Kind::Control {
            match serde_json::from_slice(frame.rest)? {
                Aside::Subscribers { peers, wait_ms } => {
                    if !are_known(peers, Duration::from_millis(wait_ms), handle).await {
                        return Ok(Err(StreamError::Subscribers));
                    }
                }
                Aside::Applied => say(&wire.writer(), &Aside::Applied).await?,
            }
            continue;
        }
        if frame.kind != Kind::Stream {
            return Err(BadFrame::OutOfPlace("a stream carries stream frames only").into());
        }
        applied += frame.bytes;
        match apply(&mut incoming, &mut handle.borrow_mut(), frame.rest) {
            Ok(false) => {}
            Ok(true) => return Ok(Ok(())),
            Err(error) => return Ok(Err(error)),
        }
        if applied >= SLICE_BYTES {
            applied = 0;
            yield_now().await;
        }
    }
}

/// Says something between frames.
pub async fn say(writer: &Writer, aside: &Aside) -> Result<(), LinkError> {
    let mut bytes = Vec::new();
    frame::json(Kind::Control, aside, &mut bytes);
    writer.write(&bytes).await
}

/// Waits until all who have subscribed at the source have done so here, too.
async fn are_known(peers: Vec<u64>, wait: Duration, handle: &RefCell<Handle>) -> bool {
    let node = handle.borrow().node().clone();
    let peers: Vec<PeerId> = peers.into_iter().map(PeerId).collect();
    let until = Instant::now() + wait;
    loop {
        if node.broker().knows(&peers) {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        sleep(SUBSCRIBERS_LOOK).await;
    }
}

/// Applies one frame; whether it was the last, and everything has come.
fn apply(incoming: &mut Incoming, handle: &mut Handle, bytes: &[u8]) -> Result<bool, StreamError> {
    incoming.apply(handle, bytes)?;
    if incoming.is_complete() {
        incoming.end(handle)?;
    }
    Ok(incoming.is_complete())
}
