//! A HyperLogLog as Redis keeps it in a string: 16384 registers of 6 bits behind a header, all of them (dense) or as
//! runs (sparse).
//!
//! ```text
//! header:  "HYLL" | encoding: 0 dense, 1 sparse | 3 unused | count as last told, u64 little-endian
//! dense:   register i in the 6 bits from bit 6 i on, the lowest bits of a byte first
//! sparse:  00nnnnnn           n + 1 registers of 0, up to 64
//!          01nnnnnn nnnnnnnn  n + 1 registers of 0, up to 16384
//!          1vvvvvnn           n + 1 registers, up to 4, of v + 1, up to 32
//! ```
//!
//! The highest bit of the count says that it must be made anew.

use super::hash::hash;
use crate::error::Fault;

/// Number of registers.
pub(super) const REGISTERS: usize = 1 << INDEX_BITS;
/// The highest value of a register in a run.
const RUN_VALUE_MAX: u8 = 32;

const INDEX_BITS: u32 = 14;
/// Bits of a hash in which the lowest 1 is looked for.
const PATTERN_BITS: u32 = 64 - INDEX_BITS;
const HEADER_BYTES: usize = 16;
const MAGIC: &[u8] = b"HYLL";
const ENCODING_AT: usize = 4;
const COUNT_AT: usize = 8;
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
const DENSE_BYTES: usize = HEADER_BYTES + REGISTERS * 6 / 8;
const ZEROES_MAX: usize = 64;
const VALUES_MAX: usize = 4;
/// After a change, this many runs are looked at to join what has become equal.
const JOINED_RUNS_MAX: usize = 5;

const NO_HLL: Fault = Fault::say("WRONGTYPE Key is not a valid HyperLogLog string value.");
const CORRUPT: Fault = Fault::say("INVALIDOBJ Corrupted HLL object detected");

/// A register and the value it has at least.
pub(super) type Element = (usize, u8);

/// How many registers have each value.
pub(super) type Histogram = [u32; 64];

/// A HyperLogLog that is read in place.
#[derive(Clone, Copy)]
pub(super) struct View<'a>(&'a [u8]);

/// One to be changed.
#[derive(Clone)]
pub(super) struct Hll(Vec<u8>);

/// Registers of the same value, and how many bytes say so.
#[derive(Clone, Copy)]
struct Run {
    len: usize,
    value: u8,
    bytes: usize,
}

/// Where an element counts: the register, and the place of the lowest 1 in the rest of its hash, from 1.
pub(super) fn element(bytes: &[u8]) -> Element {
    let hash = hash(bytes);
    let pattern = hash >> INDEX_BITS | 1 << PATTERN_BITS;
    ((hash as usize) & (REGISTERS - 1), pattern.trailing_zeros() as u8 + 1)
}

impl<'a> View<'a> {
    /// Takes a string for what it is.
    ///
    /// # Errors
    /// It is no HyperLogLog.
    pub fn new(bytes: &'a [u8]) -> Result<View<'a>, Fault> {
        let header = bytes.get(..HEADER_BYTES).ok_or(NO_HLL)?;
        let is_sound = match header[ENCODING_AT] {
            DENSE => bytes.len() == DENSE_BYTES,
            SPARSE => true,
            _ => false,
        };
        if is_sound && header.starts_with(MAGIC) { Ok(View(bytes)) } else { Err(NO_HLL) }
    }

    /// Whether all registers are there.
    pub fn is_dense(self) -> bool {
        self.0[ENCODING_AT] == DENSE
    }

    /// The count, if it is up to date.
    pub fn count(self) -> Option<u64> {
        let count = self.0[COUNT_AT..HEADER_BYTES].try_into().map(u64::from_le_bytes).ok()?;
        Some(count).filter(|count| count >> 63 == 0)
    }

    /// Counts the registers by value.
    ///
    /// # Errors
    /// The runs are not those of all registers.
    pub fn histogram(self) -> Result<Histogram, Fault> {
        let mut histogram = [0; 64];
        self.each_run(|_, len, value| histogram[usize::from(value)] += len as u32)?;
        Ok(histogram)
    }

    /// Raises `registers`, a byte each, to those that are higher here.
    ///
    /// # Errors
    /// The runs are not those of all registers.
    pub fn raise(self, registers: &mut [u8; REGISTERS]) -> Result<(), Fault> {
        self.each_run(|at, len, value| {
            registers[at..at + len].iter_mut().for_each(|register| *register = (*register).max(value));
        })
    }

    /// The value of a register, where all are there.
    pub fn dense_register(self, index: usize) -> u8 {
        dense_get(&self.0[HEADER_BYTES..], index)
    }

    /// The runs in words: `z:` and `Z:` for the two kinds of zeroes, `v:` with a value; nothing where it is dense.
    ///
    /// # Errors
    /// The runs make no sense.
    pub fn runs_in_words(self) -> Result<Option<String>, Fault> {
        if self.is_dense() {
            return Ok(None);
        }
        let mut words = Vec::new();
        let mut rest = &self.0[HEADER_BYTES..];
        while !rest.is_empty() {
            let run = Run::read(rest).ok_or(CORRUPT)?;
            words.push(match run {
                Run { value: 0, len, bytes: 1 } => format!("z:{len}"),
                Run { value: 0, len, .. } => format!("Z:{len}"),
                Run { value, len, .. } => format!("v:{value},{len}"),
            });
            rest = &rest[run.bytes..];
        }
        Ok(Some(words.join(" ")))
    }

    /// Calls `each` with the first register, the number of registers and their value.
    fn each_run(self, mut each: impl FnMut(usize, usize, u8)) -> Result<(), Fault> {
        let body = &self.0[HEADER_BYTES..];
        if self.is_dense() {
            for (group, bytes) in body.chunks_exact(3).enumerate() {
                let bits = u32::from(bytes[0]) | u32::from(bytes[1]) << 8 | u32::from(bytes[2]) << 16;
                (0..4).for_each(|place| each(group * 4 + place, 1, (bits >> (6 * place) & 63) as u8));
            }
            return Ok(());
        }
        let (mut rest, mut at) = (body, 0);
        while !rest.is_empty() {
            let run = Run::read(rest).filter(|run| at + run.len <= REGISTERS).ok_or(CORRUPT)?;
            each(at, run.len, run.value);
            at += run.len;
            rest = &rest[run.bytes..];
        }
        if at == REGISTERS { Ok(()) } else { Err(CORRUPT) }
    }
}

impl Hll {
    /// One that has seen nothing; sparse.
    pub fn new() -> Hll {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[..MAGIC.len()].copy_from_slice(MAGIC);
        bytes[ENCODING_AT] = SPARSE;
        push_zeroes(&mut bytes, REGISTERS);
        Hll(bytes)
    }

    /// A copy of one.
    pub fn from_view(view: View<'_>) -> Hll {
        Hll(view.0.to_vec())
    }

    /// Reads it.
    pub fn view(&self) -> View<'_> {
        View(&self.0)
    }

    /// Its bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Raises one register; says whether it was lower. A sparse one that would have more than `sparse_bytes` bytes
    /// becomes dense.
    ///
    /// # Errors
    /// The runs make no sense.
    pub fn raise(&mut self, (index, value): Element, sparse_bytes: usize) -> Result<bool, Fault> {
        if self.view().is_dense() {
            return Ok(raise_dense(&mut self.0, (index, value)));
        }
        if value <= RUN_VALUE_MAX
            && let Some(raised) = self.raise_sparse(index, value, sparse_bytes)?
        {
            return Ok(raised);
        }
        self.make_dense()?;
        Ok(raise_dense(&mut self.0, (index, value)))
    }

    /// Writes all registers out; says whether they were not yet.
    ///
    /// # Errors
    /// The runs are not those of all registers.
    pub fn make_dense(&mut self) -> Result<bool, Fault> {
        if self.view().is_dense() {
            return Ok(false);
        }
        let mut dense = vec![0; DENSE_BYTES];
        dense[..HEADER_BYTES].copy_from_slice(&self.0[..HEADER_BYTES]);
        dense[ENCODING_AT] = DENSE;
        let body = &mut dense[HEADER_BYTES..];
        self.view().each_run(|at, len, value| {
            if value > 0 {
                (at..at + len).for_each(|index| dense_set(body, index, value));
            }
        })?;
        self.0 = dense;
        Ok(true)
    }

    /// Makes all registers what these are; it is dense.
    pub fn overwrite_dense(&mut self, registers: &[u8; REGISTERS]) {
        for (bytes, values) in self.0[HEADER_BYTES..].chunks_exact_mut(3).zip(registers.chunks_exact(4)) {
            let bits = values.iter().rev().fold(0u32, |bits, value| bits << 6 | u32::from(*value));
            bytes.copy_from_slice(&bits.to_le_bytes()[..3]);
        }
    }

    /// Says that the count is to be made anew.
    pub fn forget_count(&mut self) {
        forget_count(&mut self.0);
    }

    /// Raises a register in a run; nothing where that would take too many bytes.
    fn raise_sparse(&mut self, index: usize, value: u8, sparse_bytes: usize) -> Result<Option<bool>, Fault> {
        let (mut at, mut first, mut before) = (HEADER_BYTES, 0, HEADER_BYTES);
        let run = loop {
            let run = Run::read(&self.0[at..]).ok_or(CORRUPT)?;
            if index < first + run.len {
                break run;
            }
            first += run.len;
            before = at;
            at += run.bytes;
        };
        if run.value >= value {
            return Ok(Some(false));
        }
        let mut parts = Vec::with_capacity(5);
        push_run(&mut parts, run.value, index - first);
        push_run(&mut parts, value, 1);
        push_run(&mut parts, run.value, first + run.len - index - 1);
        if parts.len() > run.bytes && self.0.len() + parts.len() - run.bytes > sparse_bytes {
            return Ok(None);
        }
        self.0.splice(at..at + run.bytes, parts);
        self.join_from(before);
        Ok(Some(true))
    }

    /// Joins neighbours of the same value, as far as one run can say it.
    fn join_from(&mut self, at: usize) {
        let mut at = at;
        for _ in 0..JOINED_RUNS_MAX {
            let Some(run) = self.0.get(at..).and_then(Run::read) else { return };
            let next = self.0.get(at + run.bytes..).and_then(Run::read);
            match next.filter(|next| run.value > 0 && next.value == run.value) {
                Some(next) if run.len + next.len <= VALUES_MAX => {
                    self.0.remove(at);
                    self.0[at] = value_run(run.value, run.len + next.len);
                }
                _ => at += run.bytes,
            }
        }
    }
}

impl Run {
    fn read(bytes: &[u8]) -> Option<Run> {
        let head = *bytes.first()?;
        let low = usize::from(head & 0x3f);
        Some(match head >> 6 {
            0 => Run { len: low + 1, value: 0, bytes: 1 },
            1 => Run { len: (low << 8 | usize::from(*bytes.get(1)?)) + 1, value: 0, bytes: 2 },
            _ => Run { len: usize::from(head & 3) + 1, value: (head >> 2 & 0x1f) + 1, bytes: 1 },
        })
    }
}

/// Raises a register of a dense one in place; says whether it was lower.
pub(super) fn raise_dense(bytes: &mut [u8], (index, value): Element) -> bool {
    let body = &mut bytes[HEADER_BYTES..];
    let is_lower = dense_get(body, index) < value;
    if is_lower {
        dense_set(body, index, value);
    }
    is_lower
}

/// Says in place that the count is to be made anew.
pub(super) fn forget_count(bytes: &mut [u8]) {
    bytes[HEADER_BYTES - 1] |= 0x80;
}

/// Writes the count in place.
pub(super) fn keep_count(bytes: &mut [u8], count: u64) {
    bytes[COUNT_AT..HEADER_BYTES].copy_from_slice(&count.to_le_bytes());
}

fn dense_get(body: &[u8], index: usize) -> u8 {
    let (at, shift) = (index * 6 / 8, index * 6 % 8);
    let high = body.get(at + 1).copied().unwrap_or(0);
    (u16::from_le_bytes([body[at], high]) >> shift) as u8 & 63
}

fn dense_set(body: &mut [u8], index: usize, value: u8) {
    let (at, shift) = (index * 6 / 8, index * 6 % 8);
    let mask = 63u16 << shift;
    let high = body.get(at + 1).copied().unwrap_or(0);
    let bits = u16::from_le_bytes([body[at], high]) & !mask | u16::from(value) << shift;
    let [low, high] = bits.to_le_bytes();
    body[at] = low;
    if let Some(byte) = body.get_mut(at + 1) {
        *byte = high;
    }
}

fn push_run(bytes: &mut Vec<u8>, value: u8, len: usize) {
    match (value, len) {
        (_, 0) => {}
        (0, len) => push_zeroes(bytes, len),
        (value, len) => bytes.push(value_run(value, len)),
    }
}

fn push_zeroes(bytes: &mut Vec<u8>, len: usize) {
    let n = len - 1;
    if len > ZEROES_MAX {
        bytes.push(0x40 | (n >> 8) as u8);
    }
    bytes.push(n as u8);
}

fn value_run(value: u8, len: usize) -> u8 {
    0x80 | (value - 1) << 2 | (len - 1) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPARSE_BYTES: usize = 3000;

    fn registers(hll: &Hll) -> Box<[u8; REGISTERS]> {
        let mut registers = Box::new([0; REGISTERS]);
        hll.view().raise(&mut registers).unwrap();
        registers
    }

    #[test]
    fn every_encoding_has_the_same_registers() {
        arbtest::arbtest(|u| {
            let mut model = vec![0u8; REGISTERS];
            let (mut hll, mut dense) = (Hll::new(), Hll::new());
            dense.make_dense().unwrap();
            let near = u.int_in_range(0..=REGISTERS - 40)?;
            for _ in 0..u.int_in_range(0..=300)? {
                let index =
                    if u.arbitrary()? { near + u.int_in_range(0..=30)? } else { u.int_in_range(0..=REGISTERS - 1)? };
                let value = if u.ratio(1, 100)? { u.int_in_range(1..=51)? } else { u.int_in_range(1..=4)? };
                let raised = model[index] < value;
                model[index] = model[index].max(value);
                assert_eq!(hll.raise((index, value), SPARSE_BYTES), Ok(raised));
                assert_eq!(dense.raise((index, value), SPARSE_BYTES), Ok(raised));
            }
            assert_eq!(registers(&hll)[..], model[..]);
            assert_eq!(registers(&dense)[..], model[..]);
            assert_eq!(hll.view().histogram(), dense.view().histogram());
            let mut again = Hll::new();
            again.make_dense().unwrap();
            again.overwrite_dense(&registers(&hll));
            assert_eq!(registers(&again)[..], model[..]);
            Ok(())
        });
    }

    #[test]
    fn it_becomes_dense_when_runs_take_too_much() {
        let mut hll = Hll::new();
        for index in (0..REGISTERS).step_by(7) {
            hll.raise((index, 1), 100).unwrap();
            assert!(hll.view().is_dense() || hll.0.len() <= 100);
        }
        assert_eq!(hll.0.len(), DENSE_BYTES);
        assert_eq!(hll.view().histogram().unwrap()[1] as usize, REGISTERS.div_ceil(7));
    }

    #[test]
    fn strings_that_are_none_are_refused() {
        let whole = Hll::new().into_bytes();
        assert!(View::new(&whole).is_ok());
        assert!(View::new(&whole[..15]).is_err() && View::new(b"12").is_err());
        let mut other = whole.clone();
        other[ENCODING_AT] = DENSE;
        assert!(View::new(&other).is_err());
        arbtest::arbtest(|u| {
            let mut bytes = whole[..HEADER_BYTES].to_vec();
            bytes.extend(u.arbitrary::<Vec<u8>>()?);
            let Ok(view) = View::new(&bytes) else { return Ok(()) };
            let is_whole = view.histogram().is_ok();
            let mut hll = Hll::from_view(view);
            let _ = hll.raise((u.int_in_range(0..=REGISTERS - 1)?, u.int_in_range(1..=51)?), SPARSE_BYTES);
            assert!(!is_whole || hll.view().histogram().is_ok());
            Ok(())
        });
    }
}
