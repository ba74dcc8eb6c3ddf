//! Applications that people use, unchanged: job queues, frameworks, caches, admin tools. Each program of tests/apps
//! compares what the application did with what the cache says, and ends with a line of its numbers.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use crate::harness::{Server, Subject, Swell, Topology, app_script, apps_modules, apps_python, program};

/// Seconds after which an application has hung, at a factor of one.
const APP_S_MAX: u64 = 170;

/// What the names of keys that stand together in one request begin with, where data is in several places.
const TAG: &str = "{app}";

/// How much more there is to do than in a usual run.
fn factor() -> u64 {
    let set = std::env::var("SWELL_APPS_FACTOR");
    set.map_or(1, |text| text.parse().expect("SWELL_APPS_FACTOR is a number"))
}

/// Runs a program of tests/apps against these addresses and checks its last line.
fn run(script: &str, addresses: &str, tag: &str) {
    let interpreter = match script.rsplit_once('.').expect("a script has an extension").1 {
        "js" => program("node"),
        "rb" => program("ruby"),
        _ => apps_python(),
    };
    let mut command = Command::new("timeout");
    command.arg((APP_S_MAX * factor()).to_string()).arg(interpreter).arg(app_script(script));
    if script.ends_with(".js") {
        command.env("NODE_PATH", apps_modules());
    }
    command.env("PYTHONDONTWRITEBYTECODE", "1").args([addresses, &factor().to_string(), tag].map(OsStr::new));
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|why| panic!("{command:?}: {why}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    let last = out.lines().last().unwrap_or_default();
    assert!(last.starts_with("ok "), "{command:?} said nothing of its work\n{out}\n{err}");
    println!("{last}");
}

/// What they run against: as it comes.
fn on_one_node(script: &str) {
    run(script, &Subject::resp().resp, "");
}

/// Three nodes behind two proxies. The real server has one door.
fn on_three_nodes(script: &str, tag: &str) {
    let server = Subject::resp_in(Topology::Remote3);
    let second: Option<Server> = Subject::is_swell().then(|| Swell::join(&server, &[]));
    let addresses: Vec<&str> = [&server].into_iter().chain(&second).map(|door| door.resp.as_str()).collect();
    run(script, &addresses.join(","), tag);
}

mod one_node {
    use super::{on_one_node, run};
    use crate::harness::{Subject, Topology};

    /// Celery asks for news of a result on one connection and for the result on another, without waiting in between: it
    /// counts on a server that looks at the first before the second, which only one worker promises.
    #[test]
    fn celery() {
        let args: &[&str] = if Subject::is_swell() { &["--workers", "1"] } else { &[] };
        run("celery_app.py", &Subject::resp_with(Topology::Embedded, args).resp, "");
    }

    macro_rules! applications {
        ($($name:ident $script:literal)*) => { $(#[test] fn $name() { on_one_node($script); })* };
    }

    applications! {
        bullmq "bullmq.js"
        connect_redis "express_app.js"
        django_redis "django_app.py"
        fanout "fanout.py"
        flask_session "flask_app.py"
        insight "insight.py"
        ioredis "ioredis_app.js"
        node_redis "node_redis.js"
        redis_cli "redis_cli_app.py"
        redis_py "redis_py_app.py"
        redlock "redlock.js"
        rq "rq_app.py"
        sidekiq "sidekiq_app.rb"
        socket_io "socketio.js"
    }
}

mod three_nodes {
    use super::{TAG, on_three_nodes};

    #[test]
    fn bullmq() {
        on_three_nodes("bullmq.js", TAG);
    }

    #[test]
    fn django_redis() {
        // What the library puts into a transaction has to share a slot.
        on_three_nodes("django_app.py", TAG);
    }

    #[test]
    fn fanout() {
        on_three_nodes("fanout.py", "");
    }

    #[test]
    fn redis_py() {
        on_three_nodes("redis_py_app.py", TAG);
    }

    #[test]
    fn socket_io() {
        on_three_nodes("socketio.js", TAG);
    }
}
