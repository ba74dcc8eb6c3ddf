//! The replies of a request's parts become one: each part had one key, and they stand in the order of the keys.

use swell_engine::spec::Merge;
use swell_wire::Out;

use crate::upstream::reply;

/// Writes the merged reply. A part that failed is the whole reply. Returns whether it is an error.
pub fn parts<'a>(merge: Merge, parts: impl Iterator<Item = (&'a [u8], bool)> + Clone, out: &mut Out) -> bool {
    if let Some((error, _)) = parts.clone().find(|(_, failed)| *failed) {
        out.raw(error);
        return true;
    }
    let mut replies = parts.map(|(bytes, _)| bytes);
    match merge {
        Merge::Sum => out.int(replies.filter_map(reply::integer).sum()),
        Merge::Ok | Merge::Any => out.raw(replies.next().unwrap_or(b"+OK\r\n")),
        Merge::InOrder | Merge::Union => {
            let arrays: Vec<(usize, &[u8])> = replies.filter_map(reply::array).collect();
            out.array(arrays.iter().map(|(count, _)| count).sum());
            arrays.iter().for_each(|(_, elements)| out.raw(elements));
        }
        Merge::Values => {
            replies.for_each(|bytes| out.raw(bytes.strip_suffix(b"END\r\n").unwrap_or(bytes)));
            out.raw(b"END\r\n");
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use swell_wire::Proto;

    fn merged(merge: Merge, replies: &[(&[u8], bool)]) -> (Vec<u8>, bool) {
        let mut out = Out::new(Proto::Resp2);
        let failed = parts(merge, replies.iter().copied(), &mut out);
        (out.to_vec(), failed)
    }

    #[test]
    fn parts_become_one_reply() {
        assert_eq!(merged(Merge::Sum, &[(b":1\r\n", false), (b":20\r\n", false)]), (b":21\r\n".to_vec(), false));
        let (a, b): (&[u8], &[u8]) = (b"*1\r\n$1\r\na\r\n", b"*1\r\n$-1\r\n");
        assert_eq!(merged(Merge::InOrder, &[(a, false), (b, false)]).0, b"*2\r\n$1\r\na\r\n$-1\r\n");
        let (a, b): (&[u8], &[u8]) = (b"VALUE a 0 1\r\nx\r\nEND\r\n", b"END\r\n");
        assert_eq!(merged(Merge::Values, &[(b, false), (a, false)]).0, b"VALUE a 0 1\r\nx\r\nEND\r\n");
        let failed = merged(Merge::Sum, &[(b":1\r\n", false), (b"-ERR no\r\n", true)]);
        assert_eq!(failed, (b"-ERR no\r\n".to_vec(), true));
    }
}
