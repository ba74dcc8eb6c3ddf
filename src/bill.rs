//! `swell bill` and `swell health`: what a running Swell says of itself, for people and for scripts.

use std::path::Path;

use anyhow::{Context, bail};
use swell_meter::store::{Book, BookError, Report};
use swell_meter::{Bill, PriceFile};
use swell_proxy::shared::unix_ms;

use crate::config::Config;
use crate::http::Period;
use crate::run::CACHE;
use crate::{client, ledger, when};

/// The bill of the Swell that `config` describes: a table, or with `json` the JSON as it came.
///
/// # Errors
/// No Swell answers there, or it refuses.
pub fn bill(config: &Config, json: bool) -> anyhow::Result<String> {
    let body = ask(config, "/usage")?;
    if json {
        return Ok(body);
    }
    let bill: Bill = serde_json::from_str(&body).context("the Swell that answers writes bills of another version")?;
    Ok(bill.table())
}

/// What the durable ledger says of a period: a table, or with `json` the JSON as it came. `data_dir`: read it there,
/// whether a Swell runs or not; else the running Swell that `config` describes is asked.
///
/// # Errors
/// No Swell answers there, it refuses, or there is no ledger.
pub fn period(config: &Config, period: &Period, data_dir: Option<&Path>, json: bool) -> anyhow::Result<String> {
    let report: Report = match data_dir {
        Some(dir) => read(config, period, dir)?,
        None => {
            let body = ask(config, &period.path())?;
            if json {
                return Ok(body);
            }
            serde_json::from_str(&body).context("the Swell that answers writes reports of another version")?
        }
    };
    if json {
        return Ok(format!("{}\n", serde_json::to_string(&report)?));
    }
    Ok(report.table(when::show))
}

fn read(config: &Config, period: &Period, data_dir: &Path) -> anyhow::Result<Report> {
    let path = ledger::path(data_dir);
    let prices = match &config.price_file {
        Some(path) => PriceFile::load(path)?,
        None => PriceFile::default(),
    };
    let open = || -> Result<_, BookError> {
        let book = Book::read(&path, CACHE)?;
        let to_ms = period.to_ms.unwrap_or_else(unix_ms);
        let begins_ms = book.begins_ms()?;
        let used = book.used(period.from_ms.unwrap_or(0), to_ms, period.by.dimension())?;
        Ok((used, period.from_ms.or(begins_ms).unwrap_or(to_ms), to_ms))
    };
    let (used, from_ms, to_ms) = open().with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Report::new(CACHE, (from_ms, to_ms), &used, period.by, &prices))
}

/// Fails unless the Swell that `config` describes serves clients.
///
/// # Errors
/// No Swell answers there, or it is not ready.
pub fn health(config: &Config) -> anyhow::Result<()> {
    ask(config, "/readyz").map(drop)
}

fn ask(config: &Config, path: &str) -> anyhow::Result<String> {
    let address =
        config.http.address().context("the HTTP listener is off, so there is nothing to ask: pass --http ADDR")?;
    let address = client::reachable(address);
    let page = client::get(address, path, config.requirepass.get())?;
    match page.status {
        200 => Ok(page.body),
        401 => bail!("http://{address} wants the password: pass --requirepass or set SWELL_REQUIREPASS"),
        status => bail!("http://{address}{path} answers {status}: {}", page.body.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::TcpListener;
    use std::sync::Arc;

    use swell_meter::bill::Cost;
    use swell_meter::counters::Usage;
    use swell_meter::store::{By, Charge, Minute, Stored};

    use super::*;
    use crate::config::values::Listen;
    use crate::http::{Admin, Bounds, Server, doors};
    use crate::testing;

    struct Fake {
        ready: bool,
        bill: serde_json::Value,
    }

    impl Admin for Fake {
        fn metrics(&self) -> String {
            String::new()
        }

        fn ready(&self) -> bool {
            self.ready
        }

        fn usage(&self) -> serde_json::Value {
            self.bill.clone()
        }

        fn status(&self) -> Option<serde_json::Value> {
            None
        }

        fn events(&self, _: u64) -> Option<serde_json::Value> {
            None
        }

        fn period(&self, _: &Period) -> Result<serde_json::Value, String> {
            Ok(self.bill.clone())
        }

        fn authorised(&self, authorization: Option<&str>) -> bool {
            doors::password_matches(authorization, "secret")
        }

        fn local_only(&self) -> bool {
            false
        }
    }

    fn bill_of_nothing() -> Bill {
        Bill {
            cache: "default".to_owned(),
            from_ms: 0,
            to_ms: 1000,
            price_profile: "elasticache".to_owned(),
            prices: "test, 2026-01-01".to_owned(),
            currency: "USD".to_owned(),
            ecpu_milli_total: 1500,
            ecpu_total: "1.500".to_owned(),
            gigabyte_hours: 0.25,
            gigabyte_hours_metered: 0.25,
            cost: Cost { ecpu: 0.1, storage: 0.2, total: 0.3 },
            by_command: BTreeMap::new(),
            by_family: BTreeMap::new(),
        }
    }

    /// A server, and the configuration that leads to it.
    fn start(ready: bool, bill: serde_json::Value, password: &str) -> (Server, Config) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let server = Server::start(listener, Arc::new(Fake { ready, bill }), Bounds::default()).expect("a thread");
        let mut config = testing::config(&[("requirepass", password)]);
        config.http = Listen::At(server.address());
        (server, config)
    }

    #[test]
    fn the_bill_is_the_meters_table_or_its_json() {
        let expected = bill_of_nothing();
        let json = serde_json::to_value(&expected).expect("a bill is JSON");
        let (_server, config) = start(true, json.clone(), "secret");
        assert_eq!(bill(&config, false).expect("it answers"), expected.table());
        let printed = bill(&config, true).expect("it answers");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).expect("JSON"), json);
    }

    #[test]
    fn a_period_is_asked_for_or_read_in_the_data_directory() {
        let scratch = testing::Scratch::new();
        let usage = Usage { calls: 7, ecpu_milli: 7000, ..Usage::default() };
        let stored = Stored { byte_ms: 0.0, ms: 0 };
        let minutes = vec![Minute { at: 5, commands: vec![("get".to_owned(), usage)], parts: vec![], stored }];
        let charge = Charge { proxy: "p".to_owned(), boot: "b".to_owned(), sequence: 1, minutes };
        ledger::open(Some(scratch.path()), CACHE).and_then(|mut book| book.store([&charge], 0)).expect("it is written");
        let all = Period { from_ms: None, to_ms: None, by: By::Command };
        let printed = period(&testing::config(&[]), &all, Some(scratch.path()), true).expect("it is there");
        let (_server, config) = start(true, serde_json::from_str(&printed).expect("JSON"), "secret");
        let table = period(&config, &all, None, false).expect("it answers");
        assert!(table.starts_with("Usage of default from 1970-01-01T00:00:00Z to "), "{table}");
        assert!(table.contains("\nget          7       0  7.000 "), "{table}");
        let nowhere = scratch.path().join("nowhere");
        let error = period(&config, &all, Some(&nowhere), false).expect_err("there is nothing").to_string();
        assert_eq!(error, format!("cannot read {}", nowhere.join("ledger.db").display()));
    }

    #[test]
    fn what_is_no_bill_is_said() {
        let (_server, config) = start(true, serde_json::json!({}), "secret");
        let error = bill(&config, false).expect_err("it is no bill").to_string();
        assert_eq!(error, "the Swell that answers writes bills of another version");
    }

    #[test]
    fn a_wrong_password_is_said() {
        let (server, config) = start(true, serde_json::json!({}), "wrong");
        let error = bill(&config, false).expect_err("it is refused").to_string();
        let words = "wants the password: pass --requirepass or set SWELL_REQUIREPASS";
        assert_eq!(error, format!("http://{} {words}", server.address()));
    }

    #[test]
    fn health_is_readiness_and_needs_no_password() {
        let (_ready, config) = start(true, serde_json::json!({}), "");
        health(&config).expect("it is ready");
        let (waiting, config) = start(false, serde_json::json!({}), "");
        let error = health(&config).expect_err("it is not ready").to_string();
        assert!(error.starts_with(&format!("http://{}/readyz answers 503: not ready", waiting.address())), "{error}");
    }
}
