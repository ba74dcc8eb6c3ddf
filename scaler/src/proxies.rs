//! What proxies ask each other: a question goes to all others, and their answers come back together. The scaler passes
//! them on unread. Also who of them has clients that monitor, and what is shown to these.

use std::time::Duration;

use serde_json::Value;
use swell_node::control::{Answer, ToMember};
use tokio::time::Instant;

use crate::ask::Asker;
use crate::members::{LinkId, encoded};
use crate::nodes::Who;
use crate::writer::Writer;

/// How long the other proxies have for their answers. Those that take longer are left out.
pub const ANSWER_WAIT: Duration = Duration::from_millis(500);
/// Questions that wait at once.
pub const QUESTIONS_MAX: usize = 1024;
/// Bytes of all answers to one question: they go over the asker's link in one frame. What is beyond is left out.
pub const ANSWERS_BYTES_MAX: usize = 3 * 1024 * 1024;
/// A proxy that leaves so much unread is shown no more commands until it has read.
pub const SHOWN_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The questions that are not answered yet.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    last: u64,
    open: Vec<Question>,
}

#[derive(Debug)]
struct Question {
    number: u64,
    asker: Asker,
    /// Who has not answered.
    waits_for: Vec<LinkId>,
    told: Vec<Value>,
    bytes: usize,
    until: Instant,
}

impl Questions {
    /// When the next one is given up.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.open.iter().map(|question| question.until).min()
    }

    /// Somebody has answered.
    fn told(&mut self, link: LinkId, number: u64, told: Value) {
        let Some(question) = self.open.iter_mut().find(|question| question.number == number) else { return };
        let Some(at) = question.waits_for.iter().position(|waited| *waited == link) else { return };
        question.waits_for.swap_remove(at);
        let bytes = told.to_string().len();
        if question.bytes + bytes <= ANSWERS_BYTES_MAX {
            question.bytes += bytes;
            question.told.push(told);
        }
    }

    /// Nobody waits for this link any more, nor does it ask.
    fn lost(&mut self, link: LinkId) {
        self.open.retain(|question| question.asker.link != link);
        self.open.iter_mut().for_each(|question| question.waits_for.retain(|waited| *waited != link));
    }

    /// Takes those out that all have answered, or whose time is up.
    fn take_over(&mut self, now: Instant) -> Vec<(Asker, Vec<Value>)> {
        let is_over = |question: &Question| question.waits_for.is_empty() || question.until <= now;
        let (over, rest) = std::mem::take(&mut self.open).into_iter().partition(is_over);
        self.open = rest;
        let over: Vec<Question> = over;
        over.into_iter().map(|question| (question.asker, question.told)).collect()
    }
}

impl Writer {
    /// A proxy (or a person) asks all other proxies.
    pub(crate) fn ask_proxies(&mut self, asker: Asker, question: Value, monitors: Option<bool>, now: Instant) {
        if let (Some(monitors), Some(party)) = (monitors, self.parties.get_mut(&asker.link)) {
            party.has_monitors = monitors;
            // On the same links before the question: who has answered it shows what comes after.
            self.tell_proxies();
        }
        if self.questions.open.len() >= QUESTIONS_MAX {
            return self.answer_refused(asker, "TRYAGAIN too many questions wait for proxies");
        }
        let waits_for: Vec<LinkId> = self.proxy_links().filter(|link| *link != asker.link).collect();
        self.questions.last += 1;
        let number = self.questions.last;
        let bytes = encoded(&ToMember::Question { id: number, question });
        for party in waits_for.iter().filter_map(|link| self.parties.get(link)) {
            party.link.send_bytes(&bytes);
        }
        let until = now + ANSWER_WAIT;
        self.questions.open.push(Question { number, asker, waits_for, told: Vec::new(), bytes: 0, until });
        self.end_questions(now);
    }

    /// A proxy has answered.
    pub(crate) fn proxy_told(&mut self, link: LinkId, number: u64, told: Value, now: Instant) {
        self.questions.told(link, number, told);
        self.end_questions(now);
    }

    /// Passes on what all have answered, and what has waited long enough.
    pub(crate) fn end_questions(&mut self, now: Instant) {
        for (asker, told) in self.questions.take_over(now) {
            self.answer(asker, Answer::Told(told));
        }
    }

    /// Who is linked has changed.
    pub(crate) fn proxies_have_changed(&mut self, gone: Option<LinkId>, now: Instant) {
        if let Some(gone) = gone {
            self.questions.lost(gone);
            self.end_questions(now);
        }
        self.tell_proxies();
    }

    /// Shows commands of this proxy's clients to other proxies whose clients monitor.
    pub(crate) fn show_commands(&self, from: LinkId, lines: Vec<String>) {
        let bytes = encoded(&ToMember::Shown { lines });
        for (link, party) in &self.parties {
            if *link != from && party.has_monitors && party.link.unsent_bytes() < SHOWN_BYTES_MAX {
                party.link.send_bytes(&bytes);
            }
        }
    }

    /// Tells each proxy of the others.
    fn tell_proxies(&self) {
        let links: Vec<LinkId> = self.proxy_links().collect();
        for link in &links {
            let others = links.iter().filter(|other| *other != link);
            let monitored = others.filter_map(|other| self.parties.get(other)).any(|party| party.has_monitors);
            if let Some(party) = self.parties.get(link) {
                party.link.send(&ToMember::Proxies { others: links.len() as u32 - 1, monitored });
            }
        }
    }

    fn proxy_links(&self) -> impl Iterator<Item = LinkId> {
        self.parties.iter().filter(|(_, party)| matches!(party.who, Who::Proxy(_))).map(|(link, _)| *link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(questions: &mut Questions, number: u64, asker: u64, waits_for: &[u64], until: Instant) {
        let asker = Asker { link: LinkId(asker), number: 7 };
        let waits_for = waits_for.iter().copied().map(LinkId).collect();
        questions.open.push(Question { number, asker, waits_for, told: Vec::new(), bytes: 0, until });
    }

    #[test]
    fn a_question_ends_when_all_have_answered_are_gone_or_late() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        open(&mut questions, 1, 1, &[2, 3], now + ANSWER_WAIT);
        open(&mut questions, 2, 2, &[1, 3], now + ANSWER_WAIT);
        questions.told(LinkId(2), 1, Value::from("a"));
        questions.told(LinkId(2), 1, Value::from("twice"));
        questions.told(LinkId(1), 2, Value::from("b"));
        assert!(questions.take_over(now).is_empty(), "the third has not answered");
        questions.lost(LinkId(3));
        let told: Vec<_> = questions.take_over(now).into_iter().map(|(asker, told)| (asker.link.0, told)).collect();
        assert_eq!(told, [(1, vec![Value::from("a")]), (2, vec![Value::from("b")])]);
        open(&mut questions, 3, 1, &[2], now + ANSWER_WAIT);
        open(&mut questions, 4, 9, &[2], now + ANSWER_WAIT);
        questions.lost(LinkId(9));
        assert_eq!(questions.due(), Some(now + ANSWER_WAIT));
        let over = questions.take_over(now + ANSWER_WAIT);
        assert_eq!(over.len(), 1, "whoever has gone reads no answer");
        assert!(over[0].1.is_empty());
    }
}
