//! Scripts that go to nodes in other processes: bodies that are known there only, and users who may not do everything.

use swell_engine::acl::User;
use swell_engine::commands::table::Command;
use swell_engine::key::KeyHash;
use swell_engine::script::How;
use swell_engine::spec::{Body, Spec};
use swell_node::link::frame::Kind;
use swell_wire::{Args, Out};

use crate::core::Core;
use crate::plan::value_bytes;
use crate::session::remote::{self, Remote};
use crate::session::{Flow, Session, count_error_at, fail};
use crate::upstream::encode;
use crate::upstream::job::{Job, JobAnswer};
use crate::upstream::shot::{Payload, Shot, ShotAnswer, Target};

/// Bodies that are asked for in one go.
const FETCHED_MAX: usize = 1_024;

/// What is done when the answers are there.
pub type Then = Box<dyn FnOnce(&mut Core, &mut Session, &mut Out) -> Flow>;

/// The SHA-1 that a call names, if its script is not known in this process.
pub fn unknown(core: &Core, spec: &Spec, args: Args<'_>) -> Option<Vec<u8>> {
    let is_sha = matches!(spec.body, Body::Script(How::EvalSha));
    let sha = args.opt(1).filter(|_| is_sha)?;
    core.handle.engine().scripts().store.find(sha).is_none().then(|| sha.to_vec())
}

/// Asks every node for these scripts: EVAL has brought them there, through another proxy. What comes is known here from
/// now on.
pub fn fetch(core: &Core, shas: &[Vec<u8>], then: Then) -> Flow {
    let (mut bytes, shas) = (Vec::new(), &shas[..shas.len().min(FETCHED_MAX)]);
    for sha in shas {
        encode::request([&b"script"[..], b"show", sha].into_iter(), &mut bytes);
    }
    let map = core.shared.route.map();
    let shots = map.nodes().iter().map(|member| {
        Shot::new(Kind::Exec, Target::Node(member.id), shas.len() as u16, true, Payload::Bytes(bytes.clone()))
    });
    Remote::late(
        Job::Shots(shots.collect()),
        Box::new(move |core, session, answer, out| {
            // A node that does not answer has nothing to say.
            if let Ok(JobAnswer::Shots(answers)) = answer {
                for (_, reply) in answers.iter().flat_map(ShotAnswer::replies) {
                    if let Some(body) = bulk(reply) {
                        let _ = core.handle.engine().scripts().store.keep(body, false);
                    }
                }
            }
            then(core, session, out)
        }),
    )
}

/// Runs a script of a user who may not do everything: the node is told what the user may.
pub fn run_limited(
    core: &mut Core,
    session: &mut Session,
    command: Command,
    args: Args<'_>,
    keys: &[KeyHash],
    out: &mut Out,
) -> Flow {
    if let Some(sha) = unknown(core, command.spec, args) {
        let (args, keys) = (args.to_owned(false), keys.to_vec());
        let then: Then =
            Box::new(move |core, session, out| send_limited(core, session, command, args.as_args(), &keys, out));
        return fetch(core, &[sha], then);
    }
    send_limited(core, session, command, args, keys, out)
}

fn send_limited(
    core: &mut Core,
    session: &mut Session,
    command: Command,
    args: Args<'_>,
    keys: &[KeyHash],
    out: &mut Out,
) -> Flow {
    let (prefix, bytes_in) = (core.prefix_of(args, keys), value_bytes(command.spec, args));
    let script = match remote::script_request(core, command.spec, args) {
        Ok(script) => script,
        Err(fault) => {
            core.charge_on(prefix, command, bytes_in, 0, 1, true);
            return fail(core, session, fault.to_string().as_bytes(), out);
        }
    };
    let mut bytes = Vec::new();
    user(&session.user, &mut bytes);
    encode::args(script.as_ref().map_or(args, |script| script.as_args()), &mut bytes);
    let slot = keys.first().map(|key| key.slot);
    let target = slot.map_or_else(|| remote::anywhere(core), Target::Slot);
    Remote::late(
        Job::Shots(vec![Shot::new(Kind::Exec, target, 2, false, Payload::Bytes(bytes))]),
        Box::new(move |core, session, answer, out| {
            let answers = match answer {
                Ok(JobAnswer::Shots(answers)) => answers,
                other => {
                    core.charge_on(prefix, command, bytes_in, 0, 1, true);
                    let error = other.err().unwrap_or(crate::error::ProxyError::Internal);
                    return fail(core, session, error.to_string().as_bytes(), out);
                }
            };
            // The first is the answer of the one who was told of the user.
            let Some((entry, reply)) = answers.iter().flat_map(ShotAnswer::replies).nth(1) else {
                core.charge_on(prefix, command, bytes_in, 0, 1, true);
                return fail(core, session, swell_engine::Fault::OutOfMemory.to_string().as_bytes(), out);
            };
            let at = out.len();
            out.raw(reply);
            let charged = core.charge_on(prefix, command, bytes_in, entry.data_bytes, entry.work, entry.failed);
            slot.into_iter().for_each(|slot| core.charged_for_slot(slot, charged));
            if entry.failed {
                count_error_at(core, out, at);
            }
            Flow::Done
        }),
    )
}

/// The request by which a unit's frame says whose scripts these are. Passwords stay here.
pub fn user(user: &User, out: &mut Vec<u8>) {
    let line = user.line();
    let rules = line.split(|byte| *byte == b' ').skip(2).filter(|word| !word.starts_with(b"#"));
    let words: Vec<&[u8]> = [&b"acl"[..], b"setuser", user.name()].into_iter().chain(rules).collect();
    encode::request(words.into_iter(), out);
}

/// The bytes of a bulk string; nothing for anything else.
fn bulk(reply: &[u8]) -> Option<&[u8]> {
    let rest = reply.strip_prefix(b"$")?;
    let at = rest.iter().position(|byte| *byte == b'\n')? + 1;
    let body = rest.get(at..)?.strip_suffix(b"\r\n")?;
    rest.first().filter(|byte| byte.is_ascii_digit()).map(|_| body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_from_replies() {
        assert_eq!(bulk(b"$8\r\nreturn 1\r\n"), Some(&b"return 1"[..]));
        assert_eq!(bulk(b"$0\r\n\r\n"), Some(&b""[..]));
        assert_eq!((bulk(b"$-1\r\n"), bulk(b"_\r\n"), bulk(b"-ERR x\r\n")), (None, None, None));
    }

    #[test]
    fn a_user_is_told_without_passwords() {
        let rules = [&b"on"[..], b">secret", b"~a:*", b"+@read", b"-get", b"(+set %W~b)"];
        let one = User::new(b"u", false).changed(&rules, false).unwrap();
        let mut bytes = Vec::new();
        user(&one, &mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains('#') && text.contains("~a:*") && text.contains("(%W~b"), "{text}");
    }
}
