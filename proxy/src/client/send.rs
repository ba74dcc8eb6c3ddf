//! Replies go out: written at once, and what the socket does not take is kept in pieces until it does.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use swell_wire::Out;

use super::Client;
use crate::core::Core;

/// Unsent replies are freed in pieces of about this size.
const UNSENT_PIECE_BYTES: usize = 256 * 1024;
/// Pieces handed to one `writev` (Linux: `IOV_MAX` is 1024).
const WRITE_PIECES: usize = 256;

/// Replies that the socket did not take yet, in pieces, so that what is sent is freed.
#[derive(Default)]
pub(super) struct Unsent {
    queue: VecDeque<Out>,
    /// Bytes of the first one that are sent.
    sent: usize,
    /// Bytes of all, sent or not.
    bytes: usize,
}

impl Unsent {
    /// Moves the replies of `out` to the end.
    fn push(&mut self, out: &mut Out) {
        self.bytes += out.len();
        match self.queue.back_mut() {
            Some(last) if last.len() < UNSENT_PIECE_BYTES => last.append(out),
            _ => {
                let proto = out.proto();
                self.queue.push_back(std::mem::replace(out, Out::new(proto)));
            }
        }
    }

    /// The first one is sent.
    fn pop(&mut self) {
        let first = self.queue.pop_front();
        self.bytes -= first.map_or(0, |out| out.len());
        self.sent = 0;
    }
}

impl Client {
    /// Writes what is in the worker's buffer; what the socket does not take is kept.
    pub(super) fn send(&mut self, core: &mut Core) {
        let out = &mut core.out;
        if out.is_empty() {
            return;
        }
        core.counts.bytes_out += out.len() as u64;
        self.session.info.bytes_out.fetch_add(out.len() as u64, Relaxed);
        if let Some(unsent) = &mut self.unsent {
            return unsent.push(out);
        }
        let sent = match out.as_contiguous() {
            Some(bytes) => self.stream.try_write(bytes),
            None => {
                let mut pieces: Vec<IoSlice<'_>> = Vec::new();
                out.io_slices(0, WRITE_PIECES, &mut pieces);
                self.stream.try_write_vectored(&pieces)
            }
        };
        // An error other than "would block" shows again when the rest is written.
        let sent = sent.unwrap_or(0);
        if sent < out.len() {
            let mut unsent = Box::<Unsent>::default();
            unsent.push(out);
            unsent.sent = sent;
            self.unsent = Some(unsent);
        } else {
            out.clear();
        }
    }

    /// Goes on writing; on `Ok` either everything is sent or the waker is registered.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> std::io::Result<()> {
        while let Some(unsent) = &mut self.unsent {
            let Some(first) = unsent.queue.front() else { break };
            match self.stream.poll_write_ready(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(ready) => ready?,
            }
            let mut pieces: Vec<IoSlice<'_>> = Vec::with_capacity(16);
            first.io_slices(unsent.sent, WRITE_PIECES, &mut pieces);
            match self.stream.try_write_vectored(&pieces) {
                Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
                Ok(more) => unsent.sent += more,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            }
            if unsent.sent == first.len() {
                unsent.pop();
            }
            if unsent.queue.is_empty() {
                self.unsent = None;
            }
        }
        self.session.info.output_bytes.store(0, Relaxed);
        Ok(())
    }

    pub(super) fn unsent_bytes(&self) -> u64 {
        let bytes = self.unsent.as_ref().map_or(0, |unsent| (unsent.bytes - unsent.sent) as u64);
        if bytes > 0 {
            self.session.info.output_bytes.store(bytes, Relaxed);
        }
        bytes
    }
}
