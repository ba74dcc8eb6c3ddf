//! Lua's own functions where scripts need others: `pcall` and its like let nothing catch a script's end, `loadstring`
//! takes no compiled code, `math.random` is Valkey's, patterns are bounded.

use std::ffi::c_int;
use std::sync::OnceLock;

use mlua::ffi::{self, lua_CFunction, lua_State};

use super::limits::{PATTERN_BYTES_MAX, STATE_BYTES_MAX, throw_if_stopped};
use super::lua::{Lua, Throw, native};
use super::protect::lua_kind;

/// The largest number that `math.random` draws, and one more than the largest of the generator.
const RANDOM_MAX: i64 = 0x7fff_ffff;
/// The beginning of compiled code.
const COMPILED: u8 = 0x1b;

static ORIGINALS: OnceLock<Originals> = OnceLock::new();

#[derive(Debug)]
struct Originals {
    resume: lua_CFunction,
    load_string: lua_CFunction,
    find: lua_CFunction,
    matches: lua_CFunction,
    gmatch: lua_CFunction,
    gsub: lua_CFunction,
}

/// `load` reads from a function; everything else of it is `loadstring`.
const LOAD: &str = "local loadstring, concat, type, error = loadstring, table.concat, type, error
return function(reader, name)
  if type(reader) ~= 'function' then error(\"bad argument #1 to 'load' (function expected)\", 2) end
  local parts, part = {}
  repeat
    part = reader()
    if part ~= nil and type(part) ~= 'string' then return nil, 'reader function must return a string' end
    parts[#parts + 1] = part
  until part == nil or part == ''
  return loadstring(concat(parts), name or '=(load)')
end";

/// Replaces them. The globals stand on top.
pub fn install(lua: Lua) {
    let original = |table: &[u8], name: &[u8]| {
        lua.push_copy(-1);
        if !table.is_empty() {
            lua.get_field(-1, table);
            lua.remove(-2);
        }
        lua.get_field(-1, name);
        let function = lua.function(-1).expect("a function of Lua's own");
        lua.pop(2);
        function
    };
    ORIGINALS.get_or_init(|| Originals {
        resume: original(b"coroutine", b"resume"),
        load_string: original(b"", b"loadstring"),
        find: original(b"string", b"find"),
        matches: original(b"string", b"match"),
        gmatch: original(b"string", b"gmatch"),
        gsub: original(b"string", b"gsub"),
    });
    put(
        lua,
        b"",
        &[
            (b"pcall", pcall),
            (b"xpcall", xpcall),
            (b"loadstring", load_string),
            (b"collectgarbage", native!(collect_garbage)),
        ],
    );
    put(lua, b"coroutine", &[(b"resume", resume)]);
    put(
        lua,
        b"string",
        &[
            (b"find", find),
            (b"match", matches),
            (b"gmatch", gmatch),
            (b"gfind", gmatch),
            (b"gsub", gsub),
            (b"rep", native!(rep)),
        ],
    );
    put(lua, b"math", &[(b"random", native!(random)), (b"randomseed", native!(random_seed))]);
    // SAFETY: a chunk of ours, which compiles and returns one function.
    unsafe {
        let name = c"=load";
        ffi::luaL_loadbuffer(lua.state(), LOAD.as_ptr().cast(), LOAD.len(), name.as_ptr());
        ffi::lua_call(lua.state(), 0, 1);
    }
    lua.set_field(-2, b"load");
}

/// Puts functions into one of the tables of the globals on top, or into these.
pub fn put(lua: Lua, table: &[u8], functions: &[(&[u8], lua_CFunction)]) {
    lua.push_copy(-1);
    if !table.is_empty() {
        lua.get_field(-1, table);
        lua.remove(-2);
    }
    for (name, function) in functions {
        lua.push_function(*function);
        lua.set_field(-2, name);
    }
    lua.pop(1);
}

/// Goes on with one of Lua's own.
macro_rules! original {
    ($state:expr, $name:ident) => {
        match ORIGINALS.get() {
            Some(originals) => (originals.$name)($state),
            None => 0,
        }
    };
}

/// `pcall(f, …)`: false and what was thrown, or its text where it is an error of ours.
unsafe extern "C-unwind" fn pcall(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this; nothing here has to be dropped.
    unsafe {
        let lua = Lua::new(state);
        ffi::luaL_checkany(state, 1);
        let status = ffi::lua_pcall(state, lua.top() - 1, ffi::LUA_MULTRET, 0);
        throw_if_stopped(state);
        if status != 0 && lua.is_table(-1) {
            ffi::lua_checkstack(state, 2);
            lua.get_field(-1, b"err");
            if lua.is_nil(-1) { lua.pop(1) } else { lua.remove(-2) }
        }
        ffi::lua_checkstack(state, 1);
        lua.push_bool(status == 0);
        lua.insert(1);
        lua.top()
    }
}

/// `xpcall(f, handler)`.
unsafe extern "C-unwind" fn xpcall(state: *mut lua_State) -> c_int {
    // SAFETY: as above.
    unsafe {
        let lua = Lua::new(state);
        ffi::luaL_checkany(state, 2);
        lua.set_top(2);
        lua.insert(1);
        let status = ffi::lua_pcall(state, 0, ffi::LUA_MULTRET, 1);
        throw_if_stopped(state);
        lua.push_bool(status == 0);
        lua.replace(1);
        lua.top()
    }
}

unsafe extern "C-unwind" fn resume(state: *mut lua_State) -> c_int {
    // SAFETY: as above.
    unsafe {
        let results = original!(state, resume);
        throw_if_stopped(state);
        results
    }
}

unsafe extern "C-unwind" fn load_string(state: *mut lua_State) -> c_int {
    // SAFETY: as above.
    unsafe {
        let lua = Lua::new(state);
        if lua.bytes(1).is_some_and(|code| code.first() == Some(&COMPILED)) {
            lua.set_top(1);
            lua.push_nil();
            lua.push_bytes(b"attempt to load a precompiled chunk");
            return 2;
        }
        original!(state, load_string)
    }
}

/// A function of Lua's own whose second argument is a pattern.
macro_rules! patterns {
    ($($name:ident)*) => { $(
        unsafe extern "C-unwind" fn $name(state: *mut lua_State) -> c_int {
            // SAFETY: as above.
            unsafe {
                let lua = Lua::new(state);
                if lua.kind(2) == ffi::LUA_TSTRING && lua.len(2) > PATTERN_BYTES_MAX {
                    return ffi::luaL_argerror(state, 2, c"the pattern is too long".as_ptr());
                }
                original!(state, $name)
            }
        }
    )* };
}
patterns! { find matches gmatch gsub }

fn collect_garbage(lua: Lua) -> Result<c_int, Throw> {
    let what = if lua.is_nil(1) { &b"collect"[..] } else { lua.string(1).unwrap_or_default() };
    // Other scripts use the state too: nobody stops its collector.
    let (what, is_count) = match what {
        b"collect" | b"step" => (ffi::LUA_GCCOLLECT, false),
        b"count" => (ffi::LUA_GCCOUNT, true),
        b"stop" | b"restart" | b"setpause" | b"setstepmul" => {
            lua.push_number(0.0);
            return Ok(1);
        }
        other => {
            return Err(Throw::Argument(1, format!("invalid option '{}'", String::from_utf8_lossy(other))));
        }
    };
    // SAFETY: no finaliser of a script's can run: none can be made.
    let result = unsafe { ffi::lua_gc(lua.state(), what, 0) };
    // SAFETY: as above.
    let rest = unsafe { if is_count { ffi::lua_gc(lua.state(), ffi::LUA_GCCOUNTB, 0) } else { 0 } };
    lua.push_number(f64::from(result) + f64::from(rest) / 1024.0);
    Ok(1)
}

/// `string.rep`, in one piece.
fn rep(lua: Lua) -> Result<c_int, Throw> {
    let text = check_string(lua, 1)?;
    let count = check_number(lua, 2)?;
    let count = if count >= 1.0 { count as usize } else { 0 };
    let bytes = text.len().saturating_mul(count);
    // SAFETY: the meter lives as long as the state.
    let held = unsafe { (*lua.meter()).bytes };
    if bytes > STATE_BYTES_MAX.saturating_sub(held) {
        return Err(Throw::Text(b"not enough memory".to_vec()));
    }
    lua.push_bytes(&text.repeat(count));
    Ok(1)
}

/// The generator of `drand48` (POSIX), so that scripts draw what they draw on Valkey.
fn draw(lua: Lua) -> i64 {
    // SAFETY: as above.
    let state = unsafe { &mut (*lua.meter()).random };
    *state = state.wrapping_mul(0x5_deec_e66d).wrapping_add(0xb) & 0xffff_ffff_ffff;
    (*state >> 17) as i64
}

/// Where the generator begins.
pub fn seed(number: i64) -> u64 {
    (number as u64 & 0xffff_ffff) << 16 | 0x330e
}

fn random(lua: Lua) -> Result<c_int, Throw> {
    let drawn = (draw(lua) % RANDOM_MAX) as f64 / RANDOM_MAX as f64;
    let arguments = lua.top();
    let (low, high) = match arguments {
        0 => {
            lua.push_number(drawn);
            return Ok(1);
        }
        1 => (1.0, check_number(lua, 1)?.trunc()),
        2 => (check_number(lua, 1)?.trunc(), check_number(lua, 2)?.trunc()),
        _ => return Err(Throw::Here("wrong number of arguments".to_owned())),
    };
    if low > high {
        return Err(Throw::Argument(arguments, "interval is empty".to_owned()));
    }
    lua.push_number((drawn * (high - low + 1.0)).floor() + low);
    Ok(1)
}

fn random_seed(lua: Lua) -> Result<c_int, Throw> {
    let number = check_number(lua, 1)?;
    // SAFETY: as above.
    unsafe { (*lua.meter()).random = seed(number as i64) };
    Ok(0)
}

/// A string or number among a native's arguments.
pub fn check_string<'a>(lua: Lua, at: c_int) -> Result<&'a [u8], Throw> {
    let wrong = || Throw::Argument(at, format!("string expected, got {}", lua_kind(lua, at)));
    if lua.top() < at { Err(wrong()) } else { lua.bytes(at).ok_or_else(wrong) }
}

/// A number, or a string that reads as one.
pub fn check_number(lua: Lua, at: c_int) -> Result<f64, Throw> {
    if lua.top() >= at && lua.is_number(at) {
        return Ok(lua.number(at));
    }
    Err(Throw::Argument(at, format!("number expected, got {}", lua_kind(lua, at))))
}

/// Natives by name, for tables of them.
pub fn native_table(lua: Lua, functions: &[(&[u8], lua_CFunction)]) {
    lua.new_table(0, functions.len());
    for (name, function) in functions {
        lua.push_function(*function);
        lua.set_field(-2, name);
    }
}

/// A number as C's `%.*g` has it.
pub fn format_g(number: f64, precision: usize) -> String {
    if !number.is_finite() {
        let sign = if number.is_sign_negative() { "-" } else { "" };
        return format!("{sign}{}", if number.is_nan() { "nan" } else { "inf" });
    }
    let scientific = format!("{number:.*e}", precision - 1);
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |text: &str| {
        let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
        text.to_owned()
    };
    if exponent < -4 || exponent >= precision as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trimmed(digits), exponent.abs());
    }
    trimmed(&format!("{number:.*}", (precision as i32 - 1 - exponent).max(0) as usize))
}
