//! Which requests may go again after a link was lost: only what provably did not run. A pure rule, so that the simulator
//! can run the very same.

/// One unanswered request of a connection to the lost link's node, in the order they were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// Its frame was handed over to the system completely: the node may have run it.
    pub sent: bool,
    /// It changes nothing.
    pub read_only: bool,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It did not run, or running it twice makes no difference: it goes again.
    Again,
    /// It may have run: its client reads an error.
    Unknown,
}

/// Decides for all unanswered requests of one connection to one node. A read goes again only if no write of the
/// connection behind it is unanswered: that write may have run, and the read would see what came after it.
pub fn after_lost_link(requests: &[Unanswered]) -> Vec<Fate> {
    let mut write_behind = false;
    let mut fates: Vec<Fate> = requests
        .iter()
        .rev()
        .map(|request| match (request.sent, request.read_only) {
            (false, _) => Fate::Again,
            (true, true) if !write_behind => Fate::Again,
            (true, read_only) => {
                write_behind |= !read_only;
                Fate::Unknown
            }
        })
        .collect();
    fates.reverse();
    fates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_provably_did_not_run_goes_again() {
        let request = |text: &str| Unanswered { sent: text.starts_with('s'), read_only: text.ends_with('r') };
        let fates = |texts: &[&str]| {
            let requests: Vec<Unanswered> = texts.iter().map(|text| request(text)).collect();
            after_lost_link(&requests).iter().map(|fate| *fate == Fate::Again).collect::<Vec<_>>()
        };
        assert_eq!(fates(&["sr", "sr"]), [true, true]);
        assert_eq!(fates(&["sw"]), [false]);
        assert_eq!(fates(&["sr", "sw", "sr"]), [false, false, true]);
        assert_eq!(fates(&["sw", "uw", "ur"]), [false, true, true]);
        // A write that did not go out has not run: reads before it are not disturbed by it.
        assert_eq!(fates(&["sr", "uw"]), [true, true]);
    }
}
