//! Which request comes next: how keys are drawn, reads to writes, sizes and times to live, and keys that come and go.

use std::fmt;
use std::str::FromStr;

use crate::workload::Rng;
use crate::zipf::Zipf;

use super::value::{VALUE_BYTES_MAX, VALUE_BYTES_MIN};

/// Choices in one list of sizes or lives.
pub const CHOICES_MAX: usize = 16;
/// The longest life, in seconds: memcached reads longer ones as dates.
pub const TTL_SECONDS_MAX: u32 = 30 * 86_400;

/// How keys are drawn among those that are there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Draw {
    Uniform,
    /// Zipf's law with this exponent.
    Zipf(f64),
    /// Nine of ten requests go to this share of the keys, which moves on by its own length so often.
    HotSet {
        share: f64,
        moves_every_ms: u32,
    },
    /// This share of the requests goes to one key.
    HotKey {
        share: f64,
    },
}

/// Numbers, each as often as its weight says.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Number, and the sum of the weights up to it.
    upto: Vec<(u32, f64)>,
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Read,
    Write { bytes: u32, ttl_s: u32 },
    Delete,
}

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Op {
    pub id: u64,
    pub kind: Kind,
}

/// What can be changed while the load runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Aim {
    /// So many keys there should be; those that are missing are written, those that are too many are deleted.
    pub keys: u64,
    /// The share of requests that bring the number of keys there, while it is another.
    pub fill_share: f64,
    /// The share of reads among all others.
    pub read_share: f64,
    pub draw: Draw,
}

/// The stream of requests.
#[derive(Debug)]
pub struct Mix {
    rng: Rng,
    sizes: Choice,
    lives: Choice,
    keys: u64,
    /// Made for this many keys.
    zipf: Option<(u64, Zipf)>,
}

impl Mix {
    pub fn new(seed: u64, sizes: Choice, lives: Choice) -> Mix {
        Mix { rng: Rng::new(seed), sizes, lives, keys: 0, zipf: None }
    }

    /// Keys that have been written and not deleted again.
    pub fn keys(&self) -> u64 {
        self.keys
    }

    /// The request that follows, `now_ms` milliseconds into the run.
    pub fn next(&mut self, aim: &Aim, now_ms: u64) -> Op {
        let fills = self.keys != aim.keys && self.rng.unit() < aim.fill_share;
        if self.keys < aim.keys && (fills || self.keys == 0) {
            self.keys += 1;
            return Op { id: self.keys - 1, kind: self.write() };
        }
        if self.keys > aim.keys && fills {
            self.keys -= 1;
            return Op { id: self.keys, kind: Kind::Delete };
        }
        let id = self.draw(aim.draw, now_ms);
        let kind = if self.rng.unit() < aim.read_share { Kind::Read } else { self.write() };
        Op { id, kind }
    }

    fn write(&mut self) -> Kind {
        Kind::Write { bytes: self.sizes.draw(&mut self.rng), ttl_s: self.lives.draw(&mut self.rng) }
    }

    fn draw(&mut self, draw: Draw, now_ms: u64) -> u64 {
        let keys = self.keys.max(1);
        match draw {
            Draw::Uniform => self.rng.below(keys),
            Draw::Zipf(exponent) => {
                let rank = self.zipf_for(keys, exponent).rank(&mut self.rng);
                // Neighbours in rank are no neighbours in time of writing.
                rank.wrapping_mul(0x9E37_79B9_7F4A_7C15) % keys
            }
            Draw::HotSet { share, moves_every_ms } => {
                if self.rng.unit() >= HOT_SET_REQUESTS {
                    return self.rng.below(keys);
                }
                let hot = ((keys as f64 * share) as u64).max(1);
                let step = now_ms / u64::from(moves_every_ms.max(1));
                (step.wrapping_mul(hot) + self.rng.below(hot)) % keys
            }
            Draw::HotKey { share } => {
                if self.rng.unit() < share {
                    return 0;
                }
                self.rng.below(keys)
            }
        }
    }

    /// A law for about as many keys: it is made anew when their number has changed by a hundredth.
    fn zipf_for(&mut self, keys: u64, exponent: f64) -> Zipf {
        match &self.zipf {
            Some((made_for, zipf)) if made_for.abs_diff(keys) * 100 <= keys => zipf.clone(),
            _ => {
                let zipf = Zipf::new(keys, exponent);
                self.zipf = Some((keys, zipf.clone()));
                zipf
            }
        }
    }
}

impl Choice {
    /// Always the same.
    pub fn only(number: u32) -> Choice {
        Choice { upto: vec![(number, 1.0)] }
    }

    /// The mean of what is drawn.
    pub fn mean(&self) -> f64 {
        let mut before = 0.0;
        let mut sum = 0.0;
        for (number, upto) in &self.upto {
            sum += f64::from(*number) * (upto - before);
            before = *upto;
        }
        sum / before
    }

    /// Sizes of values, such as `1000` or `100:0.7,1000:0.3`.
    ///
    /// # Errors
    /// Says what cannot be read, or which size is out of bounds.
    pub fn sizes(text: &str) -> Result<Choice, String> {
        Choice::within(text, VALUE_BYTES_MIN as u32, VALUE_BYTES_MAX as u32, "bytes")
    }

    /// Times to live in seconds, such as `0:0.9,5:0.1`; 0 is for ever.
    ///
    /// # Errors
    /// As for sizes.
    pub fn lives(text: &str) -> Result<Choice, String> {
        Choice::within(text, 0, TTL_SECONDS_MAX, "seconds")
    }

    fn within(text: &str, min: u32, max: u32, unit: &str) -> Result<Choice, String> {
        let choice: Choice = text.parse()?;
        match choice.upto.iter().find(|(number, _)| !(min..=max).contains(number)) {
            Some((number, _)) => Err(format!("{number} is not between {min} and {max} {unit}")),
            None => Ok(choice),
        }
    }

    fn draw(&self, rng: &mut Rng) -> u32 {
        let [first, ..] = self.upto.as_slice() else { return 0 };
        if self.upto.len() == 1 {
            return first.0;
        }
        let all = self.upto.last().map_or(1.0, |(_, upto)| *upto);
        let at = rng.unit() * all;
        self.upto.iter().find(|(_, upto)| at < *upto).unwrap_or(first).0
    }
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Choice, String> {
        let mut upto = Vec::new();
        let mut sum = 0.0;
        for part in text.split(',') {
            let (number, weight) = part.split_once(':').unwrap_or((part, "1"));
            let wrong = || format!("{part:?} is no number, nor number:weight");
            let number: u32 = number.trim().parse().map_err(|_| wrong())?;
            let weight: f64 = weight.trim().parse().map_err(|_| wrong())?;
            if !(weight > 0.0 && weight.is_finite()) {
                return Err(format!("{part:?}: a weight must be above 0"));
            }
            sum += weight;
            upto.push((number, sum));
        }
        if upto.len() > CHOICES_MAX {
            return Err(format!("at most {CHOICES_MAX} numbers"));
        }
        Ok(Choice { upto })
    }
}

impl FromStr for Draw {
    type Err = String;

    fn from_str(text: &str) -> Result<Draw, String> {
        let (name, number) = text.split_once(':').unwrap_or((text, ""));
        let number = |default: f64| match number {
            "" => Ok(default),
            text => text
                .parse::<f64>()
                .ok()
                .filter(|number| (0.0..=10.0).contains(number))
                .ok_or_else(|| format!("{text:?} is no number from 0 to 10")),
        };
        let share = |default: f64| number(default).map(|share| share.min(1.0));
        match name {
            "uniform" => Ok(Draw::Uniform),
            "zipf" => Ok(Draw::Zipf(number(0.99)?)),
            "hot-set" => Ok(Draw::HotSet { share: share(0.05)?, moves_every_ms: HOT_SET_MOVES_EVERY_MS }),
            "hot-key" => Ok(Draw::HotKey { share: share(0.3)? }),
            _ => Err("one of uniform, zipf[:EXPONENT], hot-set[:SHARE], hot-key[:SHARE]".to_owned()),
        }
    }
}

impl fmt::Display for Draw {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Draw::Uniform => write!(to, "uniform"),
            Draw::Zipf(exponent) => write!(to, "zipf:{exponent}"),
            Draw::HotSet { share, .. } => write!(to, "hot-set:{share}"),
            Draw::HotKey { share } => write!(to, "hot-key:{share}"),
        }
    }
}

const HOT_SET_MOVES_EVERY_MS: u32 = 5_000;
/// The share of requests that goes to the hot set.
const HOT_SET_REQUESTS: f64 = 0.9;

#[cfg(test)]
mod tests {
    use super::*;

    fn mix() -> Mix {
        Mix::new(3, Choice::only(100), Choice::only(0))
    }

    fn aim(keys: u64, draw: Draw) -> Aim {
        Aim { keys, fill_share: 0.5, read_share: 0.5, draw }
    }

    /// How often each of 1,000 keys is asked for.
    fn frequencies(draw: Draw, now_ms: u64) -> Vec<u32> {
        let mut mix = mix();
        while mix.keys() < 1_000 {
            mix.next(&aim(1_000, draw), 0);
        }
        let mut seen = vec![0; 1_000];
        for _ in 0..100_000 {
            seen[mix.next(&aim(1_000, draw), now_ms).id as usize] += 1;
        }
        seen
    }

    #[test]
    fn keys_come_and_go_one_after_the_other() {
        let mut mix = mix();
        let up: Vec<Op> = std::iter::repeat_with(|| mix.next(&aim(50, Draw::Uniform), 0)).take(400).collect();
        assert_eq!(mix.keys(), 50);
        let first_writes = up.iter().filter(|op| op.id < 50 && matches!(op.kind, Kind::Write { .. })).count();
        assert!(first_writes >= 50 && up.iter().all(|op| op.id < 50));
        let down: Vec<Op> = std::iter::repeat_with(|| mix.next(&aim(10, Draw::Uniform), 0)).take(400).collect();
        let deleted: Vec<u64> = down.iter().filter(|op| op.kind == Kind::Delete).map(|op| op.id).collect();
        assert_eq!(deleted, (10..50).rev().collect::<Vec<_>>());
        assert_eq!(mix.keys(), 10);
    }

    #[test]
    fn hot_sets_move_and_hot_keys_are_hot() {
        let draw = "hot-set:0.1".parse().expect("a draw");
        let (early, late) = (frequencies(draw, 0), frequencies(draw, 5_000));
        let share = |seen: &[u32]| f64::from(seen.iter().sum::<u32>()) / 100_000.0;
        assert!(share(&early[..100]) > 0.88 && share(&late[..100]) < 0.03, "{}", share(&early[..100]));
        assert!(share(&late[100..200]) > 0.88);
        let hot = frequencies("hot-key:0.4".parse().expect("a draw"), 0);
        assert!((0.38..0.42).contains(&share(&hot[..1])), "{}", hot[0]);
        let mut zipf = frequencies("zipf".parse().expect("a draw"), 0);
        zipf.sort_unstable_by(|one, other| other.cmp(one));
        assert!(share(&zipf[..100]) > 0.6, "{}", share(&zipf[..100]));
    }

    #[test]
    fn sizes_are_drawn_by_weight_and_bounds_are_kept() {
        let sizes = Choice::sizes("100:3,1000:1").expect("sizes");
        assert_eq!(sizes.mean(), 325.0);
        let mut rng = Rng::new(1);
        let small = (0..10_000).filter(|_| sizes.draw(&mut rng) == 100).count();
        assert!((7_300..7_700).contains(&small), "{small}");
        for wrong in ["", "x", "100:0", "100:-1", "5", "100000000", "100:x"] {
            assert!(Choice::sizes(wrong).is_err(), "{wrong}");
        }
        assert!(Choice::lives("0:9,5:1").is_ok());
        for wrong in ["zipf:x", "warm", "hot-key:11"] {
            assert!(wrong.parse::<Draw>().is_err(), "{wrong}");
        }
    }
}
