//! ACL SAVE and ACL LOAD: the file that this proxy was started with. What is loaded holds on every proxy.

use std::io::Write;
use std::path::Path;

use swell_wire::{Args, Out};

use super::users::edit;
use crate::access::change::Reply;
use crate::access::file;
use crate::error::ProxyError;
use crate::session::commands::done;
use crate::session::{Flow, SessionCx};

/// The file is replaced whole, so that it never has half of the users.
pub fn save(cx: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    let access = &cx.core.shared.access;
    let result = access.path().ok_or(ProxyError::NoAclFile).and_then(|path| {
        write(path, &access.users().write()).map_err(|error| {
            tracing::error!(%error, path = %path.display(), "the ACL file cannot be written");
            ProxyError::AclNotSaved
        })
    });
    done(result.map(|()| out.ok()), out)
}

pub fn load(cx: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    let access = &cx.core.shared.access;
    let read = match access.path() {
        Some(path) => file::read(path, access.all_channels()).map_err(ProxyError::AclNotLoaded),
        None => Err(ProxyError::NoAclFile),
    };
    match read {
        Ok(users) => edit(cx, out, move |_| Ok((users.clone(), Reply::Ok))),
        Err(error) => done(Err(error), out),
    }
}

fn write(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".tmp-{}", std::process::id()));
    let written = std::fs::File::create(&name).and_then(|mut file| {
        file.write_all(text)?;
        file.sync_all()
    });
    let result = written.and_then(|()| std::fs::rename(&name, path));
    if result.is_err() {
        // What is left of it is of no use to anybody.
        let _ = std::fs::remove_file(&name);
    }
    result
}
