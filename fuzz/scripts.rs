//! What must hold for scripts' libraries and for payloads of functions, whatever bytes they are given.

use std::cell::RefCell;

use swell_engine::admit::Admitted;
use swell_engine::commands::table::{Found, tables};
use swell_engine::script::{library, payload};
use swell_engine::{Context, Engine, Local};
use swell_wire::{Out, OwnedArgs, Proto};

/// By the first byte: what the rest is given to. `pcall` answers whatever is wrong with it.
const BINDINGS: [&str; 9] = [
    "return {pcall(cjson.decode, ARGV[1])}",
    "return {pcall(function() return cjson.encode(cjson.decode(ARGV[1])) end)}",
    "return {pcall(cmsgpack.unpack, ARGV[1])}",
    "return {pcall(function() return cmsgpack.pack(cmsgpack.unpack(ARGV[1])) end)}",
    "return {pcall(struct.unpack, ARGV[1], ARGV[2])}",
    "return {pcall(struct.pack, ARGV[1], ARGV[2], ARGV[3], ARGV[4])}",
    "return {pcall(struct.size, ARGV[1])}",
    "return {pcall(redis.pcall, unpack(ARGV))}",
    "return {pcall(bit.tohex, tonumber(ARGV[1]) or 0, tonumber(ARGV[2]))}",
];

thread_local! {
    static ENGINE: RefCell<(Engine, Option<Local>)> = RefCell::new((Engine::new(1), None));
}

/// A binding answers, and a payload that is read is written as the same.
///
/// # Panics
/// When one of these does not hold.
pub fn script_bindings(data: &[u8]) {
    if let Ok(codes) = payload::read(data) {
        let again = payload::read(&payload::write(&codes)).expect("it was just written");
        assert_eq!(again, codes);
    }
    let _ = library::read_name(data);
    let Some((first, rest)) = data.split_first() else { return };
    let script = BINDINGS[usize::from(*first) % BINDINGS.len()].as_bytes();
    let words: Vec<&[u8]> = rest.split(|byte| *byte == b'\n').take(8).collect();
    let args = OwnedArgs::from_slices(&[&[b"eval", script, b"0"], &words[..]].concat());
    let Found::Command(command) = tables().resp.find(args.as_args()) else { panic!("EVAL is there") };
    ENGINE.with_borrow_mut(|(engine, local)| {
        let local = local.get_or_insert_with(|| engine.local(1));
        let call = Admitted::from_link(command.spec, args.as_args()).call(&[], Context::default());
        let mut out = Out::new(Proto::Resp2);
        engine.execute(local, &call, None, &mut out);
        assert!(!out.is_empty(), "there is an answer");
    });
}
