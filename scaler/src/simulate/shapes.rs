//! Made-up loads, from a seed: what is wanted at every second.

use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};

/// A kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Jumps up and down between levels.
    Step,
    /// Slowly up, slowly down.
    Ramp,
    /// Up and down as days go.
    Sine,
    /// Four times as much within minutes, now and then.
    FlashCrowd,
    /// One slot has half a node's load, and every 20 minutes it is another slot.
    HotKey,
    /// Memory grows, and falls at once when whoever leaked is started again.
    Leak,
}

impl Shape {
    pub const ALL: [Shape; 6] = [Shape::Step, Shape::Ramp, Shape::Sine, Shape::FlashCrowd, Shape::HotKey, Shape::Leak];

    /// Its name, as it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Shape::Step => "step",
            Shape::Ramp => "ramp",
            Shape::Sine => "sine",
            Shape::FlashCrowd => "flash-crowd",
            Shape::HotKey => "hot-key",
            Shape::Leak => "leak",
        }
    }
}

impl std::str::FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Shape, String> {
        let names = || Shape::ALL.map(Shape::name).join(", ");
        Shape::ALL.into_iter().find(|shape| shape.name() == text).ok_or_else(|| format!("the shapes are {}", names()))
    }
}

/// What is wanted in one second, in nodes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// ECPU/s, and CPU time with it.
    pub work: f32,
    pub memory: f32,
    /// Work of the one hot slot, in `work` too; 0: none.
    pub hot: f32,
    pub hot_slot: u16,
}

impl Load {
    /// The nodes that all of it would fill.
    pub fn nodes(&self) -> f64 {
        f64::from(self.work.max(self.memory))
    }
}

/// A load for each second; at its peak it needs nearly so many nodes. The same seed makes the same.
pub fn loads(shape: Shape, nodes: u32, seconds: u32, seed: u64) -> Vec<Load> {
    let mut random = Random(seed ^ (shape as u64) << 56);
    let crowds = crowds(seconds, &mut random);
    let mut slow = 0.0;
    let mut hot_slot = random.slot();
    let load = |second: u32| {
        let at = f64::from(second) / f64::from(seconds);
        let steady = 0.3;
        let (work, memory) = match shape {
            Shape::Step => ([0.2, 0.8, 0.2, 0.5, 0.1, 0.6][(at * 6.0) as usize % 6], steady),
            Shape::Ramp => (0.1 + 0.75 * (1.0 - (2.0 * at - 1.0).abs()), steady),
            Shape::Sine => (0.5 - 0.35 * (TAU * 3.0 * at).cos(), steady),
            Shape::FlashCrowd => (0.2 * (1.0 + 3.0 * crowds.iter().map(|crowd| crowd.at(second)).sum::<f64>()), steady),
            Shape::HotKey => (0.45, steady),
            Shape::Leak => (0.2, 0.2 + 0.65 * (at * 3.0).fract()),
        };
        slow += (random.normal() * SLOW_NOISE - slow) * SLOW_PART;
        let noise = 1.0 + slow / SLOW_PART.sqrt() + random.normal() * QUICK_NOISE;
        let scale = f64::from(nodes);
        let hot = if shape == Shape::HotKey { HOT_NODES.min(0.45 * scale) } else { 0.0 };
        if second % HOT_SECONDS == HOT_SECONDS - 1 {
            hot_slot = random.slot();
        }
        Load {
            work: (work.min(PEAK) * scale * noise.max(0.0)) as f32,
            memory: (memory.min(PEAK) * scale) as f32,
            hot: hot as f32,
            hot_slot,
        }
    };
    (0..seconds).map(load).collect()
}

/// Part of all nodes that a load without its noise wants at most.
const PEAK: f64 = 0.9;

/// The hot slot's work, in nodes.
const HOT_NODES: f64 = 0.45;

/// And for how long it is the same.
const HOT_SECONDS: u32 = 20 * 60;

/// Deviation of what changes from second to second.
const QUICK_NOISE: f64 = 0.01;

/// Deviation of what wanders, and by how much of itself in a second.
const SLOW_NOISE: f64 = 0.01;
const SLOW_PART: f64 = 1.0 / 60.0;

/// People who come all at once: more and more for `rise` seconds, then they stay, then they go.
struct Crowd {
    from: u32,
    rise: u32,
    stay: u32,
}

impl Crowd {
    fn at(&self, second: u32) -> f64 {
        let Some(since) = second.checked_sub(self.from) else { return 0.0 };
        match since {
            since if since < self.rise => {
                // Grows by a part of itself, as news does.
                let at = f64::from(since) / f64::from(self.rise);
                ((at * 4.0).exp() - 1.0) / (4f64.exp() - 1.0)
            }
            since if since < self.rise + self.stay => 1.0,
            since => (-f64::from(since - self.rise - self.stay) / f64::from(self.stay)).exp(),
        }
    }
}

/// One in each quarter of the time.
fn crowds(seconds: u32, random: &mut Random) -> Vec<Crowd> {
    let quarter = seconds / 4;
    let crowd = |at: u32| Crowd {
        from: at * quarter + (f64::from(quarter) * (0.1 + 0.3 * random.unit())) as u32,
        rise: (240.0 + 360.0 * random.unit()) as u32,
        stay: (quarter / 12).max(1),
    };
    (0..4).map(crowd).collect()
}

/// Numbers that look random (Steele, Lea, Flood: *Fast splittable pseudorandom number generators*, 2014).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Nearly normal, of deviation 1: the sum of twelve.
    fn normal(&mut self) -> f64 {
        let bits = self.bits();
        // Twelve times five bits; the deviation of such a sum is the root of twelve times that of one.
        let sum: u64 = (0..12).map(|at| (bits >> (5 * at)) & 31).sum();
        (sum as f64 - 186.0) / 31.98
    }

    fn slot(&mut self) -> u16 {
        (self.bits() % swell_ring::SLOTS as u64) as u16
    }
}
