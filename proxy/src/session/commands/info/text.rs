//! The text of INFO: sections of `name:value` lines.

use std::fmt::{Display, Write};

/// Sizes and their letters, in bytes.
const UNITS: &[(u64, char)] = &[(1 << 50, 'P'), (1 << 40, 'T'), (1 << 30, 'G'), (1 << 20, 'M'), (1 << 10, 'K')];

/// What was written so far.
#[derive(Debug, Default)]
pub struct Text(String);

impl Text {
    /// Begins a section; an empty line stands between two.
    pub fn title(&mut self, title: &str) {
        if !self.0.is_empty() {
            self.0.push_str("\r\n");
        }
        self.write(format_args!("# {title}"));
    }

    /// One field.
    pub fn field(&mut self, name: &str, value: impl Display) {
        self.write(format_args!("{name}:{value}"));
    }

    /// A size in bytes, and again beside it for people.
    pub fn size(&mut self, name: &str, bytes: u64) {
        self.field(name, bytes);
        self.write(format_args!("{name}_human:{}", human(bytes)));
    }

    /// All of it.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn write(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{line}\r\n");
    }
}

/// A size with two decimals and a unit, as Redis writes it.
pub fn human(bytes: u64) -> String {
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, letter)) => format!("{:.2}{letter}", bytes as f64 / *unit as f64),
        None => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_for_people() {
        for (bytes, expected) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (916_368, "894.89K"),
            (12_152_832, "11.59M"),
            (25_276_510_208, "23.54G"),
            (u64::MAX, "16384.00P"),
        ] {
            assert_eq!(human(bytes), expected);
        }
    }

    #[test]
    fn sections_are_apart() {
        let mut text = Text::default();
        text.title("One");
        text.field("a", 1);
        text.size("b", 2048);
        text.title("Two");
        assert_eq!(text.as_bytes(), b"# One\r\na:1\r\nb:2048\r\nb_human:2.00K\r\n\r\n# Two\r\n");
    }
}
