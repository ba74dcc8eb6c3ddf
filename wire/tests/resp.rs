//! RESP requests: exact bytes to exact arguments and refusals, as redis-server 7.0 and valkey-server 9.1 read them.

#[path = "../../fuzz/check.rs"]
mod check;
#[path = "../../fuzz/random.rs"]
mod random;

use check::{Got, Pieces, agree, run};
use swell_wire::resp::Decoder;
use swell_wire::{Kind, Limits, Out, Proto, Reject, Requests, SEGMENT_BYTES};

const PING: &str = "*1\r\n$4\r\nPING\r\n";

fn args(words: &[&[u8]]) -> Got {
    Got::Args { args: words.iter().map(|word| word.to_vec()).collect(), noreply: false }
}

fn refused(reject: Reject) -> Got {
    Got::Reject { reject, noreply: false }
}

/// Decodes under the usual limits, whole and torn at every byte.
fn decode(input: &[u8]) -> Vec<Got> {
    decode_under(input, &Limits::default())
}

fn decode_under(input: &[u8], limits: &Limits) -> Vec<Got> {
    let whole = agree::<Decoder>(input, limits);
    for at in 0..input.len().min(2000) {
        assert_eq!(run::<Decoder>(input, Pieces::TornAt(at), limits), whole, "torn at {at}");
    }
    whole
}

fn encode(words: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n", word.len()).bytes());
        bytes.extend(word);
        bytes.extend(b"\r\n");
    }
    bytes
}

#[test]
fn arrays() {
    assert_eq!(decode(b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n"), [args(&[b"GET", b"a"])]);
    assert_eq!(decode(b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n"), [args(&[b"ECHO", b""])]);
    assert_eq!(decode(b"*1\r\n$0\r\n\r\n"), [args(&[b""])]);
    assert_eq!(decode(b"*2\r\n$2\r\n\r\n\r\n$3\r\n\xff\x00*\r\n"), [args(&[b"\r\n", b"\xff\x00*"])]);
    assert_eq!(decode(PING.repeat(3).as_bytes()), vec![args(&[b"PING"]); 3]);
    assert_eq!(decode(b"*1\r\n$4\r\nPIN"), []);
}

#[test]
fn empty_requests_are_skipped() {
    for skipped in ["*0\r\n", "*-1\r\n", "*-99999999999\r\n", "*-9223372036854775808\r\n", "\r\n", "\n", "  \t \r\n"] {
        assert_eq!(decode(format!("{skipped}{PING}{skipped}").as_bytes()), [args(&[b"PING"])], "{skipped:?}");
    }
}

#[test]
fn refused_counts() {
    for count in ["abc", "", " 1", "+1", "01", "-0", "-", "1048577", "2147483648", "99999999999999999999", "1\n$4"] {
        let input = format!("{PING}*{count}\r\n{PING}");
        assert_eq!(decode(input.as_bytes()), [args(&[b"PING"]), refused(Reject::MultibulkLength)], "{count:?}");
    }
    assert_eq!(decode(b"*1048576\r\n"), []);
}

#[test]
fn refused_lengths() {
    for len in ["-1", "abc", "", "04", "-0", "+1", "536870913", "4294967296", "99999999999999999999"] {
        let input = format!("*1\r\n${len}\r\n");
        assert_eq!(decode(input.as_bytes()), [refused(Reject::BulkLength)], "{len:?}");
    }
    assert_eq!(decode(b"*1\r\n$536870912\r\n"), []);
}

#[test]
fn something_else_where_an_argument_should_be() {
    for byte in [b'P', b':', b'*', b'\r', b'\n', b'\0', b'\xff', 7] {
        let input = [b"*1\r\n", &[byte][..], b"\r\n"].concat();
        assert_eq!(decode(&input), [refused(Reject::ExpectedBulk(byte))]);
    }
    assert_eq!(decode(b"*1\r\nZ\rX"), [refused(Reject::ExpectedBulk(b'Z'))]);
    assert_eq!(decode(b"*1\r\nPING"), [], "the line has to end first");
}

#[test]
fn line_ends_are_checked() {
    for input in ["*1\rX$4\r\nPING\r\n", "*abc\rX", "*-1\rX", "*1\r\n$4\rX", "*1\r\n$abc\rX", "*1\r\n$4\r\nPINGXX"] {
        assert_eq!(decode(input.as_bytes()), [refused(Reject::LineEnd)], "{input:?}");
    }
    assert_eq!(decode(b"*1\r\n$4\r\nPING\rX"), [refused(Reject::LineEnd)]);
    assert_eq!(decode(b"*1\r\n$4\r\nPINGX\n"), [refused(Reject::LineEnd)]);
    assert_eq!(decode(b"*1\r\n$4\r\nPINGX"), []);
}

#[test]
fn lines_over_64_kib() {
    let ones = |count| "1".repeat(count);
    assert_eq!(decode(format!("*{}", ones(65_535)).as_bytes()), []);
    assert_eq!(decode(format!("*{}", ones(65_536)).as_bytes()), [refused(Reject::MultibulkLineTooLong)]);
    assert_eq!(decode(format!("*1\r\n${}", ones(65_535)).as_bytes()), []);
    assert_eq!(decode(format!("*1\r\n${}", ones(65_536)).as_bytes()), [refused(Reject::BulkLineTooLong)]);
    assert_eq!(decode(format!("*1\r\n{}", ones(70_000)).as_bytes()), [refused(Reject::BulkLineTooLong)]);
    assert_eq!(decode(ones(65_536).as_bytes()), []);
    assert_eq!(decode(ones(65_537).as_bytes()), [refused(Reject::InlineTooLong)]);
    assert_eq!(decode(format!("{}\n", ones(65_536)).as_bytes()), [args(&[ones(65_536).as_bytes()])]);
    assert_eq!(decode(format!("{}\r\n", ones(65_536)).as_bytes()), [refused(Reject::InlineTooLong)]);
}

#[test]
fn inline_words() {
    assert_eq!(decode(b"PING\n"), [args(&[b"PING"])]);
    assert_eq!(decode(b"  SET \t a  1 \r\nGET a\n"), [args(&[b"SET", b"a", b"1"]), args(&[b"GET", b"a"])]);
    assert_eq!(decode(b"PI\rNG\r\n"), [args(&[b"PI", b"NG"])]);
    assert_eq!(decode(b"PING\r\r\n"), [args(&[b"PING"])]);
    assert_eq!(decode(b"ECHO\x0ba \x0cb\r\n"), [args(&[b"ECHO\x0ba", b"b"])], "VT and FF precede words, end none");
    assert_eq!(decode(b"ECHO \xff\xa0\x00b\r\n"), [args(&[b"ECHO", b"\xff\xa0\x00b"])]);
    assert_eq!(decode(b"$3\r\nfoo\r\n"), [args(&[b"$3"]), args(&[b"foo"])]);
    assert_eq!(decode(b"POST / HTTP/1.1\r\nHost: x\r\n").len(), 2, "the proxy knows what to do with these");
}

#[test]
fn inline_quotes() {
    let known: &[(&[u8], &[u8])] = &[
        (br#""a b""#, b"a b"),
        (br#""a\x41\n\r\t\b\a\q\"\\""#, b"aA\n\r\t\x08\x07q\"\\"),
        (br#""\x4""#, b"x4"),
        (br#""\xzz""#, b"xzz"),
        (br#""\xfF""#, b"\xff"),
        (br#"'a\'b\n"'"#, br#"a'b\n""#),
        (br#"a"b c""#, b"ab c"),
        (b"a'b c'", b"ab c"),
        (b"\"\"", b""),
        (b"\"a\" \t", b"a"),
        (b"\"a\"\r", b"a"),
    ];
    for (line, word) in known {
        let input = [b"ECHO ", *line, b"\r\n"].concat();
        assert_eq!(decode(&input), [args(&[b"ECHO", word])], "{}", line.escape_ascii());
    }
    assert_eq!(decode(b"\"\" a\r\n"), [args(&[b"", b"a"])]);
    for line in ["\"a", "'a", "\"a\"b", "'a'b", "a\"b\"c", "\"a\\", "\"a\\\"", "\"a\nb\""] {
        let input = format!("{PING}ECHO {line}\r\n{PING}");
        assert_eq!(decode(input.as_bytes()), [args(&[b"PING"]), refused(Reject::UnbalancedQuotes)], "{line:?}");
    }
}

#[test]
fn before_authentication() {
    let limits = Limits { authenticated: false, ..Limits::default() };
    let reject = |input: &str, reject| assert_eq!(decode_under(input.as_bytes(), &limits), [refused(reject)]);
    reject("*11\r\n", Reject::UnauthenticatedMultibulkLength);
    reject("*1048577\r\n", Reject::UnauthenticatedMultibulkLength);
    reject("*2147483648\r\n", Reject::MultibulkLength);
    reject("*abc\r\n", Reject::MultibulkLength);
    reject("*1\r\n$16385\r\n", Reject::UnauthenticatedBulkLength);
    reject("*1\r\n$536870913\r\n", Reject::BulkLength);
    reject("*11\rX", Reject::LineEnd);
    assert_eq!(decode_under(b"*10\r\n*1\r\n$16384\r\n", &limits), [refused(Reject::ExpectedBulk(b'*'))]);
    assert_eq!(decode_under(b"*-1\r\n", &limits), []);
    let words = vec![b"a".to_vec(); 20];
    let inline = [b"a ".repeat(20), b"\r\n".to_vec()].concat();
    assert_eq!(decode_under(&inline, &limits), [Got::Args { args: words, noreply: false }], "inline has no such limit");
}

#[test]
fn what_follows_auth_is_read_after_it() {
    let big = encode(&vec![b"x".to_vec(); 12]);
    let input = [b"*2\r\n$4\r\nAUTH\r\n$3\r\nfoo\r\n", &big[..]].concat();
    let (mut decoder, mut out) = (Decoder::new(), Requests::new());
    let consumed = decoder.decode(&input, &Limits { authenticated: false, ..Limits::default() }, &mut out);
    assert_eq!((out.len(), consumed), (1, input.len() - big.len()));
    out.clear();
    assert_eq!(decoder.decode(&input[consumed..], &Limits::default(), &mut out), big.len());
    assert_eq!(out.get(0, &input[consumed..]).map(|args| args.len()), Some(12));
}

#[test]
fn refusals_in_redis_words() {
    let known = [
        (Reject::MultibulkLength, "-ERR Protocol error: invalid multibulk length\r\n"),
        (Reject::BulkLength, "-ERR Protocol error: invalid bulk length\r\n"),
        (Reject::ExpectedBulk(b':'), "-ERR Protocol error: expected '$', got ':'\r\n"),
        (Reject::ExpectedBulk(b'\r'), "-ERR Protocol error: expected '$', got ' '\r\n"),
        (Reject::MultibulkLineTooLong, "-ERR Protocol error: too big mbulk count string\r\n"),
        (Reject::BulkLineTooLong, "-ERR Protocol error: too big bulk count string\r\n"),
        (Reject::InlineTooLong, "-ERR Protocol error: too big inline request\r\n"),
        (Reject::UnbalancedQuotes, "-ERR Protocol error: unbalanced quotes in request\r\n"),
        (Reject::LineEnd, "-ERR Protocol error: invalid CRLF in request\r\n"),
        (Reject::UnauthenticatedMultibulkLength, "-ERR Protocol error: unauthenticated multibulk length\r\n"),
        (Reject::UnauthenticatedBulkLength, "-ERR Protocol error: unauthenticated bulk length\r\n"),
    ];
    for (reject, words) in known {
        let mut out = Out::new(Proto::Resp2);
        reject.write(&mut out);
        assert_eq!((out.to_vec().as_slice(), reject.closes()), (words.as_bytes(), true));
    }
    let mut out = Out::new(Proto::Resp2);
    Reject::ExpectedBulk(0xff).write(&mut out);
    assert_eq!(out.to_vec(), b"-ERR Protocol error: expected '$', got '\xff'\r\n");
}

#[test]
fn random_requests_come_back() {
    arbtest::arbtest(|u| {
        let mut requests: Vec<Vec<Vec<u8>>> = u.arbitrary()?;
        requests.iter_mut().for_each(|words| words.insert(0, b"name".to_vec()));
        let bytes = requests.iter().flat_map(|words| encode(words)).collect::<Vec<u8>>();
        let expected: Vec<_> = requests.into_iter().map(|args| Got::Args { args, noreply: false }).collect();
        assert_eq!(agree::<Decoder>(&bytes, &Limits::default()), expected);
        let at = u.int_in_range(0..=bytes.len())?;
        assert_eq!(run::<Decoder>(&bytes, Pieces::TornAt(at), &Limits::default()), expected);
        Ok(())
    })
    .budget_ms(1000);
}

#[test]
fn long_arguments_torn_anywhere() {
    let long = |len: usize| (0..len).map(|at| (at % 251) as u8).collect::<Vec<u8>>();
    let words =
        [b"MSET".to_vec(), b"a".to_vec(), long(SEGMENT_BYTES), long(SEGMENT_BYTES + 1), long(200_000), Vec::new()];
    let bytes = [PING.as_bytes(), &encode(&words), PING.as_bytes()].concat();
    let expected = [args(&[b"PING"]), Got::Args { args: words.to_vec(), noreply: false }, args(&[b"PING"])];
    assert_eq!(agree::<Decoder>(&bytes, &Limits::default()), expected);
    arbtest::arbtest(|u| {
        // Near a boundary of an argument or anywhere.
        let anchors = [0, 14, 40, 65_600, 131_160, 331_170, bytes.len()];
        let near = *u.choose(&anchors)? + u.int_in_range(0..=40)?;
        let at = if u.ratio(1, 4)? { u.int_in_range(0..=bytes.len())? } else { near };
        assert_eq!(run::<Decoder>(&bytes, Pieces::TornAt(at), &Limits::default()), expected, "torn at {at}");
        Ok(())
    })
    .budget_ms(1000);
}

#[test]
fn a_million_arguments_in_small_reads_cost_linear_time() {
    let words = vec![b"a".to_vec(); 1_048_576];
    let bytes = encode(&words);
    let (mut decoder, mut out) = (Decoder::new(), Requests::new());
    let mut looked_at = 0;
    for end in (0..bytes.len()).step_by(16 * 1024) {
        assert_eq!(decoder.decode(&bytes[..end], &Limits::default(), &mut out), 0);
        looked_at = looked_at.max(decoder.heap_bytes());
    }
    assert!(looked_at >= 8 * 1_000_000, "the spans are kept, not read again");
    assert_eq!(decoder.decode(&bytes, &Limits::default(), &mut out), bytes.len());
    assert_eq!(out.get(0, &bytes).map(|args| args.len()), Some(words.len()));
    assert_eq!(decoder.heap_bytes(), 0);
}

#[test]
fn long_arguments_leave_the_buffer_as_they_arrive() {
    let value = vec![7; 1_000_000];
    let bytes = encode(&[b"SET".to_vec(), b"a".to_vec(), value]);
    let (mut decoder, mut out) = (Decoder::new(), Requests::new());
    let piece = 100_000;
    assert_eq!(decoder.decode(&bytes[..piece], &Limits::default(), &mut out), piece);
    assert!(decoder.heap_bytes() > piece - 100);
    assert_eq!(decoder.bytes_wanted(0), bytes.len() - piece);
    assert_eq!(decoder.decode(&bytes[piece..], &Limits::default(), &mut out), bytes.len() - piece);
    assert_eq!(out.item(0).kind, Kind::Owned(0));
    let owned = out.take_owned(0).expect("it is owned");
    assert_eq!((owned.as_args().len(), owned.as_args().get(2).len()), (3, 1_000_000));
    assert!(owned.as_args().has_long());
}

#[test]
fn a_bound_on_requests_and_a_rewind() {
    let limits = Limits { requests_max: 2, ..Limits::default() };
    let input = PING.repeat(5);
    let (mut decoder, mut out) = (Decoder::new(), Requests::new());
    assert_eq!(decoder.decode(input.as_bytes(), &limits, &mut out), 2 * PING.len());
    assert_eq!(out.item(0).end as usize, PING.len());
    // Only the first is served: the second comes again.
    decoder.rewind();
    out.clear();
    assert_eq!(decoder.decode(&input.as_bytes()[PING.len()..], &limits, &mut out), 2 * PING.len());
}

#[test]
fn idle_state_is_small() {
    assert!(size_of::<Decoder>() <= 64);
    assert_eq!(Decoder::new().heap_bytes(), 0);
}
