//! The proxy as a member: its control link to the scaler, which tells it the slot map and the cache state.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use swell_node::control::{Answer, Ask, FromMember, Join, Role, ToMember};
use swell_node::link::frame::{self, Frame, Kind};
use swell_node::link::hello::{Answer as Greeting, Hello, Purpose};
use swell_node::link::socket::{Address, Socket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::charges::{Charges, Saying};
use crate::error::ProxyError;
use crate::others;
use crate::pause::Paused;
use crate::shared::{Mail, Shared, unix_ms};
use crate::worker::Worker;

/// How long a question to the scaler may take. Members confirm a change within two seconds or are given up.
const ASK_MAX: Duration = Duration::from_millis(2500);
/// Questions under way at once.
const ASKS_MAX: usize = 1024;
/// Pause before the next attempt to reach the scaler: doubles from the first to the second.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Where the scaler is.
#[derive(Clone, Debug)]
pub struct Control {
    pub address: Address,
    /// The cluster's secret; empty where there is none.
    pub secret: String,
    /// What goes to the ledger over this link; none where the ledger is in this process.
    pub charges: Option<Charges>,
}

/// Between two reports of what was charged for each node's replies, while there is something to report.
const CHARGED_TICK: Duration = Duration::from_millis(250);

type Question = (Ask, oneshot::Sender<Answer>);

/// Where workers put their questions to the scaler.
pub struct Asking {
    sender: Sender<Question>,
    receiver: Mutex<Option<Receiver<Question>>>,
}

impl Default for Asking {
    fn default() -> Asking {
        let (sender, receiver) = channel(ASKS_MAX);
        Asking { sender, receiver: Mutex::new(Some(receiver)) }
    }
}

impl Asking {
    /// Asks the scaler.
    ///
    /// # Errors
    /// It cannot be reached, or does not answer in time.
    pub async fn ask(&self, ask: Ask) -> Result<Answer, ProxyError> {
        let (sender, receiver) = oneshot::channel();
        self.sender.try_send((ask, sender)).map_err(|_| ProxyError::NoScaler)?;
        match tokio::time::timeout(ASK_MAX, receiver).await {
            Ok(Ok(Answer::Refused { why })) => {
                tracing::warn!(why, "the scaler has refused");
                Err(ProxyError::NoScaler)
            }
            Ok(Ok(answer)) => Ok(answer),
            _ => Err(ProxyError::NoScaler),
        }
    }

    fn take_receiver(&self) -> Option<Receiver<Question>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Keeps the control link for as long as the worker lives. While it is lost requests run on by the last map.
pub async fn keep(worker: Rc<Worker>, control: Control) {
    let Some(mut questions) = worker.shared.asking.take_receiver() else { return };
    let mut pause = PAUSE_MIN;
    loop {
        match connect(&control).await {
            Ok(socket) => {
                pause = PAUSE_MIN;
                let lost = attend(&worker, socket, &mut questions, control.charges.as_ref()).await;
                // Nobody can be asked.
                meet(&worker.shared, 0, false);
                tracing::warn!(%lost, "the link to the scaler is lost; serving on by the last map");
            }
            Err(error) => tracing::debug!(%error, "cannot reach the scaler"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn connect(control: &Control) -> std::io::Result<Socket> {
    let mut socket = Socket::connect(&control.address).await?;
    let mut bytes = Vec::new();
    frame::json(Kind::Hello, &Hello::new(Purpose::Control, &control.secret, None), &mut bytes);
    let join = Join {
        role: Role::Proxy,
        advertise: String::new(),
        zone: String::new(),
        pid: std::process::id(),
        boot: String::new(),
        id: None,
    };
    frame::json(Kind::Control, &FromMember::Join(join), &mut bytes);
    socket.write_all(&bytes).await?;
    Ok(socket)
}

/// Reads what the scaler says and passes questions on, until the link is lost.
async fn attend(
    worker: &Rc<Worker>,
    mut socket: Socket,
    questions: &mut Receiver<Question>,
    charges: Option<&Charges>,
) -> std::io::Error {
    let (mut buffer, mut asked, mut next) = (Vec::new(), HashMap::new(), 0u64);
    let mut saying = Saying::begin();
    let mut charged_due = None;
    let monitors = &worker.shared.watch.monitors;
    let mut says_monitors = monitors.any_here();
    loop {
        let mut answer = Vec::new();
        if std::mem::take(&mut says_monitors) {
            next += 1;
            say_monitors(next, monitors.any_here(), &mut answer);
        }
        tokio::select! {
            () = monitors.changed() => says_monitors = true,
            lines = monitors.take_outgoing() => frame::json(Kind::Control, &FromMember::Shown { lines }, &mut answer),
            () = worker.shared.charged.changed(), if charged_due.is_none() => {
                charged_due = Some(Instant::now() + CHARGED_TICK);
            }
            () = sleep_until(charged_due.unwrap_or_else(Instant::now)), if charged_due.is_some() => {
                charged_due = None;
                let ecpu_milli = worker.shared.charged.take();
                frame::json(Kind::Control, &FromMember::Charged { ecpu_milli }, &mut answer);
            }
            read = socket.read_buf(&mut buffer) => match read {
                Ok(0) => return std::io::ErrorKind::UnexpectedEof.into(),
                Ok(_) => match take(worker, &mut buffer, &mut asked, charges, &mut answer) {
                    Ok(()) => {}
                    Err(error) => return error,
                },
                Err(error) => return error,
            },
            charges = saying_due(&mut saying, charges) => {
                if let Some(charged) = saying.look(charges) {
                    frame::json(Kind::Control, &charged, &mut answer);
                }
            }
            Some((ask, sender)) = questions.recv() => {
                asked.retain(|_, sender: &mut oneshot::Sender<Answer>| !sender.is_closed());
                // Who has stopped waiting was told that nothing was changed.
                if asked.len() < ASKS_MAX && !sender.is_closed() {
                    next += 1;
                    asked.insert(next, sender);
                    frame::json(Kind::Control, &FromMember::Ask { id: next, ask }, &mut answer);
                }
            }
        }
        if let Err(error) = socket.write_all(&answer).await {
            return error;
        }
    }
}

/// Tells whether clients here monitor; the answer is read by nobody.
fn say_monitors(id: u64, any: bool, out: &mut Vec<u8>) {
    if let Ok(question) = serde_json::to_value(others::Question::Nothing) {
        let ask = Ask::Proxies { question, monitors: Some(any) };
        frame::json(Kind::Control, &FromMember::Ask { id, ask }, out);
    }
}

/// The scaler has told of the other proxies.
fn meet(shared: &Arc<Shared>, others: u32, monitored: bool) {
    if shared.watch.monitors.set_elsewhere(monitored) {
        shared.watch.changed();
    }
    // Whoever is new has not heard of a pause.
    if shared.others.set(others)
        && let Some((paused, until_ms)) = shared.pause.holding(unix_ms())
    {
        others::tell(shared, &others::Question::Pause { until_ms, all: paused == Paused::All });
    }
}

/// Never, where nothing goes to the ledger over this link.
async fn saying_due<'c>(saying: &mut Saying, charges: Option<&'c Charges>) -> &'c Charges {
    match charges {
        Some(charges) => {
            saying.due(charges).await;
            charges
        }
        None => std::future::pending().await,
    }
}

/// Takes all complete frames out of the buffer.
fn take(
    worker: &Rc<Worker>,
    buffer: &mut Vec<u8>,
    asked: &mut HashMap<u64, oneshot::Sender<Answer>>,
    charges: Option<&Charges>,
    out: &mut Vec<u8>,
) -> std::io::Result<()> {
    let mut consumed = 0;
    while let Some(frame) = Frame::first(&buffer[consumed..]).map_err(std::io::Error::other)? {
        match frame.kind {
            Kind::Hello => {
                let greeting: Greeting = serde_json::from_slice(frame.rest)?;
                if let Greeting::Refused { why } = greeting {
                    return Err(std::io::Error::other(why));
                }
            }
            Kind::Control => {
                let message = match serde_json::from_slice(frame.rest)? {
                    ToMember::Question { id, question } => {
                        let told = others::answer(&mut worker.core.borrow_mut(), question);
                        frame::json(Kind::Control, &FromMember::Told { id, told }, out);
                        None
                    }
                    message => Some(message),
                };
                if let Some(message) = message
                    && hear(worker, message, asked, charges)?
                {
                    let route = &worker.shared.route;
                    let seen = FromMember::Seen { epoch: route.map().epoch(), state: route.state_version() };
                    frame::json(Kind::Control, &seen, out);
                }
            }
            _ => return Err(std::io::Error::other("the scaler sends control messages only")),
        }
        consumed += frame.bytes;
    }
    buffer.drain(..consumed);
    Ok(())
}

/// One message. True: the map or the state has changed, which is to be confirmed.
fn hear(
    worker: &Rc<Worker>,
    message: ToMember,
    asked: &mut HashMap<u64, oneshot::Sender<Answer>>,
    charges: Option<&Charges>,
) -> std::io::Result<bool> {
    let shared = &worker.shared;
    let (map, state) = match message {
        ToMember::Welcome(welcome) => (Some(welcome.map), Some(welcome.state)),
        ToMember::Map(map) => (Some(map), None),
        ToMember::State(state) => (None, Some(state)),
        ToMember::Answer { id, answer } => {
            if answer.is_last()
                && let Some(sender) = asked.remove(&id)
            {
                // The asker may have stopped waiting.
                let _ = sender.send(answer);
            }
            return Ok(false);
        }
        ToMember::AccountStored { boot, sequence } => {
            if let Some(charges) = charges {
                charges.confirmed(&boot, sequence);
            }
            return Ok(false);
        }
        ToMember::Proxies { others, monitored } => {
            meet(shared, others, monitored);
            return Ok(false);
        }
        ToMember::Shown { lines } => {
            lines.iter().for_each(|line| worker.core.borrow().show_line(line));
            return Ok(false);
        }
        ToMember::Question { .. } => return Ok(false),
        ToMember::Refused { why } => return Err(std::io::Error::other(why)),
        ToMember::Source(_) | ToMember::Target(_) | ToMember::Leave => return Ok(false),
    };
    if let Some(state) = state.filter(|state| state.version == 0 || state.version >= shared.route.state_version()) {
        if let Err(error) = shared.node.engine().apply_state(&state) {
            tracing::error!(%error, "a cache state that cannot be read");
        }
        // Before the version is: see `access::change`.
        if shared.access.follow(&state, &shared.clients) {
            shared.tell_all(|| Mail::Channels);
        }
        shared.route.set_state(state);
    }
    if let Some(map) = map {
        shared.route.set_map(map);
    }
    shared.tell_all(|| Mail::Ring);
    Ok(true)
}
