//! Integers of 1 to 64 bits within bytes, the highest bit first.

use crate::commands::options::is_word;
use crate::error::Fault;
use crate::number::parse_i64;

/// A kind of integer: `i1` to `i64`, `u1` to `u63`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Integer {
    is_signed: bool,
    bits: u32,
}

/// What becomes of a result that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overflow {
    /// Its lowest bits.
    Wrap,
    /// The nearest that fits.
    Saturate,
    /// Nothing is done.
    Fail,
}

impl Overflow {
    pub fn parse(word: &[u8]) -> Result<Overflow, Fault> {
        let known = [("WRAP", Overflow::Wrap), ("SAT", Overflow::Saturate), ("FAIL", Overflow::Fail)];
        let found = known.into_iter().find(|(name, _)| is_word(word, name));
        found.map(|(_, overflow)| overflow).ok_or(Fault::say("ERR Invalid OVERFLOW type specified"))
    }
}

impl Integer {
    /// Reads its name.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn parse(name: &[u8]) -> Result<Integer, Fault> {
        const BAD_TYPE: Fault = Fault::say(
            "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
        );
        let (is_signed, bits) = match name {
            [b'i', bits @ ..] => (true, bits),
            [b'u', bits @ ..] => (false, bits),
            _ => return Err(BAD_TYPE),
        };
        let most = if is_signed { 64 } else { 63 };
        let bits = parse_i64(bits).filter(|bits| (1..=most).contains(bits)).ok_or(BAD_TYPE)?;
        Ok(Integer { is_signed, bits: bits as u32 })
    }

    /// How many bits it has.
    pub fn bits(self) -> u32 {
        self.bits
    }

    /// Reads it; `shift`: how many bits are before it.
    pub fn read(self, window: &[u8; 9], shift: u32) -> i128 {
        let bits = self.low(number(window) >> (72 - shift - self.bits));
        self.wrap(bits as i128)
    }

    /// Writes it over what is there.
    pub fn write(self, window: &mut [u8; 9], shift: u32, value: i128) {
        let up = 72 - shift - self.bits;
        let cleared = number(window) & !(self.low(u128::MAX) << up);
        let whole = cleared | self.low(value as u128) << up;
        window.copy_from_slice(&whole.to_be_bytes()[7..]);
    }

    /// What an argument means: unsigned ones take a negative for the large number of the same bits.
    pub fn of_argument(self, number: i64) -> i128 {
        if self.is_signed { number.into() } else { (number as u64).into() }
    }

    /// Makes a result fit; nothing where that is to fail.
    pub fn fit(self, value: i128, overflow: Overflow) -> Option<i128> {
        let (low, high) = match self.is_signed {
            true => (-(1i128 << (self.bits - 1)), (1 << (self.bits - 1)) - 1),
            false => (0, (1 << self.bits) - 1),
        };
        if (low..=high).contains(&value) {
            return Some(value);
        }
        match overflow {
            Overflow::Wrap => Some(self.wrap(value)),
            Overflow::Saturate => Some(value.clamp(low, high)),
            Overflow::Fail => None,
        }
    }

    /// The value of the lowest bits.
    fn wrap(self, value: i128) -> i128 {
        let bits = self.low(value as u128) as i128;
        let is_negative = self.is_signed && bits >> (self.bits - 1) != 0;
        if is_negative { bits - (1 << self.bits) } else { bits }
    }

    fn low(self, value: u128) -> u128 {
        value & ((1 << self.bits) - 1)
    }
}

fn number(window: &[u8; 9]) -> u128 {
    window.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        arbtest::arbtest(|u| {
            let is_signed = u.arbitrary()?;
            let integer = Integer { is_signed, bits: u.int_in_range(1..=if is_signed { 64 } else { 63 })? };
            let shift = u.int_in_range(0..=7)?;
            let before: [u8; 9] = u.arbitrary()?;
            let value = integer.wrap(u.arbitrary::<i64>()?.into());
            let mut window = before;
            integer.write(&mut window, shift, value);
            assert_eq!(integer.read(&window, shift), value);
            // Bit by bit: what is outside is as it was.
            for bit in 0..72 {
                let is_inside = (shift..shift + integer.bits).contains(&bit);
                let (was, is) =
                    (before[bit as usize / 8] >> (7 - bit % 8) & 1, window[bit as usize / 8] >> (7 - bit % 8) & 1);
                assert!(is_inside || was == is, "bit {bit}");
            }
            Ok(())
        });
    }

    #[test]
    fn overflows() {
        let (i8_, u8_) = (Integer::parse(b"i8").unwrap(), Integer::parse(b"u8").unwrap());
        assert_eq!((i8_.fit(128, Overflow::Wrap), i8_.fit(128, Overflow::Saturate)), (Some(-128), Some(127)));
        assert_eq!((u8_.fit(-1, Overflow::Wrap), u8_.fit(-1, Overflow::Saturate)), (Some(255), Some(0)));
        assert_eq!((u8_.fit(256, Overflow::Fail), u8_.fit(255, Overflow::Fail)), (None, Some(255)));
        assert_eq!(u8_.fit(u8_.of_argument(-1), Overflow::Saturate), Some(255));
        for bad in [&b"u64"[..], b"i65", b"i0", b"8", b"I8", b"", b"u-1"] {
            assert!(Integer::parse(bad).is_err(), "{bad:?}");
        }
    }
}
