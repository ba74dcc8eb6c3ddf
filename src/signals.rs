//! Leaving in order: Ctrl-C and SIGTERM, and the word that goes round to everything that has to finish.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Says once that it is time to leave. Dropping it says the same.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// Hears that it is time to leave; works on any runtime and thread.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// A trigger and what hears it.
pub fn shutdown() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Everybody who waits goes on; later waits do not wait.
    pub fn pull(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Waits until it is time to leave.
    pub async fn requested(&mut self) {
        // An error means that the trigger is gone, which is the same news.
        let _ = self.0.wait_for(|leaving| *leaving).await;
    }

    /// Whether it is time to leave.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

/// The signals that ask this process to leave.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes the signals over from their default, which is to die at once. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// The system refuses.
    pub fn take() -> io::Result<Self> {
        Ok(Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one and returns its name. The first should start a drain, the second end it.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pulled_trigger_is_heard_before_and_after() {
        let (trigger, mut shutdown) = super::shutdown();
        let mut late = shutdown.clone();
        assert!(!shutdown.is_requested());
        let waiting = tokio::spawn(async move { shutdown.requested().await });
        trigger.pull();
        waiting.await.expect("the task ends");
        late.requested().await;
        assert!(late.is_requested());
    }

    #[tokio::test]
    async fn a_lost_trigger_is_heard_too() {
        let (trigger, mut shutdown) = super::shutdown();
        drop(trigger);
        shutdown.requested().await;
        assert!(shutdown.is_requested());
    }

    #[tokio::test]
    async fn sigterm_is_taken_over() {
        let mut signals = Signals::take().expect("signals can be taken");
        // SAFETY: raising a signal that has a handler touches no memory of ours.
        assert_eq!(unsafe { libc::raise(libc::SIGTERM) }, 0);
        assert_eq!(signals.next().await, "SIGTERM");
    }
}
