//! Where links are on this machine: the scaler's socket, and the folder for it and its nodes' sockets.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use swell_node::link::socket::Address;

use crate::config::Config;

/// Longest path of a Unix socket, in bytes: what the kernel has room for, without the zero that ends it.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;
/// The scaler's socket, in the data directory or in a folder of its own.
pub const LINK: &str = "swell-link.sock";
/// What the longest socket's name may take in such a folder, with the slash before it, in bytes.
const NAME_BYTES_MAX: usize = 28;

/// Where a Swell's links are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where the scaler listens.
    pub link: Address,
    /// For the sockets of its child nodes.
    pub folder: PathBuf,
    /// The folder is under a directory that others can write to as well: it must be this user's alone.
    private: bool,
}

/// Directories for what lives as long as a process, the best first, and whose they are.
#[derive(Clone, Debug)]
pub struct Runtime {
    pub bases: Vec<PathBuf>,
    pub uid: u32,
}

/// Why a place cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error("cannot make the folder {0} for links ({1}): pass --link ADDR or --data-dir DIR")]
    Folder(PathBuf, io::Error),
    #[error(
        "{0} belongs to another user or is open to others, so no link is made there: remove it or pass --link ADDR"
    )]
    NotOurs(PathBuf),
}

impl Runtime {
    /// `$XDG_RUNTIME_DIR`, then the directory for temporary files.
    pub fn here() -> Runtime {
        let xdg = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
        let bases = xdg.into_iter().chain([std::env::temp_dir()]).collect();
        // SAFETY: geteuid has no preconditions and cannot fail.
        Runtime { bases, uid: unsafe { libc::geteuid() } }
    }

    /// The folders of the Swell whose first port is `port`, the best first.
    fn folders(&self, port: u16) -> impl Iterator<Item = PathBuf> {
        let name = format!("swell-{}-{port}", self.uid);
        let short = Path::new("/tmp");
        let bases = self.bases.iter().map(PathBuf::as_path).filter(move |base| has_room(&base.join(&name)));
        let name = format!("swell-{}-{port}", self.uid);
        let folders: Vec<PathBuf> = bases.chain([short]).map(|base| base.join(&name)).collect();
        folders.into_iter()
    }
}

impl Place {
    /// Makes the best place that can be had for the links of a Swell with this configuration. `port`: the first that it
    /// listens at, which names the folder where there is no data directory.
    ///
    /// # Errors
    /// None can be had: why not the best.
    pub fn make(config: &Config, port: u16, runtime: &Runtime) -> Result<Place, PlaceError> {
        let mut first_error = None;
        for place in Place::candidates(config, port, runtime) {
            match place.make_folder() {
                Ok(()) => return Ok(place),
                Err(error) => _ = first_error.get_or_insert(error),
            }
        }
        Err(first_error.expect("there is a candidate"))
    }

    /// Where a running Swell with this configuration has its links: the first place with a socket, else the best one.
    pub fn to_find(config: &Config, runtime: &Runtime) -> Place {
        let mut candidates = Place::candidates(config, configured_port(config), runtime);
        let there = |place: &Place| matches!(&place.link, Address::Unix(path) if path.exists());
        let found = candidates.iter().position(there).unwrap_or(0);
        candidates.swap_remove(found)
    }

    /// Makes the folder, if it is one that this user must have alone.
    ///
    /// # Errors
    /// It cannot be made, or it is there and somebody else's.
    fn make_folder(&self) -> Result<(), PlaceError> {
        if !self.private {
            return Ok(());
        }
        match DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(PlaceError::Folder(self.folder.clone(), error))
            }
            _ => self.check(),
        }
    }

    /// Checks that nobody else can have put a socket there. A folder that is missing is no matter.
    ///
    /// # Errors
    /// The folder is somebody else's.
    pub fn check(&self) -> Result<(), PlaceError> {
        match fs::symlink_metadata(&self.folder) {
            Ok(found) if self.private => {
                // SAFETY: geteuid has no preconditions and cannot fail.
                let ours = found.is_dir() && found.uid() == unsafe { libc::geteuid() } && found.mode() & 0o077 == 0;
                if ours { Ok(()) } else { Err(PlaceError::NotOurs(self.folder.clone())) }
            }
            _ => Ok(()),
        }
    }

    /// Removes the folder, if it was this process's own and is empty.
    pub fn leave(&self) {
        if self.private {
            // What is in use by others stays.
            let _ = fs::remove_dir(&self.folder);
        }
    }

    /// Never empty.
    fn candidates(config: &Config, port: u16, runtime: &Runtime) -> Vec<Place> {
        let data_dir =
            config.data_dir.as_ref().and_then(|dir| std::path::absolute(dir).ok()).filter(|dir| has_room(dir));
        let folders = match data_dir {
            Some(folder) => vec![(folder, false)],
            None => runtime.folders(port).map(|folder| (folder, true)).collect(),
        };
        let place = |(folder, private): (PathBuf, bool)| match &config.link {
            None => Place { link: Address::Unix(folder.join(LINK)), folder, private },
            Some(Address::Unix(path)) => {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
                Place { link: Address::Unix(path), folder, private: false }
            }
            Some(link) => Place { link: link.clone(), folder, private },
        };
        folders.into_iter().map(place).collect()
    }
}

/// Whether the kernel takes this address; otherwise its path's length in bytes.
pub fn check_length(address: &Address) -> Result<(), usize> {
    match address {
        Address::Unix(path) if path.as_os_str().len() > SOCKET_PATH_BYTES_MAX => Err(path.as_os_str().len()),
        _ => Ok(()),
    }
}

/// The port that names the folder of a Swell with this configuration.
pub fn configured_port(config: &Config) -> u16 {
    let listeners = [config.resp, config.memcached, config.http];
    listeners.into_iter().find_map(|listen| listen.address()).map_or(0, |address| address.port())
}

fn has_room(folder: &Path) -> bool {
    folder.as_os_str().len() + NAME_BYTES_MAX <= SOCKET_PATH_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::testing::{Scratch, config};

    fn runtime(base: &Path) -> Runtime {
        Runtime { bases: vec![base.to_owned()], uid: 7 }
    }

    fn best(config: &Config, port: u16, runtime: &Runtime) -> Place {
        Place::candidates(config, port, runtime).swap_remove(0)
    }

    fn unix(path: &str) -> Address {
        Address::Unix(PathBuf::from(path))
    }

    #[test]
    fn the_default_is_in_the_data_directory_or_named_by_user_and_port() {
        let base = runtime(Path::new("/run/user/7"));
        let place = best(&config(&[("data_dir", "/var/lib/swell")]), 6379, &base);
        assert_eq!((place.link, place.private), (unix("/var/lib/swell/swell-link.sock"), false));
        let place = best(&config(&[]), 6380, &base);
        assert_eq!((place.link, place.private), (unix("/run/user/7/swell-7-6380/swell-link.sock"), true));
        let place = Place::to_find(&config(&[("resp", "off"), ("memcached", "0.0.0.0:11")]), &base);
        assert_eq!(place.link, unix("/run/user/7/swell-7-11/swell-link.sock"));
    }

    #[test]
    fn long_directories_are_passed_over_for_short_ones() {
        let long = format!("/{}", "d".repeat(90));
        let place = best(&config(&[("data_dir", &long)]), 6379, &runtime(Path::new("/run")));
        assert_eq!(place.link, unix("/run/swell-7-6379/swell-link.sock"));
        let place = best(&config(&[]), 6379, &runtime(Path::new(&long)));
        assert_eq!(place.link, unix("/tmp/swell-7-6379/swell-link.sock"));
    }

    #[test]
    fn what_was_asked_for_is_kept_and_nodes_sockets_are_beside_it() {
        let base = runtime(Path::new("/run"));
        let place = best(&config(&[("link", "unix:/srv/x.sock"), ("data_dir", "/d")]), 1, &base);
        assert_eq!((place.link, place.folder), (unix("/srv/x.sock"), PathBuf::from("/srv")));
        let tcp = [("link", "0.0.0.0:7000"), ("token", "t"), ("data_dir", "/d")];
        let place = best(&config(&tcp), 1, &base);
        assert_eq!((place.link, place.folder), (Address::Tcp("0.0.0.0:7000".to_owned()), PathBuf::from("/d")));
    }

    #[test]
    fn a_socket_that_is_there_is_found() {
        let (first, second) = (Scratch::new(), Scratch::new());
        let socket = second.write("swell-7-6379/swell-link.sock", "");
        let both = Runtime { bases: vec![first.path().to_owned(), second.path().to_owned()], uid: 7 };
        assert_eq!(Place::to_find(&config(&[]), &both).link, Address::Unix(socket));
    }

    #[test]
    fn a_place_that_cannot_be_made_is_passed_over() {
        let scratch = Scratch::new();
        let bases = vec![scratch.path().join("missing"), scratch.path().to_owned()];
        let place = Place::make(&config(&[]), 6379, &Runtime { bases, uid: 7 }).expect("the second can be made");
        assert_eq!(place.folder, scratch.path().join("swell-7-6379"));
    }

    #[test]
    fn a_private_folder_is_this_users_alone_and_goes_again() {
        let scratch = Scratch::new();
        let place = best(&config(&[]), 6379, &runtime(scratch.path()));
        place.make_folder().expect("it can be made");
        assert_eq!(fs::metadata(&place.folder).expect("it is there").mode() & 0o777, 0o700);
        place.make_folder().expect("it may be there already");
        fs::set_permissions(&place.folder, fs::Permissions::from_mode(0o755)).expect("it is ours");
        assert!(matches!(place.make_folder(), Err(PlaceError::NotOurs(folder)) if folder == place.folder));
        place.leave();
        assert!(!place.folder.exists());
        std::os::unix::fs::symlink(scratch.path(), &place.folder).expect("a link can be made");
        assert!(matches!(place.check(), Err(PlaceError::NotOurs(_))));
    }
}
