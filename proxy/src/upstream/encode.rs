//! Requests written anew as RESP, where the client's own bytes cannot go out as they are: parts of a split request,
//! memcached verbs, requests that had to wait.

use std::sync::Arc;

use swell_wire::out::format_u64;
use swell_wire::{Arg, Args, OwnedArgs};

/// Writes a request whose arguments are all short.
pub fn request<'a>(args: impl ExactSizeIterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    head(b'*', args.len(), out);
    for arg in args {
        bulk(arg, out);
    }
}

/// Writes a request from its arguments (short ones only, see [`pieces`]).
pub fn args(args: Args<'_>, out: &mut Vec<u8>) {
    head(b'*', args.len(), out);
    for index in 0..args.len() {
        bulk(args.slice(index), out);
    }
}

/// A piece of a request that goes out in chunks: long values are not copied.
#[derive(Clone, Debug)]
pub enum Piece {
    Bytes(Vec<u8>),
    Segment(Arc<Vec<u8>>),
}

impl Piece {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Piece::Bytes(bytes) => bytes,
            Piece::Segment(part) => part,
        }
    }
}

/// A request in pieces, the segments of long arguments by reference.
pub fn pieces(owned: &OwnedArgs) -> Vec<Piece> {
    let args = owned.as_args();
    let (mut pieces, mut bytes) = (Vec::new(), Vec::new());
    head(b'*', args.len(), &mut bytes);
    for index in 0..args.len() {
        match args.get(index) {
            Arg::Slice(slice) => bulk(slice, &mut bytes),
            Arg::Segments(segments) => {
                head(b'$', segments.len(), &mut bytes);
                pieces.push(Piece::Bytes(std::mem::take(&mut bytes)));
                pieces.extend(segments.parts().iter().cloned().map(Piece::Segment));
                bytes.extend_from_slice(b"\r\n");
            }
        }
    }
    pieces.push(Piece::Bytes(bytes));
    pieces
}

fn bulk(bytes: &[u8], out: &mut Vec<u8>) {
    head(b'$', bytes.len(), out);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

fn head(kind: u8, count: usize, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(format_u64(count as u64, &mut [0; 20]));
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use swell_wire::Segments;

    #[test]
    fn requests_are_written_as_resp() {
        let mut out = Vec::new();
        args(OwnedArgs::from_slices(&["get", "k"]).as_args(), &mut out);
        assert_eq!(out, b"*2\r\n$3\r\nget\r\n$1\r\nk\r\n");
        out.clear();
        request([&b"ping"[..]].into_iter(), &mut out);
        assert_eq!(out, b"*1\r\n$4\r\nping\r\n");
    }

    #[test]
    fn long_arguments_go_out_by_reference() {
        let value = vec![7; 150_000];
        let mut owned = OwnedArgs::from_slices(&["set", "k"]);
        owned.push_segments(Segments::from_slice(&value));
        let pieces = pieces(&owned);
        assert_eq!(pieces.iter().filter(|piece| matches!(piece, Piece::Segment(_))).count(), 3);
        let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.bytes().to_vec()).collect();
        let expected = [b"*3\r\n$3\r\nset\r\n$1\r\nk\r\n$150000\r\n", &value[..], b"\r\n"].concat();
        assert_eq!(bytes, expected);
    }
}
