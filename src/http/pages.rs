//! The pages of the HTTP side: what each path answers, to whom, and how a request is refused.

use std::net::IpAddr;

use http_body_util::Full;
use hyper::body::{Body, Bytes};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use swell_proxy::shared::unix_ms;

use super::{Admin, Period, doors};

const TEXT: &str = "text/plain; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const JSON: &str = "application/json";

const INDEX: &str = "Swell\n\n\
/metrics  metrics in Prometheus's text format\n\
/usage    what was used since the start and what it costs, as JSON (swell bill prints it); of another time, from the\n\
          ledger: /usage?from=-1h&to=now&by=command (or family, hour, minute, user, client, db, prefix)\n\
/status   nodes, moves and scaling at a glance, as JSON\n\
/events   what happened to nodes and slots, as JSON; /events?after=N: what came after event N\n\
/healthz  200 while the process runs\n\
/readyz   200 while clients are served\n";

/// Answers one request.
pub(super) fn answer(
    admin: &dyn Admin,
    peer: IpAddr,
    body_bytes_max: u64,
    request: &Request<impl Body>,
) -> Response<Full<Bytes>> {
    if admin.local_only() && !doors::is_local(peer) {
        return closing(text(StatusCode::FORBIDDEN, doors::PROTECTED));
    }
    if request.body().size_hint().lower() > body_bytes_max {
        return closing(text(StatusCode::PAYLOAD_TOO_LARGE, "no page reads a request body\n"));
    }
    let path = request.uri().path();
    let open = matches!(path, "/healthz" | "/readyz");
    let authorization = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if !open && !admin.local_only() && !admin.authorised(authorization) {
        return unauthorised();
    }
    if !matches!(path, "/" | "/metrics" | "/usage" | "/status" | "/events" | "/healthz" | "/readyz") {
        return text(StatusCode::NOT_FOUND, "no such page: / lists those that are here\n");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "this page can only be read: GET or HEAD\n");
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    page(admin, path, request.uri().query().unwrap_or_default())
}

fn page(admin: &dyn Admin, path: &str, query: &str) -> Response<Full<Bytes>> {
    match path {
        "/metrics" => respond(StatusCode::OK, PROMETHEUS, admin.metrics()),
        "/usage" if !query.is_empty() => period(admin, query),
        "/usage" => respond(StatusCode::OK, JSON, format!("{}\n", admin.usage())),
        "/status" => of_scaler(admin.status()),
        "/events" => match after(query) {
            Some(after) => of_scaler(admin.events(after)),
            None => text(StatusCode::BAD_REQUEST, "the only parameter is after=NUMBER\n"),
        },
        "/healthz" => text(StatusCode::OK, "ok\n"),
        "/readyz" if admin.ready() => text(StatusCode::OK, "ready\n"),
        "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "not ready: clients are not served yet, or no more\n"),
        _ => text(StatusCode::OK, INDEX),
    }
}

/// What the durable ledger says.
fn period(admin: &dyn Admin, query: &str) -> Response<Full<Bytes>> {
    match Period::of_query(query, unix_ms()) {
        Err(why) => respond(StatusCode::BAD_REQUEST, TEXT, format!("{why}\n")),
        Ok(period) => match admin.period(&period) {
            Ok(report) => respond(StatusCode::OK, JSON, format!("{report}\n")),
            Err(why) => respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{why}\n")),
        },
    }
}

/// `after=N`; without it all events are after it.
fn after(query: &str) -> Option<u64> {
    match query.split_once('=') {
        None if query.is_empty() => Some(0),
        Some(("after", number)) => number.parse().ok(),
        _ => None,
    }
}

fn of_scaler(answer: Option<serde_json::Value>) -> Response<Full<Bytes>> {
    match answer {
        Some(answer) => respond(StatusCode::OK, JSON, format!("{answer}\n")),
        None => text(StatusCode::SERVICE_UNAVAILABLE, "no scaler answers\n"),
    }
}

fn unauthorised() -> Response<Full<Bytes>> {
    let words = "a password is set: send it with HTTP Basic (any user) or as Bearer token\n";
    let mut refused = text(StatusCode::UNAUTHORIZED, words);
    refused.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"Swell\""));
    refused
}

/// The response, after which the connection ends.
fn closing(mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    respond(status, TEXT, body)
}

fn respond(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
