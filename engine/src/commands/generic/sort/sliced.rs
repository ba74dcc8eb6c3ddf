//! SORT of many elements by themselves: from a snapshot, in slices. Each slice collects some elements and sorts them; then
//! these runs are merged into the reply.

use std::ops::Range;

use swell_wire::Out;

use super::NOT_NUMBERS;
use super::options::Options;
use super::rows::Rows;
use crate::error::Fault;
use crate::slices::{Room, Slices};
use crate::value::Kept;

pub(super) struct Sliced {
    kept: Option<Kept>,
    /// Where to go on collecting.
    place: u64,
    rows: Rows,
    /// Sorted parts of the rows; what was written is gone from them.
    runs: Vec<Range<usize>>,
    /// A heap of the runs that are left: the one whose first row comes first is at the top.
    heap: Vec<usize>,
    limit: Option<(i64, i64)>,
    /// How often each element is answered.
    times: usize,
    /// Rows to be passed over, and rows to be written then; nothing while there is more to collect.
    left: Option<(usize, usize)>,
}

impl Sliced {
    /// Of a list, set or sorted set, with options that look at no other key.
    pub fn new(kept: Kept, options: &Options<'_>) -> Result<Sliced, Fault> {
        let rows = Rows::new(kept.as_ref(), options)?;
        Ok(Sliced {
            kept: Some(kept),
            place: 0,
            rows,
            runs: Vec::new(),
            heap: Vec::new(),
            limit: options.limit,
            times: options.gets.len().max(1),
            left: None,
        })
    }

    /// Collects and sorts a run; says whether all is well.
    fn collect(&mut self, room: Room, out: &mut Out) -> bool {
        let Some(kept) = &self.kept else { return false };
        let from = self.rows.len();
        let next = self.rows.collect(kept.as_ref(), self.place, room.elements);
        let rows = from..self.rows.len();
        if self.rows.is_sorted() {
            if !rows.clone().all(|at| self.rows.weigh_by_itself(at)) {
                out.error(&Fault::say(NOT_NUMBERS).to_string());
                return false;
            }
            self.rows.sort_from(from);
        }
        self.runs.push(rows);
        match next {
            Some(place) => self.place = place,
            None => self.begin(out),
        }
        true
    }

    /// All is collected: writes the head.
    fn begin(&mut self, out: &mut Out) {
        let shown = self.rows.shown(self.limit);
        out.array(shown.len() * self.times);
        self.left = Some((shown.start, shown.len()));
        self.heap = (0..self.runs.len()).filter(|&run| !self.runs[run].is_empty()).collect();
        (0..self.heap.len() / 2).rev().for_each(|at| self.sift_down(at));
    }

    /// Writes rows; says whether more are to come.
    fn write(&mut self, room: Room, out: &mut Out, skip: usize, count: usize) -> bool {
        let (mut skip, mut count) = (skip, count);
        let full = out.len().saturating_add(room.bytes);
        for _ in 0..room.elements {
            if count == 0 || out.len() >= full {
                break;
            }
            let Some(row) = self.take_first() else { break };
            if skip > 0 {
                skip -= 1;
                continue;
            }
            (0..self.times).for_each(|_| out.bulk(self.rows.element(row)));
            count -= 1;
        }
        self.left = Some((skip, count));
        count > 0 && !self.heap.is_empty()
    }

    /// The row that comes first of those that are left.
    fn take_first(&mut self) -> Option<usize> {
        let run = *self.heap.first()?;
        let row = self.runs[run].next()?;
        if self.runs[run].is_empty() {
            self.heap.swap_remove(0);
        }
        self.sift_down(0);
        Some(row)
    }

    fn sift_down(&mut self, at: usize) {
        let mut at = at;
        loop {
            let first =
                [2 * at + 1, 2 * at + 2].into_iter().filter(|&child| child < self.heap.len()).fold(at, |one, other| {
                    if self.comes_before(self.heap[other], self.heap[one]) { other } else { one }
                });
            if first == at {
                return;
            }
            self.heap.swap(first, at);
            at = first;
        }
    }

    /// Whether a run's first row comes before another's. Of equal ones the run that was collected first.
    fn comes_before(&self, one: usize, other: usize) -> bool {
        let (first, second) = (self.runs[one].start, self.runs[other].start);
        match self.rows.is_sorted() {
            true => self.rows.is_before(first, second) || (one < other && !self.rows.is_before(second, first)),
            false => one < other,
        }
    }
}

impl Slices for Sliced {
    fn step(&mut self, room: Room, out: &mut Out, _work: &mut u64) -> bool {
        match self.left {
            None => self.collect(room, out),
            Some((skip, count)) => self.write(room, out, skip, count),
        }
    }

    fn take_snapshot(&mut self) -> Option<Kept> {
        self.kept.take()
    }
}

#[cfg(test)]
mod tests {
    use arbtest::arbtest;
    use swell_ring::slot_of;
    use swell_wire::{OwnedArgs, Proto};

    use super::*;
    use crate::value::list::{End, List};
    use crate::value::{Collection, Limits};

    /// In slices of any size the reply is what it is in one go.
    #[test]
    fn slices_do_not_show() {
        arbtest(|u| {
            let (mut list, limits) = (List::large(), Limits::default());
            for _ in 0..u.int_in_range(1..=60)? {
                let number: i64 = u.int_in_range(-20..=20)?;
                list.push(End::Back, number.to_string().as_bytes().into(), &limits);
            }
            let words: [&[&str]; 7] = [
                &[],
                &["DESC"],
                &["ALPHA", "DESC", "LIMIT", "3", "8"],
                &["LIMIT", "5", "-1", "GET", "#", "GET", "#"],
                &["BY", "nosort", "DESC"],
                &["BY", "nosort", "LIMIT", "2", "9"],
                &["LIMIT", "0", "0"],
            ];
            let args = OwnedArgs::from_slices(&[&["sort", "l"], *u.choose(&words)?].concat());
            let options = Options::parse(args.as_args(), true, slot_of(b"l"), true).expect("good options");
            let kept = list.into_kept();
            let run = |room: Room| {
                let mut sliced = Sliced::new(kept.clone(), &options).expect("a list");
                let (mut out, mut work) = (Out::new(Proto::Resp2), 0);
                while sliced.step(room, &mut out, &mut work) {}
                out.to_vec()
            };
            let elements = u.int_in_range(1..=70)?;
            assert_eq!(run(Room { elements, bytes: usize::MAX }), run(Room::ALL));
            assert_eq!(run(Room { elements: 5, bytes: 1 }), run(Room::ALL));
            Ok(())
        });
    }
}
