//! Libraries of functions: what FUNCTION LOAD takes, what they register, and which there are. Every state compiles a
//! library for itself when it first runs one of its functions.

use std::collections::{BTreeMap, HashMap};
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use mlua::ffi;

use super::lua::{Lua, Throw};
use super::store::{Flags, Habits, words};
use crate::engine::Engine;
use crate::error::Fault;

/// Bytes of all libraries' code.
pub const CODE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A library.
#[derive(Debug)]
pub struct Library {
    pub name: String,
    /// As it was given, with its first line.
    pub code: Vec<u8>,
    pub code_from: usize,
    pub functions: Vec<Function>,
    /// It is no longer among the cache's.
    is_gone: AtomicBool,
}

/// One function of it.
#[derive(Debug)]
pub struct Function {
    pub name: String,
    pub description: Option<Vec<u8>>,
    pub flags: Flags,
    pub habits: Habits,
}

/// What a library's code has registered.
#[derive(Debug)]
pub struct Registered {
    name: String,
    description: Option<Vec<u8>>,
    flags: Flags,
    /// The Lua function's.
    pub number: c_int,
}

/// What it registers, while it is loaded.
#[derive(Debug, Default)]
pub struct Registering {
    pub done: Vec<Registered>,
    /// Why the library is refused, in words of its own.
    pub refused: Option<Fault>,
}

/// A library in one state.
#[derive(Debug)]
pub struct LoadedLibrary {
    library: Arc<Library>,
    numbers: Vec<c_int>,
}

/// What FUNCTION RESTORE does with what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Flush,
    Append,
    Replace,
}

/// All libraries of a cache.
#[derive(Debug, Default)]
pub struct Libraries {
    index: RwLock<Arc<Index>>,
}

/// By name.
#[derive(Clone, Debug, Default)]
pub struct Index {
    libraries: BTreeMap<String, Arc<Library>>,
    /// Functions, by their names in lower case: with their library and their place in it.
    functions: HashMap<Vec<u8>, (Arc<Library>, usize)>,
}

impl LoadedLibrary {
    pub fn new(library: Arc<Library>, registered: Vec<Registered>) -> LoadedLibrary {
        let number_of = |function: &Function| {
            registered.iter().find(|registered| registered.name == function.name).map_or(0, |found| found.number)
        };
        let numbers = library.functions.iter().map(number_of).collect();
        LoadedLibrary { library, numbers }
    }

    pub fn is_of(&self, library: &Arc<Library>) -> bool {
        Arc::ptr_eq(&self.library, library)
    }

    pub fn is_current(&self) -> bool {
        !self.library.is_gone.load(Relaxed)
    }

    pub fn number(&self, at: usize) -> c_int {
        self.numbers.get(at).copied().unwrap_or_default()
    }

    pub fn numbers(&self) -> impl Iterator<Item = c_int> {
        self.numbers.iter().copied()
    }
}

impl Library {
    /// Reads a library's code and has it register its functions, in a state of the engine's.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn load(engine: &Engine, code: &[u8]) -> Result<Arc<Library>, Fault> {
        let (name, code_from) = read_name(code)?;
        let mut machine = engine.scripts().take_machine(0);
        let registered = machine.register(code, code_from);
        // What it has registered there is registered again when it is first called.
        if let Ok(registered) = &registered {
            machine.forget(registered);
        }
        engine.scripts().give_machine(machine);
        let function = |registered: Registered| Function {
            name: registered.name,
            description: registered.description,
            flags: registered.flags,
            habits: Habits::default(),
        };
        let functions: Vec<Function> = registered?.into_iter().map(function).collect();
        if functions.is_empty() {
            return Err(Fault::say("ERR No functions registered"));
        }
        Ok(Arc::new(Library { name, code: code.to_vec(), code_from, functions, is_gone: AtomicBool::new(false) }))
    }
}

fn other(words: String) -> Fault {
    Fault::Other(words.into())
}

/// The library's name, and where its code begins.
pub fn read_name(code: &[u8]) -> Result<(String, usize), Fault> {
    if !code.starts_with(b"#!") {
        return Err(Fault::say("ERR Missing library metadata"));
    }
    let end = code.iter().position(|byte| *byte == b'\n').ok_or(Fault::say("ERR Invalid library metadata"))?;
    let mut words = words(&code[2..end]);
    let engine = words.next().unwrap_or_default();
    let mut name = None;
    for word in words {
        let Some(value) = word.strip_prefix(b"name=") else {
            return Err(other(format!("ERR Invalid metadata value given: {}", String::from_utf8_lossy(word))));
        };
        if name.is_some() {
            return Err(Fault::say("ERR Invalid metadata value, name argument was given multiple times"));
        }
        let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        name = Some(quoted.unwrap_or(value));
    }
    let name = name.ok_or(Fault::say("ERR Library name was not given"))?;
    if !is_name(name) {
        let words = "ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one \
                     character long";
        return Err(Fault::say(words));
    }
    if !engine.eq_ignore_ascii_case(b"lua") {
        return Err(other(format!("ERR Engine '{}' not found", String::from_utf8_lossy(engine))));
    }
    Ok((String::from_utf8_lossy(name).into_owned(), end))
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

impl Libraries {
    /// What there is now.
    pub fn index(&self) -> Arc<Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A function by its name in any case.
    pub fn find(&self, name: &[u8]) -> Option<(Arc<Library>, usize)> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        match index.functions.get(name) {
            Some(found) => Some(found.clone()),
            None => index.functions.get(&name.to_ascii_lowercase()).cloned(),
        }
    }

    /// From now on there are these.
    pub fn set(&self, index: Index) {
        let mut current = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let gone = |library: &&Arc<Library>| {
            !index.libraries.get(&library.name).is_some_and(|kept| Arc::ptr_eq(kept, library))
        };
        current.libraries.values().filter(gone).for_each(|library| library.is_gone.store(true, Relaxed));
        *current = Arc::new(index);
    }
}

impl Index {
    /// All, by name.
    pub fn libraries(&self) -> impl Iterator<Item = &Arc<Library>> {
        self.libraries.values()
    }

    /// A library by its name.
    pub fn library(&self, name: &str) -> Option<&Arc<Library>> {
        self.libraries.get(name)
    }

    /// Libraries and functions.
    pub fn counts(&self) -> (usize, usize) {
        (self.libraries.len(), self.functions.len())
    }

    /// One more.
    ///
    /// # Errors
    /// There is one of this name that is not to be replaced, or one of its functions is another library's.
    pub fn add(&mut self, library: Arc<Library>, replace: bool) -> Result<(), Fault> {
        if self.libraries.contains_key(&library.name) && !replace {
            return Err(other(format!("ERR Library '{}' already exists", library.name)));
        }
        let taken = library.functions.iter().find(|function| {
            let found = self.functions.get(function.name.to_ascii_lowercase().as_bytes());
            found.is_some_and(|(of, _)| of.name != library.name)
        });
        if let Some(taken) = taken {
            return Err(other(format!("ERR Function {} already exists", taken.name)));
        }
        let bytes: usize = self.libraries.values().map(|library| library.code.len()).sum();
        if bytes + library.code.len() > CODE_BYTES_MAX {
            return Err(other(format!("ERR all libraries together may have {CODE_BYTES_MAX} bytes")));
        }
        self.remove(&library.name);
        for (at, function) in library.functions.iter().enumerate() {
            self.functions.insert(function.name.to_ascii_lowercase().into_bytes(), (library.clone(), at));
        }
        self.libraries.insert(library.name.clone(), library);
        Ok(())
    }

    /// One less; says whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let Some(library) = self.libraries.remove(name) else { return false };
        self.functions.retain(|_, (of, _)| !Arc::ptr_eq(of, &library));
        true
    }

    /// What is there after these were restored.
    ///
    /// # Errors
    /// As [`Index::add`].
    pub fn restored(&self, libraries: Vec<Arc<Library>>, policy: Policy) -> Result<Index, Fault> {
        let mut next = if policy == Policy::Flush { Index::default() } else { self.clone() };
        let mut given = Index::default();
        for library in libraries {
            if policy == Policy::Append && next.library(&library.name).is_some() {
                return Err(other(format!("ERR Library {} already exists", library.name)));
            }
            given.add(library.clone(), false)?;
            next.add(library, policy == Policy::Replace)?;
        }
        Ok(next)
    }
}

/// `redis.register_function`, while a library is loaded.
pub fn register(lua: Lua) -> Result<c_int, Throw> {
    // SAFETY: set for as long as a library is loaded, by the thread that does.
    let registering = unsafe { (*lua.meter()).loading.as_mut() };
    let Some(registering) = registering else {
        return fail("server.register_function can only be called while a library is loaded");
    };
    let registered = match lua.top() {
        1 if lua.is_table(1) => named(lua)?,
        1 => {
            return fail(
                "calling server.register_function with a single argument is only applicable to Lua table (representing \
                 named arguments).",
            );
        }
        2 => positional(lua)?,
        _ => return fail("wrong number of arguments to server.register_function"),
    };
    let refused = if !is_name(registered.name.as_bytes()) {
        "ERR Function names can only contain letters, numbers, or underscores(_) and must be at least one character long"
    } else if registering.done.iter().any(|known| known.name.eq_ignore_ascii_case(&registered.name)) {
        "ERR Function already exists in the library"
    } else {
        registering.done.push(registered);
        return Ok(0);
    };
    lua.forget(registered.number);
    registering.refused = Some(Fault::say(refused));
    fail("the library is refused")
}

fn fail<T>(words: &str) -> Result<T, Throw> {
    Err(Throw::Text(words.as_bytes().to_vec()))
}

fn text(lua: Lua, at: c_int) -> Option<Vec<u8>> {
    lua.bytes(at).map(<[u8]>::to_vec)
}

fn positional(lua: Lua) -> Result<Registered, Throw> {
    let Some(name) = text(lua, 1) else { return fail("first argument to server.register_function must be a string") };
    if lua.kind(2) != ffi::LUA_TFUNCTION {
        return fail("second argument to server.register_function must be a function");
    }
    Ok(Registered {
        name: String::from_utf8_lossy(&name).into_owned(),
        description: None,
        flags: Flags::default(),
        number: lua.keep(),
    })
}

fn named(lua: Lua) -> Result<Registered, Throw> {
    let (mut name, mut description, mut flags, mut has_callback) = (None, None, Flags::default(), false);
    lua.push_nil();
    while lua.next(1) {
        match lua.string(-2).unwrap_or_default() {
            b"function_name" => match text(lua, -1) {
                Some(text) => name = Some(text),
                None => return fail("function_name argument given to server.register_function must be a string"),
            },
            b"description" => match text(lua, -1) {
                Some(text) => description = Some(text),
                None => return fail("description argument given to server.register_function must be a string"),
            },
            b"callback" if lua.kind(-1) == ffi::LUA_TFUNCTION => has_callback = true,
            b"callback" => return fail("callback argument given to server.register_function must be a function"),
            b"flags" if lua.is_table(-1) => flags = read_flags(lua)?,
            b"flags" => {
                return fail("flags argument to server.register_function must be a table representing function flags");
            }
            _ => return fail("unknown argument given to server.register_function"),
        }
        lua.pop(1);
    }
    let Some(name) = name else { return fail("server.register_function must get a function name argument") };
    if !has_callback {
        return fail("server.register_function must get a callback argument");
    }
    lua.get_field(1, b"callback");
    let name = String::from_utf8_lossy(&name).into_owned();
    Ok(Registered { name, description, flags, number: lua.keep() })
}

fn read_flags(lua: Lua) -> Result<Flags, Throw> {
    let mut flags = Flags::default();
    for index in 1..=lua.len(-1) {
        lua.get_index(-1, index);
        let flag = lua.string(-1).and_then(Flags::by_name);
        lua.pop(1);
        match flag {
            Some(flag) => flags = flags.and(flag),
            None => return fail("unknown flag given"),
        }
    }
    Ok(flags)
}
