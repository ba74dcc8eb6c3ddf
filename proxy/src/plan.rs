//! From a parsed request to a call: look it up, admit it, hash its keys. What cannot run with its neighbours cuts the
//! batch and goes through `session::run`.

use swell_engine::commands::table::Found;
use swell_engine::number::parse_u64;
use swell_engine::spec::{Body, Long, Spec};
use swell_wire::Args;
use swell_wire::requests::{Kind, Requests};

use crate::core::{Core, Planned};
use crate::session::Session;

/// The requests of a batch: as they lie in the read buffer, or owned because they had to wait.
pub trait Source {
    /// Number of requests.
    fn count(&self) -> usize;
    /// The arguments, unless the decoder has refused the request.
    fn args(&self, index: usize) -> Option<Args<'_>>;
    /// What the decoder says of the request.
    fn kind(&self, index: usize) -> Kind;
    /// Whether the client wants no reply (memcached).
    fn noreply(&self, index: usize) -> bool;
    /// The request's bytes as RESP, where they lie in one piece.
    fn verbatim(&self, index: usize) -> Option<&[u8]>;
}

/// Requests in the read buffer.
pub struct InPlace<'a> {
    pub requests: &'a Requests,
    pub buf: &'a [u8],
    /// Whether they are RESP.
    pub is_resp: bool,
}

impl Source for InPlace<'_> {
    #[inline]
    fn count(&self) -> usize {
        self.requests.len()
    }

    #[inline]
    fn args(&self, index: usize) -> Option<Args<'_>> {
        self.requests.get(index, self.buf)
    }

    fn kind(&self, index: usize) -> Kind {
        self.requests.item(index).kind
    }

    #[inline]
    fn noreply(&self, index: usize) -> bool {
        self.requests.item(index).noreply
    }

    #[inline]
    fn verbatim(&self, index: usize) -> Option<&[u8]> {
        let item = self.requests.item(index);
        if !self.is_resp || !matches!(item.kind, Kind::Plain { .. }) {
            return None;
        }
        let from = if index == 0 { 0 } else { self.requests.item(index - 1).end as usize };
        self.buf.get(from..item.end as usize)
    }
}

/// Plans request `index` for the node. False: it cuts the batch.
#[inline]
pub fn plan(core: &mut Core, session: &Session, source: &impl Source, index: usize) -> bool {
    if session.cuts() || core.observer.is_pausing {
        return false;
    }
    let Some(args) = source.args(index) else { return false };
    let Found::Command(command) = session.table().find(args) else { return false };
    if !command.spec.body.is_for_keys() || args.has_long() {
        return false;
    }
    // Who runs a script is told where it runs alone.
    if matches!(command.spec.body, Body::Script(_)) && !session.is_trusted() {
        return false;
    }
    if matches!(source.kind(index), Kind::TooLarge(_)) || session.caller().admit(command, args).is_err() {
        return false;
    }
    let keys_from = core.keys.len() as u32;
    command.spec.hash_keys(core.handle.engine(), args, &mut core.keys);
    core.planned.push(Planned { command, keys_from, keys_to: core.keys.len() as u32 });
    true
}

/// Bytes of the values in a request: what the meter counts of what came in. Keys, options and framing are not counted.
#[inline]
pub fn value_bytes(spec: &Spec, args: Args<'_>) -> u64 {
    match spec.long {
        Long::Never => 0,
        Long::At(at) if at < args.len() => args.get(at).len() as u64,
        Long::At(_) => 0,
        Long::EverySecond(from) => (from..args.len()).step_by(2).map(|at| args.get(at).len() as u64).sum(),
        Long::BehindKeys(number) => {
            let keys = args.opt(number).and_then(parse_u64).unwrap_or(0).min(args.len() as u64) as usize;
            (number + 1 + keys..args.len()).map(|at| args.get(at).len() as u64).sum()
        }
        Long::From(from) => (from..args.len()).map(|at| args.get(at).len() as u64).sum(),
    }
}

#[cfg(test)]
mod tests {
    use swell_engine::admit::Admitted;
    use swell_engine::exec::Exec;
    use swell_engine::spec::{Access, Acl, Begin, Cost, Find, Flags, Group, KeySpec, Pricing, Spread, WorkUnit};
    use swell_engine::{Context, Engine, Fault, Outcome};
    use swell_wire::{Out, OwnedArgs, Proto};

    use super::*;
    use crate::session::remote;

    const fn group(begin: Begin, find: Find) -> KeySpec {
        KeySpec { notes: "", access: Access::Write, flags: &["RW"], begin, find }
    }

    const ONE: Find = Find::Range { last: 0, step: 1 };
    const COUNTED: Find = Find::Count { number: 0, first: 1, step: 1 };
    const SORT: &[KeySpec] = &[
        group(Begin::Index(1), ONE),
        group(Begin::Unknown, ONE),
        group(
            Begin::Option {
                word: "STORE",
                from: 2,
                takes: &[("LIMIT", 2), ("BY", 1), ("GET", 1), ("STORE", 1)],
                shown: false,
            },
            ONE,
        ),
    ];
    const GEORADIUS: &[KeySpec] = &[
        group(Begin::Index(1), ONE),
        group(Begin::Keyword { word: "STORE", from: 6 }, ONE),
        group(Begin::Keyword { word: "STOREDIST", from: 6 }, ONE),
    ];
    const XREAD: &[KeySpec] = &[group(Begin::Keyword { word: "STREAMS", from: 1 }, Find::Part { of: 2, step: 1 })];
    const XREADGROUP: &[KeySpec] = &[group(Begin::Keyword { word: "STREAMS", from: 4 }, Find::Part { of: 2, step: 1 })];
    const LMPOP: &[KeySpec] = &[group(Begin::Index(1), COUNTED)];
    const ZUNIONSTORE: &[KeySpec] = &[group(Begin::Index(1), ONE), group(Begin::Index(2), COUNTED)];
    const MSETEX: &[KeySpec] = &[group(Begin::Index(1), Find::Count { number: 0, first: 1, step: 2 })];

    /// A command of this shape; its body does what bodies have to: no key, no good number of keys.
    fn shape(keys: &'static [KeySpec]) -> &'static Spec {
        fn body(exec: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fault> {
            let last = exec.keys_len().checked_sub(1).ok_or(Fault::say("ERR numkeys should be greater than 0"))?;
            out.bulk(exec.key(args, last).bytes);
            Ok(())
        }
        Box::leak(Box::new(Spec {
            name: "shape",
            summary: "",
            since: "",
            complexity: "",
            group: Group::Generic,
            arity: -2,
            flags: Flags::WRITE,
            acl: Acl::NONE,
            keys,
            spread: Spread::Gather,
            tips: &[],
            arguments: &[],
            cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Key },
            long: Long::Never,
            body: Body::Keys(body),
        }))
    }

    fn line(text: &str) -> OwnedArgs {
        OwnedArgs::from_slices(&text.split(' ').collect::<Vec<_>>())
    }

    /// The keys of a request, what its body answers, and whether they lie in one slot.
    fn road(keys: &'static [KeySpec], text: &str) -> (String, String, bool) {
        let (engine, spec, args) = (Engine::new(1), shape(keys), line(text));
        let args = args.as_args();
        let mut hashes = Vec::new();
        spec.hash_keys(&engine, args, &mut hashes);
        let names: Vec<_> =
            hashes.iter().map(|key| String::from_utf8_lossy(args.slice(key.arg as usize)).into_owned()).collect();
        let mut out = Out::new(Proto::Resp2);
        let call = Admitted::from_link(spec, args).call(&hashes, Context::default());
        let outcome = engine.execute(&mut engine.local(1), &call, None, &mut out);
        assert!(matches!(outcome, Outcome::Done { .. }), "{text}");
        (names.join(" "), String::from_utf8(out.to_vec()).unwrap(), remote::one_slot(&hashes))
    }

    /// What Redis 7.0's COMMAND GETKEYS says of these lines, except where a comment tells.
    #[test]
    fn keys_of_every_shape_are_found_and_reach_the_body() {
        let cases: &[(&'static [KeySpec], &str, &str)] = &[
            (SORT, "SORT k", "k"),
            (SORT, "SORT k BY store GET x store dst", "k dst"),
            (SORT, "SORT k STORE a STORE b", "k b"),
            (SORT, "SORT k LIMIT store store", "k"),
            (SORT, "SORT k STORE", "k"),
            // Redis says "ALPHA": its search, unlike its SORT, does not skip what STORE takes.
            (SORT, "SORT k STORE store ALPHA", "k store"),
            (GEORADIUS, "GEORADIUS k 0 0 1 m", "k"),
            (GEORADIUS, "GEORADIUS k 0 0 1 m storedist a store b", "k b a"),
            (XREAD, "XREAD COUNT 1 streams a b 0 0", "a b"),
            (XREAD, "XREAD STREAMS a b 0", "a"),
            (XREADGROUP, "XREADGROUP GROUP streams c STREAMS k >", "k"),
            (LMPOP, "LMPOP 2 a b LEFT", "a b"),
            (ZUNIONSTORE, "ZUNIONSTORE d 2 a b WEIGHTS 1 2", "d a b"),
            (MSETEX, "MSETEX 2 a 1 b 2 PX 5", "a b"),
        ];
        for (keys, text, want) in cases {
            let (found, answer, _) = road(keys, text);
            assert_eq!(found, *want, "{text}");
            let last = want.rsplit(' ').next().unwrap();
            assert_eq!(answer, format!("${}\r\n{last}\r\n", last.len()), "{text}");
        }
    }

    #[test]
    fn a_number_of_keys_that_makes_no_sense_is_the_bodys_to_refuse() {
        for text in ["LMPOP 0 a", "LMPOP -1 a", "LMPOP x a", "LMPOP 2 a", "LMPOP 18446744073709551615 a", "LMPOP 1"] {
            let found = road(LMPOP, text);
            assert_eq!(found, (String::new(), "-ERR numkeys should be greater than 0\r\n".to_owned(), true), "{text}");
        }
        assert_eq!(road(ZUNIONSTORE, "ZUNIONSTORE d 3 a b").0, "", "not even the key that is plain");
        assert_eq!(road(XREAD, "XREAD STREAMS").0, "");
        assert_eq!(road(XREAD, "XREAD BLOCK 5").0, "");
    }

    #[test]
    fn a_key_of_any_shape_counts_for_the_slot() {
        assert!(road(SORT, "SORT {a}k BY x STORE {a}l").2);
        assert!(!road(SORT, "SORT a STORE b").2);
        assert!(!road(XREAD, "XREAD STREAMS a b 0 0").2);
        assert!(road(XREAD, "XREAD STREAMS {t}1 {t}2 0 0").2);
        assert!(!road(ZUNIONSTORE, "ZUNIONSTORE d 1 a").2);
        assert!(road(LMPOP, "LMPOP 1 a LEFT").2);
    }
}
