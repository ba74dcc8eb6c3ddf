//! A node's link to the scaler: joins, hears, says, and joins again when the link is lost. The node serves on meanwhile.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::time::Duration;

use swell_ring::NodeId;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, timeout};

use crate::control::{FromMember, Join, Role, ToMember, Welcome};
use crate::host::wire::{GREETING_WAIT, LinkError, Wire, Writer};
use crate::link::frame::{self, BadFrame, Kind};
use crate::link::hello::{Hello, Purpose};
use crate::link::socket::Address;

/// Between two attempts to reach the scaler: from this, doubled, to [`RETRY_MAX`]; up to a half more at random.
const RETRY_MIN: Duration = Duration::from_millis(50);
/// See [`RETRY_MIN`].
const RETRY_MAX: Duration = Duration::from_secs(1);
/// Bytes that may wait to be sent. A scaler that lets more pile up is given up, and the link made anew.
pub const OUTBOX_BYTES_MAX: usize = 1024 * 1024;
/// Messages of the scaler that may wait for the executor.
pub const NEWS_MAX: usize = 64;

/// What the executor hears.
#[derive(Debug)]
pub enum News {
    /// Joined, again: map and state may have changed.
    Welcome(Box<Welcome>),
    /// The scaler does not want this node any more.
    Refused(String),
    Said(ToMember),
}

/// Who joins where.
#[derive(Clone, Debug)]
pub struct Caller {
    pub scaler: Address,
    pub secret: String,
    pub advertise: String,
    pub zone: String,
    pub boot: String,
    /// Known after the first time.
    pub id: Option<NodeId>,
}

/// Why joining failed.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("the scaler cannot be reached: {0}")]
    Link(#[from] LinkError),
    #[error("the scaler refused: {0}")]
    Refused(String),
}

/// What waits to be sent to the scaler. What is said while there is no link is lost: the scaler asks again.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: RefCell<Vec<u8>>,
    changed: Notify,
    has_link: Cell<bool>,
    is_full: Cell<bool>,
}

impl Outbox {
    /// Says something.
    pub fn say(&self, message: &FromMember) {
        if !self.has_link.get() {
            return;
        }
        let mut bytes = self.bytes.borrow_mut();
        frame::json(Kind::Control, message, &mut bytes);
        if bytes.len() > OUTBOX_BYTES_MAX {
            bytes.clear();
            self.has_link.set(false);
            self.is_full.set(true);
        }
        self.changed.notify_one();
    }

    fn open(&self, is_open: bool) {
        self.bytes.borrow_mut().clear();
        self.is_full.set(false);
        self.has_link.set(is_open);
    }
}

impl Caller {
    /// Joins.
    ///
    /// # Errors
    /// Nobody answers there in bounded time, or the scaler refuses.
    pub async fn join(&self) -> Result<(Wire, Box<Welcome>), JoinError> {
        let mut wire = Wire::call(&self.scaler, &Hello::new(Purpose::Control, &self.secret, None)).await?;
        let join = Join {
            role: Role::Node,
            advertise: self.advertise.clone(),
            zone: self.zone.clone(),
            pid: std::process::id(),
            boot: self.boot.clone(),
            id: self.id,
        };
        let mut bytes = Vec::new();
        frame::json(Kind::Control, &FromMember::Join(join), &mut bytes);
        wire.writer().write(&bytes).await?;
        let answer = timeout(GREETING_WAIT, hear(&mut wire)).await.map_err(|_| LinkError::Silent(GREETING_WAIT))??;
        match answer {
            ToMember::Welcome(welcome) => Ok((wire, welcome)),
            ToMember::Refused { why } => Err(JoinError::Refused(why)),
            _ => Err(LinkError::from(BadFrame::OutOfPlace("no answer to Join")).into()),
        }
    }

    /// Joins as soon as it can, but for `wait` at most.
    ///
    /// # Errors
    /// The scaler refuses, or what kept it from joining all that time.
    pub async fn join_within(&self, wait: Duration) -> Result<(Wire, Box<Welcome>), JoinError> {
        let (until, mut retry) = (Instant::now() + wait, RETRY_MIN);
        loop {
            match self.join().await {
                // Who is refused for his secret or protocol will be refused again.
                Err(JoinError::Link(error)) if Instant::now() < until && !matches!(error, LinkError::Refused(_)) => {
                    tracing::debug!(%error, "the scaler cannot be reached yet");
                    pause(&mut retry).await;
                }
                done => return done,
            }
        }
    }
}

/// Keeps the link, and makes it anew when it is lost, for as long as it is polled and the executor listens.
/// `first` has just joined, if it is there.
pub async fn keep(caller: Caller, first: Option<(Wire, Box<Welcome>)>, outbox: Rc<Outbox>, news: mpsc::Sender<News>) {
    let (mut joined, mut retry) = (first.map(Ok), RETRY_MIN);
    loop {
        let next = match joined.take() {
            Some(first) => first,
            None => caller.join().await,
        };
        let is_heard = match next {
            Ok((wire, welcome)) => {
                retry = RETRY_MIN;
                follow(wire, welcome, &outbox, &news).await
            }
            Err(JoinError::Refused(why)) => news.send(News::Refused(why)).await.is_ok(),
            Err(JoinError::Link(error)) => {
                tracing::debug!(%error, "the scaler cannot be reached");
                true
            }
        };
        if !is_heard {
            return;
        }
        pause(&mut retry).await;
    }
}

/// From the welcome until the link is lost; says whether anybody listens still.
async fn follow(mut wire: Wire, welcome: Box<Welcome>, outbox: &Outbox, news: &mpsc::Sender<News>) -> bool {
    outbox.open(true);
    if news.send(News::Welcome(welcome)).await.is_err() {
        return false;
    }
    let error = converse(&mut wire, outbox, news).await;
    outbox.open(false);
    tracing::warn!(%error, "the link to the scaler is lost");
    !news.is_closed()
}

/// Says and hears until the link is lost.
async fn converse(wire: &mut Wire, outbox: &Outbox, news: &mpsc::Sender<News>) -> LinkError {
    let writer = wire.writer();
    let hearing = async {
        loop {
            let message = match hear(wire).await {
                Ok(message) => message,
                Err(error) => return error,
            };
            if news.send(News::Said(message)).await.is_err() {
                return LinkError::Closed;
            }
        }
    };
    tokio::select! {
        error = hearing => error,
        error = send_all(&writer, outbox) => error,
    }
}

/// Sends what is said. The writer gives a scaler up that takes nothing; one that takes too little fills the outbox.
async fn send_all(writer: &Writer, outbox: &Outbox) -> LinkError {
    loop {
        let bytes = std::mem::take(&mut *outbox.bytes.borrow_mut());
        if outbox.is_full.get() {
            return LinkError::Behind(OUTBOX_BYTES_MAX);
        }
        if bytes.is_empty() {
            outbox.changed.notified().await;
        } else if let Err(error) = writer.write(&bytes).await {
            return error;
        }
    }
}

/// The next message.
async fn hear(wire: &mut Wire) -> Result<ToMember, LinkError> {
    let frame = wire.next().await?;
    match frame.kind {
        Kind::Control => Ok(serde_json::from_slice(frame.rest)?),
        _ => Err(BadFrame::OutOfPlace("a control link carries control messages only").into()),
    }
}

async fn pause(retry: &mut Duration) {
    let jitter = RandomState::new().hash_one(0) % (retry.as_millis() as u64 / 2 + 1);
    sleep(*retry + Duration::from_millis(jitter)).await;
    *retry = (*retry * 2).min(RETRY_MAX);
}
