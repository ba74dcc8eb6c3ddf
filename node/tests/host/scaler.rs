//! A scaler of a few lines: greets members, tells them what a test says, and hears them out.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use swell_node::control::{FromMember, Join, NodeStats, ToMember, Welcome};
use swell_node::handover::message::{FromSource, FromTarget};
use swell_node::host::{Host, HostConfig, HostError};
use swell_node::link::frame::{self, Frame, Kind};
use swell_node::link::hello::{Answer, Hello, Purpose};
use swell_node::link::socket::{Address, Listener, Socket};
use swell_ring::{CacheState, NodeId, SlotMap};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// Longer than anything here takes, shorter than a person's patience.
pub const PATIENCE: Duration = Duration::from_secs(20);
pub const SEED: u64 = 7;
pub const SECRET: &str = "open sesame";

/// Listens for members in a folder of its own.
pub struct Scaler {
    listener: Listener,
    folder: Folder,
}

/// A folder that goes with the test.
pub struct Folder(pub PathBuf);

/// One member's link.
pub struct Member {
    pub join: Join,
    socket: Socket,
    inbox: Vec<u8>,
}

/// What a member says, statistics aside.
#[derive(Debug, PartialEq)]
pub enum Said {
    Seen(u64, u64),
    Source(FromSource),
    Target(FromTarget),
}

impl Folder {
    pub fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("swell-host-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Scaler {
    pub async fn new() -> Scaler {
        let folder = Folder::new();
        let listener = Listener::bind(&Address::Unix(folder.0.join("scaler"))).await.unwrap();
        Scaler { listener, folder }
    }

    /// A socket's address in the folder.
    pub fn address(&self, name: &str) -> Address {
        Address::Unix(self.folder.0.join(name))
    }

    pub fn config(&self, name: &str) -> HostConfig {
        HostConfig {
            join: self.listener.address(),
            secret: SECRET.to_owned(),
            advertise: self.address(name),
            zone: "attic".to_owned(),
            workers: 1,
        }
    }

    /// Starts a host and answers its Join with this number and map.
    pub async fn start(&self, name: &str, id: u32, map: &SlotMap) -> (Host, Member) {
        let config = self.config(name);
        let (host, member) = tokio::join!(start(config), async {
            let mut member = self.accept().await;
            member.welcome(id, map, &CacheState::default()).await;
            member
        });
        (host.unwrap(), member)
    }

    /// The next member that calls: greeted, its Join heard.
    pub async fn accept(&self) -> Member {
        let mut socket = timeout(PATIENCE, self.listener.accept()).await.expect("nobody calls").unwrap();
        let mut inbox = Vec::new();
        let hello: Hello = serde_json::from_slice(&read(&mut socket, &mut inbox).await.unwrap()).unwrap();
        assert_eq!(hello.purpose, Purpose::Control);
        let protocol = hello.accept(SECRET).unwrap();
        write(&mut socket, Kind::Hello, &Answer::Welcome { protocol }).await.unwrap();
        match serde_json::from_slice(&read(&mut socket, &mut inbox).await.unwrap()).unwrap() {
            FromMember::Join(join) => Member { join, socket, inbox },
            other => panic!("{other:?} instead of Join"),
        }
    }
}

impl Member {
    pub async fn welcome(&mut self, id: u32, map: &SlotMap, state: &CacheState) {
        let (map, state) = (map.clone(), state.clone());
        let virtual_node = "0".repeat(40);
        let welcome = Welcome { id: Some(NodeId(id)), hash_seed: SEED, virtual_node, map, state };
        self.say(&ToMember::Welcome(Box::new(welcome))).await;
    }

    pub async fn say(&mut self, message: &ToMember) {
        write(&mut self.socket, Kind::Control, message).await.unwrap();
    }

    /// Cuts the link.
    pub async fn cut(&mut self) {
        // The other end may have gone first.
        let _ = self.socket.shutdown().await;
    }

    /// The next thing it says; nothing when it has closed.
    pub async fn hear(&mut self) -> Option<FromMember> {
        let frame = timeout(PATIENCE, read(&mut self.socket, &mut self.inbox)).await.expect("it says nothing");
        Some(serde_json::from_slice(&frame?).unwrap())
    }

    /// The next thing that is not statistics.
    pub async fn said(&mut self) -> Said {
        loop {
            match self.hear().await.expect("it has closed") {
                FromMember::Stats(_) => {}
                FromMember::Seen { epoch, state } => return Said::Seen(epoch.0, state),
                FromMember::Source(message) => return Said::Source(message),
                FromMember::Target(message) => return Said::Target(message),
                other => panic!("a node says {other:?}"),
            }
        }
    }

    /// Hears until this is true of what it says.
    pub async fn until(&mut self, is_it: impl Fn(&Said) -> bool) -> Said {
        let hearing = async {
            loop {
                let said = self.said().await;
                if is_it(&said) {
                    return said;
                }
            }
        };
        timeout(PATIENCE, hearing).await.expect("it never says what is waited for")
    }

    pub async fn until_seen(&mut self, epoch: u64) {
        self.until(|said| matches!(said, Said::Seen(seen, _) if *seen >= epoch)).await;
    }

    /// The next statistics of which this is true.
    pub async fn stats(&mut self, is_it: impl Fn(&NodeStats) -> bool) -> NodeStats {
        let hearing = async {
            loop {
                match self.hear().await.expect("it has closed") {
                    FromMember::Stats(stats) if is_it(&stats) => return *stats,
                    _ => {}
                }
            }
        };
        timeout(PATIENCE, hearing).await.expect("no such statistics come")
    }
}

/// Starts a host beside this thread: starting waits for the scaler's answer.
pub async fn start(config: HostConfig) -> Result<Host, HostError> {
    tokio::task::spawn_blocking(move || Host::start(config)).await.unwrap()
}

/// Calls a link server, greets, and returns the socket with its answer.
pub async fn call(address: &Address, hello: &Hello) -> (Socket, Answer) {
    let mut socket = Socket::connect(address).await.unwrap();
    write(&mut socket, Kind::Hello, hello).await.unwrap();
    let answer = read(&mut socket, &mut Vec::new()).await.expect("it answers");
    (socket, serde_json::from_slice(&answer).unwrap())
}

/// The next frame's body; nothing when the peer has closed.
pub async fn read(socket: &mut Socket, inbox: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        if let Some(frame) = Frame::first(inbox).unwrap() {
            let (body, bytes) = (frame.rest.to_vec(), frame.bytes);
            inbox.drain(..bytes);
            return Some(body);
        }
        match socket.read_buf(inbox).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

pub async fn write(socket: &mut Socket, kind: Kind, message: &impl serde::Serialize) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    frame::json(kind, message, &mut bytes);
    socket.write_all(&bytes).await
}
