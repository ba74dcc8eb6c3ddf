//! A bit for each command.

use crate::commands::table::tables;
use crate::spec::CommandId;

const WORD_BITS: usize = u64::BITS as usize;

/// A set of commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandBits(Box<[u64]>);

impl CommandBits {
    /// No command, or all of them.
    pub fn all(on: bool) -> CommandBits {
        let word = if on { u64::MAX } else { 0 };
        CommandBits(vec![word; tables().len().div_ceil(WORD_BITS)].into_boxed_slice())
    }

    /// Whether it is in.
    #[inline]
    pub fn has(&self, id: CommandId) -> bool {
        let at = id.0 as usize;
        self.0.get(at / WORD_BITS).is_some_and(|word| word >> (at % WORD_BITS) & 1 == 1)
    }

    /// Puts it in or takes it out.
    pub fn set(&mut self, id: CommandId, on: bool) {
        let at = id.0 as usize;
        let Some(word) = self.0.get_mut(at / WORD_BITS) else { return };
        let bit = 1 << (at % WORD_BITS);
        *word = if on { *word | bit } else { *word & !bit };
    }
}
