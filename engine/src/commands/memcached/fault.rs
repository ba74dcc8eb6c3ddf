//! The error lines that memcached's verbs answer, in the server's own words.

use swell_wire::Args;

use crate::error::Fault;

/// A command line that is not one: too many words, or too few.
pub(super) const NO_COMMAND: Fault = Fault::Memcached("ERROR");
/// Flags, exptime or unique of a storage verb are no numbers.
pub(super) const BAD_LINE: Fault = Fault::Memcached("CLIENT_ERROR bad command line format");
/// A second word after `delete`'s key.
pub(super) const BAD_DELETE: Fault =
    Fault::Memcached("CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]");
/// The exptime of `touch`, `gat` or `gats` is no number.
pub(super) const BAD_EXPTIME: Fault = Fault::Memcached("CLIENT_ERROR invalid exptime argument");
/// What to add or subtract is no number.
pub(super) const BAD_DELTA: Fault = Fault::Memcached("CLIENT_ERROR invalid numeric delta argument");
/// What to add to or subtract from is no number.
pub(super) const NOT_NUMERIC: Fault = Fault::Memcached("CLIENT_ERROR cannot increment or decrement non-numeric value");
/// The key holds a list, a hash or the like, which memcached has no words for; these are ours.
pub(super) const NOT_A_STRING: Fault = Fault::Memcached("SERVER_ERROR the value of this key is not a string");

/// Refuses a line of more than `most` words (its verb counted), as memcached does before it looks at them.
pub(super) fn at_most(args: Args<'_>, most: usize) -> Result<(), Fault> {
    if args.len() > most { Err(NO_COMMAND) } else { Ok(()) }
}
