//! Values that say which key and which write they are of, and a checksum over all of it: what was mixed up, cut or torn shows.

/// Length of every key: `lt:` and thirteen decimal digits.
pub const KEY_BYTES: usize = 16;
/// Key, version, length and checksum; the shortest value.
pub const VALUE_BYTES_MIN: usize = KEY_BYTES + 3 * FIELD;
/// The longest value.
pub const VALUE_BYTES_MAX: usize = 1 << 20;

/// Hexadecimal digits of a field.
const FIELD: usize = 8;
/// Filler beyond the longest value: so many different beginnings are there.
const BEGINNINGS: usize = 4_096;

/// Why a value is nobody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// It is whole, and another key's.
    OtherKey,
    /// It is cut, or its bytes are not those that were written together.
    Torn,
}

/// Writes values: keeps the bytes that fill them.
pub struct Values {
    filler: Vec<u8>,
}

impl Default for Values {
    fn default() -> Values {
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let letter = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            b'a' + ((state >> 33) % 26) as u8
        };
        Values { filler: std::iter::repeat_with(letter).take(VALUE_BYTES_MAX + BEGINNINGS).collect() }
    }
}

impl Values {
    /// Appends the value of `bytes` bytes (within the bounds of a value) that write `version` gives to key `id`.
    pub fn append(&self, id: u64, version: u32, bytes: usize, out: &mut Vec<u8>) {
        let bytes = bytes.clamp(VALUE_BYTES_MIN, VALUE_BYTES_MAX);
        let start = out.len();
        out.extend_from_slice(&key(id));
        out.extend_from_slice(&hex(version));
        out.extend_from_slice(&hex(bytes as u32));
        let body = bytes - VALUE_BYTES_MIN;
        let from = (id.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ u64::from(version).wrapping_mul(0xBF58_476D)) as usize;
        let from = from % BEGINNINGS;
        out.extend_from_slice(&self.filler[from..from + body]);
        let sum = crc32fast::hash(&out[start..]);
        out.extend_from_slice(&hex(sum));
    }
}

/// The name of key `id`.
pub fn key(id: u64) -> [u8; KEY_BYTES] {
    let mut name = *b"lt:0000000000000";
    let mut rest = id;
    for digit in name[3..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    name
}

/// The version that a value of key `id` carries.
///
/// # Errors
/// It is damaged, or another key's.
pub fn version_of(id: u64, value: &[u8]) -> Result<u32, Damage> {
    if value.len() < VALUE_BYTES_MIN {
        return Err(Damage::Torn);
    }
    let (summed, sum) = value.split_at(value.len() - FIELD);
    let field = |at: usize| unhex(&summed[KEY_BYTES + at * FIELD..][..FIELD]);
    let (Some(version), Some(length), Some(sum)) = (field(0), field(1), unhex(sum)) else { return Err(Damage::Torn) };
    if length as usize != value.len() || sum != crc32fast::hash(summed) {
        return Err(Damage::Torn);
    }
    if summed[..KEY_BYTES] != key(id) { Err(Damage::OtherKey) } else { Ok(version) }
}

fn hex(number: u32) -> [u8; FIELD] {
    std::array::from_fn(|at| b"0123456789abcdef"[(number >> (28 - 4 * at)) as usize & 15])
}

fn unhex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| Some(number << 4 | char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_says_its_key_and_version_and_any_other_byte_shows() {
        let values = Values::default();
        for bytes in [VALUE_BYTES_MIN, VALUE_BYTES_MIN + 1, 100, 5_000] {
            let mut value = Vec::new();
            values.append(41, 0xBEEF, bytes, &mut value);
            assert_eq!(value.len(), bytes);
            assert_eq!(version_of(41, &value), Ok(0xBEEF));
            assert_eq!(version_of(42, &value), Err(Damage::OtherKey));
            assert_eq!(version_of(41, &value[..bytes - 1]), Err(Damage::Torn));
            for at in 0..bytes {
                let mut broken = value.clone();
                broken[at] ^= 1;
                assert_eq!(version_of(41, &broken), Err(Damage::Torn), "byte {at} of {bytes}");
            }
        }
        assert_eq!(version_of(41, b""), Err(Damage::Torn));
    }

    #[test]
    fn halves_of_two_writes_are_torn() {
        let values = Values::default();
        let (mut one, mut two) = (Vec::new(), Vec::new());
        values.append(7, 1, 1_000, &mut one);
        values.append(7, 2, 1_000, &mut two);
        one[500..].copy_from_slice(&two[500..]);
        assert_eq!(version_of(7, &one), Err(Damage::Torn));
    }

    #[test]
    fn keys_have_thirteen_digits() {
        assert_eq!(&key(0), b"lt:0000000000000");
        assert_eq!(&key(1_234_567), b"lt:0000001234567");
    }
}
