//! The counters of memcached's `stats` that verbs move, as rows of an array.

/// Declares the counters once: variant, printed name, what it counts.
macro_rules! counters {
    ($($(#[doc = $what:literal])+ $variant:ident => $name:literal,)+) => {
        /// One counter of `stats`. Dense, so that counters are array rows; in the order `stats` prints them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum McStat {
            $($(#[doc = $what])+ $variant,)+
        }

        impl McStat {
            /// All of them, in order.
            pub const ALL: &[McStat] = &[$(McStat::$variant,)+];
            /// Their names as `stats` prints them, in order.
            pub const NAMES: &[&str] = &[$($name,)+];
        }
    };
}

counters! {
    /// Keys named by `get` and `gets`.
    CmdGet => "cmd_get",
    /// Data blocks that came with a storage verb, stored or not.
    CmdSet => "cmd_set",
    /// Calls of `flush_all`; the proxy counts them.
    CmdFlush => "cmd_flush",
    /// Keys named by `touch`, `gat` and `gats`.
    CmdTouch => "cmd_touch",
    /// Keys that `get` and `gets` found.
    GetHits => "get_hits",
    /// Keys that `get` and `gets` did not find.
    GetMisses => "get_misses",
    /// Keys that `delete` did not find.
    DeleteMisses => "delete_misses",
    /// Keys that `delete` deleted.
    DeleteHits => "delete_hits",
    /// Keys that `incr` did not find.
    IncrMisses => "incr_misses",
    /// Values that `incr` changed.
    IncrHits => "incr_hits",
    /// Keys that `decr` did not find.
    DecrMisses => "decr_misses",
    /// Values that `decr` changed.
    DecrHits => "decr_hits",
    /// Keys that `cas` did not find.
    CasMisses => "cas_misses",
    /// Values that `cas` replaced.
    CasHits => "cas_hits",
    /// Values that had changed since the unique given to `cas`.
    CasBadval => "cas_badval",
    /// Keys that `touch`, `gat` and `gats` found.
    TouchHits => "touch_hits",
    /// Keys that `touch`, `gat` and `gats` did not find.
    TouchMisses => "touch_misses",
    /// Data blocks over the item limit; whoever refuses them counts them.
    StoreTooLarge => "store_too_large",
    /// Data blocks for which there was no memory; whoever refuses them counts them.
    StoreNoMemory => "store_no_memory",
    /// Attempts to authenticate; the proxy counts them.
    AuthCmds => "auth_cmds",
    /// Attempts to authenticate that failed; the proxy counts them.
    AuthErrors => "auth_errors",
}

impl McStat {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Its row.
    #[inline]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Its name as `stats` prints it.
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::McStat;

    #[test]
    fn rows_are_dense() {
        assert_eq!(McStat::NAMES.len(), McStat::COUNT);
        assert!(McStat::ALL.iter().enumerate().all(|(row, stat)| stat.index() == row));
        assert_eq!(McStat::CasBadval.name(), "cas_badval");
        assert_eq!(McStat::AuthErrors.name(), "auth_errors");
    }
}
