//! `redis`, which is also `server`: what scripts call us by.

use std::ffi::c_int;
use std::mem::MaybeUninit;

use mlua::ffi;
use sha1::{Digest, Sha1};
use swell_wire::Proto;

use super::base::native_table;
use super::convert::{push_error, push_reply};
use super::library;
use super::lua::{Lua, Throw, native};
use super::run::Running;
use crate::double::{DOUBLE_BYTES, format_double};

/// The versions that scripts are told, as HELLO and INFO tell clients.
const REDIS_VERSION: &str = "7.2.4";
const VALKEY_VERSION: &str = "9.1.0";

/// Whom the table is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Scripts of EVAL.
    Eval,
    /// Functions of a library.
    Function,
    /// The library itself, while it is loaded.
    Loading,
}

const LEVELS: [&str; 4] = ["LOG_DEBUG", "LOG_VERBOSE", "LOG_NOTICE", "LOG_WARNING"];
const REPLICATION: [(&str, f64); 5] =
    [("REPL_NONE", 0.0), ("REPL_AOF", 1.0), ("REPL_SLAVE", 2.0), ("REPL_REPLICA", 2.0), ("REPL_ALL", 3.0)];

/// Pushes the table.
pub fn push(lua: Lua, kind: Kind) {
    native_table(lua, &[(b"log", native!(log))]);
    for (level, name) in LEVELS.iter().enumerate() {
        lua.push_number(level as f64);
        lua.set_field(-2, name.as_bytes());
    }
    put_version(lua, "REDIS", REDIS_VERSION);
    put_version(lua, "VALKEY", VALKEY_VERSION);
    lua.push_bytes(b"valkey");
    lua.set_field(-2, b"SERVER_NAME");
    if kind == Kind::Loading {
        lua.push_function(native!(library::register));
        lua.set_field(-2, b"register_function");
        return;
    }
    for (name, value) in REPLICATION {
        lua.push_number(value);
        lua.set_field(-2, name.as_bytes());
    }
    let mut functions: Vec<(&[u8], ffi::lua_CFunction)> = vec![
        (b"acl_check_cmd", native!(acl_check)),
        (b"call", native!(call)),
        (b"error_reply", native!(error_reply)),
        (b"pcall", native!(protected_call)),
        (b"set_repl", native!(set_replication)),
        (b"setresp", native!(set_resp)),
        (b"sha1hex", native!(sha1_hex)),
        (b"status_reply", native!(status_reply)),
    ];
    if kind == Kind::Eval {
        functions.push((b"breakpoint", native!(breakpoint)));
        functions.push((b"debug", native!(|_| Ok(0))));
        functions.push((b"replicate_commands", native!(replicate_commands)));
    }
    for (name, function) in functions {
        lua.push_function(function);
        lua.set_field(-2, name);
    }
}

fn put_version(lua: Lua, name: &str, version: &str) {
    lua.push_bytes(version.as_bytes());
    lua.set_field(-2, format!("{name}_VERSION").as_bytes());
    let number = version.split('.').fold(0, |number, part| number << 8 | part.parse::<u32>().unwrap_or(0));
    lua.push_number(f64::from(number));
    lua.set_field(-2, format!("{name}_VERSION_NUM").as_bytes());
}

/// What runs. Natives are called by what runs only.
fn running<'a>(lua: Lua) -> Result<&'a mut Running<'static>, Throw> {
    // SAFETY: set for as long as a script runs, by the thread that runs it; each native has it once.
    let running = unsafe { (*lua.meter()).run.as_mut() };
    running.ok_or_else(|| Throw::Text(b"ERR nothing runs that could call this".to_vec()))
}

fn call(lua: Lua) -> Result<c_int, Throw> {
    if run_command(lua)? {
        return Ok(1);
    }
    Err(Throw::Value)
}

fn protected_call(lua: Lua) -> Result<c_int, Throw> {
    run_command(lua)?;
    Ok(1)
}

/// Runs the command that the arguments are, and pushes its reply. False: that is an error.
fn run_command(lua: Lua) -> Result<bool, Throw> {
    let running = running(lua)?;
    if let Err(words) = read_args(lua, running) {
        push_error(lua, words.as_bytes());
        return Ok(false);
    }
    if let Err(words) = running.call() {
        push_error(lua, words.as_bytes());
        return Ok(false);
    }
    if let Some(stop) = running.stopped() {
        // SAFETY: the meter lives as long as the state.
        unsafe { (*lua.meter()).stop = Some(stop) };
        return Err(Throw::Text(stop.as_bytes().to_vec()));
    }
    if !lua.reserve(8) {
        return Err(Throw::Text(b"stack overflow".to_vec()));
    }
    let is_error = running.with_reply(|reply| {
        push_reply(lua, reply);
        reply.first() == Some(&b'-')
    });
    Ok(!is_error)
}

/// Takes the arguments over; numbers become text.
fn read_args(lua: Lua, running: &mut Running<'_>) -> Result<(), &'static str> {
    let count = lua.top();
    if count == 0 {
        return Err("ERR Please specify at least one argument for this call");
    }
    running.args.clear();
    for at in 1..=count {
        match lua.kind(at) {
            ffi::LUA_TSTRING => running.args.push(lua.bytes(at).unwrap_or_default()),
            ffi::LUA_TNUMBER => running.args.push(format_number(lua.number(at), &mut [0; DOUBLE_BYTES]).as_bytes()),
            _ => return Err("ERR Command arguments must be strings or integers"),
        }
    }
    Ok(())
}

/// A number as an argument of a command.
fn format_number(number: f64, to: &mut [u8; DOUBLE_BYTES]) -> &str {
    if number == 0.0 {
        return "0";
    }
    format_double(number, to)
}

fn one_text<'a>(lua: Lua) -> Option<&'a [u8]> {
    if lua.top() == 1 { lua.string(1) } else { None }
}

fn push_field(lua: Lua, name: &[u8], text: &[u8]) -> Result<c_int, Throw> {
    lua.new_table(0, 1);
    lua.push_bytes(text);
    lua.set_field(-2, name);
    Ok(1)
}

fn error_reply(lua: Lua) -> Result<c_int, Throw> {
    let Some(text) = one_text(lua) else {
        return push_field(lua, b"err", b"ERR wrong number or type of arguments");
    };
    let text = text.strip_prefix(b"-").unwrap_or(text);
    // One word says what is wrong, and has no code.
    let code: &[u8] = if text.contains(&b' ') { b"" } else { b"ERR " };
    push_field(lua, b"err", &[code, text].concat())
}

fn status_reply(lua: Lua) -> Result<c_int, Throw> {
    match one_text(lua) {
        Some(text) => push_field(lua, b"ok", text),
        None => push_field(lua, b"err", b"ERR wrong number or type of arguments"),
    }
}

fn refuse(lua: Lua, words: &str) -> Result<c_int, Throw> {
    push_error(lua, words.as_bytes());
    Err(Throw::Value)
}

fn sha1_hex(lua: Lua) -> Result<c_int, Throw> {
    if lua.top() != 1 {
        return refuse(lua, "ERR wrong number of arguments");
    }
    lua.push_bytes(&hex(lua.bytes(1).unwrap_or_default()));
    Ok(1)
}

/// The SHA-1 of these bytes in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> [u8; 40] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digest = Sha1::digest(bytes);
    std::array::from_fn(|at| DIGITS[usize::from(digest[at / 2] >> (4 * (1 - at % 2)) & 15)])
}

/// What scripts log goes to nobody: a client must not fill the server's log. The call is checked all the same.
fn log(lua: Lua) -> Result<c_int, Throw> {
    if lua.top() < 2 {
        return refuse(lua, "ERR server.log() requires two arguments or more.");
    }
    if lua.kind(1) != ffi::LUA_TNUMBER {
        return refuse(lua, "ERR First argument must be a number (log level).");
    }
    if !(0.0..=3.0).contains(&lua.number(1).trunc()) {
        return refuse(lua, "ERR Invalid log level.");
    }
    Ok(0)
}

fn set_resp(lua: Lua) -> Result<c_int, Throw> {
    if lua.top() != 1 {
        return refuse(lua, "ERR server.setresp() requires one argument.");
    }
    let proto = match lua.number(1) as i64 {
        2 => Proto::Resp2,
        3 => Proto::Resp3,
        _ => return refuse(lua, "ERR RESP version must be 2 or 3."),
    };
    running(lua)?.set_proto(proto);
    Ok(0)
}

fn acl_check(lua: Lua) -> Result<c_int, Throw> {
    let running = running(lua)?;
    if let Err(words) = read_args(lua, running) {
        return refuse(lua, words);
    }
    match running.may_call() {
        Some(may) => lua.push_bool(may),
        None => return refuse(lua, "ERR Invalid command passed to server.acl_check_cmd()"),
    }
    Ok(1)
}

/// What a script does is always told as its effects.
fn replicate_commands(lua: Lua) -> Result<c_int, Throw> {
    lua.push_bool(true);
    Ok(1)
}

/// There is nothing to choose: effects go wherever somebody follows.
fn set_replication(lua: Lua) -> Result<c_int, Throw> {
    if lua.top() != 1 {
        return refuse(lua, "ERR server.set_repl() requires one argument.");
    }
    if !(0.0..=3.0).contains(&lua.number(1)) {
        let words = "ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.";
        return refuse(lua, words);
    }
    Ok(0)
}

/// No script is debugged.
fn breakpoint(lua: Lua) -> Result<c_int, Throw> {
    lua.push_bool(false);
    Ok(1)
}

/// Makes an error of what was thrown: a table with its text, the script and the line.
pub fn handle_error(lua: Lua) -> Result<c_int, Throw> {
    lua.set_top(1);
    if !lua.is_table(1) {
        let text = match lua.kind(1) {
            ffi::LUA_TSTRING | ffi::LUA_TNUMBER => lua.bytes(1).unwrap_or_default().to_vec(),
            ffi::LUA_TBOOLEAN => lua.boolean(1).to_string().into_bytes(),
            _ => lua.kind_name(1).as_bytes().to_vec(),
        };
        push_field(lua, b"err", &[b"ERR ", &text[..]].concat())?;
        lua.replace(1);
    }
    if let Some((source, line)) = place_of_error(lua) {
        lua.push_bytes(&source);
        lua.set_field(1, b"source");
        lua.push_number(f64::from(line));
        lua.set_field(1, b"line");
    }
    Ok(1)
}

/// The function of a script that has thrown, or has called what has: its chunk's name, and the line.
fn place_of_error(lua: Lua) -> Option<(Vec<u8>, c_int)> {
    for level in 1..=2 {
        let mut found = MaybeUninit::<ffi::lua_Debug>::zeroed();
        // SAFETY: Lua fills in what it is asked for, of a level that there is; its texts live as long as the function.
        unsafe {
            if ffi::lua_getstack(lua.state(), level, found.as_mut_ptr()) == 0
                || ffi::lua_getinfo(lua.state(), c"Sl".as_ptr(), found.as_mut_ptr()) == 0
            {
                return None;
            }
            let found = found.assume_init();
            let is_c = std::ffi::CStr::from_ptr(found.what).to_bytes() == b"C";
            if !is_c {
                return Some((std::ffi::CStr::from_ptr(found.source).to_bytes().to_vec(), found.currentline));
            }
        }
    }
    None
}

/// The address of a native that handles errors, for those who push it.
pub fn handler() -> ffi::lua_CFunction {
    native!(handle_error)
}
