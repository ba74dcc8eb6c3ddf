//! Rules are read, written and asked as Valkey 9.1 does: what stands here was asked of it.

use swell_wire::OwnedArgs;

use super::*;
use crate::admit::Denied;
use crate::commands::table::{Found, tables};
use crate::key::Db;

fn words(text: &str) -> Vec<&str> {
    text.split(' ').collect()
}

fn user(rules: &str) -> User {
    User::new(b"u", false).changed(&words(rules), false).unwrap()
}

fn line(rules: &str) -> String {
    let line = String::from_utf8(user(rules).line()).unwrap();
    line.strip_prefix("user u ").unwrap().to_owned()
}

fn wrong(rules: &str) -> String {
    User::new(b"u", false).changed(&words(rules), false).unwrap_err().to_string()
}

/// What ACL DRYRUN would say of this call, database 0 selected; nothing where it may be made.
fn denied(user: &User, call: &str) -> String {
    let args = OwnedArgs::from_slices(&words(call));
    let Found::Command(command) = tables().resp.find(args.as_args()) else { panic!("{call}") };
    match check(user, Db::default(), command, args.as_args()) {
        Ok(()) => String::new(),
        Err(denied) => {
            let text = String::from_utf8(denied.in_dryrun("u", args.as_args())).unwrap();
            text.trim_start_matches("User u has no permissions to ").to_owned()
        }
    }
}

#[test]
fn rules_are_written_as_they_hold() {
    for (rules, expected) in [
        ("on", "on resetchannels -@all"),
        ("on nopass ~* &* +@all", "on nopass ~* &* +@all"),
        ("ALLKEYS AllChannels allcommands", "off ~* &* +@all"),
        (
            ">p >p >q ~x* +get &ch +@string -set",
            "off #148de9c5a7a44d19e56cd9ae1a554bf67847afb0c58f6e12fa29ac7ddfca9940 \
             #8e35c2cd3bf6641bdb0e2050b76932cbb2e6034a0ddacc1d9bea82a6ba57f7cf ~x* resetchannels &ch -@all +get +@string \
             -set",
        ),
        (">p nopass", "off nopass resetchannels -@all"),
        (">p nopass >q resetpass", "off resetchannels -@all"),
        ("+config|get +select|0 +get|foo", "off resetchannels -@all +config|get +select|0 +get|foo"),
        ("+GET|Foo +Set -get", "off resetchannels -@all +set -get"),
        ("+config|get -config|get +config", "off resetchannels -@all +config"),
        ("+client|kill +client -client|list +client|LIST", "off resetchannels -@all +client +client|list"),
        ("+@all -@dangerous +keys +@READ", "off resetchannels +@all -@dangerous +keys +@read"),
        ("+@all -@all +@read -get +@keyspace -@fast +@read", "off resetchannels -@all -get +@keyspace -@fast +@read"),
        ("%R~a %W~a %RW~b %WR~c %rw~d ~e ~e", "off ~a ~b ~c ~d ~e resetchannels -@all"),
        ("%R~a %W~b", "off %R~a %W~b resetchannels -@all"),
        ("%W ~", "off ~ resetchannels -@all"),
        ("%W", "off %W~ resetchannels -@all"),
        ("~a %R~* %w~*", "off ~* resetchannels -@all"),
        ("&x &x &y allchannels resetchannels &", "off resetchannels & -@all"),
        ("db=3,1,2,1", "off resetchannels db=1,2,3 -@all"),
        ("db=1 DB=2", "off resetchannels db=2 -@all"),
        ("db=1 alldbs", "off resetchannels -@all"),
        ("resetdbs", "off resetchannels resetdbs -@all"),
        (
            "(~a +get) (%R~b -@all +set)",
            "off resetchannels -@all (~a resetchannels -@all +get) (%R~b resetchannels -@all +set)",
        ),
        (
            "(~x +get db=3) () ( )",
            "off resetchannels -@all (~x resetchannels db=3 -@all +get) (resetchannels -@all) \
             (resetchannels -@all)",
        ),
        ("(~a +get) clearselectors on", "on resetchannels -@all"),
        ("on >p ~a &b +get db=1 (+set) reset", "off resetchannels -@all"),
        ("sanitize-payload skip-sanitize-payload", "off resetchannels -@all"),
        ("+@all -module +replicaof", "off resetchannels +@all -module +replicaof"),
        ("+debug|sleep +debug|foo", "off resetchannels -@all +debug|sleep +debug|foo"),
    ] {
        assert_eq!(line(rules), expected, "{rules}");
        let written = expected.split(' ').collect::<Vec<_>>().join(" ");
        assert_eq!(line(&written), expected, "written rules are read as the same: {rules}");
        assert_eq!(user(&written), user(rules), "{rules}");
    }
}

#[test]
fn what_is_no_rule_is_said_in_valkeys_words() {
    let hash = "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters";
    let gone = "The password you are trying to remove from the user does not exist";
    let (unknown, syntax) = ("Unknown command or category name in ACL", "Syntax error");
    for (rules, word, why) in [
        ("foo", "foo", syntax),
        ("on foo off", "foo", syntax),
        ("+nosuch", "+nosuch", unknown),
        ("-nosuch", "-nosuch", unknown),
        ("+", "+", unknown),
        ("+@", "+@", unknown),
        ("+@nosuch", "+@nosuch", unknown),
        ("+@all|x", "+@all|x", unknown),
        ("+config|nosuch", "+config|nosuch", unknown),
        ("+config|", "+config|", syntax),
        ("+get|", "+get|", syntax),
        ("+|x", "+|x", unknown),
        ("-get|foo", "-get|foo", unknown),
        ("-select|0", "-select|0", unknown),
        ("+config|get|foo", "+config|get|foo", "Allowing first-arg of a subcommand is not supported"),
        ("<p", "<p", gone),
        (&format!("!{}", "a".repeat(64)), &format!("!{}", "a".repeat(64)), gone),
        ("!abc", "!abc", hash),
        ("#", "#", hash),
        (&format!("#{}", "A".repeat(64)), &format!("#{}", "A".repeat(64)), hash),
        ("%", "%", syntax),
        ("%X~a", "%X~a", syntax),
        ("%~a", "%~a", syntax),
        ("%RWR~a", "%RWR~a", syntax),
        ("db=", "db=", syntax),
        ("db=x", "db=x", syntax),
        ("db=1,,2", "db=1,,2", syntax),
        ("db=1,", "db=1,", syntax),
        ("db=-1", "db=-1", "The provided database ID is out of range"),
        ("db=100000000000", "db=100000000000", "The provided database ID is out of range"),
        (")", ")", syntax),
        ("(on)", "(on)", syntax),
        ("(>x)", "(>x)", syntax),
        ("((~a))", "((~a))", syntax),
        ("(+get x ~y)", "(+get x ~y)", syntax),
    ] {
        assert_eq!(wrong(rules), format!("ERR Error in ACL SETUSER modifier '{word}': {why}"), "{rules}");
    }
    assert!(wrong("allkeys ~x").contains("'resetkeys'") && wrong("allkeys %R~x").contains("'resetkeys'"));
    assert!(wrong("allchannels &x").contains("'resetchannels'"));
    assert_eq!(wrong("(+get ~x"), "ERR Unmatched parenthesis in acl selector starting at '(+get'.");
    let spaced = User::new(b"u", false).changed(&["~a b"], false).unwrap_err();
    assert_eq!(spaced.to_string(), "ERR Error in ACL SETUSER modifier '~a b': Syntax error");
}

#[test]
fn commands_are_allowed_by_name_category_and_first_argument() {
    let some = user("~* &* +get +@hash -hdel +config|get +select|1 +client -client|kill");
    for call in ["get k", "hset k f v", "config get x", "select 1", "client list", "hello", "auth x", "quit"] {
        assert_eq!(denied(&some, call), "", "{call}");
    }
    for (call, name) in [
        ("set k v", "set"),
        ("hdel k f", "hdel"),
        ("config set x y", "config|set"),
        ("select 2", "select"),
        ("client kill x", "client|kill"),
        ("ping", "ping"),
    ] {
        assert_eq!(denied(&some, call), format!("run the '{name}' command"), "{call}");
    }
    assert_eq!(denied(&user("+@all -@dangerous ~*"), "keys x"), "run the 'keys' command");
    assert_eq!(denied(&user("+@all -@dangerous +keys ~*"), "keys x"), "");
    assert_eq!(denied(&user("+@all -get +@read ~*"), "get x"), "");
}

#[test]
fn keys_are_asked_by_what_is_done_with_them() {
    let some = user("+@all ~a* %R~r* %W~w*");
    for (call, key) in [
        ("get a", ""),
        ("get r", ""),
        ("get w", "w"),
        ("get x", "x"),
        ("set w 1", ""),
        ("set w 1 get", "w"),
        ("set r 1", "r"),
        ("getex r", "r"),
        ("bitfield r get u8 0", ""),
        ("bitfield r overflow wrap get u8 0", ""),
        ("bitfield w set u8 0 1", "w"),
        ("bitfield a set u8 0 1", ""),
        ("exists w", ""),
        ("object encoding w", ""),
        ("object freq x", "x"),
        ("mget a x y", "x"),
        ("copy r w", ""),
        ("copy w r", "w"),
        ("mset a 1 b 2", "b"),
        ("sort a get x*", ""),
        ("sort r store w", ""),
        ("sort r store r", "r"),
        ("xread streams r 0", ""),
        ("xread streams w 0", "w"),
        ("zunionstore w 2 r a", ""),
        ("zunionstore r 2 r a", "r"),
        ("zunionstore w 9 r a", ""),
        ("georadius r 0 0 1 m store w", ""),
        ("georadius r 0 0 1 m store r", "r"),
        ("randomkey", ""),
    ] {
        let expected = if key.is_empty() { String::new() } else { format!("access the '{key}' key") };
        assert_eq!(denied(&some, call), expected, "{call}");
    }
}

#[test]
fn databases_are_asked_first_and_heard_last() {
    let some = user("+@all ~* &* db=1,2");
    for (call, expected) in [
        ("get x", "access database get"),
        ("select 1", ""),
        ("select 3", "access database 3"),
        ("select x", ""),
        ("select 99", ""),
        ("swapdb 1 2", ""),
        ("swapdb 1 3", "access database 3"),
        ("flushall", "access database flushall"),
        ("move k 3", "access database 3"),
        ("move k 1", "access database move"),
        ("copy a b db 3", "access database 3"),
        ("copy a b db 1", "access database copy"),
        ("dbsize", "access database dbsize"),
        ("ping", ""),
    ] {
        assert_eq!(denied(&some, call), expected, "{call}");
    }
    let all: Vec<String> = (0..16).map(|db: u8| db.to_string()).collect();
    assert_eq!(denied(&user(&format!("+@all ~* db={}", all.join(","))), "flushall"), "");
    // The error of the selector that came furthest.
    assert_eq!(denied(&user("+get ~* db=1 (+set ~b)"), "get x"), "run the 'get' command");
    assert_eq!(denied(&user("+set (+get ~* db=1)"), "get x"), "run the 'get' command");
    assert_eq!(denied(&user("+get ~a db=1"), "get x"), "access database get");
    assert_eq!(denied(&user("+get ~a (+get ~* db=1)"), "get x"), "access the 'x' key");
    assert_eq!(denied(&user("+get ~* db=1 (+set ~a db=1)"), "get x"), "access database get");
    assert_eq!(denied(&user("+swapdb db=1 (+swapdb db=2)"), "swapdb 2 1"), "access database 1");
    assert_eq!(denied(&user("+get ~a (+get ~b) (+mget ~c ~d) (+mget ~c ~e)"), "mget c e d"), "access the 'd' key");
}

#[test]
fn one_flag_says_that_everything_is_allowed() {
    for rules in ["+@all ~* &*", "(+@all ~* &*)", "+@all -get +@all allkeys allchannels alldbs"] {
        assert!(user(rules).is_unrestricted(), "{rules}");
    }
    for rules in ["+@all ~*", "+@all &*", "+@all ~* &* db=0", "+@all -get +get ~* &*", "+@all -module ~* &*"] {
        assert!(!user(rules).is_unrestricted(), "{rules}");
    }
    assert!(User::default_user().is_unrestricted() && User::default_user().is_open());
}

#[test]
fn passwords_let_in_who_is_on() {
    let mut users = Users::default();
    users.set(b"a", &[">p", ">q"], false).unwrap();
    assert!(users.authenticate(b"a", b"p").is_none(), "it is off");
    users.set(b"a", &["on"], false).unwrap();
    for (password, expected) in [("p", true), ("q", true), ("x", false), ("", false)] {
        assert_eq!(users.authenticate(b"a", password.as_bytes()).is_some(), expected, "{password}");
    }
    users.set(b"a", &["nopass"], false).unwrap();
    assert!(users.authenticate(b"a", b"anything").is_some() && users.authenticate(b"b", b"").is_none());
    assert!(users.set(b"b", &["on", "nosuch"], false).is_err() && users.get(b"b").is_none());
    assert!(users.remove(b"a") && !users.remove(b"a") && !users.remove(DEFAULT_USER));
    users.set_default_password(b"s");
    assert!(!users.default_user().is_open() && users.authenticate(DEFAULT_USER, b"s").is_some());
}

#[test]
fn users_survive_an_entry_of_the_cache_state_whatever_bytes_they_have() {
    let mut users = Users::with_password(b"secret");
    users.set(b"caf\xc3\xa9\xff%41", &[&b"on"[..], b"~\xff%*", b"%R~a", b">p", b"(+get ~b)"], false).unwrap();
    users.set(b"", &["on", "nopass", "db=1", "&*"], false).unwrap();
    let entry = users.to_entry();
    assert!(entry.is_ascii());
    assert_eq!(Users::from_entry(&entry).unwrap(), users);
    for entry in ["user a %", "user a %1", "user a %zz", "user a %é"] {
        assert!(Users::from_entry(entry).is_err(), "{entry}");
    }
}

#[test]
fn a_file_tells_everything_that_is_wrong_with_it() {
    let read = |text: &str| Users::read("f", text.as_bytes(), false).map_err(|errors| errors.to_string());
    let end = "WARNING: ACL errors detected, no change to the previously active ACL rules was performed";
    for (text, expected) in [
        ("user a\nuser a\n", "WARNING: Duplicate user 'a' found on line 2. "),
        ("usr a\n", "f:1 should start with user keyword followed by the username. "),
        ("user\n", "f:1 should start with user keyword followed by the username. "),
        ("user a\n\n#x\n", "f:3 should start with user keyword followed by the username. "),
        (
            "user a b=c +nosuch ~x\nuser b (+get\n",
            "f:1: Syntax error. f:1: Error in applying operation '+nosuch': Unknown \
             command or category name in ACL. f:2: Unmatched parenthesis in selector definition.",
        ),
        ("   user   a   on\n", "f:1: Syntax error. "),
    ] {
        assert_eq!(read(text).unwrap_err(), format!("{expected}{end}"), "{text}");
    }
    let users = read("user b on\r\n\nuser default on >x ~* &* +@all\n").unwrap();
    assert_eq!(read(std::str::from_utf8(&users.write()).unwrap()).unwrap(), users);
    assert!(read("user b").unwrap().default_user().is_open());
}

#[test]
fn channels_are_asked_where_they_are_named() {
    let some = user("+@all ~* &ch* &p?");
    assert!(may_hear(&some, b"ch1", false) && may_hear(&some, b"ch*", true) && may_hear(&some, b"p?", true));
    assert!(!may_hear(&some, b"x", false) && !may_hear(&some, b"ch1*", true));
    assert!(may_hear(&user("+get (&x)"), b"x", false));
}

#[test]
fn sort_needs_all_keys_for_its_patterns() {
    let sort = |rules: &str, call: &str| {
        let args = OwnedArgs::from_slices(&words(call));
        let Found::Command(command) = tables().resp.find(args.as_args()) else { panic!() };
        match check_sort(&user(rules), Db::default(), command, args.as_args()) {
            Ok(()) => "",
            Err(Denied::SortPattern(pattern)) => pattern,
            Err(denied) => panic!("{denied}"),
        }
    };
    for call in ["sort a", "sort a by nosort", "sort a limit 0 by store b", "sort_ro a desc", "get by"] {
        assert_eq!(sort("+@all ~a", call), "", "{call}");
    }
    for call in ["sort a get x*", "sort a get #", "sort_ro a limit 0 1 get a*", "sort a by nosort get b"] {
        assert_eq!(sort("+@all ~a", call), "GET", "{call}");
    }
    let call = "sort a by x*";
    for rules in ["+sort ~*", "+sort %R~*", "+@all ~* &*", "+get (+sort ~*)"] {
        assert_eq!(sort(rules, call), "", "{rules}");
    }
    for rules in ["+sort ~a", "+get ~*", "+sort ~a %W~*", "+sort (~*)"] {
        assert_eq!(sort(rules, call), "BY", "{rules}");
    }
}

#[test]
fn errors_read_as_valkeys() {
    let args = OwnedArgs::from_slices(&["GET", "k"]);
    assert_eq!(&*Denied::Key(1).object(args.as_args()), b"k");
    assert_eq!(&*Denied::Database(0).object(args.as_args()), b"GET");
    assert_eq!(Denied::Key(1).to_string(), "NOPERM No permissions to access a key");
    assert!(Denied::Key(1).in_exec().ends_with("for the following reason: no permission to touch the specified keys"));
}
