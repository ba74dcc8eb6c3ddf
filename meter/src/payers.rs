//! Who pays for what a worker charges: one row for each user, client and database in use. A connection knows its row, so
//! that a request is charged without looking anybody up.

use std::collections::HashMap;
use std::sync::Arc;

use crate::counters::Usage;
use crate::parts::{Dimension, OTHER, Parts};

/// Payers that a worker tells apart between two drains; further clients are `(other)` clients of their user.
pub const PAYERS_MAX: usize = 4096;
/// Further rows for `(other)` clients of users.
const OTHERS_MAX: usize = 256;
/// What is charged before anybody was named.
const NOBODY: &str = "(none)";

/// Whose connection it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Who {
    /// The name it has authenticated with.
    pub user: String,
    /// The name that it gave itself, or where it comes from.
    pub client: String,
}

/// A payer with its row. Stays with the connection, and finds its row again when rows were cleared.
#[derive(Clone, Debug)]
pub struct Payer {
    who: Arc<Who>,
    db: u8,
    at: u32,
    generation: u32,
}

/// A worker's rows.
#[derive(Debug)]
pub(crate) struct Payers {
    rows: Vec<Row>,
    places: HashMap<(Arc<Who>, u8), u32>,
    /// Whoever is charged now.
    current: usize,
    /// Counts how often the rows were cleared. A payer that has no row yet says 0.
    generation: u32,
}

#[derive(Debug)]
struct Row {
    who: Arc<Who>,
    db: u8,
    usage: Usage,
}

impl Payer {
    /// For a connection's user, client name and database.
    pub fn new(who: Who, db: u8) -> Payer {
        Payer { who: Arc::new(who), db, at: 0, generation: 0 }
    }

    /// The database.
    #[inline]
    pub fn db(&self) -> u8 {
        self.db
    }

    /// The same in another database.
    pub fn in_db(&self, db: u8) -> Payer {
        Payer { who: self.who.clone(), db, at: 0, generation: 0 }
    }

    /// Whether both are charged in the same row.
    #[inline]
    pub fn has_row_of(&self, other: &Payer) -> bool {
        (self.at, self.generation) == (other.at, other.generation) && self.generation != 0
    }
}

impl Payers {
    pub(crate) fn new() -> Payers {
        let who = Arc::new(Who { user: NOBODY.to_owned(), client: NOBODY.to_owned() });
        let rows = vec![Row { who, db: 0, usage: Usage::default() }];
        Payers { rows, places: HashMap::new(), current: 0, generation: 1 }
    }

    /// Whoever pays from now on.
    #[inline]
    pub(crate) fn set(&mut self, payer: &mut Payer) {
        if payer.generation != self.generation {
            payer.at = self.place(&payer.who, payer.db);
            payer.generation = self.generation;
        }
        self.current = payer.at as usize;
    }

    /// The row of who pays now.
    #[inline]
    pub(crate) fn row(&mut self) -> Option<&mut Usage> {
        self.rows.get_mut(self.current).map(|row| &mut row.usage)
    }

    /// Moves all rows into `parts`. Rows are forgotten when there are many, so that clients which are gone leave room.
    pub(crate) fn drain_into(&mut self, parts: &mut Parts) {
        for Row { who, db, usage } in self.rows.iter_mut().filter(|row| row.usage.calls > 0) {
            let usage = std::mem::take(usage);
            parts.add(Dimension::User, &who.user, &usage);
            parts.add(Dimension::Client, &who.client, &usage);
            parts.add(Dimension::Db, &db.to_string(), &usage);
        }
        if self.rows.len() > PAYERS_MAX / 2 {
            self.rows.truncate(1);
            self.places.clear();
            self.current = 0;
            self.generation = self.generation.wrapping_add(1).max(1);
        }
    }

    #[cold]
    fn place(&mut self, who: &Arc<Who>, db: u8) -> u32 {
        let known = |payers: &Payers, who: &Arc<Who>| payers.places.get(&(who.clone(), db)).copied();
        let other = |user: &str| Arc::new(Who { user: user.to_owned(), client: OTHER.to_owned() });
        // The last has at most a row for each database, so there is always room for it.
        let rooms: [(&dyn Fn() -> Arc<Who>, usize); 3] = [
            (&|| who.clone(), PAYERS_MAX),
            (&|| other(&who.user), PAYERS_MAX + OTHERS_MAX),
            (&|| other(OTHER), usize::MAX),
        ];
        for (who, rows_max) in rooms {
            let who = who();
            if let Some(at) = known(self, &who) {
                return at;
            }
            if self.rows.len() < rows_max {
                let at = self.rows.len() as u32;
                self.rows.push(Row { who: who.clone(), db, usage: Usage::default() });
                self.places.insert((who, db), at);
                return at;
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payer(client: usize, db: u8) -> Payer {
        Payer::new(Who { user: "u".to_owned(), client: client.to_string() }, db)
    }

    fn calls(parts: Parts, wanted: Dimension) -> Vec<(String, u64)> {
        let parts = parts.into_dearest_first().into_iter().filter(|part| part.0 == wanted);
        parts.map(|part| (part.1, part.2.calls)).collect()
    }

    fn charge(payers: &mut Payers, payer: &mut Payer) {
        payers.set(payer);
        let row = payers.row().unwrap();
        (row.calls, row.ecpu_milli) = (row.calls + 1, row.ecpu_milli + 1);
    }

    #[test]
    fn a_payer_keeps_its_row_and_finds_it_again_when_rows_were_cleared() {
        let (mut payers, mut one) = (Payers::new(), payer(1, 3));
        let mut same = payer(1, 3);
        charge(&mut payers, &mut one);
        charge(&mut payers, &mut same);
        assert!(one.has_row_of(&same) && !one.has_row_of(&payer(1, 3)));
        for number in 2..PAYERS_MAX {
            payers.set(&mut payer(number, 0));
        }
        let mut parts = Parts::default();
        payers.drain_into(&mut parts);
        assert_eq!(payers.rows.len(), 1);
        charge(&mut payers, &mut one);
        payers.drain_into(&mut parts);
        assert_eq!(calls(parts.clone(), Dimension::Client), [("1".to_owned(), 3)]);
        assert_eq!(calls(parts, Dimension::Db), [("3".to_owned(), 3)]);
    }

    #[test]
    fn rows_are_bounded_and_users_and_databases_stay_right() {
        let mut payers = Payers::new();
        for number in 0..PAYERS_MAX * 2 {
            charge(&mut payers, &mut payer(number, (number % 16) as u8));
        }
        assert!(payers.rows.len() <= PAYERS_MAX + 16);
        let mut parts = Parts::default();
        payers.drain_into(&mut parts);
        assert_eq!(calls(parts.clone(), Dimension::User), [("u".to_owned(), PAYERS_MAX as u64 * 2)]);
        let dbs = calls(parts.clone(), Dimension::Db);
        assert!(dbs.len() == 16 && dbs.iter().all(|(_, calls)| *calls == PAYERS_MAX as u64 / 8));
        assert_eq!(calls(parts, Dimension::Client)[0].0, OTHER);
    }

    #[test]
    fn many_users_are_bounded_too() {
        let mut payers = Payers::new();
        for number in 0..PAYERS_MAX * 2 {
            let user = number.to_string();
            charge(&mut payers, &mut Payer::new(Who { user, client: "c".to_owned() }, (number % 16) as u8));
        }
        assert!(payers.rows.len() <= PAYERS_MAX + OTHERS_MAX + 16);
        let mut parts = Parts::default();
        payers.drain_into(&mut parts);
        let sum: u64 = calls(parts, Dimension::User).iter().map(|(_, calls)| calls).sum();
        assert_eq!(sum, PAYERS_MAX as u64 * 2);
    }
}
