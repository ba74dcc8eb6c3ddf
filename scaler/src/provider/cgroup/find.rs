//! Finds the control group that this process is in, from what the kernel says in two files. Texts are untrusted: what makes
//! no sense is passed over.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// What a group can hold its processes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Controller {
    Cpu,
    Memory,
}

/// Which of the two interfaces a hierarchy has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    One,
    Two,
}

/// The group that this process is in, as one controller has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Own {
    pub(crate) version: Version,
    /// Where its hierarchy is mounted.
    pub(crate) mount: PathBuf,
    /// The group's directory, at or below the mount.
    pub(crate) dir: PathBuf,
}

/// A hierarchy that is mounted.
struct Mount {
    /// The part of the hierarchy that can be seen there.
    root: PathBuf,
    point: PathBuf,
    version: Version,
    /// For version 1: its controllers, among other words.
    options: Vec<String>,
}

impl Controller {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Controller::Cpu => "cpu",
            Controller::Memory => "memory",
        }
    }
}

impl Own {
    /// This process's group. None: the controller is nowhere to be seen.
    pub(crate) fn here(controller: Controller) -> Option<Own> {
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        // Paths need not be text.
        let mounts = fs::read("/proc/self/mountinfo").ok()?;
        Own::among(&groups, &mounts, controller)
    }

    /// The same by the texts of `/proc/self/cgroup` and `/proc/self/mountinfo`.
    pub(crate) fn among(groups: &str, mounts: &[u8], controller: Controller) -> Option<Own> {
        let mounts: Vec<Mount> = mounts.split(|byte| *byte == b'\n').filter_map(mount).collect();
        let groups: Vec<(&str, &str)> = groups.lines().filter_map(group).collect();
        let one = || own(&groups, &mounts, controller, Version::One);
        let two = || own(&groups, &mounts, controller, Version::Two);
        // A controller is in one hierarchy only, and a second version's group that has it says so.
        one().or_else(|| two().filter(|own| own.has(controller)))
    }

    /// The group and those above it, as far as they can be seen.
    pub(crate) fn upward(&self) -> impl Iterator<Item = &Path> {
        self.dir.ancestors().take_while(|dir| dir.starts_with(&self.mount))
    }

    /// Whether the group has this controller (version 2).
    fn has(&self, controller: Controller) -> bool {
        let names = fs::read_to_string(self.dir.join("cgroup.controllers")).unwrap_or_default();
        names.split_whitespace().any(|name| name == controller.name())
    }
}

fn own(groups: &[(&str, &str)], mounts: &[Mount], controller: Controller, version: Version) -> Option<Own> {
    let is_it = |controllers: &str| match version {
        Version::One => controllers.split(',').any(|name| name == controller.name()),
        Version::Two => controllers.is_empty(),
    };
    let (_, path) = groups.iter().find(|(controllers, _)| is_it(controllers))?;
    let shows = |mount: &&Mount| {
        mount.version == version
            && (version == Version::Two || mount.options.iter().any(|word| word == controller.name()))
    };
    mounts.iter().filter(shows).find_map(|mount| {
        let below = Path::new(path).strip_prefix(&mount.root).ok()?;
        // A group outside of what this namespace may see is told by way of "..".
        below.components().all(|part| matches!(part, Component::Normal(_))).then(|| Own {
            version,
            mount: mount.point.clone(),
            dir: mount.point.join(below),
        })
    })
}

/// `hierarchy:controllers:path`
fn group(line: &str) -> Option<(&str, &str)> {
    let mut parts = line.splitn(3, ':');
    let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    path.starts_with('/').then_some((controllers, path))
}

/// `id parent device root point options [tags] - type source options`
fn mount(line: &[u8]) -> Option<Mount> {
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).collect();
    let dash = words.iter().position(|word| word == b"-")?;
    let (root, point) = (path(words.get(3).filter(|_| dash > 4)?), path(words.get(4)?));
    let version = match *words.get(dash + 1)? {
        b"cgroup" => Version::One,
        b"cgroup2" => Version::Two,
        _ => return None,
    };
    let options = words.get(dash + 3).map(|options| String::from_utf8_lossy(options)).unwrap_or_default();
    let options = options.split(',').map(str::to_owned).collect();
    (root.is_absolute() && point.is_absolute()).then_some(Mount { root, point, version, options })
}

/// Spaces and the like are written as a backslash and three octal digits.
fn path(word: &[u8]) -> PathBuf {
    let (mut bytes, mut rest) = (Vec::with_capacity(word.len()), word);
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|digits| *first == b'\\' && digits.iter().all(|d| (b'0'..b'8').contains(d)));
        let byte = octal.and_then(|digits| {
            let number = digits.iter().fold(0u32, |number, digit| number * 8 + u32::from(digit - b'0'));
            u8::try_from(number).ok()
        });
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "\
        31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
        32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
        35 31 0:32 /docker/ab /sys/fs/cgroup/mem\\040ory ro - cgroup cgroup rw,memory\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

    fn at(groups: &str, mounts: &str, controller: Controller) -> Option<PathBuf> {
        Own::among(groups, mounts.as_bytes(), controller).map(|own| own.dir)
    }

    #[test]
    fn hierarchies_of_the_first_version_are_found_by_their_controllers() {
        let groups = "5:cpuacct,cpu:/a:b/c\n4:memory:/docker/ab/x\n0::/\n";
        let found = Own::among(groups, V1.as_bytes(), Controller::Cpu).expect("it is there");
        assert_eq!(found.version, Version::One);
        assert_eq!(found.dir, Path::new("/sys/fs/cgroup/cpu,cpuacct/a:b/c"));
        let upward: Vec<&Path> = found.upward().collect();
        assert_eq!(upward.len(), 3, "{upward:?}");
        assert_eq!(upward[2], Path::new("/sys/fs/cgroup/cpu,cpuacct"));
        // A mount that shows a part of the hierarchy only.
        assert_eq!(at(groups, V1, Controller::Memory), Some(PathBuf::from("/sys/fs/cgroup/mem ory/x")));
        assert_eq!(at("4:memory:/other\n", V1, Controller::Memory), None);
        assert_eq!(at("4:memory:/docker/ab/../../x\n", V1, Controller::Memory), None);
    }

    #[test]
    fn the_second_version_has_a_controller_if_its_group_says_so() {
        let dir = std::env::temp_dir().join(format!("swell-cgroup-{}", std::process::id()));
        let group = dir.join("team/pod");
        fs::create_dir_all(&group).expect("it can be made");
        fs::write(group.join("cgroup.controllers"), "cpuset cpu io\n").expect("it can be written");
        let mounts = format!("29 23 0:26 / {} rw - cgroup2 cgroup2 rw,nsdelegate\n", dir.display());
        assert_eq!(at("0::/team/pod\n", &mounts, Controller::Cpu), Some(group));
        assert_eq!(at("0::/team/pod\n", &mounts, Controller::Memory), None);
        assert_eq!(at("0::/../pod\n", &mounts, Controller::Cpu), None);
        fs::remove_dir_all(dir).expect("it is ours");
    }

    #[test]
    fn nonsense_is_passed_over() {
        let lines =
            ["", "::", "1:cpu", "1:cpu:x", "x:cpu:/", "1:cpu,:/\0", "- - -", " - cgroup", "a b c d - cgroup x cpu"];
        let more = ["1 2 3 / \\777 - cgroup c cpu", "1 2 3 / /\\", "1 2 3 relative /p - cgroup c cpu", "1 2 3 / /p -"];
        for line in lines.iter().chain(&more) {
            for other in lines.iter().chain(&more) {
                let found = Own::among(line, other.as_bytes(), Controller::Cpu);
                assert_eq!(found, None, "{line:?} {other:?}");
            }
        }
        assert_eq!(path(b"/a\\040b\\04\\"), Path::new("/a b\\04\\"));
    }

    #[test]
    fn this_process_is_somewhere() {
        // Where there are no control groups at all, there is none.
        for controller in [Controller::Cpu, Controller::Memory] {
            assert!(Own::here(controller).is_none_or(|own| own.dir.is_dir()), "{controller:?}");
        }
    }
}
