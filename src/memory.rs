//! The process's allocator, mimalloc: when it gives memory back to the system.

use swell_wire::lazy;

/// `mi_option_purge_delay` of mimalloc 3, which the bindings do not name: milliseconds until free memory is given back.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
/// A second, the default, lets hundreds of MiB pile up that are then given back in one go.
const PURGE_DELAY_MS: std::ffi::c_long = 10;

/// Called once at the start.
pub(crate) fn set_up() {
    // SAFETY: mimalloc is this process's allocator; its options may be set at any time.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, PURGE_DELAY_MS) };
    lazy::set_give_back(give_back);
}

fn give_back(all: bool) {
    // SAFETY: collecting is allowed at any time on any thread.
    unsafe { libmimalloc_sys::mi_collect(all) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_option_is_the_purge_delay() {
        // SAFETY: reading an option has no effect.
        let before = unsafe { libmimalloc_sys::mi_option_get(super::PURGE_DELAY) };
        super::set_up();
        // SAFETY: as above.
        let after = unsafe { libmimalloc_sys::mi_option_get(super::PURGE_DELAY) };
        // The default of the bound version; or another test of this process was here before.
        assert!([1000, super::PURGE_DELAY_MS].contains(&before), "{before}");
        assert_eq!(after, super::PURGE_DELAY_MS);
    }
}
