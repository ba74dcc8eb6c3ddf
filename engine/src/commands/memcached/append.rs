//! append and prepend: bytes after, or before, those of an item; its flags and exptime stay.

use swell_wire::{Arg, Args, Out, SEGMENT_BYTES, Segments};

use super::doc::{CHANGED_KEY, STORE};
use super::item::{self, Line};
use super::stat::McStat;
use crate::entry::{NewValue, Value};
use crate::exec::{Exec, McField, Reply, Ttl};
use crate::notify::Class;
use crate::spec::*;

pub(super) static APPEND: Spec = Spec {
    name: "append",
    summary: "Adds bytes after those of an item; flags and exptime are read and ignored.",
    since: "1.2.4",
    complexity: "O(1)",
    group: Group::Memcached,
    arity: -6,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    acl: Acl::STRING,
    keys: CHANGED_KEY,
    spread: Spread::One,
    tips: &[],
    arguments: STORE,
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Key },
    long: Long::At(5),
    body: Body::Keys(append),
};

pub(super) static PREPEND: Spec = Spec {
    name: "prepend",
    summary: "Adds bytes before those of an item; flags and exptime are read and ignored.",
    since: "1.2.4",
    complexity: "O(N) where N is the length of the item.",
    group: Group::Memcached,
    arity: -6,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    acl: Acl::STRING,
    keys: CHANGED_KEY,
    spread: Spread::One,
    tips: &[],
    arguments: STORE,
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Key },
    long: Long::At(5),
    body: Body::Keys(prepend),
};

fn append(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    Line::parse(args, cx.now_ms())?;
    cx.count(McStat::CmdSet);
    let (key, data) = (cx.key(args, 0), item::data(args));
    let limit = cx.item_bytes_max();
    let Some(entry) = cx.write_lookup(key) else { return not_stored(out) };
    let len = item::string(&entry)?.len() + data.len();
    if item::limited_bytes(key, entry.mc_flags(), len) > limit {
        return not_stored(out);
    }
    cx.append(key, data);
    cx.notify(Class::STRING, "append", key);
    out.raw(b"STORED\r\n");
    Ok(())
}

fn prepend(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    Line::parse(args, cx.now_ms())?;
    cx.count(McStat::CmdSet);
    let (key, data) = (cx.key(args, 0), item::data(args));
    let limit = cx.item_bytes_max();
    let Some(entry) = cx.write_lookup(key) else { return not_stored(out) };
    let value = item::string(&entry)?;
    let len = data.len() + value.len();
    if item::limited_bytes(key, entry.mc_flags(), len) > limit {
        return not_stored(out);
    }
    if len <= SEGMENT_BYTES {
        let joined = [&data.to_bytes()[..], &value.to_bytes()].concat();
        cx.put(key, NewValue::Bytes(&joined), Ttl::Keep, McField::Keep);
    } else {
        let joined = join(data, value);
        cx.put(key, NewValue::Segments(joined), Ttl::Keep, McField::Keep);
    }
    // No command of Redis does this but one that sets the whole.
    cx.notify(Class::STRING, "set", key);
    out.raw(b"STORED\r\n");
    Ok(())
}

/// The answer where there is no item, and, as in memcached, where it would outgrow the item limit.
fn not_stored(out: &mut Out) -> Reply {
    out.raw(b"NOT_STORED\r\n");
    Ok(())
}

fn join(front: Arg<'_>, back: Value<'_>) -> Segments {
    // Full segments in front are shared with the request; only a last, partial one is written to.
    let mut joined = match front {
        Arg::Slice(bytes) => Segments::from_slice(bytes),
        Arg::Segments(segments) => segments.clone(),
    };
    match back {
        Value::Slice(bytes) => joined.extend(bytes),
        Value::Segments(segments) => segments.parts().iter().for_each(|part| joined.extend(part)),
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_across_segments_and_leaves_its_sources_alone() {
        let front = Segments::from_slice(&vec![b'f'; SEGMENT_BYTES + 7]);
        let back = Segments::from_slice(&vec![b'b'; SEGMENT_BYTES + 9]);
        let joined = join(Arg::Segments(&front), Value::Segments(&back));
        assert_eq!(joined.to_vec(), [front.to_vec(), back.to_vec()].concat());
        assert_eq!(front.len(), SEGMENT_BYTES + 7);
        assert!(front.to_vec().iter().all(|&byte| byte == b'f'));
        let joined = join(Arg::Slice(b"head"), Value::Slice(b"tail"));
        assert_eq!(joined.to_vec(), b"headtail");
    }
}
