//! What must hold for rules of users, whatever bytes they are made of.

use swell_engine::Db;
use swell_engine::acl::{self, User, Users};
use swell_engine::commands::table::{Found, tables};
use swell_wire::OwnedArgs;

/// The first line are rules, each other line a call. Rules that are taken are written so that they are read as the same,
/// also in a file and in the cache state; calls are allowed or refused without a panic, and refused by nobody who may do
/// everything.
///
/// # Panics
/// When one of these does not hold.
pub fn acl_rules(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let rules: Vec<&[u8]> = lines.next().unwrap_or_default().split(|byte| *byte == b' ').collect();
    if let Ok(user) = User::new(b"u", false).changed(&rules, false) {
        same_again(&user, &rules);
        lines.for_each(|line| call(&user, line));
    }
    // Many users at once, of which most make no sense.
    if let Ok(users) = Users::read("f", data, true) {
        assert_eq!(Users::read("f", &users.write(), false).as_ref(), Ok(&users));
    }
    if let Ok(Ok(users)) = std::str::from_utf8(data).map(Users::from_entry) {
        assert_eq!(Users::from_entry(&users.to_entry()).as_ref(), Ok(&users));
    }
}

fn same_again(user: &User, rules: &[&[u8]]) {
    let line = user.line();
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').skip(2).collect();
    let again = User::new(b"u", true).changed(&words, true);
    assert_eq!(again.as_ref(), Ok(user), "{}", line.escape_ascii());
    let mut users = Users::default();
    users.set(b"u", rules, false).expect("they were taken before");
    let entry = users.to_entry();
    assert!(entry.is_ascii());
    assert_eq!(Users::from_entry(&entry), Ok(users));
}

fn call(user: &User, line: &[u8]) {
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let args = OwnedArgs::from_slices(&words);
    let Found::Command(command) = tables().resp.find(args.as_args()) else { return };
    if !command.spec.arity_fits(words.len()) {
        return;
    }
    if let Err(denied) = acl::check(user, Db::default(), command, args.as_args()) {
        assert!(!user.is_unrestricted());
        denied.in_dryrun("u", args.as_args());
        denied.in_exec();
    }
    assert!(acl::check_sort(user, Db::default(), command, args.as_args()).is_ok() || !user.is_unrestricted());
}
