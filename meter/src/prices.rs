//! Price files: what an ECPU and a gigabyte-hour cost, where and when. Dated TOML; one is built in.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

const DEFAULT: &str = include_str!("../prices/elasticache-us-east-1-valkey-2026-11.toml");
/// Longest price file in bytes: one is some hundred long.
const FILE_BYTES_MAX: usize = 64 * 1024;

/// The prices of one place and time.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceFile {
    /// Whose prices they are; stands on the bill.
    pub name: String,
    /// Year and month from which on they hold, `2026-11`.
    pub date: String,
    /// For example `USD`.
    pub currency: String,
    /// Of a million ECPUs, in the currency.
    pub per_million_ecpus: f64,
    /// Of 2^30 bytes stored for an hour, in the currency.
    pub per_gigabyte_hour: f64,
    /// What every hour is metered for at least, in bytes.
    pub minimum_stored_bytes: u64,
}

/// Why a price file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PriceFileError {
    #[error("the price file {} cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("the price file {} {reason}", path.display())]
    Refused { path: PathBuf, reason: Refusal },
}

/// What is wrong with a price file's text.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("is longer than {FILE_BYTES_MAX} bytes")]
    TooLong,
    #[error("is not understood: {0}")]
    Toml(Box<toml::de::Error>),
    #[error("says {key} = {value}: it must be a number of 0 or more")]
    NotAPrice { key: &'static str, value: f64 },
    #[error("has an empty {0}")]
    Empty(&'static str),
    #[error("says date = \"{0}\": it must be a year and a month like \"2026-11\"")]
    NotADate(String),
}

impl Default for PriceFile {
    /// ElastiCache Serverless for Valkey in us-east-1, November 2026.
    fn default() -> Self {
        PriceFile::parse(DEFAULT).expect("a test reads the file that is built in")
    }
}

impl PriceFile {
    /// Reads a price file.
    ///
    /// # Errors
    /// The file cannot be read, is no TOML, misses a key or has an unknown one, or a value makes no sense.
    pub fn load(path: &Path) -> Result<PriceFile, PriceFileError> {
        let text =
            fs::read_to_string(path).map_err(|source| PriceFileError::Unreadable { path: path.to_owned(), source })?;
        PriceFile::parse(&text).map_err(|reason| PriceFileError::Refused { path: path.to_owned(), reason })
    }

    /// Reads the text of a price file.
    ///
    /// # Errors
    /// As [`PriceFile::load`], but for reading.
    pub fn parse(text: &str) -> Result<PriceFile, Refusal> {
        if text.len() > FILE_BYTES_MAX {
            return Err(Refusal::TooLong);
        }
        let prices: PriceFile = toml::from_str(text).map_err(|error| Refusal::Toml(Box::new(error)))?;
        prices.checked()
    }

    /// What so many thousandths of an ECPU cost, in the currency.
    pub fn ecpu_cost(&self, ecpu_milli: u64) -> f64 {
        ecpu_milli as f64 / 1e9 * self.per_million_ecpus
    }

    /// What so many gigabyte-hours cost, in the currency.
    pub fn storage_cost(&self, gigabyte_hours: f64) -> f64 {
        gigabyte_hours * self.per_gigabyte_hour
    }

    fn checked(self) -> Result<PriceFile, Refusal> {
        for (key, value) in
            [("per_million_ecpus", self.per_million_ecpus), ("per_gigabyte_hour", self.per_gigabyte_hour)]
        {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Refusal::NotAPrice { key, value });
            }
        }
        for (key, value) in [("name", &self.name), ("currency", &self.currency)] {
            if value.trim().is_empty() {
                return Err(Refusal::Empty(key));
            }
        }
        if !is_month(&self.date) {
            return Err(Refusal::NotADate(self.date));
        }
        Ok(self)
    }
}

fn is_month(date: &str) -> bool {
    let is_digits = |part: &str, len| part.len() == len && part.bytes().all(|byte| byte.is_ascii_digit());
    date.split_once('-').is_some_and(|(year, month)| {
        is_digits(year, 4) && is_digits(month, 2) && (1..=12).contains(&month.parse().unwrap_or(0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(old: &str, new: &str) -> String {
        assert!(DEFAULT.contains(old), "{old}");
        PriceFile::parse(&DEFAULT.replacen(old, new, 1)).expect_err(new).to_string()
    }

    #[test]
    fn the_built_in_file_has_the_published_prices() {
        let prices = PriceFile::default();
        assert_eq!((prices.per_million_ecpus, prices.per_gigabyte_hour), (0.0023, 0.084));
        assert_eq!((prices.minimum_stored_bytes, prices.currency.as_str()), (100 << 20, "USD"));
        assert_eq!(prices.date, "2026-11");
        assert!((prices.ecpu_cost(1_000_000_000) - 0.0023).abs() < 1e-15);
        // The published floor of an idle cache: about six dollars for a month of 730 hours.
        let idle = prices.storage_cost(730.0 * 100.0 / 1024.0);
        assert!((5.9..6.1).contains(&idle), "{idle}");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        let unknown = with("currency", "per_backup = 1\ncurrency");
        assert!(
            unknown.starts_with("is not understood: ") && unknown.contains("unknown field `per_backup`"),
            "{unknown}"
        );
        assert!(with("currency = \"USD\"", "").contains("missing field `currency`"));
        assert!(with("0.084", "\"cheap\"").contains("invalid type"));
        assert!(with("104_857_600", "-1").contains("invalid value"));
        assert_eq!(with("0.0023", "-0.5"), "says per_million_ecpus = -0.5: it must be a number of 0 or more");
        assert_eq!(with("0.084", "nan"), "says per_gigabyte_hour = NaN: it must be a number of 0 or more");
        assert_eq!(with("\"USD\"", "\" \""), "has an empty currency");
        for date in ["2026-13", "2026-1", "November", "2026-11-01", "+026-11"] {
            assert!(with("\"2026-11\"", &format!("\"{date}\"")).starts_with(&format!("says date = \"{date}\"")));
        }
        assert_eq!(
            PriceFile::parse(&" ".repeat(FILE_BYTES_MAX + 1)).unwrap_err().to_string(),
            "is longer than 65536 bytes"
        );
    }

    #[test]
    fn files_are_named_in_errors() {
        let missing = PriceFile::load(Path::new("no/such/prices.toml")).unwrap_err().to_string();
        assert!(missing.starts_with("the price file no/such/prices.toml cannot be read: "), "{missing}");
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let shipped = PriceFile::load(&manifest.join("prices/elasticache-us-east-1-valkey-2026-11.toml"));
        assert_eq!(shipped.unwrap(), PriceFile::default());
        let other = PriceFile::load(&manifest.join("Cargo.toml")).unwrap_err().to_string();
        assert!(other.contains("Cargo.toml is not understood: "), "{other}");
    }
}
