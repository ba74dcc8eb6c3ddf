//! A link's task: connects, writes what clients have put there, hands replies to whom they belong; begins again when the
//! connection is lost.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use swell_node::broker::Matter;
use swell_node::link::frame::{self, BadFrame, ChunkHead, CreditHead, Frame, Kind, ReplyHead};
use swell_node::link::hello::{Answer, Hello, Purpose};
use swell_node::link::serve::Sessions;
use swell_node::link::socket::{Address, Socket};
use swell_node::link::stats::Counts as FrameCounts;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Sleep;

use crate::core::Core;
use crate::shared::unix_ms;
use crate::upstream::link::{Link, Upstream};
use crate::worker::Worker;

/// Bytes read from a link at once.
const READ_BYTES: usize = 256 * 1024;
/// Until a connection is made and greeted.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// Pause before the next attempt: doubles from the first to the second.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Frame(#[from] BadFrame),
    #[error("the node refused: {0}")]
    Refused(String),
    #[error("the node did not answer in time")]
    Silent,
}

/// Keeps a link for as long as it is needed.
pub async fn run(worker: Rc<Worker>, link: Rc<Link>) {
    if link.upstream() == Upstream::Embedded {
        return embedded(&worker, &link).await;
    }
    let mut pause = PAUSE_MIN;
    while !link.is_retired() {
        let lost = match connect(&worker, &link).await {
            Ok(socket) => {
                pause = PAUSE_MIN;
                link.came_up();
                worker.core.borrow_mut().desk.flushes.meet(link.node());
                worker.upstreams.changed();
                let lost = exchange(&worker, &link, &socket).await;
                drop(socket);
                settle(&worker, &link);
                lost
            }
            Err(lost) => lost,
        };
        if link.is_retired() {
            break;
        }
        tracing::debug!(node = %link.node(), address = link.address(), %lost, "no link to a node");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// The connection is lost: everybody who waits for it learns what becomes of the requests.
fn settle(worker: &Rc<Worker>, link: &Rc<Link>) {
    let (incarnation, written) = link.went_down();
    let mut core = worker.core.borrow_mut();
    for flights in worker.upstreams.seated() {
        flights.borrow_mut().on_lost(&mut core, link, incarnation, written);
    }
    core.desk.on_lost(link);
    worker.on_link_lost(&core);
    drop(core);
    worker.upstreams.changed();
}

async fn connect(worker: &Rc<Worker>, link: &Rc<Link>) -> Result<Socket, Lost> {
    let attempt = async {
        let address: Address = link.address().parse().map_err(std::io::Error::other)?;
        let mut socket = Socket::connect(&address).await?;
        let mut hello = Vec::new();
        let greeting = Hello::new(Purpose::Sessions, &worker.shared.cluster_secret, Some(link.node()));
        frame::json(Kind::Hello, &greeting, &mut hello);
        socket.write_all(&hello).await?;
        match answer(&mut socket).await? {
            Answer::Welcome { .. } => Ok(socket),
            Answer::Refused { why } => Err(Lost::Refused(why.to_string())),
        }
    };
    tokio::time::timeout(CONNECT_MAX, attempt).await.unwrap_or(Err(Lost::Silent))
}

async fn answer(socket: &mut Socket) -> Result<Answer, Lost> {
    let mut prefix = [0; frame::PREFIX_BYTES];
    socket.read_exact(&mut prefix).await?;
    let len = frame::wanted(&prefix).unwrap_or(0) - frame::PREFIX_BYTES;
    let mut bytes = prefix.to_vec();
    bytes.resize(frame::PREFIX_BYTES + len, 0);
    socket.read_exact(&mut bytes[frame::PREFIX_BYTES..]).await?;
    match Frame::first(&bytes)? {
        Some(Frame { kind: Kind::Hello, rest, .. }) => {
            serde_json::from_slice(rest).map_err(|_| BadFrame::OutOfPlace("a greeting that is none").into())
        }
        _ => Err(BadFrame::OutOfPlace("something else than a greeting").into()),
    }
}

/// Reads and writes until the connection is lost or not needed any more.
async fn exchange(worker: &Rc<Worker>, link: &Rc<Link>, socket: &Socket) -> Lost {
    let mut buffer = vec![0; READ_BYTES];
    // Bytes of a frame that is not complete yet stand at the front.
    let mut filled = 0;
    poll_fn(|cx| {
        link.set_waker(cx.waker());
        if link.is_retired() {
            return Poll::Ready(Lost::Io(std::io::ErrorKind::NotConnected.into()));
        }
        match poll_read(worker, link, socket, cx, &mut buffer, &mut filled)
            .and_then(|()| Ok(poll_write(link, socket, cx)?))
        {
            Ok(()) => Poll::Pending,
            Err(lost) => Poll::Ready(lost),
        }
    })
    .await
}

fn poll_read(
    worker: &Rc<Worker>,
    link: &Rc<Link>,
    socket: &Socket,
    cx: &mut Context<'_>,
    buffer: &mut Vec<u8>,
    filled: &mut usize,
) -> Result<(), Lost> {
    while let Poll::Ready(ready) = socket.poll_read_ready(cx) {
        ready?;
        if let Some(wanted) = frame::wanted(&buffer[..*filled])
            && wanted > buffer.len()
        {
            buffer.resize(wanted, 0);
        }
        match socket.try_read(&mut buffer[*filled..]) {
            Ok(0) => return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
            Ok(read) => {
                *filled += read;
                let consumed = dispatch(worker, link, &buffer[..*filled])?;
                buffer.copy_within(consumed..*filled, 0);
                *filled -= consumed;
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn poll_write(link: &Rc<Link>, socket: &Socket, cx: &mut Context<'_>) -> std::io::Result<()> {
    while !link.write_with(|bytes| socket.try_write(bytes))? {
        match socket.poll_write_ready(cx) {
            Poll::Ready(ready) => ready?,
            Poll::Pending => break,
        }
    }
    Ok(())
}

/// Hands all complete frames to whom they belong; returns how many bytes that were.
fn dispatch(worker: &Rc<Worker>, link: &Rc<Link>, bytes: &[u8]) -> Result<usize, BadFrame> {
    let mut core = worker.core.borrow_mut();
    let started = worker.begin_batch(&mut core);
    let mut consumed = 0;
    while let Some(frame) = Frame::first(&bytes[consumed..])? {
        deliver(worker, &mut core, link, &frame)?;
        consumed += frame.bytes;
    }
    if !core.desk.stale.is_empty() {
        worker.tell_pending(&mut core);
    }
    worker.end_batch(&mut core, started);
    Ok(consumed)
}

#[inline]
fn deliver(worker: &Rc<Worker>, core: &mut Core, link: &Rc<Link>, frame: &Frame<'_>) -> Result<(), BadFrame> {
    match frame.kind {
        Kind::Reply => {
            let (head, body) = ReplyHead::read(frame.rest)?;
            if let Some(flights) = worker.upstreams.seat(head.session) {
                let mut flights = flights.borrow_mut();
                flights.on_reply(core, link, head, body)?;
                flights.wake();
            }
        }
        Kind::Chunk => {
            let (head, piece) = ChunkHead::read(frame.rest)?;
            if let Some(flights) = worker.upstreams.seat(head.session) {
                let mut flights = flights.borrow_mut();
                flights.on_chunk(core, link, head.id, head.last, piece)?;
                flights.wake();
            }
        }
        Kind::Credit => link.on_credit(CreditHead::read(frame.rest)?),
        Kind::Push => match core.desk.on_push(link, frame.rest)? {
            Some(published) if matches!(published.matter(), Matter::Channel(_)) => core.desk.deliver(&published),
            Some(published) => worker.on_stale(core, link, &published),
            None => {}
        },
        Kind::Subscribed => core.desk.on_subscribed(link, frame.rest)?,
        _ => return Err(BadFrame::OutOfPlace("a node sends replies only")),
    }
    Ok(())
}

/// The node inside this process: frames are handed over as function calls.
async fn embedded(worker: &Rc<Worker>, link: &Rc<Link>) {
    let mut sessions = Sessions::here(worker.shared.node.clone(), worker.shared.view.clone());
    worker.core.borrow().desk.peer().set_link(sessions.link());
    worker.core.borrow_mut().frames = FrameCounts::with_heat();
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|cx| {
        link.set_waker(cx.waker());
        if link.is_retired() {
            return Poll::Ready(());
        }
        loop {
            if let Err(error) = pass_on(worker, link, &mut sessions, cx) {
                // Both ends are this process: it is a fault of ours.
                tracing::error!(%error, "the node inside this process and its proxy disagree");
                return Poll::Ready(());
            }
            sessions.go_on_later(cx);
            let Some(deadline_ms) = sessions.deadline_ms() else { return Poll::Pending };
            let left = Duration::from_millis(deadline_ms.saturating_sub(unix_ms()));
            let mut sleep = Box::pin(tokio::time::sleep(left));
            let is_over = sleep.as_mut().poll(cx).is_ready();
            timer = Some(sleep);
            if !is_over {
                return Poll::Pending;
            }
        }
    })
    .await;
    drop(timer);
    settle(worker, link);
}

/// What had to wait goes on, and is counted with the rest.
fn resume(core: &mut Core, sessions: &mut Sessions, cx: &mut Context<'_>) -> Result<(), Lost> {
    sessions.swap_counts(&mut core.frames);
    let resumed = sessions.resume(&mut core.handle, unix_ms(), cx.waker());
    sessions.swap_counts(&mut core.frames);
    Ok(resumed?)
}

/// Hands over what there is and takes what comes back, until neither moves.
fn pass_on(worker: &Rc<Worker>, link: &Rc<Link>, sessions: &mut Sessions, cx: &mut Context<'_>) -> Result<(), Lost> {
    loop {
        link.write_with(|bytes| {
            let core = &mut *worker.core.borrow_mut();
            sessions.swap_counts(&mut core.frames);
            let taken = sessions.take(&mut core.handle, bytes, unix_ms(), cx.waker());
            sessions.swap_counts(&mut core.frames);
            taken.map_err(std::io::Error::other)
        })?;
        resume(&mut worker.core.borrow_mut(), sessions, cx)?;
        sessions.take_news(cx.waker())?;
        let Some(bytes) = sessions.outbox().chunk().map(<[u8]>::to_vec) else { return Ok(()) };
        let consumed = dispatch(worker, link, &bytes)?;
        worker.core.borrow_mut().frames.bytes_out += consumed as u64;
        sessions.outbox().advance(consumed);
    }
}
