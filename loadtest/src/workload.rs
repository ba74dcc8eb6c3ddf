//! What a load asks for: fixed-width keys, values that say which key they belong to, and how keys are drawn.

use crate::zipf::Zipf;

/// Length of every key, in bytes: `key:` and twelve decimal digits.
pub const KEY_BYTES: usize = 16;
/// One more than the largest key number that fits the twelve digits.
pub const KEYS_MAX: u64 = 1_000_000_000_000;

/// A small, fast generator of pseudo-random numbers (splitmix64): the same seed gives the same load on every server.
#[derive(Debug, Clone)]
pub struct Rng {
    state: u64,
}

/// Where the numbers of the keys come from.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// Every key number once, ascending; this is how a server is loaded.
    Sequential { next: u64, end: u64 },
    /// Any of `keys` keys, all equally likely, without end.
    Uniform { rng: Rng, keys: u64 },
    /// Key number = rank − 1 of a Zipf distribution, without end.
    Zipf { rng: Rng, zipf: Zipf },
}

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng { state: seed }
    }

    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..bound` (0 when `bound` is 0), by multiplication instead of division.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

impl KeySource {
    pub fn sequential(keys: u64) -> KeySource {
        KeySource::Sequential { next: 0, end: keys }
    }

    pub fn uniform(keys: u64, seed: u64) -> KeySource {
        KeySource::Uniform { rng: Rng::new(seed), keys }
    }

    /// `exponent` is Zipf's s: 0 is uniform, 0.99 the usual cache load.
    pub fn zipf(keys: u64, exponent: f64, seed: u64) -> KeySource {
        KeySource::Zipf { rng: Rng::new(seed), zipf: Zipf::new(keys, exponent) }
    }

    /// The next key number, or `None` when a sequential source is used up.
    #[inline]
    pub fn draw(&mut self) -> Option<u64> {
        match self {
            KeySource::Sequential { next, end } => (next < end).then(|| {
                *next += 1;
                *next - 1
            }),
            KeySource::Uniform { rng, keys } => Some(rng.below(*keys)),
            KeySource::Zipf { rng, zipf } => Some(zipf.rank(rng) - 1),
        }
    }
}

/// The key with number `id`, which must be below [`KEYS_MAX`] (higher digits are dropped).
#[inline]
pub fn key(id: u64) -> [u8; KEY_BYTES] {
    let mut text = *b"key:000000000000";
    let mut rest = id;
    let mut end = KEY_BYTES;
    while rest > 0 && end > 4 {
        let pair = &DIGIT_PAIRS[(rest % 100) as usize];
        text[end - 2] = pair[0];
        text[end - 1] = pair[1];
        rest /= 100;
        end -= 2;
    }
    text
}

/// Fills `value` with what all values of this length have in common; [`stamp_value`] adds what differs.
pub fn fill_value(value: &mut [u8]) {
    for (at, byte) in value.iter_mut().enumerate() {
        *byte = filler(at);
    }
}

/// Writes the key into a filled value: at its start and, where there is room for both, at its end.
///
/// A value shorter than a key gets the key's last digits, which differ most between keys.
#[inline]
pub fn stamp_value(id: u64, value: &mut [u8]) {
    let key = key(id);
    let len = value.len();
    if len < KEY_BYTES {
        value.copy_from_slice(&key[KEY_BYTES - len..]);
        return;
    }
    value[..KEY_BYTES].copy_from_slice(&key);
    if len >= 2 * KEY_BYTES {
        value[len - KEY_BYTES..].copy_from_slice(&key);
    }
}

/// Whether `value` starts as the value of key `id` does; cheap enough for every reply.
#[inline]
pub fn value_is_stamped(id: u64, value: &[u8]) -> bool {
    let key = key(id);
    match value.first_chunk::<KEY_BYTES>() {
        Some(start) => *start == key,
        None => *value == key[KEY_BYTES - value.len()..],
    }
}

/// Whether `value` is, byte for byte, the value of key `id` at this length.
pub fn value_is_intact(id: u64, value: &[u8]) -> bool {
    if !value_is_stamped(id, value) {
        return false;
    }
    if value.len() < 2 * KEY_BYTES {
        return value.iter().enumerate().skip(KEY_BYTES).all(|(at, &byte)| byte == filler(at));
    }
    let (body, end) = value.split_at(value.len() - KEY_BYTES);
    end == key(id) && body.iter().enumerate().skip(KEY_BYTES).all(|(at, &byte)| byte == filler(at))
}

const DIGIT_PAIRS: [[u8; 2]; 100] = digit_pairs();

const fn digit_pairs() -> [[u8; 2]; 100] {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
}

/// The byte at `at` of every value; 7 is coprime to 26, so neighbouring bytes differ and shifts show.
fn filler(at: usize) -> u8 {
    b'a' + (at * 7 % 26) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sixteen_bytes_and_ordered_as_their_numbers() {
        assert_eq!(&key(0), b"key:000000000000");
        assert_eq!(&key(7), b"key:000000000007");
        assert_eq!(&key(1_234_567), b"key:000001234567");
        assert_eq!(&key(KEYS_MAX - 1), b"key:999999999999");
        for id in [0, 9, 10, 99, 100, 12_345, 999_999, KEYS_MAX - 1] {
            assert_eq!(key(id).as_slice(), format!("key:{id:012}").as_bytes());
        }
    }

    #[test]
    fn a_value_is_intact_only_for_its_own_key_and_with_every_byte_in_place() {
        for len in [1, 8, 15, 16, 17, 31, 32, 33, 100, 512] {
            let mut value = vec![0; len];
            fill_value(&mut value);
            stamp_value(41, &mut value);
            assert!(value_is_intact(41, &value), "length {len}");
            assert!(!value_is_intact(42, &value), "length {len}");
            for at in 0..len {
                let mut broken = value.clone();
                broken[at] ^= 1;
                assert!(!value_is_intact(41, &broken), "length {len}, byte {at}");
            }
        }
    }

    #[test]
    fn a_sequential_source_gives_each_key_once() {
        let mut source = KeySource::sequential(3);
        let drawn: Vec<_> = std::iter::from_fn(|| source.draw()).collect();
        assert_eq!(drawn, [0, 1, 2]);
    }

    #[test]
    fn a_uniform_source_reaches_every_key_about_equally_often() {
        let mut source = KeySource::uniform(10, 5);
        let mut seen = [0u32; 10];
        for _ in 0..100_000 {
            seen[source.draw().expect("uniform sources do not end") as usize] += 1;
        }
        assert!(seen.iter().all(|&count| (9_500..10_500).contains(&count)), "{seen:?}");
    }
}
