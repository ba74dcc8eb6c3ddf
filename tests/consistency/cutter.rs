//! Stands between a node and whoever links to it from now on, and cuts each link after a random number of bytes, in the
//! middle of whatever is on its way.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::harness::Rng;

/// Most bytes that one direction of a link carries before the link is cut.
const BYTES_MAX: usize = 64 * 1024;

/// Bytes that are passed on at once.
const PIECE_BYTES: usize = 4 * 1024;

/// Cuts links until it is dropped.
pub struct Cutter {
    path: PathBuf,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    /// While false, links are left whole.
    cuts: AtomicBool,
    count: AtomicU64,
    links: Mutex<Vec<UnixStream>>,
}

impl Cutter {
    /// Takes the place of the socket at `path`; links that stand already stay as they are.
    pub fn at(path: &Path, seed: u64) -> Cutter {
        let behind = path.with_extension("cut");
        std::fs::rename(path, &behind).expect("the node's socket can be renamed");
        let listener = UnixListener::bind(path).expect("its place is free");
        let shared = Arc::new(Shared { cuts: AtomicBool::new(true), ..Shared::default() });
        let accepting = std::thread::spawn({
            let shared = shared.clone();
            move || accept(&listener, &behind, &shared, &mut Rng::new(seed))
        });
        Cutter { path: path.to_owned(), shared, accepting: Some(accepting) }
    }

    /// Links that were cut so far.
    pub fn count(&self) -> u64 {
        self.shared.count.load(Ordering::Relaxed)
    }

    /// From now on links stay whole.
    pub fn rest(&self) {
        self.shared.cuts.store(false, Ordering::Relaxed);
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // Wakes who accepts; where that fails nobody does.
        let _ = UnixStream::connect(&self.path);
        self.shared.cut_all();
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Shared {
    fn cut_all(&self) {
        for link in self.links.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // It may have ended by itself.
            let _ = link.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &UnixListener, behind: &Path, shared: &Arc<Shared>, rng: &mut Rng) {
    for near in listener.incoming() {
        if shared.is_over.load(Ordering::Relaxed) {
            break;
        }
        // Where the node is gone the caller must see it go.
        let (Ok(near), Ok(far)) = (near, UnixStream::connect(behind)) else { continue };
        let mut links = shared.links.lock().unwrap_or_else(PoisonError::into_inner);
        for (from, to) in [(&near, &far), (&far, &near)] {
            let (Ok(from), Ok(to), Ok(kept)) = (from.try_clone(), to.try_clone(), from.try_clone()) else { continue };
            let (shared, bytes) = (shared.clone(), 1 + rng.below(BYTES_MAX));
            std::thread::spawn(move || pass(from, to, bytes, &shared));
            links.push(kept);
        }
    }
    shared.cut_all();
}

/// Passes bytes on until there are no more or `left` have passed; then both ends are cut.
fn pass(mut from: UnixStream, mut to: UnixStream, mut left: usize, shared: &Shared) {
    let mut piece = [0; PIECE_BYTES];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        if !shared.cuts.load(Ordering::Relaxed) {
            left = left.max(length);
        }
        let passed = length.min(left);
        left -= passed;
        if to.write_all(&piece[..passed]).is_err() {
            break;
        }
        if passed < length {
            shared.count.fetch_add(1, Ordering::Relaxed);
            break;
        }
    }
    // Either may be gone already.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
