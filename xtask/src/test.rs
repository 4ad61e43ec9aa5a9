use std::fmt::Write as _;
use std::fs;

use crate::Result;
use crate::cargo::{cargo, target_directory, watch};
use crate::outcome::Outcome;
use crate::servers;
use crate::stores::{start_servers, stores, test_file};

/// Runs the unit tests, the integration tests, the tests in the docs, and builds the examples.
pub fn run() -> Result<()> {
    servers::run()?;
    let stores = stores()?;
    let servers = start_servers(&stores)?;
    let mut command = cargo(&["test", "--workspace", "--all-features", "--no-fail-fast"]);
    command.envs(servers.iter().flat_map(|server| server.variables.iter().cloned()));

    let mut outcome = Outcome::default();
    let success = watch(command, |line| outcome.read(line));
    drop(servers);
    let success = success?;

    let closing = closing_lines(&stores, &outcome);
    let faults = faults(&stores, &outcome);
    for fault in &faults {
        println!("xtask: {fault}");
    }
    print!("{closing}");
    // For a script that does more after the tests and wants to end on these lines.
    fs::write(target_directory().join("closing-lines"), closing)?;
    if success && faults.is_empty() { Ok(()) } else { Err("the tests have failed".into()) }
}

/// A line for each store, and the total of all tests.
fn closing_lines(stores: &[String], outcome: &Outcome) -> String {
    let mut lines = String::new();
    for store in stores {
        let _ = writeln!(lines, "{store}: {}", outcome.of(&test_file(store)));
    }
    let _ = writeln!(lines, "{}", outcome.total());
    lines
}

/// What libtest takes for success and is none: a store is tested whole or it is not tested.
fn faults(stores: &[String], outcome: &Outcome) -> Vec<String> {
    let mut faults = Vec::new();
    for store in stores {
        let counts = outcome.of(&test_file(store));
        if counts.passed + counts.failed == 0 {
            faults.push(format!("{} has run no test", test_file(store)));
        }
        if counts.ignored > 0 {
            faults.push(format!("{} ignores {} tests", test_file(store), counts.ignored));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(lines: &[&str]) -> Outcome {
        let mut outcome = Outcome::default();
        lines.iter().for_each(|line| outcome.read(line));
        outcome
    }

    #[test]
    fn a_store_without_tests_and_one_with_ignored_tests_are_faults() {
        let stores = ["memory".to_owned(), "redis".to_owned(), "sqlite".to_owned()];
        let outcome = outcome(&[
            "     Running tests/store_memory.rs (a)",
            "test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured",
            "     Running tests/store_redis.rs (b)",
            "test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured",
        ]);
        assert_eq!(
            faults(&stores, &outcome),
            ["tests/store_redis.rs ignores 1 tests", "tests/store_sqlite.rs has run no test"]
        );
        assert_eq!(
            closing_lines(&stores, &outcome),
            "memory: 5 passed, 0 failed\nredis: 4 passed, 0 failed\n\
             sqlite: 0 passed, 0 failed\n9 passed, 0 failed\n"
        );
    }
}
