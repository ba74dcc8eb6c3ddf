//! The checksum behind DUMP payloads and RDB files: CRC-64 with the Jones polynomial, reflected, from zero.

/// The polynomial 0xad93d23594c935a9 with its bits in reverse order.
const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;
/// Bytes taken in one step.
const STEP: usize = 8;

static TABLES: [[u64; 256]; STEP] = tables();

/// The checksum of these bytes.
pub fn crc64(bytes: &[u8]) -> u64 {
    crc64_on(0, bytes)
}

/// The checksum of all bytes, where `crc` is that of those before these.
pub fn crc64_on(crc: u64, bytes: &[u8]) -> u64 {
    let mut crc = crc;
    let mut words = bytes.chunks_exact(STEP);
    for word in &mut words {
        let word: [u8; STEP] = word.try_into().unwrap_or_default();
        let mixed = (crc ^ u64::from_le_bytes(word)).to_le_bytes();
        crc = mixed.iter().zip(TABLES.iter().rev()).fold(0, |crc, (byte, table)| crc ^ table[usize::from(*byte)]);
    }
    for byte in words.remainder() {
        crc = crc >> 8 ^ TABLES[0][usize::from(crc as u8 ^ byte)];
    }
    crc
}

/// Table n holds what a byte does to the checksum n bytes later.
const fn tables() -> [[u64; 256]; STEP] {
    let mut tables = [[0u64; 256]; STEP];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut step = 1;
    while step < STEP {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[step - 1][byte];
            tables[step][byte] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        step += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_is_the_published_one() {
        // Of "123456789", as the catalogue of parametrised CRC algorithms lists it for CRC-64/REDIS.
        assert_eq!(crc64(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        assert_eq!(crc64(b""), 0);
        assert_eq!(crc64_on(crc64(b"1234"), b"56789"), crc64(b"123456789"));
    }

    #[test]
    fn steps_of_eight_are_steps_of_one() {
        let bytes: Vec<u8> = (0..100u32).map(|n| (n * 37 % 251) as u8).collect();
        for len in 0..bytes.len() {
            let slow = bytes[..len].iter().fold(0u64, |crc, byte| crc >> 8 ^ TABLES[0][usize::from(crc as u8 ^ byte)]);
            assert_eq!(crc64(&bytes[..len]), slow, "{len}");
        }
    }
}
