//! Runs a fuzz target's check on stable: every seed of its corpus, then mutated seeds for a while.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::random::Random;

/// How long each target's mutated run takes, unless SWELL_FUZZ_SECONDS says otherwise.
const MUTATE_FOR: Duration = Duration::from_millis(1500);
/// Mutated inputs are not made longer than this.
const MUTANT_BYTES_MAX: usize = 4096;
/// Set it to repeat a run whose seed was printed.
const SEED_VARIABLE: &str = "SWELL_FUZZ_SEED";

/// Checks the corpus of a target, then mutants of it that also hold words of the dictionary, and hardly ever the byte
/// that is `rare`.
///
/// # Panics
/// When a check does, showing the input.
pub fn replay_and_mutate(target: &str, dictionary: &str, rare: Option<u8>, check: fn(&[u8])) {
    let corpus = corpus(target);
    assert!(corpus.len() >= 10, "the corpus of {target} is there");
    for (name, data) in &corpus {
        println!("{target}: {name}");
        check(data);
    }
    let words = words(dictionary);
    let seed = seed();
    println!("{target}: mutating with {SEED_VARIABLE}={seed}");
    let mut random = Random(seed | 1);
    let begun = Instant::now();
    let mut mutants = 0;
    while begun.elapsed() < mutate_for() {
        let mut data = corpus[random.below(corpus.len())].1.clone();
        for _ in 0..=random.below(6) {
            mutate(&mut data, &corpus[random.below(corpus.len())].1, &words, &mut random);
        }
        if random.below(32) != 0 {
            // Inputs that expand to long arguments take a thousand times as long as others.
            data.retain(|&byte| Some(byte) != rare);
        }
        data.truncate(MUTANT_BYTES_MAX);
        let shown = data.clone();
        let result = std::panic::catch_unwind(|| check(&data));
        assert!(result.is_ok(), "{target}: mutant {mutants} of seed {seed}: b\"{}\"", shown.escape_ascii());
        mutants += 1;
    }
    println!("{target}: {mutants} mutants");
    assert!(mutants >= 100, "the run was worth its name");
}

fn mutate(data: &mut Vec<u8>, other: &[u8], words: &[Vec<u8>], random: &mut Random) {
    let at = random.below(data.len() + 1);
    let until = at + random.below(data.len() - at + 1);
    match random.below(8) {
        0 if at < data.len() => data[at] ^= 1 << random.below(8),
        1 if at < data.len() => data[at] = random.below(256) as u8,
        2 => drop(data.drain(at..until)),
        3 => data.truncate(at),
        4 => data.insert(at, b"\r\n*$ 0-9\"'\\"[random.below(11)]),
        5 => drop(data.splice(at..at, data[at..until].to_vec())),
        6 => {
            let from = random.below(other.len() + 1);
            data.splice(at..until, other[from..].iter().copied());
        }
        _ => drop(data.splice(at..at, words[random.below(words.len())].iter().copied())),
    }
}

/// The seeds of a target with their names.
pub fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(fuzz_dir().join("corpus").join(target))
        .expect("the corpus directory")
        .map(|entry| entry.expect("a directory entry").path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    let name = |path: &PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
    files.iter().map(|path| (name(path), std::fs::read(path).expect("a seed"))).collect()
}

/// The words of a libFuzzer dictionary.
fn words(dictionary: &str) -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(fuzz_dir().join("dict").join(dictionary)).expect("the dictionary");
    let quoted = |line: &str| Some(line.split_once("=\"")?.1.strip_suffix('"')?.to_owned());
    let words: Vec<_> = text.lines().filter_map(quoted).map(|word| unescape(word.as_bytes())).collect();
    assert!(words.len() >= 10);
    words
}

fn unescape(text: &[u8]) -> Vec<u8> {
    match text {
        [b'\\', b'x', high, low, rest @ ..] => {
            let digits = std::str::from_utf8(&[*high, *low]).expect("hex digits").to_owned();
            [vec![u8::from_str_radix(&digits, 16).expect("hex digits")], unescape(rest)].concat()
        }
        [b'\\', byte, rest @ ..] | [byte, rest @ ..] => [vec![*byte], unescape(rest)].concat(),
        [] => Vec::new(),
    }
}

fn mutate_for() -> Duration {
    match std::env::var("SWELL_FUZZ_SECONDS") {
        Ok(seconds) => Duration::from_secs(seconds.parse().expect("a number")),
        Err(_) => MUTATE_FOR,
    }
}

fn seed() -> u64 {
    match std::env::var(SEED_VARIABLE) {
        Ok(seed) => seed.parse().expect("a number"),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_nanos() as u64,
    }
}

/// The folder of the fuzz targets.
pub fn fuzz_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}
