//! The control server: who may connect, and what goes over each control link. What it means is the writer's business.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use swell_node::control::{FromMember, ToMember};
use swell_node::link::frame::{self, Frame, Kind};
use swell_node::link::hello::{Answer, Hello, Purpose, Refused};
use swell_node::link::socket::{Listener, Socket};
use tokio::sync::{Notify, mpsc};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::writer::Input;

/// Control links at most; more are closed at once.
pub const LINKS_MAX: usize = 1024;
/// How long a caller has to say who it is.
pub const HELLO_WAIT: Duration = Duration::from_secs(5);
/// A first frame is no longer than this.
pub const HELLO_BYTES_MAX: usize = 16 * 1024;
/// A member that leaves so much unread is dropped.
pub const UNSENT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// So is one that has read nothing of what was sent for this long.
pub const UNSENT_WAIT: Duration = Duration::from_secs(5);
/// Read at once.
const READ_BYTES: usize = 64 * 1024;
/// After an accept that failed, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Names a link for as long as the scaler runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LinkId(pub u64);

/// One control link, as the writer uses it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    /// The process at the other end, as the system says (Unix sockets), in this process's namespace.
    /// None where it cannot say.
    pub(crate) peer_pid: Option<u32>,
    /// Which start of its process the caller is.
    pub(crate) boot: String,
    socket: Socket,
    outbox: RefCell<Outbox>,
    wake: Notify,
}

/// What was not sent yet.
#[derive(Debug, Default)]
struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
    /// When the bytes that wait last became fewer.
    since: Option<Instant>,
    /// Nothing more will be added; close when it is empty.
    closing: bool,
    lost: Option<String>,
}

/// Accepts for as long as it is not aborted.
pub(crate) async fn serve(listener: Listener, secret: String, inputs: mpsc::Sender<Input>) {
    let secret: Rc<str> = secret.into();
    let (links, mut last) = (Rc::new(Cell::new(0)), 0);
    loop {
        let socket = match listener.accept().await {
            Ok(socket) => socket,
            Err(why) => {
                tracing::warn!(%why, "cannot accept a control link");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if links.get() >= LINKS_MAX {
            tracing::warn!(LINKS_MAX, "too many control links: one was closed");
            continue;
        }
        last += 1;
        links.set(links.get() + 1);
        let (secret, inputs, links) = (secret.clone(), inputs.clone(), links.clone());
        spawn_local(async move {
            serve_link(LinkId(last), socket, &secret, &inputs).await;
            links.set(links.get() - 1);
        });
    }
}

impl Link {
    /// Sends a message, now as far as the socket takes it.
    pub(crate) fn send(&self, message: &ToMember) {
        self.send_bytes(&encoded(message));
    }

    /// Sends what [`encoded`] made.
    pub(crate) fn send_bytes(&self, bytes: &[u8]) {
        let mut outbox = self.outbox.borrow_mut();
        if outbox.closing || outbox.lost.is_some() {
            return;
        }
        outbox.bytes.extend_from_slice(bytes);
        outbox.flush(&self.socket);
        if outbox.unsent() > UNSENT_BYTES_MAX {
            outbox.lost = Some(format!("it left {} bytes unread", outbox.unsent()));
        }
        if outbox.unsent() > 0 || outbox.lost.is_some() {
            self.wake.notify_one();
        }
    }

    /// Bytes that its reader has left.
    pub(crate) fn unsent_bytes(&self) -> usize {
        self.outbox.borrow().unsent()
    }

    /// Sends what is still to be sent, and closes.
    pub(crate) fn close(&self) {
        self.outbox.borrow_mut().closing = true;
        self.wake.notify_one();
    }

    fn state(&self) -> (bool, Option<Instant>, Option<String>) {
        let outbox = self.outbox.borrow();
        let over = outbox.closing && outbox.unsent() == 0;
        let why = outbox.lost.clone().or_else(|| over.then(|| "closed".to_owned()));
        (outbox.unsent() > 0, outbox.since.map(|since| since + UNSENT_WAIT), why)
    }

    fn flush(&self) {
        self.outbox.borrow_mut().flush(&self.socket);
    }
}

impl Outbox {
    fn unsent(&self) -> usize {
        self.bytes.len() - self.sent
    }

    fn flush(&mut self, socket: &Socket) {
        while self.unsent() > 0 {
            match socket.try_write(&self.bytes[self.sent..]) {
                Ok(0) => self.lost = Some("closed".to_owned()),
                Ok(bytes) => {
                    self.sent += bytes;
                    self.since = Some(Instant::now());
                    continue;
                }
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => {}
                Err(why) if why.kind() == io::ErrorKind::Interrupted => continue,
                Err(why) => self.lost = Some(why.to_string()),
            }
            self.since.get_or_insert_with(Instant::now);
            return;
        }
        self.bytes.clear();
        self.sent = 0;
        self.since = None;
    }
}

/// A message as it goes over links, to be made once for many.
pub(crate) fn encoded(message: &ToMember) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::json(Kind::Control, message, &mut bytes);
    bytes
}

async fn serve_link(id: LinkId, socket: Socket, secret: &str, inputs: &mpsc::Sender<Input>) {
    let mut unread = Vec::new();
    let hello = match timeout(HELLO_WAIT, greeting(&socket, &mut unread)).await {
        Ok(Ok(hello)) => hello,
        Ok(Err(why)) => return tracing::debug!(%why, "a control link without a greeting"),
        Err(_) => return tracing::debug!("a control link without a greeting for {HELLO_WAIT:?}"),
    };
    let accepted = match hello.purpose {
        Purpose::Control => hello.accept(secret),
        other => Err(Refused::Purpose(other)),
    };
    let answer = match &accepted {
        Ok(protocol) => Answer::Welcome { protocol: *protocol },
        Err(why) => Answer::Refused { why: why.clone() },
    };
    if let Err(why) = timeout(HELLO_WAIT, write_all(&socket, &json_frame(&answer))).await {
        return tracing::debug!(%why, "a control link that reads nothing");
    }
    if let Err(why) = accepted {
        return tracing::warn!(%why, boot = hello.boot, "refused a control link");
    }
    let link = Rc::new(Link {
        id,
        peer_pid: peer_pid(&socket),
        boot: hello.boot,
        socket,
        outbox: RefCell::default(),
        wake: Notify::new(),
    });
    if inputs.send(Input::Linked(link.clone())).await.is_ok() {
        let why = converse(&link, unread, inputs).await;
        // A closed inbox means that the scaler has ended.
        let _ = inputs.send(Input::Lost(id, why)).await;
    }
}

/// Reads and writes until the link is lost; says why.
async fn converse(link: &Link, mut unread: Vec<u8>, inputs: &mpsc::Sender<Input>) -> String {
    loop {
        while let Some((message, bytes)) = match first_message(&unread) {
            Ok(first) => first,
            Err(why) => return why,
        } {
            unread.drain(..bytes);
            if inputs.send(Input::Said(link.id, Box::new(message))).await.is_err() {
                return "the scaler has ended".to_owned();
            }
        }
        let (unsent, until, over) = link.state();
        if let Some(why) = over {
            return why;
        }
        tokio::select! {
            ready = poll_fn(|cx| link.socket.poll_read_ready(cx)) => {
                if let Err(why) = ready.and_then(|()| read_some(&link.socket, &mut unread)) {
                    return why.to_string();
                }
            }
            ready = poll_fn(|cx| link.socket.poll_write_ready(cx)), if unsent => match ready {
                Ok(()) => link.flush(),
                Err(why) => return why.to_string(),
            },
            () = link.wake.notified() => {}
            () = sleep_until(until.unwrap_or_else(Instant::now)), if unsent && until.is_some() => {
                return format!("it has read nothing for {UNSENT_WAIT:?}");
            }
        }
    }
}

/// The first message in what was read, and its bytes.
fn first_message(unread: &[u8]) -> Result<Option<(FromMember, usize)>, String> {
    let Some(frame) = Frame::first(unread).map_err(|why| why.to_string())? else { return Ok(None) };
    if frame.kind != Kind::Control {
        return Err(format!("a {:?} frame on a control link", frame.kind));
    }
    let message = serde_json::from_slice(frame.rest).map_err(|why| format!("a message that makes no sense: {why}"))?;
    Ok(Some((message, frame.bytes)))
}

async fn greeting(socket: &Socket, unread: &mut Vec<u8>) -> io::Result<Hello> {
    let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    loop {
        if let Some(frame) = Frame::first(unread).map_err(|why| wrong(why.to_string()))? {
            let hello = match frame.kind {
                Kind::Hello => serde_json::from_slice(frame.rest).map_err(|why| wrong(why.to_string()))?,
                other => return Err(wrong(format!("a {other:?} frame instead of a greeting"))),
            };
            let bytes = frame.bytes;
            unread.drain(..bytes);
            return Ok(hello);
        }
        if frame::wanted(unread).is_some_and(|bytes| bytes > HELLO_BYTES_MAX) {
            return Err(wrong("a greeting that is too long".to_owned()));
        }
        poll_fn(|cx| socket.poll_read_ready(cx)).await?;
        read_some(socket, unread)?;
    }
}

/// Reads what there is; an error when the peer has closed.
fn read_some(socket: &Socket, unread: &mut Vec<u8>) -> io::Result<()> {
    let had = unread.len();
    unread.resize(had + READ_BYTES, 0);
    let read = socket.try_read(&mut unread[had..]);
    unread.truncate(had + *read.as_ref().unwrap_or(&0));
    match read {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(_) => Ok(()),
        Err(why) if matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(()),
        Err(why) => Err(why),
    }
}

async fn write_all(socket: &Socket, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        poll_fn(|cx| socket.poll_write_ready(cx)).await?;
        match socket.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(why) if matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(why) => return Err(why),
        }
    }
    Ok(())
}

fn json_frame(message: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::json(Kind::Hello, message, &mut bytes);
    bytes
}

fn peer_pid(socket: &Socket) -> Option<u32> {
    match socket {
        Socket::Unix(stream) => {
            stream.peer_cred().ok()?.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0)
        }
        Socket::Tcp(_) => None,
    }
}
