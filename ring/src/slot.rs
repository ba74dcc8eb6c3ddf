//! From a key to its slot: CRC16 of the key, or of its hash tag, modulo 16384 (Redis Cluster specification).

/// Number of slots of a cache's key space.
pub const SLOTS: usize = 16_384;

/// One slot, 0 to 16383.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(u16);

impl Slot {
    /// The slot with this number; nothing when it is out of range.
    pub const fn new(number: u16) -> Option<Slot> {
        if (number as usize) < SLOTS { Some(Slot(number)) } else { None }
    }

    /// Its number.
    #[inline]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Its number as an index.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The slot of a key.
#[inline]
pub fn slot_of(key: &[u8]) -> Slot {
    Slot(crc16(hash_tag(key)) & (SLOTS as u16 - 1))
}

/// The part of a key that decides its slot: what stands between the first `{` and the next `}`, if anything does.
#[inline]
pub fn hash_tag(key: &[u8]) -> &[u8] {
    let Some(open) = find(key, b'{') else { return key };
    let inner = &key[open + 1..];
    match find(inner, b'}') {
        Some(close) if close > 0 => &inner[..close],
        _ => key,
    }
}

#[inline]
fn find(bytes: &[u8], wanted: u8) -> Option<usize> {
    const LANES: u64 = 0x0101_0101_0101_0101;
    let pattern = LANES * u64::from(wanted);
    let mut chunks = bytes.chunks_exact(8);
    let mut at = 0;
    for chunk in &mut chunks {
        let difference = u64::from_le_bytes(chunk.try_into().expect("eight bytes")) ^ pattern;
        let zeroes = difference.wrapping_sub(LANES) & !difference & (LANES << 7);
        if zeroes != 0 {
            return Some(at + zeroes.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    chunks.remainder().iter().position(|&byte| byte == wanted).map(|index| at + index)
}

/// `TABLES[k][b]`: the CRC of byte `b` followed by `k` zero bytes, so that eight bytes go at once.
static TABLES: [[u16; 256]; 8] = tables();

const fn tables() -> [[u16; 256]; 8] {
    let mut tables = [[0u16; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut zeroes = 1;
    while zeroes < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[zeroes - 1][byte];
            tables[zeroes][byte] = (before << 8) ^ tables[0][(before >> 8) as usize];
            byte += 1;
        }
        zeroes += 1;
    }
    tables
}

/// CRC16 with polynomial 0x1021, initial value 0 (XMODEM), as Redis Cluster specifies.
#[inline]
pub fn crc16(bytes: &[u8]) -> u16 {
    let mut crc = 0u16;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let [a, b, c, d, e, f, g, h]: [u8; 8] = chunk.try_into().expect("eight bytes");
        crc = TABLES[7][(a ^ (crc >> 8) as u8) as usize]
            ^ TABLES[6][(b ^ crc as u8) as usize]
            ^ TABLES[5][c as usize]
            ^ TABLES[4][d as usize]
            ^ TABLES[3][e as usize]
            ^ TABLES[2][f as usize]
            ^ TABLES[1][g as usize]
            ^ TABLES[0][h as usize];
    }
    for &byte in chunks.remainder() {
        crc = (crc << 8) ^ TABLES[0][((crc >> 8) as u8 ^ byte) as usize];
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_matches_the_specification_and_the_bitwise_definition() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        let bytes: Vec<u8> = (0..=255).collect();
        for length in 0..bytes.len() {
            let mut crc = 0u16;
            for &byte in &bytes[..length] {
                crc ^= u16::from(byte) << 8;
                for _ in 0..8 {
                    crc = if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 };
                }
            }
            assert_eq!(crc16(&bytes[..length]), crc, "length {length}");
        }
    }

    #[test]
    fn hash_tags_follow_the_specification() {
        for (key, tag) in [
            ("{user1000}.following", "user1000"),
            ("foo{}{bar}", "foo{}{bar}"),
            ("foo{{bar}}zap", "{bar"),
            ("foo{bar}{zap}", "bar"),
            ("foo{bar", "foo{bar"),
            ("foo}bar{", "foo}bar{"),
            ("aaaaaaaaaaaaaaaa{b}c", "b"),
            ("", ""),
        ] {
            assert_eq!(hash_tag(key.as_bytes()), tag.as_bytes(), "{key}");
        }
        assert_eq!(slot_of(b"foo").number(), 12182);
        assert_eq!(slot_of(b"{user1000}.following"), slot_of(b"user1000"));
    }
}
