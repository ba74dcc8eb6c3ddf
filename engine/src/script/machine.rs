//! One Lua state with what it has compiled. A thread that runs scripts has one; it goes from thread to thread, and is
//! used by one at a time.

use std::collections::HashMap;
use std::ffi::{CStr, c_int};
use std::ptr;
use std::sync::Arc;

use mlua::ffi::{self, lua_State};
use rapidhash::v3::rapidhash_v3;
use swell_wire::{Args, Out};

use super::base::seed;
use super::convert::write_reply;
use super::library::{Library, LoadedLibrary, Registered, Registering};
use super::limits::{COMPILED_MAX, Meter, STATE_BYTES_IDLE, allocate, count_instructions};
use super::lua::Lua;
use super::run::{Running, Scratch};
use super::sandbox::{self, Environments};
use super::store::Script;
use super::{Target, api, protect};
use crate::engine::Engine;
use crate::error::Fault;

/// See the module.
pub struct Machine {
    lua: Lua,
    meter: Box<Meter>,
    environments: Environments,
    handler: c_int,
    /// By a hash of the body.
    by_body: HashMap<u64, Compiled>,
    /// All that is compiled.
    by_sha: HashMap<[u8; 40], Compiled>,
    libraries: Vec<LoadedLibrary>,
    flushes: u64,
    /// Memory for the next run.
    pub scratch: Scratch,
}

/// A script with its function's number.
#[derive(Clone, Debug)]
struct Compiled {
    script: Arc<Script>,
    number: c_int,
}

// SAFETY: a state belongs to no thread; whoever has the machine is the only one to use it.
unsafe impl Send for Machine {}

impl Machine {
    /// A new state. `random`: where its `math.random` begins.
    pub fn new(random: u64) -> Box<Machine> {
        let mut meter = Box::new(Meter::default());
        meter.random = seed(random as i64);
        // SAFETY: the meter stays where it is, and lives as long as the state.
        let state: *mut lua_State = unsafe { ffi::lua_newstate(allocate, ptr::from_mut(&mut *meter).cast()) };
        assert!(!state.is_null(), "a state was made without memory being refused");
        // SAFETY: just made.
        let lua = unsafe { Lua::new(state) };
        let environments = sandbox::build(lua);
        lua.push_function(api::handler());
        let handler = lua.keep();
        let (by_body, by_sha, libraries) = Default::default();
        Box::new(Machine {
            lua,
            meter,
            environments,
            handler,
            by_body,
            by_sha,
            libraries,
            flushes: 0,
            scratch: Scratch::default(),
        })
    }

    /// The script of a body that EVAL has brought, and its function's number.
    ///
    /// # Errors
    /// Its first line is wrong, or it does not compile.
    #[inline]
    pub fn by_body(&mut self, engine: &Engine, body: &[u8]) -> Result<Target, Fault> {
        self.follow_flushes(engine);
        let hash = rapidhash_v3(body);
        match self.by_body.get(&hash) {
            Some(known) if known.script.body == body => Ok(Target::Script(known.script.clone(), known.number)),
            _ => self.compile_new(engine, body, hash),
        }
    }

    #[cold]
    fn compile_new(&mut self, engine: &Engine, body: &[u8], hash: u64) -> Result<Target, Fault> {
        let script = engine.scripts().store.keep(body, false)?;
        match self.compile(&script) {
            Ok(number) => {
                self.by_body.insert(hash, Compiled { script: script.clone(), number });
                Ok(Target::Script(script, number))
            }
            Err(fault) => {
                engine.scripts().store.drop_bad(&script);
                Err(fault)
            }
        }
    }

    /// The script of a SHA-1.
    ///
    /// # Errors
    /// There is none.
    #[inline]
    pub fn by_sha(&mut self, engine: &Engine, sha: &[u8]) -> Result<Target, Fault> {
        self.follow_flushes(engine);
        if let Ok(key) = <&[u8; 40]>::try_from(sha)
            && let Some(known) = self.by_sha.get(key)
        {
            return Ok(Target::Script(known.script.clone(), known.number));
        }
        let script = engine.scripts().store.find(sha).ok_or(Fault::say("NOSCRIPT No matching script."))?;
        let number = self.compile(&script)?;
        Ok(Target::Script(script, number))
    }

    fn follow_flushes(&mut self, engine: &Engine) {
        let flushes = engine.scripts().store.flushes();
        if flushes != self.flushes {
            self.flushes = flushes;
            self.forget_compiled();
        }
    }

    fn forget_compiled(&mut self) {
        self.by_body.clear();
        self.by_sha.drain().for_each(|(_, known)| self.lua.forget(known.number));
    }

    pub(super) fn compile(&mut self, script: &Arc<Script>) -> Result<c_int, Fault> {
        if let Some(known) = self.by_sha.get(&script.sha) {
            return Ok(known.number);
        }
        if self.by_sha.len() >= COMPILED_MAX {
            self.forget_compiled();
        }
        if let Err(words) = self.load(script.code(), c"@user_script") {
            return Err(Fault::Other(format!("ERR Error compiling script (new function): {words}").into()));
        }
        let number = self.lua.keep();
        self.by_sha.insert(script.sha, Compiled { script: script.clone(), number });
        Ok(number)
    }

    /// Compiles a chunk and pushes it, or says what is wrong.
    fn load(&mut self, code: &[u8], name: &CStr) -> Result<(), String> {
        let compiled = code.first() == Some(&0x1b);
        // SAFETY: the code is read before this returns; an error is a value on the stack. Compiled code is not taken.
        let status = unsafe {
            if compiled {
                self.lua.push_bytes(b"compiled code is not taken");
                ffi::LUA_ERRSYNTAX
            } else {
                self.meter.native = false;
                let status = ffi::luaL_loadbuffer(self.lua.state(), code.as_ptr().cast(), code.len(), name.as_ptr());
                self.meter.native = true;
                status
            }
        };
        if status == ffi::LUA_OK {
            return Ok(());
        }
        let words = String::from_utf8_lossy(self.lua.bytes(-1).unwrap_or_default()).into_owned();
        self.lua.pop(1);
        Err(words)
    }

    /// Runs what it is about and writes its reply, if nothing has stopped it; says whether that is an error.
    pub fn run(
        &mut self,
        target: &Target,
        running: &mut Running<'_>,
        args: Args<'_>,
        keys: usize,
        out: &mut Out,
    ) -> Result<bool, Fault> {
        let lua = self.lua;
        let number = match target {
            Target::Script(script, 0) => self.compile(script)?,
            Target::Script(_, number) => *number,
            Target::Function(library, at) => self.library(library)?.number(*at),
        };
        lua.set_top(0);
        lua.reserve(16);
        lua.push_kept(self.handler);
        let given = match target {
            Target::Script(..) => {
                lua.push_kept(self.environments.eval);
                push_list(lua, args, 3, 3 + keys);
                lua.set_field(-2, b"KEYS");
                push_list(lua, args, 3 + keys, args.len());
                lua.set_field(-2, b"ARGV");
                lua.pop(1);
                lua.push_kept(number);
                0
            }
            Target::Function(..) => {
                lua.push_kept(number);
                push_list(lua, args, 3, 3 + keys);
                push_list(lua, args, 3 + keys, args.len());
                2
            }
        };
        // The lifetime is not known to the meter: it is forgotten when the call returns.
        self.meter.run = ptr::from_mut(running).cast();
        let status = self.call(given);
        running.set_ticks(self.meter.ticks);
        if running.has_ended() {
            lua.set_top(0);
            return Ok(true);
        }
        let failed = match status {
            ffi::LUA_OK => write_reply(lua, running.speaks_resp3(), out),
            _ => {
                self.write_error(status, out);
                true
            }
        };
        lua.set_top(0);
        self.clean();
        Ok(failed)
    }

    /// Calls the function on the stack; its result or error is on top then.
    fn call(&mut self, given: c_int) -> c_int {
        (self.meter.ticks, self.meter.stop) = (0, None);
        self.meter.json = Default::default();
        count_instructions(self.lua);
        self.meter.native = false;
        // SAFETY: the function and its arguments are on the stack, the handler is at its bottom.
        let status = unsafe { ffi::lua_pcall(self.lua.state(), given, 1, 1) };
        self.meter.native = true;
        self.meter.run = ptr::null_mut();
        self.meter.loading = ptr::null_mut();
        status
    }

    /// The error on top, with the script and line.
    fn write_error(&self, status: c_int, out: &mut Out) {
        let lua = self.lua;
        if !lua.is_table(-1) {
            // Thrown where no handler runs.
            let words = match status {
                ffi::LUA_ERRMEM => &b"ERR not enough memory"[..],
                _ => b"ERR error in error handling",
            };
            return out.error_bytes(words);
        }
        let field = |name: &[u8]| {
            lua.get_field(-1, name);
            let text = lua.bytes(-1).map(<[u8]>::to_vec);
            lua.pop(1);
            text
        };
        let mut text = field(b"err").unwrap_or_else(|| b"ERR unknown error".to_vec());
        if let (Some(source), Some(line)) = (field(b"source"), field(b"line")) {
            text.extend_from_slice(b" script: on ");
            text.extend_from_slice(&source);
            text.push(b':');
            text.extend_from_slice(&line);
            text.push(b'.');
        }
        out.error_bytes(text.strip_prefix(b"-").unwrap_or(&text));
    }

    fn clean(&mut self) {
        if self.meter.bytes > STATE_BYTES_IDLE {
            // SAFETY: nothing of a script's runs when its garbage goes.
            unsafe { ffi::lua_gc(self.lua.state(), ffi::LUA_GCCOLLECT, 0) };
        }
    }

    /// A library, loaded now if it was not.
    fn library(&mut self, library: &Arc<Library>) -> Result<&LoadedLibrary, Fault> {
        if let Some(at) = self.libraries.iter().position(|loaded| loaded.is_of(library)) {
            return Ok(&self.libraries[at]);
        }
        self.forget_libraries();
        let registered = self.register(&library.code, library.code_from)?;
        self.libraries.push(LoadedLibrary::new(library.clone(), registered));
        self.libraries.last().ok_or(Fault::say("ERR Function not found"))
    }

    /// Forgets libraries that nobody else has any longer.
    fn forget_libraries(&mut self) {
        let lua = self.lua;
        self.libraries.retain(|loaded| {
            let is_current = loaded.is_current();
            if !is_current {
                loaded.numbers().for_each(|number| lua.forget(number));
            }
            is_current
        });
    }

    /// Runs a library's code, which registers its functions.
    ///
    /// # Errors
    /// It does not compile, or what it has thrown.
    pub fn register(&mut self, code: &[u8], code_from: usize) -> Result<Vec<Registered>, Fault> {
        let lua = self.lua;
        lua.set_top(0);
        lua.reserve(16);
        lua.push_kept(self.handler);
        let fault = |what: &str, words: String| Fault::Other(format!("ERR Error {what}: {words}").into());
        self.load(&code[code_from..], c"@user_function").map_err(|words| fault("compiling function", words))?;
        self.set_function_environment(self.environments.loads);
        lua.push_kept(self.environments.function);
        // SAFETY: the chunk is below its environment on the stack.
        unsafe { ffi::lua_setfenv(lua.state(), -2) };
        let mut registering = Registering::default();
        self.meter.loading = &raw mut registering;
        let status = self.call(0);
        self.set_function_environment(self.environments.calls);
        if let Some(refused) = registering.refused {
            lua.set_top(0);
            self.forget(&registering.done);
            return Err(refused);
        }
        if status == ffi::LUA_OK {
            lua.set_top(0);
            return Ok(registering.done);
        }
        self.forget(&registering.done);
        let words = self.error_words();
        lua.set_top(0);
        Err(fault("registering functions", words))
    }

    /// Forgets what a library has registered.
    pub fn forget(&self, registered: &[Registered]) {
        registered.iter().for_each(|registered| self.lua.forget(registered.number));
    }

    /// What functions' globals show from now on.
    fn set_function_environment(&self, shown: c_int) {
        self.lua.push_kept(self.environments.function);
        self.lua.push_kept(shown);
        protect::redirect(self.lua, -2);
        self.lua.pop(1);
    }

    /// The words of the error on top.
    fn error_words(&self) -> String {
        let lua = self.lua;
        if !lua.is_table(-1) {
            return "ERR error in error handling".to_owned();
        }
        lua.get_field(-1, b"err");
        let words = lua.bytes(-1).unwrap_or(b"ERR unknown error");
        String::from_utf8_lossy(words).into_owned()
    }
}

/// Pushes a list of arguments.
#[inline]
fn push_list(lua: Lua, args: Args<'_>, from: usize, to: usize) {
    lua.new_table(to.saturating_sub(from), 0);
    for (index, at) in (from..to).enumerate() {
        match args.get(at) {
            swell_wire::Arg::Slice(bytes) => lua.push_bytes(bytes),
            long => lua.push_bytes(&long.to_bytes()),
        }
        lua.set_index(-2, index + 1);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // SAFETY: nobody uses the state any longer.
        unsafe { ffi::lua_close(self.lua.state()) };
    }
}
