//! Tables that scripts may read and not change. Lua 5.1 has none, so a script gets an empty table in front of the real
//! one: reading goes through it, writing throws. What would look at the table itself (`pairs`, `rawset`, `table.insert` …)
//! is replaced here by functions that know.

use std::ffi::c_int;
use std::sync::OnceLock;

use mlua::ffi::{self, lua_CFunction, lua_State};

use super::lua::{Lua, Throw, native};

/// The address that marks a metatable as ours; the real table is kept under it.
static MARK: u8 = 0;
const READONLY: &str = "Attempt to modify a readonly table";

/// Lua's own functions, as far as ours go on with them.
static ORIGINALS: OnceLock<Originals> = OnceLock::new();

#[derive(Debug)]
struct Originals {
    next: lua_CFunction,
    raw_set: lua_CFunction,
    set_metatable: lua_CFunction,
    insert: lua_CFunction,
}

/// Replaces the table on top by a protected one in front of it.
pub fn protect(lua: Lua) {
    lua.new_table(0, 0);
    lua.new_table(0, 4);
    lua.push_copy(-3);
    lua.set_field(-2, b"__index");
    lua.push_function(native!(refuse));
    lua.set_field(-2, b"__newindex");
    push_mark(lua);
    lua.push_copy(-4);
    lua.set(-3);
    lua.set_metatable(-2);
    lua.remove(-2);
}

/// Replaces the functions that look at tables themselves. The globals stand on top.
pub fn install(lua: Lua) {
    let original = |table: &[u8], name: &[u8]| {
        if !table.is_empty() {
            lua.get_field(-1, table);
        }
        lua.get_field(-1, name);
        let function = lua.function(-1).expect("a function of Lua's own");
        lua.pop(if table.is_empty() { 1 } else { 2 });
        function
    };
    ORIGINALS.get_or_init(|| Originals {
        next: original(b"", b"next"),
        raw_set: original(b"", b"rawset"),
        set_metatable: original(b"", b"setmetatable"),
        insert: original(b"table", b"insert"),
    });
    let globals: [(&[u8], lua_CFunction); 6] = [
        (b"next", next),
        (b"pairs", pairs),
        (b"rawget", native!(raw_get)),
        (b"rawset", raw_set),
        (b"setmetatable", set_metatable),
        (b"getmetatable", native!(get_metatable)),
    ];
    for (name, function) in globals {
        lua.push_function(function);
        lua.set_field(-2, name);
    }
    lua.get_field(-1, b"table");
    // What else changes tables looks at their elements first, and finds none.
    lua.push_function(insert);
    lua.set_field(-2, b"insert");
    lua.pop(1);
}

/// What is read of a protected table is read there from now on: the table on top, which is taken off.
pub fn redirect(lua: Lua, at: c_int) {
    let at = lua.absolute(at);
    if lua.metatable(at) {
        lua.push_copy(-2);
        lua.set_field(-2, b"__index");
        push_mark(lua);
        lua.push_copy(-3);
        lua.set(-3);
        lua.pop(1);
    }
    lua.pop(1);
}

fn push_mark(lua: Lua) {
    // SAFETY: an address, never followed.
    unsafe { ffi::lua_pushlightuserdata(lua.state(), (&raw const MARK).cast_mut().cast()) }
}

/// Whether a value is a protected table; then the real one is pushed.
#[inline]
fn push_real(lua: Lua, at: c_int) -> bool {
    if !lua.is_table(at) || !lua.metatable(at) {
        return false;
    }
    push_mark(lua);
    lua.get(-2);
    lua.remove(-2);
    if lua.is_nil(-1) {
        lua.pop(1);
        return false;
    }
    true
}

fn refuse(_: Lua) -> Result<c_int, Throw> {
    Err(Throw::Here(READONLY.to_owned()))
}

fn raw_get(lua: Lua) -> Result<c_int, Throw> {
    if !lua.is_table(1) {
        return Err(Throw::Argument(1, format!("table expected, got {}", lua_kind(lua, 1))));
    }
    if lua.top() < 2 {
        return Err(Throw::Argument(2, "value expected".to_owned()));
    }
    lua.set_top(2);
    if !push_real(lua, 1) {
        lua.push_copy(1);
    }
    lua.push_copy(2);
    lua.get(-2);
    Ok(1)
}

fn get_metatable(lua: Lua) -> Result<c_int, Throw> {
    if lua.top() < 1 {
        return Err(Throw::Argument(1, "value expected".to_owned()));
    }
    let is_string = lua.kind(1) == ffi::LUA_TSTRING;
    if push_real(lua, 1) {
        // Globals tell what they do with unknown names; a library has no metatable to see.
        return Ok(i32::from(push_shown(lua)));
    }
    if !lua.metatable(1) {
        lua.push_nil();
        return Ok(1);
    }
    lua.get_field(-1, if is_string { b"__shown" } else { b"__metatable" });
    if lua.is_nil(-1) {
        lua.pop(1);
    }
    Ok(1)
}

/// The metatable of the real table on top, as scripts may see it.
fn push_shown(lua: Lua) -> bool {
    if !lua.metatable(-1) {
        lua.push_nil();
        return true;
    }
    lua.get_field(-1, b"__shown");
    true
}

/// How Lua calls the type of an argument in its errors.
pub fn lua_kind(lua: Lua, at: c_int) -> &'static str {
    if lua.top() < at { "no value" } else { lua.kind_name(at) }
}

/// Throws if the first argument is protected.
///
/// # Safety
/// The caller has nothing to drop.
unsafe fn guard(state: *mut lua_State) {
    // SAFETY: the state lives, and no Rust value with a destructor is around.
    unsafe {
        let lua = Lua::new(state);
        ffi::lua_checkstack(state, 4);
        if push_real(lua, 1) {
            lua.push_bytes(READONLY.as_bytes());
            ffi::lua_error(state);
        }
    }
}

/// A function of Lua's own that must not change a protected table.
macro_rules! guarded {
    ($($name:ident)*) => { $(
        unsafe extern "C-unwind" fn $name(state: *mut lua_State) -> c_int {
            // SAFETY: Lua calls this; the original takes the stack as it is.
            unsafe {
                guard(state);
                match ORIGINALS.get() {
                    Some(originals) => (originals.$name)(state),
                    None => 0,
                }
            }
        }
    )* };
}
guarded! { raw_set set_metatable insert }

unsafe extern "C-unwind" fn next(state: *mut lua_State) -> c_int {
    // SAFETY: as above.
    unsafe {
        let lua = Lua::new(state);
        ffi::lua_checkstack(state, 4);
        if push_real(lua, 1) {
            lua.replace(1);
        }
        match ORIGINALS.get() {
            Some(originals) => (originals.next)(state),
            None => 0,
        }
    }
}

unsafe extern "C-unwind" fn pairs(state: *mut lua_State) -> c_int {
    // SAFETY: as above.
    unsafe {
        let lua = Lua::new(state);
        ffi::lua_checkstack(state, 4);
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        lua.push_function(next);
        lua.push_copy(1);
        lua.push_nil();
        3
    }
}
