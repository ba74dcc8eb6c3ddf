//! The reference pages: `docs/config.md` and `example.toml` from the option table, `docs/commands.md` and
//! `docs/compatibility.md` from the commands'.

mod commands;
mod compatibility;

pub use commands::commands_page;
pub use compatibility::compatibility_page;

use crate::config::values::toml_value;
use crate::config::{DefaultValue, OPTIONS, OptionRow};

/// `docs/config.md`.
pub fn config_page() -> String {
    let mut text = String::from(
        "# Options\n\n\
        Printed by `swell print config`. Every option can be a flag of `swell serve`, a variable or a key in a TOML \
        file (`--config FILE` or `SWELL_CONFIG`; underscores serve as well as dashes). A flag goes before a variable, a \
        variable before the file, the file before the default; a variable that is empty counts as not set. \
        `swell serve --print-config` shows each value and where it came from. Unknown keys and unknown `SWELL_` \
        variables are refused.\n\n\
        Sizes are bytes, or a number with `k`, `m`, `g` (thousands) or `kb`, `mb`, `gb` (of 1024), as in Redis.\n\n\
        | flag | variable | key | default | what it is |\n| --- | --- | --- | --- | --- |\n",
    );
    for row in OPTIONS.iter() {
        let default = match (row.default, row.default_words()) {
            (DefaultValue::Fixed(_), "") => "none".to_owned(),
            (DefaultValue::Fixed(_), words) => format!("`{words}`"),
            (_, words) => words.to_owned(),
        };
        let placeholder = row.placeholder.replace('|', "\\|");
        text += &format!(
            "| `--{} {placeholder}` | `{}` | `{}` | {default} | {} |\n",
            row.name, row.variable, row.name, row.sentence
        );
    }
    text
}

/// `example.toml`: every option with its default, commented out.
pub fn example_toml() -> String {
    let mut text = String::from(
        "# Every option of Swell with its default. Printed by `swell print example-toml`.\n\
        # To use it: swell serve --config FILE\n",
    );
    for row in OPTIONS.iter() {
        text += &format!("\n# {}\n# {} = {}\n", row.sentence, row.name, example(row));
    }
    text
}

fn example(row: &OptionRow) -> String {
    match row.default {
        DefaultValue::Fixed(value) => toml_value(value),
        DefaultValue::OfMachine { words, .. } | DefaultValue::OfOthers { words, .. } => {
            format!("\"{}\"  # without this line: {words}", row.placeholder)
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::config::Config;
    use crate::config::layers::{Typed, Written};
    use crate::testing::{self, Scratch};

    /// With the variable `SWELL_BLESS` set the committed page is rewritten instead.
    pub(crate) fn committed_page_is(name: &str, printed: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        if std::env::var_os("SWELL_BLESS").is_some() {
            fs::write(&path, printed).expect("the page can be written");
        }
        let committed = fs::read_to_string(&path).expect("the page is there");
        assert!(
            committed == printed,
            "{name} is not what is printed: run the tests with SWELL_BLESS=1 and look at the difference"
        );
    }

    #[test]
    fn docs_config_md_is_what_is_printed() {
        committed_page_is("docs/config.md", &config_page());
    }

    #[test]
    fn example_toml_is_what_is_printed() {
        committed_page_is("example.toml", &example_toml());
    }

    #[test]
    fn example_toml_with_its_comments_taken_off_is_accepted() {
        let keys: String = example_toml()
            .lines()
            .filter_map(|line| line.strip_prefix("# "))
            .filter(|line| OPTIONS.iter().any(|row| line.starts_with(&format!("{} = ", row.name))))
            .map(|line| {
                let line = line.replace("\"N\"", "2").replace("\"SIZE\"", "\"1gb\"");
                // Of the link's two notations one goes with what is advertised, and needs a token.
                let line =
                    line.replace("unix:PATH|HOST:PORT", "10.0.0.1:7000").replace("token = \"\"", "token = \"t\"");
                line.replace("\"on|off\"", "\"on\"") + "\n"
            })
            .collect();
        assert_eq!(keys.lines().count(), OPTIONS.len());
        let path = Scratch::new();
        let typed = Typed { config: Some(path.write("example.toml", &keys)), ..Typed::default() };
        let written = Written::gather(&typed, [], &testing::machine()).expect("the keys are known");
        Config::resolve(&written).expect("the values fit");
    }

    #[test]
    fn every_option_is_on_both_pages_with_every_name() {
        let (page, example) = (config_page(), example_toml());
        for row in OPTIONS.iter() {
            for name in [format!("`--{} ", row.name), format!("| `{}` |", row.variable), format!("| `{}` |", row.name)]
            {
                assert!(page.contains(&name), "{name}");
            }
            assert!(page.contains(row.sentence) && example.contains(row.sentence), "{}", row.sentence);
        }
    }
}
