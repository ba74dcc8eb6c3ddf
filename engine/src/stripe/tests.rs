//! What a stripe's lock promises: tickets in order, a bounded number of newcomers before them, no lost call.

use super::*;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::Wake;

#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Counter {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A ticket with what counts its calls.
fn draw(stripe: &Stripe) -> (Ticket, Arc<Counter>) {
    let calls = Arc::new(Counter::default());
    (stripe.draw(0, &calls.clone().into()), calls)
}

/// A stripe that is taken, with two tickets.
fn taken() -> (Stripe, (Ticket, Arc<Counter>), (Ticket, Arc<Counter>)) {
    let stripe = Stripe::default();
    assert!(stripe.try_lock());
    let (first, second) = (draw(&stripe), draw(&stripe));
    (stripe, first, second)
}

#[test]
fn tickets_are_served_in_order_and_leave_the_lock_as_it_was() {
    let (stripe, (first, a), (second, b)) = taken();
    assert_eq!((a.count(), b.count()), (0, 0));
    stripe.unlock();
    assert_eq!((a.count(), b.count()), (1, 0));
    assert!(!stripe.lock_with(second), "not its turn");
    assert!(stripe.lock_with(first));
    stripe.unlock();
    assert_eq!((a.count(), b.count()), (1, 1));
    assert!(!stripe.lock_with(first), "used up");
    assert!(stripe.lock_with(second));
    stripe.unlock();
    assert_eq!(stripe.state.load(Ordering::Relaxed), FREE);
    assert!(stripe.try_lock());
}

#[test]
fn a_ticket_is_served_after_a_bounded_number_of_newcomers() {
    let (stripe, (first, _), (second, _)) = taken();
    stripe.unlock();
    for ticket in [first, second] {
        for newcomer in 0..BARGES_MAX {
            assert!(stripe.lock_briefly(), "newcomer {newcomer} passes, since nobody holds the lock");
            stripe.unlock();
        }
        assert!(!stripe.lock_briefly(), "the head has been passed often enough");
        assert!(stripe.lock_with(ticket));
        stripe.unlock();
    }
    assert!(stripe.lock_briefly());
}

#[test]
fn nobody_passes_a_head_that_has_come() {
    let (stripe, (first, a), (second, b)) = taken();
    assert!(!stripe.lock_with(second), "not its turn; this closes nothing");
    stripe.unlock();
    assert!(stripe.lock_briefly());
    assert!(!stripe.lock_with(first));
    stripe.unlock();
    assert!(!stripe.lock_briefly(), "from its first try on the head comes next");
    assert!(!stripe.try_lock());
    assert!(stripe.lock_with(first));
    stripe.unlock();
    assert!(stripe.lock_briefly(), "the next head has not come yet");
    stripe.unlock();
    assert!(stripe.lock_with(second));
    assert_eq!((a.count(), b.count()), (2, 1));
}

#[test]
fn the_head_is_called_once_until_it_comes() {
    let (stripe, (first, a), _second) = taken();
    stripe.unlock();
    for _ in 0..10 {
        assert!(stripe.lock_briefly());
        stripe.unlock();
    }
    assert_eq!(a.count(), 1, "it is on its way");
    stripe.lock_patiently();
    assert!(!stripe.lock_with(first));
    assert_eq!(a.count(), 1);
    stripe.unlock();
    assert_eq!(a.count(), 2, "it was turned away, so it is called again");
}

#[test]
fn a_ticket_on_a_free_lock_is_called_at_once() {
    let stripe = Stripe::default();
    let ((first, a), (second, b)) = (draw(&stripe), draw(&stripe));
    assert_eq!((a.count(), b.count()), (1, 0));
    assert!(stripe.lock_with(first));
    stripe.unlock();
    assert!(stripe.lock_with(second));
}

#[test]
fn a_cancelled_head_passes_the_turn_on() {
    // While it is free, while it is taken, and after the head has closed it to newcomers.
    let (stripe, (first, _), (second, b)) = taken();
    stripe.unlock();
    stripe.cancel(first);
    assert_eq!(b.count(), 1);
    stripe.cancel(second);
    assert_eq!(stripe.state.load(Ordering::Relaxed), FREE);

    let (stripe, (first, _), (second, b)) = taken();
    assert!(!stripe.lock_with(first));
    stripe.cancel(first);
    assert_eq!(b.count(), 0, "the lock is taken");
    stripe.unlock();
    assert_eq!(b.count(), 1);
    assert!(stripe.lock_briefly(), "what the first had closed is open again");
    stripe.cancel(second);
    assert_eq!(stripe.state.load(Ordering::Relaxed), LOCKED);
}

#[test]
fn a_ticket_cancelled_out_of_turn_or_twice_changes_nothing_else() {
    let (stripe, (first, a), (second, b)) = taken();
    stripe.cancel(second);
    stripe.cancel(second);
    stripe.unlock();
    assert!(stripe.lock_with(first));
    stripe.cancel(first);
    assert!(!stripe.try_lock(), "a used up ticket's lock is still held");
    stripe.unlock();
    assert_eq!((a.count(), b.count()), (1, 0));
    assert!(stripe.try_lock());
}

/// Wakes a thread of the test below.
struct Bell(std::sync::mpsc::Sender<()>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        // A thread that has ended needs no call.
        let _ = self.0.send(());
    }
}

/// What the lock of the test below protects.
#[derive(Default)]
struct Guarded {
    count: u64,
    /// The ticket that was served last.
    served: Option<u64>,
}

/// One thread's work: takes the lock `times` times, by ticket where it is taken. Returns how many tickets it drew.
fn contender(stripe: &Stripe, guarded: usize, seed: u64, times: u64) -> u64 {
    const DEADLINE: std::time::Duration = std::time::Duration::from_secs(60);
    let (bell, calls) = std::sync::mpsc::channel();
    let waker = Waker::from(Arc::new(Bell(bell)));
    let mut random = seed;
    let (mut done, mut drawn) = (0, 0);
    while done < times {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let ticket = (!stripe.lock_briefly()).then(|| stripe.draw(0, &waker));
        drawn += u64::from(ticket.is_some());
        if let Some(ticket) = ticket {
            if random >> 60 == 0 {
                stripe.cancel(ticket);
                continue;
            }
            while !stripe.lock_with(ticket) {
                calls.recv_timeout(DEADLINE).expect("the head of the queue is called");
            }
        }
        // SAFETY: the lock is what is being tested; the value outlives the threads.
        let guarded = unsafe { &mut *(guarded as *mut Guarded) };
        guarded.count += 1;
        if let Some(Ticket { number, .. }) = ticket {
            assert!(guarded.served.replace(number) < Some(number), "tickets are served in order");
        }
        // Now and then another thread runs while this one holds the lock, and has to draw a ticket.
        if random >> 58 & 3 == 0 {
            std::thread::yield_now();
        }
        stripe.unlock();
        done += 1;
    }
    drawn
}

#[test]
fn no_call_is_lost_among_many_threads() {
    const THREADS: u64 = 6;
    const TIMES: u64 = 5_000;
    let stripe = Stripe::default();
    let mut guarded = Guarded::default();
    let shared = ptr::from_mut(&mut guarded) as usize;
    let drawn: u64 = std::thread::scope(|scope| {
        let stripe = &stripe;
        let threads: Vec<_> =
            (0..THREADS).map(|seed| scope.spawn(move || contender(stripe, shared, seed, TIMES))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(guarded.count, THREADS * TIMES);
    assert!(drawn > 0, "the test has seen a queue");
    assert_eq!(stripe.state.load(Ordering::Relaxed), FREE);
}

#[test]
fn one_gate_speaks_for_all_until_one_differs() {
    let mut data = StripeData::default();
    let slot = Slot::new(70).unwrap();
    data.set_gate(slot, Gate::Sealed);
    assert_eq!(data.gate_of(slot), Gate::Sealed);
    assert_eq!(data.gate_of(Slot::new(71).unwrap()), Gate::Serving);
    data.set_gate(slot, Gate::Serving);
    assert!(data.gates.is_none());
}

#[test]
fn a_guard_is_made_only_for_a_lock_that_was_taken() {
    let stripe = Stripe::default();
    let held = stripe.hold_briefly();
    assert!(held.is_some());
    assert!(stripe.hold_briefly().is_none());
    assert!(!stripe.try_lock(), "the first guard still holds it");
    drop(held);
    assert!(stripe.try_lock());
}

#[test]
fn threads_exclude_each_other() {
    let stripe = Stripe::default();
    let mut count = 0u64;
    let shared = ptr::from_mut(&mut count) as usize;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    stripe.lock_patiently();
                    // SAFETY: the lock is what is being tested.
                    unsafe { *(shared as *mut u64) += 1 };
                    stripe.unlock();
                }
            });
        }
    });
    assert_eq!(count, 40_000);
}
