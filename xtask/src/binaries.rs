use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Result;
use crate::cargo::cargo;
use crate::jobs::Job;

/// What `cargo test` would build and run, beside the tests in the docs.
const EVERYTHING: &[&str] = &["--workspace", "--all-features"];

/// The engines of which one binary at a time uses the shared server. Their servers are the slow part of
/// their tests.
const ENGINES: &[&str] = &["mongodb", "mysql", "postgres", "redis"];

/// The jobs that take longest, longest first. They begin first, so that none runs alone at the end.
const LONG: &[&str] = &[
    "tests/store_mongodb.rs",
    "the tests in the docs",
    "tests/node_mongodb.rs",
    "tests/store_postgres.rs",
    "tests/store_mysql.rs",
    "tests/store_redis.rs",
];

/// Builds all test binaries and examples, and returns a job for each binary and one for the tests in
/// the docs, in the order in which they begin.
pub fn build_all() -> Result<Vec<Job>> {
    let mut jobs = build(EVERYTHING)?;
    jobs.push(docs());
    jobs.sort_by_key(|job| LONG.iter().position(|long| *long == job.name).unwrap_or(LONG.len()));
    Ok(jobs)
}

/// Builds the test binaries that cargo's options select, and returns a job for each.
pub fn build(selection: &[&str]) -> Result<Vec<Job>> {
    let mut build = cargo(&["test", "--no-run", "--message-format", "json-render-diagnostics"]);
    let mut build = build.args(selection).stdout(Stdio::piped()).spawn()?;
    let mut messages = String::new();
    if let Some(mut output) = build.stdout.take() {
        output.read_to_string(&mut messages)?;
    }
    if !build.wait()?.success() {
        return Err("the tests do not build".into());
    }
    let mut jobs = Vec::new();
    for message in messages.lines() {
        jobs.extend(binary(&serde_json::from_str(message)?));
    }
    Ok(jobs)
}

/// The tests in the docs, which cargo builds as it runs them.
fn docs() -> Job {
    let mut command = cargo(&["test", "--doc", "--no-fail-fast"]);
    command.args(EVERYTHING);
    Job { name: "the tests in the docs".to_owned(), engine: None, heading: String::new(), command }
}

/// The job of a message of cargo's, if it is about a test binary.
fn binary(message: &Value) -> Option<Job> {
    if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
        return None;
    }
    let program = message["executable"].as_str()?;
    let package = Path::new(message["manifest_path"].as_str()?).parent()?;
    let source = PathBuf::from(message["target"]["src_path"].as_str()?);
    let source = source.strip_prefix(package).unwrap_or(&source).display();
    let is_test = message["target"]["kind"].as_array()?.iter().any(|kind| kind == "test");
    let name = if is_test { source.to_string() } else { format!("unittests {source}") };
    let mut command = Command::new(program);
    // As cargo does it.
    command.current_dir(package).env("CARGO_MANIFEST_DIR", package);
    let engine = ENGINES.iter().copied().find(|engine| name.contains(engine));
    let heading = format!("     Running {name} ({program})\n");
    Some(Job { name, engine, heading, command })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(kind: &str, source: &str, test: bool) -> Value {
        json!({
            "reason": "compiler-artifact",
            "manifest_path": "/project/Cargo.toml",
            "target": { "kind": [kind], "src_path": source },
            "profile": { "test": test },
            "executable": "/target/debug/deps/a-1",
        })
    }

    #[test]
    fn a_test_binary_is_named_as_cargo_names_it() {
        let store = binary(&message("test", "/project/tests/store_redis.rs", true)).unwrap();
        assert_eq!((&*store.name, store.engine), ("tests/store_redis.rs", Some("redis")));
        let heading = "     Running tests/store_redis.rs (/target/debug/deps/a-1)\n";
        assert_eq!(store.heading, heading);
        let library = binary(&message("lib", "/project/src/lib.rs", true)).unwrap();
        assert_eq!((&*library.name, library.engine), ("unittests src/lib.rs", None));
    }

    #[test]
    fn an_example_and_a_build_script_are_no_test_binaries() {
        assert!(binary(&message("example", "/project/examples/accounts/main.rs", false)).is_none());
        assert!(binary(&json!({ "reason": "build-script-executed" })).is_none());
    }
}
