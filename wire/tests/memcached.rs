//! memcached text requests: exact bytes to exact arguments and refusals, as memcached 1.6.18 reads them.

#[path = "../../fuzz/check.rs"]
mod check;
#[path = "../../fuzz/random.rs"]
mod random;

use check::{Got, Pieces, agree, run};
use swell_wire::limits::MEMCACHED_GET_LINE_BYTES_MAX;
use swell_wire::memcached::Decoder;
use swell_wire::{Kind, Limits, Out, Proto, Reject, Requests, SEGMENT_BYTES};

fn args(words: &str) -> Got {
    Got::Args { args: words.split(' ').map(|word| word.as_bytes().to_vec()).collect(), noreply: false }
}

fn quiet(words: &str) -> Got {
    match args(words) {
        Got::Args { args, .. } => Got::Args { args, noreply: true },
        other => other,
    }
}

fn refused(reject: Reject) -> Got {
    Got::Reject { reject, noreply: false }
}

fn quietly_refused(reject: Reject) -> Got {
    Got::Reject { reject, noreply: true }
}

/// Decodes under the usual limits, whole and torn at every byte.
fn decode(input: &str) -> Vec<Got> {
    let whole = agree::<Decoder>(input.as_bytes(), &Limits::default());
    for at in 0..input.len().min(3000) {
        let torn = run::<Decoder>(input.as_bytes(), Pieces::TornAt(at), &Limits::default());
        assert_eq!(torn, whole, "torn at {at}");
    }
    whole
}

#[test]
fn lines() {
    assert_eq!(decode("get a\r\nget b\n"), [args("get a"), args("get b")]);
    assert_eq!(decode("  gets   a  b \r\n"), [args("gets a b")]);
    assert_eq!(decode("get\r\n"), [args("get")]);
    assert_eq!(decode("gat 0\r\ngats 1 a b\r\n"), [args("gat 0"), args("gats 1 a b")]);
    assert_eq!(decode("FOO a\r\nquit x\r\nget a\tb\r\n"), [args("FOO a"), args("quit x"), args("get a\tb")]);
    assert_eq!(decode("get a\r\r\nget a\rb\r\n"), [args("get a\r"), args("get a\rb")]);
    assert_eq!(decode("\r\n\n   \r\n"), vec![refused(Reject::Syntax); 3]);
    assert_eq!(decode("get a"), []);
}

#[test]
fn storage() {
    assert_eq!(decode("set a 1 2 3\r\nabc\r\nget a\r\n"), [args("set a 1 2 3 abc"), args("get a")]);
    assert_eq!(decode("set a 0 0 3\nabc\r\n"), [args("set a 0 0 3 abc")]);
    assert_eq!(decode("set a 0 0 0\r\n\r\n"), [args("set a 0 0 0 ")]);
    assert_eq!(decode("set a 0 0 4\r\n\r\n\r\n\r\n"), [args("set a 0 0 4 \r\n\r\n")]);
    assert_eq!(decode("set a 0 0 3 x\r\nabc\r\n"), [args("set a 0 0 3 abc")], "a further word is ignored");
    assert_eq!(decode("set a +5 -1 03\r\nabc\r\n"), [args("set a +5 -1 03 abc")]);
    assert_eq!(decode("set a 5\t9 0 1\r\r\n1\r\n"), [args("set a 5\t9 0 1\r 1")]);
    assert_eq!(decode("cas a 0 0 1 7\r\n1\r\n"), [args("cas a 0 0 1 7 1")]);
    assert_eq!(decode("cas a 0 0 1 7 x\r\n1\r\n"), [args("cas a 0 0 1 7 1")]);
    for verb in ["add", "replace", "append", "prepend"] {
        assert_eq!(decode(&format!("{verb} a 0 0 1\r\n1\r\n")), [args(&format!("{verb} a 0 0 1 1"))]);
    }
}

#[test]
fn noreply_where_it_means_something() {
    assert_eq!(decode("set a 0 0 3 noreply\r\nabc\r\n"), [quiet("set a 0 0 3 abc")]);
    assert_eq!(decode("cas a 0 0 1 7 noreply\r\n1\r\n"), [quiet("cas a 0 0 1 7 1")]);
    assert_eq!(decode("delete a noreply\r\ndelete a 0 noreply\r\n"), [quiet("delete a"), quiet("delete a 0")]);
    assert_eq!(decode("incr a 1 noreply\r\nincr a noreply\r\n"), [quiet("incr a 1"), quiet("incr a")]);
    assert_eq!(decode("touch a 1 noreply\r\n"), [quiet("touch a 1")]);
    assert_eq!(decode("flush_all noreply\r\nflush_all 0 noreply\r\n"), [quiet("flush_all"), quiet("flush_all 0")]);
    assert_eq!(decode("verbosity 1 noreply\r\n"), [quiet("verbosity 1")]);
    // Elsewhere it is a word like any other.
    for line in [
        "get noreply",
        "version noreply",
        "foo noreply",
        "delete noreply",
        "delete a 0 0 noreply",
        "flush_all 1 2 noreply",
    ] {
        assert_eq!(decode(&format!("{line}\r\n")), [args(line)]);
    }
    assert_eq!(decode("set a 0 0 3 NOREPLY\r\nabc\r\n"), [args("set a 0 0 3 abc")]);
}

#[test]
fn storage_lines_with_too_few_or_too_many_words() {
    for line in ["set", "set a", "set a 0", "set a 0 0", "set a 0 0 3 x y", "set a 0 0 3 x noreply", "cas a 0 0 3"] {
        let input = format!("{line}\r\nversion\r\n");
        assert_eq!(decode(&input), [refused(Reject::Syntax), args("version")], "{line}");
    }
    assert_eq!(decode("set a 0 0 noreply\r\n"), [quietly_refused(Reject::BadLineFormat)]);
    assert_eq!(decode("cas a 0 0 3 noreply\r\n"), [quietly_refused(Reject::BadLineFormat)]);
}

#[test]
fn storage_lines_with_bad_numbers() {
    let lines = [
        "set a x 0 3",
        "set a -1 0 3",
        "set a 99999999999999999999 0 3",
        "set a 0 x 3",
        "set a 0 99999999999999999999 3",
        "set a 0 0 abc",
        "set a 0 0 3abc",
        "set a 0 0 -1",
        "set a 0 0 2147483646",
        "set a 0 0 4294967297",
        "set a 0 0 99999999999999999999",
        "cas a 0 0 3 x",
        "cas a 0 0 3 -1",
        "cas a 0 0 3 18446744073709551616",
    ];
    for line in lines {
        let input = format!("{line}\r\nabc\r\n");
        let expected = [refused(Reject::BadLineFormat), args("abc")];
        assert_eq!(decode(&input), expected, "{line}: the data block is read as a line");
    }
}

#[test]
fn keys_over_250_bytes() {
    let (long, fits) = ("k".repeat(251), "k".repeat(250));
    let bad = || vec![refused(Reject::BadLineFormat), args("version")];
    for line in ["get K", "get a K", "gets K", "gat 0 K", "delete K", "incr K 1", "decr K 1", "touch K 1"] {
        assert_eq!(decode(&format!("{}\r\nversion\r\n", line.replace('K', &long))), bad(), "{line}");
        let line = line.replace('K', &fits);
        assert_eq!(decode(&format!("{line}\r\n")), [args(&line)]);
    }
    for line in ["incr K", "delete K 0 0 0", "touch K 1 2 3"] {
        let line = line.replace('K', &long);
        assert_eq!(decode(&format!("{line}\r\n")), [args(&line)], "a wrong number of words is said first");
    }
    let data = decode(&format!("set {long} 0 0 7\r\nversion\r\n"));
    assert_eq!(data, bad(), "the data block is read as a line");
    assert_eq!(decode(&format!("set {long} 0 0 3 noreply\r\n")), [quietly_refused(Reject::BadLineFormat)]);
    assert_eq!(decode(&format!("delete {long} noreply\r\n")), [quietly_refused(Reject::BadLineFormat)]);
    assert_eq!(decode(&format!("set {fits} 0 0 1\r\n1\r\n")), [args(&format!("set {fits} 0 0 1 1"))]);
}

#[test]
fn bad_data_chunks() {
    let bad = refused(Reject::BadDataChunk);
    // Length and two bytes more are taken, whatever they are; then lines go on.
    assert_eq!(decode("set a 0 0 3\r\nabcd\r\nversion\r\n"), [bad.clone(), refused(Reject::Syntax), args("version")]);
    assert_eq!(decode("set a 0 0 3\r\nabcdefgh\r\n"), [bad.clone(), args("fgh")]);
    assert_eq!(decode("set a 0 0 3\r\nab\r\nversion\r\n"), [bad.clone(), args("ersion")]);
    assert_eq!(decode("set a 0 0 3\r\nabc\nversion\r\n"), [bad.clone(), args("ersion")]);
    assert_eq!(decode("set a 0 0 3\r\nabcX\nversion\r\n"), [bad, args("version")]);
    assert_eq!(decode("set a 0 0 3 noreply\r\nabcde"), [quietly_refused(Reject::BadDataChunk)]);
}

#[test]
fn items_over_the_limit() {
    // memcached -I 1m: what it counts beside the value of `b` without flags is 60 bytes.
    let set = |key: &str, flags: u32, len: usize, more: &str| {
        format!("set {key} {flags} 0 {len}{more}\r\n{}\r\nversion\r\n", "x".repeat(len))
    };
    let last = |input: &str| agree::<Decoder>(input.as_bytes(), &Limits::default());
    for (key, flags, fits) in [("b", 0, 1_048_516), ("b", 1, 1_048_512), ("bbb", 0, 1_048_514)] {
        let got = last(&set(key, flags, fits, ""));
        assert!(matches!(&got[0], Got::Args { args, .. } if args[5].len() == fits));
        let too_large = Got::TooLarge { args: vec![b"set".to_vec(), key.into()], noreply: false };
        assert_eq!(last(&set(key, flags, fits + 1, "")), [too_large, args("version")]);
    }
    let quiet = Got::TooLarge { args: vec![b"set".to_vec(), b"a".to_vec()], noreply: true };
    assert_eq!(last(&set("a", 0, 2_000_000, " noreply")), [quiet, args("version")]);
    // The line end of a skipped block is not looked at.
    let limits = Limits { item_bytes_max: 70, ..Limits::default() };
    let got = agree::<Decoder>(b"add a 0 0 20\r\n0123456789012345678901version\r\n", &limits);
    let too_large = Got::TooLarge { args: vec![b"add".to_vec(), b"a".to_vec()], noreply: false };
    assert_eq!(got, [too_large, args("version")]);
}

#[test]
fn lines_over_their_limit() {
    let long = |count| "x".repeat(count);
    assert_eq!(decode(&long(2048)), []);
    assert_eq!(decode(&format!("{}\r\nversion\r\n", long(2047))), [args(&long(2047)), args("version")]);
    assert_eq!(decode(&long(2049)), [refused(Reject::LineTooLong)]);
    assert_eq!(
        decode(&format!("version\r\n{}\r\nversion\r\n", long(2049))),
        [args("version"), refused(Reject::LineTooLong)]
    );
    for verb in ["get", "gets", "gat 0", "gats 0"] {
        let line = format!("{verb}{}", " key".repeat(2000));
        assert_eq!(decode(&format!("{}{line}\r\n", " ".repeat(100))), [args(&line)]);
    }
    let line = format!("{}get{}\r\n", " ".repeat(101), " key".repeat(2000));
    assert_eq!(decode(&line), [refused(Reject::LineTooLong)]);
    let endless = format!("get {}", "k ".repeat(MEMCACHED_GET_LINE_BYTES_MAX / 2));
    assert_eq!(
        run::<Decoder>(endless.as_bytes(), Pieces::Of(16_384), &Limits::default()),
        [refused(Reject::LineTooLong)]
    );
}

#[test]
fn too_many_keys() {
    let limits = Limits { args_max: 3, ..Limits::default() };
    let got = agree::<Decoder>(b"get a b c\r\ngat 0 a b c\r\nget a b c d e\r\nget a\r\n", &limits);
    assert_eq!(got, [args("get a b c"), args("gat 0 a b c"), refused(Reject::LineTooLong)]);
}

#[test]
fn refusals_in_memcached_words() {
    let known = [
        (Reject::Syntax, "ERROR\r\n", false),
        (Reject::BadLineFormat, "CLIENT_ERROR bad command line format\r\n", false),
        (Reject::BadDataChunk, "CLIENT_ERROR bad data chunk\r\n", false),
        (Reject::ObjectTooLarge, "SERVER_ERROR object too large for cache\r\n", false),
        (Reject::LineTooLong, "", true),
    ];
    for (reject, words, closes) in known {
        let mut out = Out::new(Proto::Resp2);
        reject.write(&mut out);
        assert_eq!((out.to_vec().as_slice(), reject.closes()), (words.as_bytes(), closes));
    }
}

#[test]
fn random_commands_come_back() {
    arbtest::arbtest(|u| {
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..u.int_in_range(0..=8)? {
            let noreply = u.arbitrary()?;
            let data: Vec<u8> = u.arbitrary()?;
            let key = format!("key:{}", u.int_in_range(0..=u32::MAX)?);
            let (flags, exptime): (u32, i32) = u.arbitrary()?;
            let line = format!("set {key} {flags} {exptime} {}", data.len());
            let mut args: Vec<_> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
            let more = if noreply { " noreply" } else { "" };
            bytes.extend([line.as_bytes(), more.as_bytes(), b"\r\n", &data, b"\r\n"].concat());
            args.push(data);
            expected.push(Got::Args { args, noreply });
        }
        assert_eq!(agree::<Decoder>(&bytes, &Limits::default()), expected);
        let at = u.int_in_range(0..=bytes.len())?;
        assert_eq!(run::<Decoder>(&bytes, Pieces::TornAt(at), &Limits::default()), expected);
        Ok(())
    })
    .budget_ms(1000);
}

#[test]
fn long_values_torn_anywhere() {
    for len in [SEGMENT_BYTES, SEGMENT_BYTES + 1, 200_000] {
        let data: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        let line = format!("get a\r\nset a 1 2 {len} noreply\r\n");
        let bytes = [line.as_bytes(), &data, b"\r\nget b\r\n"].concat();
        let words = [b"set".to_vec(), b"a".to_vec(), b"1".to_vec(), b"2".to_vec(), len.to_string().into_bytes(), data];
        let expected = [args("get a"), Got::Args { args: words.to_vec(), noreply: true }, args("get b")];
        assert_eq!(agree::<Decoder>(&bytes, &Limits::default()), expected);
        for at in (0..50).chain(len..bytes.len()) {
            assert_eq!(run::<Decoder>(&bytes, Pieces::TornAt(at), &Limits::default()), expected, "torn at {at}");
        }
    }
}

#[test]
fn long_values_leave_the_buffer_as_they_arrive() {
    let bytes = [b"set a 0 0 500000\r\n".to_vec(), vec![7; 500_000], b"\r\n".to_vec()].concat();
    let (mut decoder, mut out) = (Decoder::new(), Requests::new());
    assert_eq!(decoder.decode(&bytes[..100_000], &Limits::default(), &mut out), 100_000);
    assert!(decoder.heap_bytes() > 99_000);
    assert_eq!(decoder.bytes_wanted(0), bytes.len() - 100_000);
    assert_eq!(decoder.decode(&bytes[100_000..], &Limits::default(), &mut out), bytes.len() - 100_000);
    assert_eq!(out.item(0).kind, Kind::Owned(0));
    assert_eq!(decoder.heap_bytes(), 0);
}

#[test]
fn idle_state_is_small() {
    assert!(size_of::<Decoder>() <= 64);
    assert_eq!(Decoder::new().heap_bytes(), 0);
}
