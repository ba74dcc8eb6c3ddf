//! Reading RDB objects: every type and form, made into the encoding that the thresholds ask for.

use std::borrow::Cow;

use swell_wire::{Arg, Segments};

use super::read::Reader;
use super::ziplist::{ziplist, zipmap};
use super::{BadPayload, Restored, kinds, stream};
use crate::key::Hasher;
use crate::number::{parse_f64, parse_i64};
use crate::value::chunks::{Chunks, Fill};
use crate::value::intset::{IntSet, IntSetRef};
use crate::value::listpack::{Listpack, ListpackRef};
use crate::value::pages::PageMap;
use crate::value::ranked::Ranked;
use crate::value::{Form, Kept, LargeBox, Limits};

type Bytes<'a> = Cow<'a, [u8]>;

/// Marks of doubles as text (type 3).
const NAN: u8 = 253;
const POSITIVE_INFINITY: u8 = 254;
const NEGATIVE_INFINITY: u8 = 255;

/// Reads a type byte and its object.
pub fn object(reader: &mut Reader<'_>, hasher: &Hasher, limits: &Limits) -> Result<Restored, BadPayload> {
    let kept = match reader.byte()? {
        kinds::STRING => return Ok(Restored::String(reader.string()?.into_owned())),
        kinds::LIST => list(many(reader, |reader| reader.string())?, limits)?,
        kinds::LIST_ZIPLIST => list(ziplist(&reader.string()?)?, limits)?,
        kinds::LIST_QUICKLIST => {
            let nodes = many(reader, |reader| reader.string())?;
            let mut elements = Vec::new();
            for node in &nodes {
                elements.extend(ziplist(node)?);
            }
            list(elements, limits)?
        }
        kinds::LIST_QUICKLIST_2 => quicklist(reader, limits)?,
        kinds::SET => set(many(reader, |reader| reader.string())?, hasher, limits)?,
        kinds::SET_INTSET => ints(&reader.string()?, hasher, limits)?,
        kinds::SET_LISTPACK => set(pack(Form::SetPack, &reader.string()?)?, hasher, limits)?,
        kinds::HASH => hash(many(reader, |reader| Ok((reader.string()?, reader.string()?, None)))?, hasher, limits)?,
        kinds::HASH_EXPIRY => hash(many(reader, field_with_expiry)?, hasher, limits)?,
        kinds::HASH_LISTPACK => hash(pairs(pack(Form::HashPack, &reader.string()?)?)?, hasher, limits)?,
        kinds::HASH_ZIPLIST => hash(pairs(ziplist(&reader.string()?)?)?, hasher, limits)?,
        kinds::HASH_ZIPMAP => {
            let bytes = reader.string()?;
            let parts = zipmap(&bytes)?.into_iter().map(Cow::Borrowed).collect();
            hash(pairs(parts)?, hasher, limits)?
        }
        kinds::ZSET => zset(many(reader, |reader| Ok((reader.string()?, text_double(reader)?)))?, hasher, limits)?,
        kinds::ZSET_2 => {
            let member = |reader: &mut Reader<'_>| Ok((reader.string()?.into_owned().into(), double(reader)?));
            zset(many(reader, member)?, hasher, limits)?
        }
        kinds::ZSET_LISTPACK => zset(scored(pack(Form::ZSetPack, &reader.string()?)?)?, hasher, limits)?,
        kinds::ZSET_ZIPLIST => zset(scored(ziplist(&reader.string()?)?)?, hasher, limits)?,
        kind @ (kinds::STREAM_LISTPACKS | kinds::STREAM_LISTPACKS_2 | kinds::STREAM_LISTPACKS_3) => {
            Kept::Large(LargeBox::Stream(Box::new(stream::read(kind, reader)?)))
        }
        _ => return Err(BadPayload::Format),
    };
    Ok(Restored::Collection(kept))
}

/// As many as a count in front says.
fn many<'a, T>(
    reader: &mut Reader<'a>,
    each: impl Fn(&mut Reader<'a>) -> Result<T, BadPayload>,
) -> Result<Vec<T>, BadPayload> {
    let count = reader.count()?;
    (0..count).map(|_| each(reader)).collect()
}

fn field_with_expiry<'a>(reader: &mut Reader<'a>) -> Result<(Bytes<'a>, Bytes<'a>, Option<u64>), BadPayload> {
    let (field, value, at) = (reader.string()?, reader.string()?, i64::from_le_bytes(reader.array()?));
    match at {
        -1 => Ok((field, value, None)),
        at => Ok((field, value, Some(u64::try_from(at).map_err(|_| BadPayload::Format)?))),
    }
}

fn double(reader: &mut Reader<'_>) -> Result<f64, BadPayload> {
    let score = f64::from_le_bytes(reader.array()?);
    if score.is_nan() { Err(BadPayload::Format) } else { Ok(score) }
}

fn text_double(reader: &mut Reader<'_>) -> Result<f64, BadPayload> {
    match reader.byte()? {
        NAN => Err(BadPayload::Format),
        POSITIVE_INFINITY => Ok(f64::INFINITY),
        NEGATIVE_INFINITY => Ok(f64::NEG_INFINITY),
        len => parse_f64(reader.bytes(usize::from(len))?).ok_or(BadPayload::Format),
    }
}

/// The elements of a listpack that is sound for its type.
fn pack(form: Form, bytes: &[u8]) -> Result<Vec<Bytes<'static>>, BadPayload> {
    let is_sound = match form {
        // Order and distinctness are looked at when the value is built.
        Form::ZSetPack | Form::HashPack | Form::SetPack => {
            ListpackRef::validate(bytes).is_ok_and(|pack| !pack.is_empty())
        }
        _ => false,
    };
    if !is_sound {
        return Err(BadPayload::Format);
    }
    Ok(ListpackRef(bytes).iter().map(|element| Cow::Owned(element.to_vec())).collect())
}

fn pairs(parts: Vec<Bytes<'_>>) -> Result<Vec<(Bytes<'_>, Bytes<'_>, Option<u64>)>, BadPayload> {
    let (mut pairs, mut parts) = (Vec::new(), parts.into_iter());
    while let Some(field) = parts.next() {
        pairs.push((field, parts.next().ok_or(BadPayload::Format)?, None));
    }
    Ok(pairs)
}

fn scored(parts: Vec<Bytes<'_>>) -> Result<Vec<(Bytes<'_>, f64)>, BadPayload> {
    let pairs = pairs(parts)?.into_iter();
    pairs.map(|(member, score, _)| Ok((member, parse_f64(&score).ok_or(BadPayload::Format)?))).collect()
}

fn quicklist(reader: &mut Reader<'_>, limits: &Limits) -> Result<Kept, BadPayload> {
    let mut elements: Vec<Bytes<'_>> = Vec::new();
    for _ in 0..reader.count()? {
        let (container, bytes) = (reader.length()?, reader.string()?);
        match container {
            kinds::NODE_PLAIN => elements.push(bytes),
            kinds::NODE_PACKED => {
                let pack = ListpackRef::validate(&bytes).map_err(|_| BadPayload::Format)?;
                elements.extend(pack.iter().map(|element| Cow::Owned(element.to_vec())));
            }
            _ => return Err(BadPayload::Format),
        }
    }
    list(elements, limits)
}

/// Goes through the large form, which says how much fits a node.
fn list(elements: Vec<Bytes<'_>>, limits: &Limits) -> Result<Kept, BadPayload> {
    let (mut list, fill) = (Chunks::default(), Fill::new(limits.list_size));
    for element in &elements {
        with_arg(element, |arg| list.push_back(arg.into(), &fill));
    }
    if list.is_empty() {
        return Err(BadPayload::Format);
    }
    let Some((run, count)) = list.only_run() else { return Ok(Kept::Large(LargeBox::List(Box::new(list)))) };
    let mut pack = Listpack::new();
    pack.push_run(run, count);
    Ok(Kept::Compact(Form::ListPack, pack.into_bytes()))
}

fn ints(bytes: &[u8], hasher: &Hasher, limits: &Limits) -> Result<Kept, BadPayload> {
    let ints = IntSetRef::validate(bytes).map_err(|_| BadPayload::Format)?;
    if ints.is_empty() {
        return Err(BadPayload::Format);
    }
    if ints.len() <= limits.set_ints {
        return Ok(Kept::Compact(Form::SetInts, bytes.to_vec()));
    }
    set(ints.iter().map(|number| Cow::Owned(number.to_string().into_bytes())).collect(), hasher, limits)
}

fn set(members: Vec<Bytes<'_>>, hasher: &Hasher, limits: &Limits) -> Result<Kept, BadPayload> {
    if let Some(ints) = int_set(&members, limits) {
        return if ints.view().len() == members.len() {
            Ok(Kept::Compact(Form::SetInts, ints.into_bytes()))
        } else {
            Err(BadPayload::Format)
        };
    }
    let mut pages = PageMap::new();
    for member in &members {
        if !pages.add(hasher, member) {
            return Err(BadPayload::Format);
        }
    }
    let is_small = members.len() <= limits.set_entries && fit(members.iter(), limits.set_value_bytes);
    Ok(if is_small {
        Kept::Compact(Form::SetPack, packed(members.iter()))
    } else {
        Kept::Large(LargeBox::Set(Box::new(pages)))
    })
}

fn int_set(members: &[Bytes<'_>], limits: &Limits) -> Option<IntSet> {
    if members.len() > limits.set_ints {
        return None;
    }
    let mut ints = IntSet::new();
    for member in members {
        ints.insert(parse_i64(member)?);
    }
    Some(ints)
}

fn hash(
    fields: Vec<(Bytes<'_>, Bytes<'_>, Option<u64>)>,
    hasher: &Hasher,
    limits: &Limits,
) -> Result<Kept, BadPayload> {
    if fields.is_empty() {
        return Err(BadPayload::Format);
    }
    let mut pages = PageMap::new();
    for (field, value, expire_at_ms) in &fields {
        if with_arg(value, |value| pages.set(hasher, field, value, *expire_at_ms)) {
            return Err(BadPayload::Format);
        }
    }
    let parts = || fields.iter().flat_map(|(field, value, _)| [field, value]);
    let is_small =
        fields.len() <= limits.hash_entries && pages.volatile_len() == 0 && fit(parts(), limits.hash_value_bytes);
    Ok(if is_small {
        Kept::Compact(Form::HashPack, packed(parts()))
    } else {
        Kept::Large(LargeBox::Hash(Box::new(pages)))
    })
}

fn zset(mut members: Vec<(Bytes<'_>, f64)>, hasher: &Hasher, limits: &Limits) -> Result<Kept, BadPayload> {
    members.sort_by(|(one, first), (other, second)| {
        first.partial_cmp(second).unwrap_or(std::cmp::Ordering::Equal).then_with(|| one.cmp(other))
    });
    let ranked = Ranked::from_sorted(members.iter().map(|(member, score)| (&**member, *score)), hasher);
    let mut seen = PageMap::new();
    if members.is_empty() || !members.iter().all(|(member, _)| seen.add(hasher, member)) {
        return Err(BadPayload::Format);
    }
    let is_small =
        members.len() <= limits.zset_entries && fit(members.iter().map(|(member, _)| member), limits.zset_value_bytes);
    if !is_small {
        return Ok(Kept::Large(LargeBox::ZSet(Box::new(ranked))));
    }
    let mut pack = Listpack::new();
    for (member, score) in &members {
        pack.push_back(&member[..]);
        pack.push_back(crate::number::format_f64(*score).as_bytes());
    }
    Ok(Kept::Compact(Form::ZSetPack, pack.into_bytes()))
}

fn fit<'b, 'a: 'b>(mut parts: impl Iterator<Item = &'b Bytes<'a>>, bytes_max: usize) -> bool {
    parts.all(|part| part.len() <= bytes_max)
}

fn packed<'b, 'a: 'b>(parts: impl Iterator<Item = &'b Bytes<'a>>) -> Vec<u8> {
    let mut pack = Listpack::new();
    parts.for_each(|part| pack.push_back(&part[..]));
    pack.into_bytes()
}

/// Gives bytes to a taker of arguments, long ones in segments.
fn with_arg<T>(bytes: &[u8], take: impl FnOnce(Arg<'_>) -> T) -> T {
    if bytes.len() > swell_wire::SEGMENT_BYTES {
        take(Arg::Segments(&Segments::from_slice(bytes)))
    } else {
        take(Arg::Slice(bytes))
    }
}
