//! ACL GENPASS.

use swell_engine::Fault;
use swell_engine::number::parse_i64;
use swell_wire::{Args, Out};

use crate::error::ProxyError;
use crate::session::commands::client::quoted;
use crate::session::commands::done;
use crate::session::{Flow, SessionCx};

/// Bits of a password where none are asked for, and at most (Valkey's).
const BITS: i64 = 256;
const BITS_MAX: i64 = 4096;
/// Bits of a hexadecimal digit.
const DIGIT_BITS: usize = 4;

/// Hexadecimal digits out of the system's own randomness, rounded up to whole ones.
pub fn gen_pass(_: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let result = bits(args).and_then(|bits| {
        let mut bytes = [0u8; BITS_MAX as usize / 8];
        if !fill(&mut bytes) {
            return Err(ProxyError::Internal);
        }
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        out.bulk(&digits.as_bytes()[..bits.div_ceil(DIGIT_BITS)]);
        Ok(())
    });
    done(result, out)
}

fn bits(args: Args<'_>) -> Result<usize, ProxyError> {
    let bits = match args.len() {
        2 => BITS,
        3 => parse_i64(args.slice(2)).ok_or(Fault::NotInteger)?,
        _ => return Err(ProxyError::AclArguments(quoted(args.slice(1)))),
    };
    match bits {
        1..=BITS_MAX => Ok(bits as usize),
        _ => Err(ProxyError::PasswordBits(BITS_MAX)),
    }
}

fn fill(bytes: &mut [u8]) -> bool {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        // SAFETY: the system writes at most this many bytes to where they are.
        let wrote = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(wrote) {
            Ok(wrote) => filled += wrote,
            Err(_) if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
    true
}
