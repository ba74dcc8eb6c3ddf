//! `swell bill` and `swell health`: what a running Swell says of itself, for people and for scripts.

use anyhow::{Context, bail};
use swell_meter::Bill;

use crate::client;
use crate::config::Config;

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
