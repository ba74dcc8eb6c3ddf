//! Integers of any size, with just what reading and printing a `long double` takes.

use std::cmp::Ordering;

const LIMB_BITS: usize = 32;

/// An integer from zero up; 32-bit limbs, the lowest first, no zeroes at the top.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Big {
    limbs: Vec<u32>,
}

impl Big {
    /// Decimal digits that always fit into one limb.
    pub const DECIMAL_CHUNK: usize = 9;
    const TEN_TO_CHUNK: u32 = 1_000_000_000;

    /// Whether it is zero.
    pub fn is_zero(&self) -> bool {
        self.limbs.is_empty()
    }

    /// Position of the highest bit that is set, from 1; 0 for zero.
    pub fn bits(&self) -> usize {
        self.limbs.last().map_or(0, |top| self.limbs.len() * LIMB_BITS - top.leading_zeros() as usize)
    }

    /// Multiplies by `factor` and adds `term`.
    pub fn multiply_add(&mut self, factor: u32, term: u32) {
        let mut carry = u64::from(term);
        for limb in &mut self.limbs {
            carry += u64::from(*limb) * u64::from(factor);
            *limb = carry as u32;
            carry >>= LIMB_BITS;
        }
        if carry > 0 {
            self.limbs.push(carry as u32);
        }
        self.normalise();
    }

    /// Multiplies by 10 to the `exponent`.
    pub fn multiply_by_power_of_ten(&mut self, exponent: usize) {
        for _ in 0..exponent / Self::DECIMAL_CHUNK {
            self.multiply_add(Self::TEN_TO_CHUNK, 0);
        }
        self.multiply_add(10u32.pow((exponent % Self::DECIMAL_CHUNK) as u32), 0);
    }

    /// Multiplies by 2 to the `by`.
    pub fn shift_left(&mut self, by: usize) {
        let (limbs, bits) = (by / LIMB_BITS, by % LIMB_BITS);
        if bits > 0 {
            let mut carry = 0;
            for limb in &mut self.limbs {
                let shifted = u64::from(*limb) << bits | carry;
                *limb = shifted as u32;
                carry = shifted >> LIMB_BITS;
            }
            if carry > 0 {
                self.limbs.push(carry as u32);
            }
        }
        if limbs > 0 && !self.is_zero() {
            self.limbs.splice(..0, std::iter::repeat_n(0, limbs));
        }
    }

    /// Subtracts what is not larger than itself.
    pub fn subtract(&mut self, other: &Big) {
        debug_assert!(*self >= *other);
        let mut borrow = false;
        for (index, limb) in self.limbs.iter_mut().enumerate() {
            let term = other.limbs.get(index).copied().unwrap_or(0);
            let (difference, under) = limb.overflowing_sub(term);
            let (difference, under_again) = difference.overflowing_sub(u32::from(borrow));
            *limb = difference;
            borrow = under || under_again;
        }
        self.normalise();
    }

    /// Its decimal digits.
    pub fn into_decimal(mut self) -> String {
        let mut chunks = Vec::new();
        while !self.is_zero() {
            chunks.push(self.divide_by_chunk());
        }
        let mut digits = chunks.pop().unwrap_or(0).to_string();
        for chunk in chunks.iter().rev() {
            digits.push_str(&format!("{chunk:09}"));
        }
        digits
    }

    /// Divides by 10 to the [`Big::DECIMAL_CHUNK`] and returns the remainder.
    fn divide_by_chunk(&mut self) -> u32 {
        let mut remainder = 0;
        for limb in self.limbs.iter_mut().rev() {
            let dividend = remainder << LIMB_BITS | u64::from(*limb);
            *limb = (dividend / u64::from(Self::TEN_TO_CHUNK)) as u32;
            remainder = dividend % u64::from(Self::TEN_TO_CHUNK);
        }
        self.normalise();
        remainder as u32
    }

    fn normalise(&mut self) {
        while self.limbs.last() == Some(&0) {
            self.limbs.pop();
        }
    }
}

impl From<u128> for Big {
    fn from(number: u128) -> Self {
        let limbs = (0..4).map(|index| (number >> (index * LIMB_BITS)) as u32).collect();
        let mut big = Big { limbs };
        big.normalise();
        big
    }
}

impl Ord for Big {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_length = self.limbs.len().cmp(&other.limbs.len());
        by_length.then_with(|| self.limbs.iter().rev().cmp(other.limbs.iter().rev()))
    }
}

impl PartialOrd for Big {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_128_bits() {
        let numbers =
            [0u128, 1, 9, 0xffff_ffff, 0x1_0000_0000, 999_999_999_999_999_999, u128::MAX >> 40, u128::MAX >> 33];
        for a in numbers {
            let big = Big::from(a);
            assert_eq!(big.clone().into_decimal(), a.to_string());
            assert_eq!(big.bits() as u32, 128 - a.leading_zeros());
            for shift in [0, 1, 31, 32, 33] {
                let mut shifted = big.clone();
                shifted.shift_left(shift);
                assert_eq!(shifted, Big::from(a << shift), "{a} << {shift}");
            }
            let mut product = big.clone();
            product.multiply_add(1_000_000_000, 7);
            assert_eq!(product, Big::from(a * 1_000_000_000 + 7));
            for b in numbers.into_iter().filter(|&b| b <= a) {
                let mut difference = big.clone();
                difference.subtract(&Big::from(b));
                assert_eq!(difference, Big::from(a - b));
                assert_eq!(big.cmp(&Big::from(b)), a.cmp(&b));
            }
        }
    }

    #[test]
    fn powers_of_ten() {
        let mut big = Big::from(7);
        big.multiply_by_power_of_ten(50);
        assert_eq!(big.into_decimal(), format!("7{}", "0".repeat(50)));
    }
}
