//! Hogs: threads that use a given share of a core for nothing, to be compared with what uses it for something.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::sys::{self, Core};

/// A hog works and rests once in so long.
pub const HOG_PERIOD: Duration = Duration::from_millis(20);

/// Hogs whose appetite can be changed while they run; they end when this is dropped.
pub struct Hogs {
    /// What each of them uses, in thousandths of a core.
    share: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<Duration>>>,
}

impl Hogs {
    /// As many as it takes to use `cores_max`; they rest.
    pub fn start(cores_max: f64) -> Hogs {
        let (share, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let start = |_| {
            let (share, stop) = (Arc::clone(&share), Arc::clone(&stop));
            thread::spawn(move || hog(Core::Any, || share.load(Ordering::Relaxed) as f64 / 1e3, &stop))
        };
        let threads = shares(cores_max).map(start).collect();
        Hogs { share, stop, threads }
    }

    /// From now on they use so many cores together.
    pub fn use_cores(&self, cores: f64) {
        let each = cores / self.threads.len().max(1) as f64;
        self.share.store((each * 1e3).round() as u64, Ordering::Relaxed);
    }

    /// Ends them; the CPU time that they have used.
    ///
    /// # Errors
    /// One could not run.
    pub fn end(mut self) -> Result<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        let used = |hog: JoinHandle<Result<Duration>>| hog.join().map_err(|_| anyhow!("a hog failed"))?;
        self.threads.drain(..).map(used).sum()
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// So many cores' work as equal shares of one core each.
pub fn shares(cores: f64) -> impl Iterator<Item = f64> {
    let count = cores.ceil().max(0.0) as usize;
    std::iter::repeat_n(cores / count.max(1) as f64, count)
}

/// Uses this share of a core, asked for again in each period, until it is told to stop; the CPU time that it used.
///
/// # Errors
/// It cannot be pinned, or the system does not tell its time.
pub fn hog(core: Core, share: impl Fn() -> f64, stop: &AtomicBool) -> Result<Duration> {
    sys::pin_current_thread(core).context("cannot pin a hog")?;
    while !stop.load(Ordering::Relaxed) {
        let (began, cpu, share) = (Instant::now(), sys::thread_cpu()?, share());
        while sys::thread_cpu()? - cpu < HOG_PERIOD.mul_f64(share) && !stop.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
        thread::sleep(HOG_PERIOD.saturating_sub(began.elapsed()));
    }
    Ok(sys::thread_cpu()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hogs_share_what_one_core_cannot_give() {
        assert_eq!(shares(0.0).count(), 0);
        assert_eq!(shares(0.7).collect::<Vec<_>>(), [0.7]);
        assert_eq!(shares(1.5).collect::<Vec<_>>(), [0.75, 0.75]);
    }

    #[test]
    fn a_hog_uses_its_share_at_most() {
        let (stop, began) = (AtomicBool::new(false), Instant::now());
        let used = thread::scope(|scope| {
            let hog = scope.spawn(|| hog(Core::Any, || 0.5, &stop));
            thread::sleep(Duration::from_millis(200));
            stop.store(true, Ordering::Relaxed);
            hog.join().expect("no panic").expect("it may run anywhere")
        });
        let most = began.elapsed().mul_f64(0.5) + HOG_PERIOD;
        assert!(Duration::ZERO < used && used <= most, "{used:?} of {:?}", began.elapsed());
    }

    #[test]
    fn hogs_rest_until_they_are_told_what_to_use() {
        let hogs = Hogs::start(1.5);
        assert_eq!(hogs.threads.len(), 2);
        hogs.use_cores(0.5);
        assert_eq!(hogs.share.load(Ordering::Relaxed), 250);
        hogs.use_cores(0.0);
        let used = hogs.end().expect("they may run anywhere");
        // Periods that had begun before are at most one for each.
        assert!(used < HOG_PERIOD, "{used:?}");
        assert_eq!(Hogs::start(0.0).end().expect("nobody can fail"), Duration::ZERO);
    }
}
