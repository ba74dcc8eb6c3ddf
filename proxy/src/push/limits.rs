//! How much a client may hold that its socket has not taken: `client-output-buffer-limit`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::error::ConfigRefusal;

/// Kinds of clients that have limits of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Normal = 0,
    /// Nobody is one here; its limits are kept for those who set and read them.
    Replica = 1,
    /// Subscribed to something.
    PubSub = 2,
}

/// One class's limits. 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// Over it a client ends at once.
    pub hard_bytes: u64,
    /// Over it ...
    pub soft_bytes: u64,
    /// ... for longer than this it ends, too.
    pub soft_seconds: u64,
}

/// The limits of all classes; may change while they are used.
#[derive(Debug)]
pub struct OutputLimits([[AtomicU64; 3]; 3]);

/// How a client stands with its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Excess {
    #[default]
    None,
    /// Over the soft one since, unix milliseconds.
    Soft(u64),
    /// It has to end.
    Final,
}

const NAMES: [&str; 3] = ["normal", "slave", "pubsub"];
/// What Valkey starts with.
const DEFAULTS: [OutputLimit; 3] = [
    OutputLimit { hard_bytes: 0, soft_bytes: 0, soft_seconds: 0 },
    OutputLimit { hard_bytes: 256 << 20, soft_bytes: 64 << 20, soft_seconds: 60 },
    OutputLimit { hard_bytes: 32 << 20, soft_bytes: 8 << 20, soft_seconds: 60 },
];
/// A client without a hard limit may hold so little in any case: the look at its limits is spared.
const UNLIMITED_LOOK_BYTES: u64 = 64 * 1024;

impl Class {
    fn named(name: &str) -> Option<Class> {
        match name.to_ascii_lowercase().as_str() {
            "normal" => Some(Class::Normal),
            "slave" | "replica" => Some(Class::Replica),
            "pubsub" => Some(Class::PubSub),
            _ => None,
        }
    }
}

impl Excess {
    /// Whether the client has to end.
    #[inline]
    pub fn is_final(self) -> bool {
        self == Excess::Final
    }
}

impl Default for OutputLimits {
    fn default() -> OutputLimits {
        let limits = OutputLimits(Default::default());
        [Class::Normal, Class::Replica, Class::PubSub]
            .into_iter()
            .for_each(|class| limits.set(class, DEFAULTS[class as usize]));
        limits
    }
}

impl OutputLimits {
    /// The limits of a class.
    #[inline]
    pub fn get(&self, class: Class) -> OutputLimit {
        let [hard, soft, seconds] = &self.0[class as usize];
        OutputLimit {
            hard_bytes: hard.load(Relaxed),
            soft_bytes: soft.load(Relaxed),
            soft_seconds: seconds.load(Relaxed),
        }
    }

    /// Changes the limits of a class.
    pub fn set(&self, class: Class, limit: OutputLimit) {
        let [hard, soft, seconds] = &self.0[class as usize];
        hard.store(limit.hard_bytes, Relaxed);
        soft.store(limit.soft_bytes, Relaxed);
        seconds.store(limit.soft_seconds, Relaxed);
    }

    /// Whether so many bytes may be too many: a closer look is needed.
    #[inline]
    pub fn is_over_any(&self, class: Class, held: u64) -> bool {
        let limit = self.get(class);
        let least = [limit.hard_bytes, limit.soft_bytes].into_iter().filter(|bytes| *bytes > 0).min();
        held > least.unwrap_or(UNLIMITED_LOOK_BYTES).min(UNLIMITED_LOOK_BYTES)
    }

    /// How a client that holds so many bytes stands, after it stood like `before`. `is_bounded`: whether it may stay if
    /// it has no hard limit.
    pub fn judge(&self, class: Class, held: u64, is_bounded: bool, before: Excess, now_ms: u64) -> Excess {
        let limit = self.get(class);
        let is_over = if limit.hard_bytes == 0 { !is_bounded } else { held > limit.hard_bytes };
        if before.is_final() || is_over {
            return Excess::Final;
        }
        if limit.soft_bytes == 0 || held <= limit.soft_bytes {
            return Excess::None;
        }
        match before {
            Excess::Soft(since) if now_ms.saturating_sub(since) > limit.soft_seconds * 1000 => Excess::Final,
            Excess::Soft(since) => Excess::Soft(since),
            _ => Excess::Soft(now_ms),
        }
    }

    /// All of them in one line, as CONFIG GET prints them.
    pub fn show(&self) -> String {
        let one = |class: Class| {
            let OutputLimit { hard_bytes, soft_bytes, soft_seconds } = self.get(class);
            format!("{} {hard_bytes} {soft_bytes} {soft_seconds}", NAMES[class as usize])
        };
        [Class::Normal, Class::Replica, Class::PubSub].map(one).join(" ")
    }
}

/// Reads `class hard soft seconds` as often as there is; classes that are not named keep what they have.
///
/// # Errors
/// In Valkey's words.
pub fn parse(
    text: &str,
    memory: impl Fn(&[u8]) -> Result<u64, ConfigRefusal>,
) -> Result<Vec<(Class, OutputLimit)>, ConfigRefusal> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let words: Vec<&str> = text.split(' ').collect();
    if !words.len().is_multiple_of(4) {
        return Err(ConfigRefusal::OutputLimitArity);
    }
    let one = |words: &[&str]| {
        let class = Class::named(words[0]).ok_or(ConfigRefusal::OutputLimitClass)?;
        let bytes = |word: &str| memory(word.as_bytes()).map_err(|_| ConfigRefusal::OutputLimitNumber);
        let seconds = words[3].parse::<u64>().ok().filter(|seconds| *seconds <= i32::MAX as u64);
        let soft_seconds = seconds.ok_or(ConfigRefusal::OutputLimitNumber)?;
        Ok((class, OutputLimit { hard_bytes: bytes(words[1])?, soft_bytes: bytes(words[2])?, soft_seconds }))
    };
    words.chunks(4).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_and_shown_as_valkey_does() {
        let memory = |text: &[u8]| match text {
            b"1mb" => Ok(1 << 20),
            digits => std::str::from_utf8(digits).unwrap().parse().map_err(|_| ConfigRefusal::NotMemory),
        };
        let limits = OutputLimits::default();
        assert_eq!(limits.show(), "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60");
        for (class, limit) in parse("NORMAL 1mb 2 3 pubsub 4 5 6 pubsub 7 8 9", memory).unwrap() {
            limits.set(class, limit);
        }
        assert_eq!(limits.show(), "normal 1048576 2 3 slave 268435456 67108864 60 pubsub 7 8 9");
        assert_eq!(parse("", memory), Ok(Vec::new()));
        assert_eq!(parse("normal 1 2", memory), Err(ConfigRefusal::OutputLimitArity));
        assert_eq!(parse("pubsub 1  2 3", memory), Err(ConfigRefusal::OutputLimitArity));
        assert_eq!(parse("master 1 2 3", memory), Err(ConfigRefusal::OutputLimitClass));
        for bad in ["normal -1 0 0", "normal x 0 0", "normal 0 0 -1", "normal 0 0 x"] {
            assert_eq!(parse(bad, memory), Err(ConfigRefusal::OutputLimitNumber), "{bad}");
        }
    }

    #[test]
    fn over_the_hard_limit_at_once_and_over_the_soft_one_after_a_while() {
        let limits = OutputLimits::default();
        limits.set(Class::PubSub, OutputLimit { hard_bytes: 100, soft_bytes: 50, soft_seconds: 2 });
        let judge = |held, before, now| limits.judge(Class::PubSub, held, false, before, now);
        assert_eq!(judge(50, Excess::None, 0), Excess::None);
        assert_eq!(judge(101, Excess::None, 0), Excess::Final);
        let soft = judge(51, Excess::None, 1_000);
        assert_eq!(judge(60, soft, 3_000), soft);
        assert_eq!(judge(40, soft, 3_500), Excess::None);
        assert_eq!(judge(60, soft, 3_001), Excess::Final);
        let free = |is_bounded| limits.judge(Class::Normal, 1 << 40, is_bounded, Excess::None, 0);
        assert_eq!((free(true), free(false)), (Excess::None, Excess::Final), "bounded in any case");
    }
}
