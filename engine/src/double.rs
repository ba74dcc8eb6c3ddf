//! Doubles as Valkey prints them.
//!
//! Whole numbers up to 2^62 are printed as integers. All others get the digits of the Grisu2 algorithm (F. Loitsch,
//! "Printing floating-point numbers quickly and accurately with integers", PLDI 2010): they read back as the same
//! number, and are the shortest such digits but for about one number in 500. Clients see these digits, so they must be
//! the same, the longer ones too.

use std::fmt::{self, Write};

/// Longest text of a double.
pub const DOUBLE_BYTES: usize = 32;

/// 10^(-348 + 8 i) as a 64-bit fraction, rounded, and the power of two it is multiplied by.
const POWERS: [(u64, i32); 87] = [
    (0xfa8fd5a0081c0288, -1220),
    (0xbaaee17fa23ebf76, -1193),
    (0x8b16fb203055ac76, -1166),
    (0xcf42894a5dce35ea, -1140),
    (0x9a6bb0aa55653b2d, -1113),
    (0xe61acf033d1a45df, -1087),
    (0xab70fe17c79ac6ca, -1060),
    (0xff77b1fcbebcdc4f, -1034),
    (0xbe5691ef416bd60c, -1007),
    (0x8dd01fad907ffc3c, -980),
    (0xd3515c2831559a83, -954),
    (0x9d71ac8fada6c9b5, -927),
    (0xea9c227723ee8bcb, -901),
    (0xaecc49914078536d, -874),
    (0x823c12795db6ce57, -847),
    (0xc21094364dfb5637, -821),
    (0x9096ea6f3848984f, -794),
    (0xd77485cb25823ac7, -768),
    (0xa086cfcd97bf97f4, -741),
    (0xef340a98172aace5, -715),
    (0xb23867fb2a35b28e, -688),
    (0x84c8d4dfd2c63f3b, -661),
    (0xc5dd44271ad3cdba, -635),
    (0x936b9fcebb25c996, -608),
    (0xdbac6c247d62a584, -582),
    (0xa3ab66580d5fdaf6, -555),
    (0xf3e2f893dec3f126, -529),
    (0xb5b5ada8aaff80b8, -502),
    (0x87625f056c7c4a8b, -475),
    (0xc9bcff6034c13053, -449),
    (0x964e858c91ba2655, -422),
    (0xdff9772470297ebd, -396),
    (0xa6dfbd9fb8e5b88f, -369),
    (0xf8a95fcf88747d94, -343),
    (0xb94470938fa89bcf, -316),
    (0x8a08f0f8bf0f156b, -289),
    (0xcdb02555653131b6, -263),
    (0x993fe2c6d07b7fac, -236),
    (0xe45c10c42a2b3b06, -210),
    (0xaa242499697392d3, -183),
    (0xfd87b5f28300ca0e, -157),
    (0xbce5086492111aeb, -130),
    (0x8cbccc096f5088cc, -103),
    (0xd1b71758e219652c, -77),
    (0x9c40000000000000, -50),
    (0xe8d4a51000000000, -24),
    (0xad78ebc5ac620000, 3),
    (0x813f3978f8940984, 30),
    (0xc097ce7bc90715b3, 56),
    (0x8f7e32ce7bea5c70, 83),
    (0xd5d238a4abe98068, 109),
    (0x9f4f2726179a2245, 136),
    (0xed63a231d4c4fb27, 162),
    (0xb0de65388cc8ada8, 189),
    (0x83c7088e1aab65db, 216),
    (0xc45d1df942711d9a, 242),
    (0x924d692ca61be758, 269),
    (0xda01ee641a708dea, 295),
    (0xa26da3999aef774a, 322),
    (0xf209787bb47d6b85, 348),
    (0xb454e4a179dd1877, 375),
    (0x865b86925b9bc5c2, 402),
    (0xc83553c5c8965d3d, 428),
    (0x952ab45cfa97a0b3, 455),
    (0xde469fbd99a05fe3, 481),
    (0xa59bc234db398c25, 508),
    (0xf6c69a72a3989f5c, 534),
    (0xb7dcbf5354e9bece, 561),
    (0x88fcf317f22241e2, 588),
    (0xcc20ce9bd35c78a5, 614),
    (0x98165af37b2153df, 641),
    (0xe2a0b5dc971f303a, 667),
    (0xa8d9d1535ce3b396, 694),
    (0xfb9b7cd9a4a7443c, 720),
    (0xbb764c4ca7a44410, 747),
    (0x8bab8eefb6409c1a, 774),
    (0xd01fef10a657842c, 800),
    (0x9b10a4e5e9913129, 827),
    (0xe7109bfba19c0c9d, 853),
    (0xac2820d9623bf429, 880),
    (0x80444b5e7aa7cf85, 907),
    (0xbf21e44003acdd2d, 933),
    (0x8e679c2f5e44ff8f, 960),
    (0xd433179d9c8cb841, 986),
    (0x9e19db92b4e31ba9, 1013),
    (0xeb96bf6ebadf77d9, 1039),
    (0xaf87023b9bf0ee6b, 1066),
];
const FIRST_POWER: i32 = -348;
const POWER_STEP: i32 = 8;
/// The exponent that makes a product's integer part fit into 32 bits lies between these.
const EXPONENT_MIN: i32 = -60;
const EXPONENT_MAX: i32 = -32;
const HIDDEN_BIT: u64 = 1 << 52;
const FRACTION_MASK: u64 = HIDDEN_BIT - 1;
/// 1023, and the 52 bits of the fraction.
const BIAS: i32 = 1075;
/// At most this many digits leave the algorithm.
const DIGITS_MAX: usize = 18;

/// `fraction` * 2^`exponent`.
#[derive(Clone, Copy)]
struct Scaled {
    fraction: u64,
    exponent: i32,
}

/// Digits and the power of ten of the last one.
struct Decimal {
    digits: [u8; DIGITS_MAX],
    len: usize,
    power: i32,
}

/// A text under construction; what does not fit is dropped.
struct Text<'a> {
    to: &'a mut [u8; DOUBLE_BYTES],
    len: usize,
}

/// A double as Valkey's replies have it: `3`, `0.1`, `1e+20`, `inf`, `-0`.
pub fn format_double(number: f64, to: &mut [u8; DOUBLE_BYTES]) -> &str {
    let mut text = Text { to, len: 0 };
    if number.is_nan() {
        text.push(b"nan");
    } else if number.is_infinite() {
        text.push(if number > 0.0 { b"inf" } else { b"-inf" });
    } else if number == 0.0 {
        text.push(if number.is_sign_negative() { b"-0" } else { b"0" });
    } else if number.abs() <= 4_611_686_018_427_387_904.0 && number.trunc() == number {
        text.push(swell_wire::out::format_i64(number as i64, &mut [0; 20]));
    } else {
        text.decimal(&digits_of(number.abs()), number < 0.0);
    }
    let Text { to, len } = text;
    std::str::from_utf8(&to[..len]).unwrap_or_default()
}

/// A double as C's `%.17g` has it, which tells every double from every other: `3`, `0.10000000000000001`, `1e+17`.
pub fn format_double_17(number: f64, to: &mut [u8; DOUBLE_BYTES]) -> &str {
    if !number.is_finite() || number == 0.0 {
        return format_double(number, to);
    }
    let (decimal, exponent) = Decimal::rounded(number.abs());
    let mut text = Text { to, len: 0 };
    if number < 0.0 {
        text.push(b"-");
    }
    match exponent {
        -4..17 => text.fixed(&decimal),
        _ => text.scientific(&decimal, 2),
    }
    let Text { to, len } = text;
    std::str::from_utf8(&to[..len]).unwrap_or_default()
}

impl Scaled {
    fn of(number: f64) -> Scaled {
        let bits = number.to_bits();
        let (fraction, exponent) = (bits & FRACTION_MASK, (bits >> 52 & 0x7ff) as i32);
        match exponent {
            0 => Scaled { fraction, exponent: 1 - BIAS },
            _ => Scaled { fraction: fraction | HIDDEN_BIT, exponent: exponent - BIAS },
        }
    }

    fn normal(self) -> Scaled {
        let shift = self.fraction.leading_zeros();
        Scaled { fraction: self.fraction << shift, exponent: self.exponent - shift as i32 }
    }

    /// The product, rounded to 64 bits.
    fn times(self, other: Scaled) -> Scaled {
        let product = u128::from(self.fraction) * u128::from(other.fraction) + (1 << 63);
        Scaled { fraction: (product >> 64) as u64, exponent: self.exponent + other.exponent + 64 }
    }

    /// The middles between this number and its neighbours, below and above, both with the upper one's exponent.
    fn bounds(self) -> (Scaled, Scaled) {
        let upper = Scaled { fraction: (self.fraction << 1) + 1, exponent: self.exponent - 1 }.normal();
        // The neighbour below a power of two is nearer.
        let shift = if self.fraction == HIDDEN_BIT { 2 } else { 1 };
        let (fraction, exponent) = ((self.fraction << shift) - 1, self.exponent - shift);
        (Scaled { fraction: fraction << (exponent - upper.exponent), exponent: upper.exponent }, upper)
    }
}

/// The digits of a positive number.
fn digits_of(number: f64) -> Decimal {
    let number = Scaled::of(number);
    let (lower, upper) = number.bounds();
    let (power, ten) = power_for(upper.exponent);
    let (exact, upper, lower) = (number.normal().times(ten), upper.times(ten), lower.times(ten));
    // One unit on either side makes up for the roundings.
    generate(exact.fraction, upper.fraction - 1, lower.fraction + 1, upper.exponent, -power)
}

/// The power of ten that brings a number with this exponent into reach.
fn power_for(exponent: i32) -> (i32, Scaled) {
    let guess = (-f64::from(exponent + POWERS.len() as i32) * std::f64::consts::LOG10_2) as i32;
    let mut index = ((guess - FIRST_POWER) / POWER_STEP).clamp(0, POWERS.len() as i32 - 1) as usize;
    loop {
        let (fraction, own) = POWERS[index];
        match exponent + own + 64 {
            ..EXPONENT_MIN => index += 1,
            sum if sum > EXPONENT_MAX => index -= 1,
            _ => return (FIRST_POWER + index as i32 * POWER_STEP, Scaled { fraction, exponent: own }),
        }
    }
}

/// Digits of `upper` until what is left is less than the width of the interval, then down towards `exact`.
fn generate(exact: u64, upper: u64, lower: u64, exponent: i32, mut power: i32) -> Decimal {
    let (mut wanted, mut width) = (upper - exact, upper - lower);
    let shift = -exponent as u32;
    let one = 1u64 << shift;
    let (mut whole, mut part) = (upper >> shift, upper & (one - 1));
    let mut decimal = Decimal { digits: [0; DIGITS_MAX], len: 0, power: 0 };
    let mut divisor = 1_000_000_000u64;
    for left in (0..10).rev() {
        decimal.push((whole / divisor) as u8);
        whole %= divisor;
        let rest = (whole << shift) + part;
        if rest <= width {
            decimal.power = power + left;
            decimal.round(width, rest, divisor << shift, wanted);
            return decimal;
        }
        divisor = (divisor / 10).max(1);
    }
    loop {
        part *= 10;
        width *= 10;
        wanted = wanted.wrapping_mul(10);
        power -= 1;
        decimal.push((part >> shift) as u8);
        part &= one - 1;
        if part < width {
            decimal.power = power;
            decimal.round(width, part, one, wanted);
            return decimal;
        }
    }
}

impl Decimal {
    /// The nearest of 17 digits, without zeros at their end, and the power of ten of the first one.
    fn rounded(number: f64) -> (Decimal, i32) {
        let mut scratch = [0; DOUBLE_BYTES];
        let mut text = Text { to: &mut scratch, len: 0 };
        // A digit, a point, 16 digits, `e` and up to four characters have room.
        let _ = write!(text, "{number:.16e}");
        let len = text.len;
        let text = std::str::from_utf8(&scratch[..len]).unwrap_or_default();
        let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let exponent = exponent.parse().unwrap_or(0);
        let mut decimal = Decimal { digits: [0; DIGITS_MAX], len: 0, power: 0 };
        let digits = digits.trim_end_matches('0').bytes().filter(u8::is_ascii_digit);
        digits.for_each(|digit| decimal.push(digit - b'0'));
        decimal.power = exponent + 1 - decimal.len as i32;
        (decimal, exponent)
    }

    fn digits(&self) -> &[u8] {
        &self.digits[..self.len]
    }

    /// The power of ten of the first digit.
    fn exponent(&self) -> i32 {
        self.power + self.len as i32 - 1
    }

    fn push(&mut self, digit: u8) {
        if (digit > 0 || self.len > 0) && self.len < DIGITS_MAX {
            self.digits[self.len] = b'0' + digit;
            self.len += 1;
        }
    }

    /// Lowers the last digit while that brings the number nearer to the exact one.
    fn round(&mut self, width: u64, mut rest: u64, unit: u64, wanted: u64) {
        while rest < wanted
            && width - rest >= unit
            && (rest + unit < wanted || wanted - rest > (rest + unit).wrapping_sub(wanted))
        {
            self.digits[self.len - 1] -= 1;
            rest += unit;
        }
    }
}

impl Text<'_> {
    fn push(&mut self, bytes: &[u8]) {
        let room = &mut self.to[self.len..];
        let len = bytes.len().min(room.len());
        room[..len].copy_from_slice(&bytes[..len]);
        self.len += len;
    }

    fn zeros(&mut self, count: usize) {
        (0..count).for_each(|_| self.push(b"0"));
    }

    /// Plain digits where few zeros are needed, else with an exponent.
    fn decimal(&mut self, decimal: &Decimal, negative: bool) {
        let (power, exponent) = (decimal.power, decimal.exponent());
        if negative {
            self.push(b"-");
        }
        let is_short = power >= 0 && exponent < decimal.len as i32 + 7;
        if is_short || power < 0 && (power > -7 || exponent.abs() < 4) {
            self.fixed(decimal);
        } else {
            self.scientific(decimal, 1);
        }
    }

    /// `1200`, `1.2`, `0.0012`.
    fn fixed(&mut self, decimal: &Decimal) {
        let digits = decimal.digits();
        match usize::try_from(decimal.exponent() + 1) {
            Ok(before) if before >= digits.len() => {
                self.push(digits);
                self.zeros(before - digits.len());
            }
            Ok(before @ 1..) => {
                self.push(&digits[..before]);
                self.push(b".");
                self.push(&digits[before..]);
            }
            _ => {
                self.push(b"0.");
                self.zeros((-decimal.exponent() - 1) as usize);
                self.push(digits);
            }
        }
    }

    /// `1.2e+30`, the exponent with at least so many digits.
    fn scientific(&mut self, decimal: &Decimal, width: usize) {
        let (digits, exponent) = (decimal.digits(), decimal.exponent());
        self.push(&digits[..1]);
        if digits.len() > 1 {
            self.push(b".");
            self.push(&digits[1..]);
        }
        self.push(if exponent < 0 { b"e-" } else { b"e+" });
        if exponent.abs() < 10 {
            self.zeros(width - 1);
        }
        self.push(swell_wire::out::format_i64(i64::from(exponent.abs()), &mut [0; 20]));
    }
}

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arbtest::arbtest;

    use super::*;

    fn text(number: f64) -> String {
        format_double(number, &mut [0; DOUBLE_BYTES]).to_owned()
    }

    /// As valkey-server 9.1 answered to ZSCAN of a skiplist.
    #[test]
    fn seventeen_digits_as_the_real_server_prints() {
        for (number, expected) in [
            (0.1, "0.10000000000000001"),
            (0.3, "0.29999999999999999"),
            (-0.5, "-0.5"),
            (3.0, "3"),
            (-0.0, "-0"),
            (1200.0, "1200"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (9_223_372_036_854_775_807.0, "9.2233720368547758e+18"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (0.0001, "0.0001"),
            (0.00012, "0.00012"),
            (0.000_012, "1.2e-05"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(format_double_17(number, &mut [0; DOUBLE_BYTES]), expected);
        }
    }

    /// As valkey-server 9.1 answered.
    #[test]
    fn as_the_real_server_prints() {
        for (number, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (-0.5, "-0.5"),
            (0.1, "0.1"),
            (1e20, "1e+20"),
            (1e17, "100000000000000000"),
            (4_611_686_018_427_387_904.0, "4611686018427387904"),
            (4_611_686_018_427_388_928.0, "4611686018427389000"),
            (5e-324, "5e-324"),
            (1e-5, "0.00001"),
            (1e-7, "1e-7"),
            (1.5e300, "1.5e+300"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (0.28712646, "0.28712645999999997"),
            (-358.5224623453785, "-358.52246234537847"),
            (6.195626866399892e-221, "6.1956268663998915e-221"),
            (3.581285512568301e18, "3581285512568301056"),
            (247600580198296.62, "247600580198296.63"),
        ] {
            assert_eq!(text(number), expected, "{number:?}");
        }
    }

    #[test]
    fn reads_back_as_the_same_number() {
        arbtest(|u| {
            let number = f64::from_bits(u.arbitrary()?);
            if number.is_finite() {
                assert_eq!(text(number).parse::<f64>().map(f64::to_bits), Ok(number.to_bits()));
            }
            Ok(())
        });
    }
}
