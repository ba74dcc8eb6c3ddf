//! Ranges of scores and of names, as commands give them.

/// Scores between two bounds, each taken in or left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreRange {
    pub min: f64,
    pub max: f64,
    pub min_open: bool,
    pub max_open: bool,
}

/// One bound of a range by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LexBound<'a> {
    /// Before all names.
    First,
    /// After all names.
    Last,
    /// At a name, which is taken in.
    Closed(&'a [u8]),
    /// At a name, which is left out.
    Open(&'a [u8]),
}

/// Names between two bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LexRange<'a> {
    pub min: LexBound<'a>,
    pub max: LexBound<'a>,
}

impl ScoreRange {
    /// From two arguments; `(` leaves a bound out. Nothing where one is no number.
    pub fn parse(min: &[u8], max: &[u8]) -> Option<ScoreRange> {
        let bound = |arg: &[u8]| match arg {
            [b'(', rest @ ..] => Some((bound_number(rest)?, true)),
            _ => Some((bound_number(arg)?, false)),
        };
        let ((min, min_open), (max, max_open)) = (bound(min)?, bound(max)?);
        Some(ScoreRange { min, max, min_open, max_open })
    }

    /// Whether no score can lie in it.
    pub fn is_empty(&self) -> bool {
        self.min > self.max || (self.min == self.max && (self.min_open || self.max_open))
    }

    /// Whether a score is not below it.
    #[inline]
    pub fn reaches(&self, score: f64) -> bool {
        if self.min_open { score > self.min } else { score >= self.min }
    }

    /// Whether a score is not above it.
    #[inline]
    pub fn keeps(&self, score: f64) -> bool {
        if self.max_open { score < self.max } else { score <= self.max }
    }
}

impl<'a> LexBound<'a> {
    /// From an argument: `-`, `+`, `[name` or `(name`.
    pub fn parse(arg: &'a [u8]) -> Option<LexBound<'a>> {
        match arg {
            b"-" => Some(LexBound::First),
            b"+" => Some(LexBound::Last),
            [b'[', name @ ..] => Some(LexBound::Closed(name)),
            [b'(', name @ ..] => Some(LexBound::Open(name)),
            _ => None,
        }
    }

    /// The name it is at: bounds that are at none compare as before all names and after all.
    fn place(&self) -> (u8, &'a [u8]) {
        match *self {
            LexBound::First => (0, b""),
            LexBound::Closed(name) | LexBound::Open(name) => (1, name),
            LexBound::Last => (2, b""),
        }
    }

    fn is_open(&self) -> bool {
        matches!(self, LexBound::Open(_))
    }
}

impl<'a> LexRange<'a> {
    /// From two arguments; nothing where one is no bound.
    pub fn parse(min: &'a [u8], max: &'a [u8]) -> Option<LexRange<'a>> {
        Some(LexRange { min: LexBound::parse(min)?, max: LexBound::parse(max)? })
    }

    /// Whether no name can lie in it.
    pub fn is_empty(&self) -> bool {
        let (min, max) = (self.min.place(), self.max.place());
        min > max || (min == max && (self.min.is_open() || self.max.is_open()))
    }

    /// Whether a name is not below it.
    #[inline]
    pub fn reaches(&self, name: &[u8]) -> bool {
        match self.min {
            LexBound::First => true,
            LexBound::Last => false,
            LexBound::Closed(min) => name >= min,
            LexBound::Open(min) => name > min,
        }
    }

    /// Whether a name is not above it.
    #[inline]
    pub fn keeps(&self, name: &[u8]) -> bool {
        match self.max {
            LexBound::First => false,
            LexBound::Last => true,
            LexBound::Closed(max) => name <= max,
            LexBound::Open(max) => name < max,
        }
    }
}

/// A bound is read more freely than a score: nothing at all is 0, too large is infinite, too small is 0.
fn bound_number(arg: &[u8]) -> Option<f64> {
    if arg.is_empty() {
        return Some(0.0);
    }
    let number: f64 = std::str::from_utf8(arg).ok()?.parse().ok()?;
    (!number.is_nan()).then_some(number)
}
