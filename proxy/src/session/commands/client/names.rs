//! CLIENT GETNAME, CLIENT SETNAME, CLIENT SETINFO.

use swell_wire::{Args, Out};

use super::quoted;
use crate::error::ProxyError;
use crate::session::commands::done;
use crate::session::{Flow, Session, SessionCx};

/// A name that a client may have: visible ASCII characters; or none, which takes the name away.
pub struct ClientName(String);

impl ClientName {
    /// # Errors
    /// [`ProxyError::BadName`].
    pub fn parse(bytes: &[u8]) -> Result<ClientName, ProxyError> {
        visible(bytes).map(ClientName).ok_or_else(|| ProxyError::BadName("Client names".to_owned()))
    }

    /// Names the client.
    pub fn give(self, session: &mut Session) {
        session.info.names().name = self.0;
        session.renamed();
    }
}

pub fn get_name(cx: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    let names = cx.session.info.names();
    if names.name.is_empty() {
        out.null()
    } else {
        out.bulk(names.name.as_bytes())
    }
    Flow::Done
}

pub fn set_name(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let result = ClientName::parse(args.slice(2)).map(|name| {
        name.give(cx.session);
        out.ok();
    });
    done(result, out)
}

pub fn set_info(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    done(note(cx.session, args.slice(2), args.slice(3)).map(|()| out.ok()), out)
}

fn note(session: &Session, option: &[u8], value: &[u8]) -> Result<(), ProxyError> {
    let mut names = session.info.names();
    let field = if option.eq_ignore_ascii_case(b"LIB-NAME") {
        &mut names.lib_name
    } else if option.eq_ignore_ascii_case(b"LIB-VER") {
        &mut names.lib_version
    } else {
        return Err(ProxyError::UnknownOption(quoted(option)));
    };
    *field = visible(value).ok_or_else(|| ProxyError::BadName(quoted(option)))?;
    Ok(())
}

/// The text, if all of it are visible ASCII characters: it has to fit into a line of CLIENT LIST.
fn visible(bytes: &[u8]) -> Option<String> {
    bytes.iter().all(u8::is_ascii_graphic).then(|| String::from_utf8_lossy(bytes).into_owned())
}
