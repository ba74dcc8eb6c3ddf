//! What a script may use: memory, instructions, time. A state's [`Meter`] counts, its allocator and its hook enforce.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::ffi::{c_int, c_void};
use std::ptr;

use mlua::ffi::{self, lua_Debug, lua_State};

use super::cjson;
use super::library::Registering;
use super::lua::Lua;
use super::run::Running;

/// Bytes that one Lua state may hold: a script that wants more reads `not enough memory`.
pub const STATE_BYTES_MAX: usize = 256 * 1024 * 1024;
/// A state that holds more than this after a script is cleaned at once.
pub const STATE_BYTES_IDLE: usize = 16 * 1024 * 1024;
/// Instructions between two looks at budget, time and memory: some microseconds.
pub const TICK_INSTRUCTIONS: c_int = 1_000;
/// What a tick counts as in work.
pub const TICK_WORK: u64 = 100;
/// A script that was short so many times, one after the other, runs on its worker.
pub const SHORT_RUNS: u32 = 8;
/// Ticks of a script that is short.
pub const SHORT_TICKS: u32 = 10;
/// Work of its commands.
pub const SHORT_WORK: u64 = 1_000;
/// Ticks after which a script that was short so far goes to a helper thread after all.
pub const INLINE_TICKS: u32 = 20;
/// Ticks that loading a library may take.
pub const LOAD_TICKS: u32 = 10_000;
/// Levels of nested tables in an answer.
pub const DEPTH_MAX: usize = 1_000;
/// Bytes of a pattern for `string.find` and its like: their depth of recursion.
pub const PATTERN_BYTES_MAX: usize = 8 * 1024;
/// Compiled scripts that a state keeps.
pub const COMPILED_MAX: usize = 1_000;
/// Scripts that EVAL has brought, of which the oldest go first (Valkey's number).
pub const EVALS_MAX: usize = 500;
/// Bytes of all bodies that EVAL has brought.
pub const EVALS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Lua states that wait to be used again.
pub const IDLE_MACHINES_MAX: usize = 8;

const ALIGN: usize = 16;

/// Counts what one state uses.
#[derive(Debug)]
pub struct Meter {
    pub bytes: usize,
    /// Rust runs, not Lua: memory is not refused, since refusing it would throw through Rust's frames.
    pub native: bool,
    /// [`TICK_INSTRUCTIONS`] each, since the script began.
    pub ticks: u32,
    /// The script must end: this is thrown again and again until it has.
    pub stop: Option<&'static str>,
    /// The state of `math.random`.
    pub random: u64,
    /// What runs, while something does.
    pub run: *mut Running<'static>,
    /// What the script has set of `cjson`.
    pub json: cjson::Settings,
    /// What a library registers, while one is loaded.
    pub loading: *mut Registering,
}

impl Default for Meter {
    fn default() -> Meter {
        Meter {
            bytes: 0,
            native: true,
            ticks: 0,
            stop: None,
            random: 0,
            run: ptr::null_mut(),
            json: cjson::Settings::default(),
            loading: ptr::null_mut(),
        }
    }
}

/// Lua's memory comes from Rust's allocator, and is counted.
///
/// # Safety
/// For `lua_newstate`, with a [`Meter`] that lives as long as the state; Lua keeps to the rest.
pub unsafe extern "C" fn allocate(meter: *mut c_void, from: *mut c_void, old: usize, new: usize) -> *mut c_void {
    // SAFETY: Lua hands back what `lua_newstate` was given, and blocks with the sizes that they were made with.
    unsafe {
        let meter = &mut *meter.cast::<Meter>();
        let old = if from.is_null() { 0 } else { old };
        let layout = |bytes: usize| Layout::from_size_align_unchecked(bytes, ALIGN);
        if new == 0 {
            if old > 0 {
                dealloc(from.cast(), layout(old));
                meter.bytes -= old;
            }
            return ptr::null_mut();
        }
        if new > old && !meter.native && meter.bytes - old + new > STATE_BYTES_MAX || new > isize::MAX as usize - ALIGN
        {
            return ptr::null_mut();
        }
        let block = if old == 0 { alloc(layout(new)) } else { realloc(from.cast(), layout(old), new) };
        if block.is_null() {
            handle_alloc_error(layout(new));
        }
        meter.bytes = meter.bytes - old + new;
        block.cast()
    }
}

/// Has `hook` called every [`TICK_INSTRUCTIONS`], from now on.
pub fn count_instructions(lua: Lua) {
    // SAFETY: the state lives; the hook keeps to what hooks may do.
    unsafe { ffi::lua_sethook(lua.state(), Some(hook), ffi::LUA_MASKCOUNT, TICK_INSTRUCTIONS) };
}

unsafe extern "C-unwind" fn hook(state: *mut lua_State, _: *mut lua_Debug) {
    // SAFETY: Lua calls this with a state that lives, whose meter lives as long; nothing here has to be dropped when it throws.
    unsafe {
        let meter = Lua::new(state).meter();
        (*meter).ticks += 1;
        if (*meter).stop.is_none() && !(*meter).run.is_null() {
            (*meter).stop = (*(*meter).run).tick((*meter).ticks);
        } else if !(*meter).loading.is_null() && (*meter).ticks > LOAD_TICKS {
            (*meter).stop = Some("FUNCTION LOAD timeout");
        }
        throw_if_stopped(state);
    }
}

/// Throws once more what ends the script. `pcall` and its like call this when they have caught something.
///
/// # Safety
/// The state lives, and the caller has nothing to drop.
pub unsafe fn throw_if_stopped(state: *mut lua_State) {
    // SAFETY: as above.
    unsafe {
        let meter = Lua::new(state).meter();
        if let Some(words) = (*meter).stop {
            ffi::lua_checkstack(state, 2);
            (*meter).native = true;
            ffi::lua_pushlstring_(state, words.as_ptr().cast(), words.len());
            (*meter).native = false;
            ffi::lua_error(state);
        }
    }
}
