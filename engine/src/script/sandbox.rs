//! What scripts find: Lua's libraries without what reaches outside, ours beside them, and everything protected.
//!
//! Three environments share the libraries. EVAL's scripts have the state's globals, with KEYS and ARGV; functions have
//! an environment without these; and while a library is loaded the same environment shows nothing but what registers.

use std::ffi::c_int;

use mlua::ffi;

use super::lua::{Lua, Throw, native};
use super::{api, base, bit, cjson, cmsgpack, protect, struct_};

/// What is kept of an environment, by the numbers of [`Lua::keep`].
#[derive(Clone, Copy, Debug)]
pub struct Environments {
    /// The table behind EVAL's globals: KEYS and ARGV are put there.
    pub eval: c_int,
    /// What functions see as their globals.
    pub function: c_int,
    /// What stands behind that while they run.
    pub calls: c_int,
    /// And while a library is loaded.
    pub loads: c_int,
}

const GONE: &[&[u8]] = &[
    b"print",
    b"dofile",
    b"loadfile",
    b"require",
    b"newproxy",
    b"module",
    b"setfenv",
    b"getfenv",
    b"debug",
    b"io",
    b"package",
];
const PROTECTED: &[&[u8]] =
    &[b"string", b"table", b"math", b"os", b"coroutine", b"bit", b"cjson", b"cmsgpack", b"struct"];

/// Fills a new state.
pub fn build(lua: Lua) -> Environments {
    open(lua);
    // SAFETY: the globals of a state are a table.
    unsafe { ffi::lua_pushvalue(lua.state(), ffi::LUA_GLOBALSINDEX) };
    for name in GONE {
        lua.push_nil();
        lua.set_field(-2, name);
    }
    keep_only_clock(lua);
    base::install(lua);
    bit::install(lua);
    cjson::install(lua);
    cmsgpack::install(lua);
    struct_::install(lua);
    protect::install(lua);
    hide_string_methods(lua);
    for name in PROTECTED {
        lua.get_field(-1, name);
        protect::protect(lua);
        lua.set_field(-2, name);
    }
    show_string_methods(lua);
    let handlers: [&[u8]; 2] = [b"__redis__err__handler", b"__server__err__handler"];
    for name in handlers {
        lua.push_function(native!(api::handle_error));
        lua.set_field(-2, name);
    }

    // Functions' environment is a copy, made before EVAL's own names come.
    lua.new_table(0, 64);
    copy_fields(lua, -2, -1);
    put_api(lua, api::Kind::Function);
    refuse_unknown(lua);
    lua.push_copy(-1);
    let calls = lua.keep();
    protect::protect(lua);
    point_to_itself(lua, calls);
    let function = lua.keep();

    lua.new_table(0, 2);
    put_api(lua, api::Kind::Loading);
    refuse_unknown(lua);
    let loads = lua.keep();

    put_api(lua, api::Kind::Eval);
    for name in [&b"KEYS"[..], b"ARGV"] {
        lua.new_table(0, 0);
        lua.set_field(-2, name);
    }
    refuse_unknown(lua);
    lua.push_copy(-1);
    let eval = lua.keep();
    protect::protect(lua);
    point_to_itself(lua, eval);
    lua.replace(ffi::LUA_GLOBALSINDEX);
    Environments { eval, function, calls, loads }
}

fn open(lua: Lua) {
    let libraries: [(ffi::lua_CFunction, &[u8]); 5] = [
        (ffi::luaopen_base, b""),
        (ffi::luaopen_table, b"table"),
        (ffi::luaopen_string, b"string"),
        (ffi::luaopen_math, b"math"),
        (ffi::luaopen_os, b"os"),
    ];
    for (library, name) in libraries {
        lua.push_function(library);
        lua.push_bytes(name);
        // SAFETY: Lua's own libraries do not throw but for want of memory, which is not refused here.
        unsafe { ffi::lua_call(lua.state(), 1, 0) };
    }
}

fn keep_only_clock(lua: Lua) {
    lua.get_field(-1, b"os");
    lua.get_field(-1, b"clock");
    lua.new_table(0, 1);
    lua.insert(-2);
    lua.set_field(-2, b"clock");
    lua.remove(-2);
    lua.set_field(-2, b"os");
}

/// Methods of strings are found in the real table; what `getmetatable("")` shows is set later.
fn hide_string_methods(lua: Lua) {
    lua.push_bytes(b"");
    lua.get_field(-2, b"string");
    lua.metatable(-2);
    lua.insert(-2);
    lua.set_field(-2, b"__index");
    lua.pop(2);
}

/// `getmetatable("")` shows a protected table with the protected library.
fn show_string_methods(lua: Lua) {
    lua.push_bytes(b"");
    lua.metatable(-1);
    lua.new_table(0, 1);
    lua.get_field(-4, b"string");
    lua.set_field(-2, b"__index");
    protect::protect(lua);
    lua.set_field(-2, b"__shown");
    lua.pop(2);
}

/// Unknown names of the table on top throw.
fn refuse_unknown(lua: Lua) {
    lua.new_table(0, 2);
    lua.push_function(native!(unknown));
    lua.set_field(-2, b"__index");
    lua.new_table(0, 1);
    lua.push_function(native!(unknown));
    lua.set_field(-2, b"__index");
    protect::protect(lua);
    lua.set_field(-2, b"__shown");
    lua.set_metatable(-2);
}

fn unknown(lua: Lua) -> Result<c_int, Throw> {
    let name = String::from_utf8_lossy(lua.bytes(2).unwrap_or(b"(null)")).into_owned();
    Err(Throw::Here(format!("Script attempted to access nonexistent global variable '{name}'")))
}

/// Puts `redis`, which is also `server`, into the table on top.
fn put_api(lua: Lua, kind: api::Kind) {
    api::push(lua, kind);
    if kind == api::Kind::Loading {
        refuse_unknown(lua);
    }
    protect::protect(lua);
    lua.push_copy(-1);
    lua.set_field(-3, b"redis");
    lua.set_field(-2, b"server");
}

/// Copies the fields of one table into another.
fn copy_fields(lua: Lua, from: c_int, to: c_int) {
    let (from, to) = (lua.absolute(from), lua.absolute(to));
    lua.push_nil();
    while lua.next(from) {
        lua.push_copy(-2);
        lua.insert(-2);
        lua.set(to);
    }
}

/// The protected table on top is `_G` in the real one, which was kept under this number.
fn point_to_itself(lua: Lua, real: c_int) {
    lua.push_kept(real);
    lua.push_copy(-2);
    lua.set_field(-2, b"_G");
    lua.pop(1);
}
