//! A thin layer over Lua's C interface. Scripts meet Rust in *natives*: functions that return values or something to
//! throw. Lua throws by jumping over frames, so nothing that throws may be called while Rust has something to drop:
//! natives only use what cannot throw (raw access, no metamethods, memory that is not refused), and what they throw is
//! thrown by [`enter`] when they have returned.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

pub use mlua::ffi;
use mlua::ffi::lua_State;

use super::limits::Meter;

/// What a native is: it leaves its results on the stack and says how many, or what to throw.
pub type Native = fn(Lua) -> Result<c_int, Throw>;

/// What a native throws.
#[derive(Debug)]
pub enum Throw {
    /// This text, with the script's name and line before it, as Lua's own functions do.
    Here(String),
    /// This text as it is.
    Text(Vec<u8>),
    /// What stands on top of the stack.
    Value,
    /// A wrong argument, by its number: Lua words it.
    Argument(c_int, String),
}

/// A Lua thread that lives, and that only this thread of ours uses. Cheap to copy.
#[derive(Clone, Copy)]
pub struct Lua(*mut lua_State);

/// Makes a native callable by Lua.
macro_rules! native {
    ($name:expr) => {{
        unsafe extern "C-unwind" fn entry(state: *mut $crate::script::lua::ffi::lua_State) -> std::ffi::c_int {
            // SAFETY: Lua calls this with a state that lives.
            unsafe { $crate::script::lua::enter(state, $name) }
        }
        entry as $crate::script::lua::ffi::lua_CFunction
    }};
}
pub(crate) use native;

/// Runs a native. Whatever it throws leaves only from here, when everything of Rust's is dropped.
///
/// # Safety
/// The state lives, and belongs to a [`Machine`](super::machine::Machine).
pub unsafe fn enter(state: *mut lua_State, native: Native) -> c_int {
    let lua = Lua(state);
    let meter = lua.meter();
    // SAFETY: the meter lives as long as the state, and no other thread uses it.
    unsafe { (*meter).native = true };
    let thrown = match catch_unwind(AssertUnwindSafe(|| native(lua))) {
        Ok(Ok(results)) => {
            // SAFETY: as above.
            unsafe { (*meter).native = false };
            return results;
        }
        Ok(Err(throw)) => throw,
        Err(_) => Throw::Text(b"the function has failed".to_vec()),
    };
    let argument = lua.push_thrown(thrown);
    // SAFETY: as above. Nothing is left to drop here; the top of the stack is what is thrown.
    unsafe {
        (*meter).native = false;
        match argument {
            None => ffi::lua_error(state),
            Some(number) => ffi::luaL_argerror(state, number, ffi::lua_tostring(state, -1)),
        }
    }
}

impl Lua {
    /// # Safety
    /// The state lives as long as this is used, and nobody else uses it meanwhile.
    pub unsafe fn new(state: *mut lua_State) -> Lua {
        Lua(state)
    }

    pub fn state(self) -> *mut lua_State {
        self.0
    }

    /// What the state's memory and instructions are counted by.
    #[inline]
    pub fn meter(self) -> *mut Meter {
        let mut meter = ptr::null_mut();
        // SAFETY: reads a field of a state that lives.
        unsafe { ffi::lua_getallocf(self.0, &mut meter) };
        meter.cast()
    }

    fn push_thrown(self, thrown: Throw) -> Option<c_int> {
        match thrown {
            Throw::Value => None,
            Throw::Text(text) => {
                self.push_bytes(&text);
                None
            }
            Throw::Here(text) => {
                let mut whole = self.place();
                whole.push_str(&text);
                self.push_bytes(whole.as_bytes());
                None
            }
            Throw::Argument(number, text) => {
                self.push_bytes(text.as_bytes());
                Some(number)
            }
        }
    }

    /// `user_script:1: `: where the function was called that runs now.
    pub fn place(self) -> String {
        // SAFETY: pushes a short string, which is taken off again.
        unsafe {
            ffi::luaL_where(self.0, 1);
            let place = String::from_utf8_lossy(self.bytes(-1).unwrap_or_default()).into_owned();
            self.pop(1);
            place
        }
    }
}

/// The stack. A wrong index or a full stack is a mistake of ours: natives call [`Lua::reserve`] before they push much.
impl Lua {
    #[inline]
    pub fn top(self) -> c_int {
        // SAFETY: reads the stack's height.
        unsafe { ffi::lua_gettop(self.0) }
    }

    #[inline]
    pub fn set_top(self, top: c_int) {
        // SAFETY: natives never set more than they have reserved.
        unsafe { ffi::lua_settop(self.0, top) }
    }

    #[inline]
    pub fn pop(self, count: c_int) {
        self.set_top(-count - 1);
    }

    /// Room for so many values more; false: there is none.
    #[inline]
    pub fn reserve(self, count: c_int) -> bool {
        // SAFETY: grows the stack; memory is not refused to natives.
        unsafe { ffi::lua_checkstack(self.0, count) != 0 }
    }

    #[inline]
    pub fn kind(self, at: c_int) -> c_int {
        // SAFETY: any index may be asked.
        unsafe { ffi::lua_type(self.0, at) }
    }

    #[inline]
    pub fn is_table(self, at: c_int) -> bool {
        self.kind(at) == ffi::LUA_TTABLE
    }

    pub fn is_nil(self, at: c_int) -> bool {
        self.kind(at) <= ffi::LUA_TNIL
    }

    /// "string", "table" and so on.
    pub fn kind_name(self, at: c_int) -> &'static str {
        // SAFETY: names of types are static texts.
        unsafe { CStr::from_ptr(ffi::lua_typename(self.0, self.kind(at))) }.to_str().unwrap_or_default()
    }

    /// The bytes of a string, or of a number, which is made a string in its place. They lie in Lua's memory: as long as
    /// the value is reachable.
    #[inline]
    pub fn bytes<'a>(self, at: c_int) -> Option<&'a [u8]> {
        let mut len = 0;
        // SAFETY: the value is a string or number, or nothing is returned.
        unsafe {
            let from = ffi::lua_tolstring(self.0, at, &mut len);
            (!from.is_null()).then(|| std::slice::from_raw_parts(from.cast::<u8>(), len))
        }
    }

    /// The bytes of a string only.
    #[inline]
    pub fn string<'a>(self, at: c_int) -> Option<&'a [u8]> {
        if self.kind(at) == ffi::LUA_TSTRING { self.bytes(at) } else { None }
    }

    #[inline]
    pub fn number(self, at: c_int) -> f64 {
        // SAFETY: what is no number reads as 0.
        unsafe { ffi::lua_tonumber(self.0, at) }
    }

    pub fn is_number(self, at: c_int) -> bool {
        // SAFETY: any index may be asked.
        unsafe { ffi::lua_isnumber(self.0, at) != 0 }
    }

    pub fn boolean(self, at: c_int) -> bool {
        // SAFETY: any index may be asked.
        unsafe { ffi::lua_toboolean(self.0, at) != 0 }
    }

    pub fn pointer(self, at: c_int) -> *const c_void {
        // SAFETY: any index may be asked.
        unsafe { ffi::lua_topointer(self.0, at) }
    }

    pub fn push_nil(self) {
        // SAFETY: see the type.
        unsafe { ffi::lua_pushnil(self.0) }
    }

    pub fn push_bool(self, value: bool) {
        // SAFETY: see the type.
        unsafe { ffi::lua_pushboolean(self.0, value.into()) }
    }

    #[inline]
    pub fn push_number(self, value: f64) {
        // SAFETY: see the type.
        unsafe { ffi::lua_pushnumber(self.0, value) }
    }

    #[inline]
    pub fn push_bytes(self, bytes: &[u8]) {
        // SAFETY: copies the bytes.
        unsafe { ffi::lua_pushlstring_(self.0, bytes.as_ptr().cast::<c_char>(), bytes.len()) }
    }

    /// The value that stands for null: no address.
    pub fn push_null(self) {
        // SAFETY: see the type.
        unsafe { ffi::lua_pushlightuserdata(self.0, ptr::null_mut()) }
    }

    pub fn push_copy(self, at: c_int) {
        // SAFETY: see the type.
        unsafe { ffi::lua_pushvalue(self.0, at) }
    }

    pub fn push_function(self, function: ffi::lua_CFunction) {
        // SAFETY: see the type.
        unsafe { ffi::lua_pushcclosure(self.0, function, 0) }
    }

    pub fn function(self, at: c_int) -> Option<ffi::lua_CFunction> {
        // SAFETY: any index may be asked.
        unsafe { ffi::lua_tocfunction(self.0, at) }
    }

    pub fn insert(self, at: c_int) {
        // SAFETY: see the type.
        unsafe { ffi::lua_insert(self.0, at) }
    }

    pub fn remove(self, at: c_int) {
        // SAFETY: see the type.
        unsafe { ffi::lua_remove(self.0, at) }
    }

    pub fn replace(self, at: c_int) {
        // SAFETY: see the type.
        unsafe { ffi::lua_replace(self.0, at) }
    }

    pub fn raw_equal(self, one: c_int, other: c_int) -> bool {
        // SAFETY: any index may be asked.
        unsafe { ffi::lua_rawequal(self.0, one, other) != 0 }
    }
}

/// Tables, without metamethods.
impl Lua {
    #[inline]
    pub fn new_table(self, items: usize, fields: usize) {
        let bounded = |count: usize| count.min(c_int::MAX as usize / 64) as c_int;
        // SAFETY: memory is not refused to natives.
        unsafe { ffi::lua_createtable(self.0, bounded(items), bounded(fields)) }
    }

    /// Elements of a table, or bytes of a string.
    pub fn len(self, at: c_int) -> usize {
        // SAFETY: any index may be asked.
        unsafe { ffi::lua_objlen(self.0, at) }
    }

    /// Pushes `table[index]`.
    #[inline]
    pub fn get_index(self, table: c_int, index: usize) {
        // SAFETY: the caller knows that it is a table.
        unsafe { ffi::lua_rawgeti_(self.0, table, index as c_int) }
    }

    /// `table[index] = top`, which is taken off.
    #[inline]
    pub fn set_index(self, table: c_int, index: usize) {
        // SAFETY: as above.
        unsafe { ffi::lua_rawseti_(self.0, table, index as c_int) }
    }

    /// Pushes `table[name]`.
    pub fn get_field(self, table: c_int, name: &[u8]) {
        let table = self.absolute(table);
        self.push_bytes(name);
        // SAFETY: as above.
        unsafe { ffi::lua_rawget_(self.0, table) }
    }

    /// `table[name] = top`, which is taken off.
    pub fn set_field(self, table: c_int, name: &[u8]) {
        let table = self.absolute(table);
        self.push_bytes(name);
        self.insert(-2);
        // SAFETY: a string is a good key.
        unsafe { ffi::lua_rawset(self.0, table) }
    }

    /// `table[second from top] = top`; both are taken off. False: nil and NaN are no keys, and nothing was set.
    pub fn set(self, table: c_int) -> bool {
        if self.is_nil(-2) || self.kind(-2) == ffi::LUA_TNUMBER && self.number(-2).is_nan() {
            self.pop(2);
            return false;
        }
        // SAFETY: the key is a good one.
        unsafe { ffi::lua_rawset(self.0, table) };
        true
    }

    /// Replaces the key on top by `table[key]`.
    pub fn get(self, table: c_int) {
        // SAFETY: as above.
        unsafe { ffi::lua_rawget_(self.0, table) }
    }

    /// Replaces the key on top by the next key and its value; nothing is left after the last.
    pub fn next(self, table: c_int) -> bool {
        // SAFETY: the key is one that was there, or nil.
        unsafe { ffi::lua_next(self.0, table) != 0 }
    }

    /// Pushes a value's metatable, if it has one.
    #[inline]
    pub fn metatable(self, at: c_int) -> bool {
        // SAFETY: any index may be asked.
        unsafe { ffi::lua_getmetatable(self.0, at) != 0 }
    }

    /// Takes the table on top off as the metatable of this value.
    pub fn set_metatable(self, at: c_int) {
        // SAFETY: the caller has pushed a table.
        unsafe { ffi::lua_setmetatable(self.0, at) };
    }

    pub fn absolute(self, at: c_int) -> c_int {
        if at > 0 || at <= ffi::LUA_REGISTRYINDEX { at } else { self.top() + at + 1 }
    }

    /// Keeps the value on top, which is taken off; returns its number.
    pub fn keep(self) -> c_int {
        // SAFETY: memory is not refused to natives.
        unsafe { ffi::luaL_ref(self.0, ffi::LUA_REGISTRYINDEX) }
    }

    /// Pushes what was kept.
    #[inline]
    pub fn push_kept(self, number: c_int) {
        self.get_index(ffi::LUA_REGISTRYINDEX, number as usize);
    }

    /// Forgets what was kept.
    pub fn forget(self, number: c_int) {
        // SAFETY: any number may be given.
        unsafe { ffi::luaL_unref(self.0, ffi::LUA_REGISTRYINDEX, number) }
    }
}
