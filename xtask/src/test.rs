use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::Result;
use crate::outcome::Outcome;
use crate::stores::{start_servers, stores, test_file};
use crate::{binaries, check, jobs, servers};

/// Runs the unit tests, the integration tests, the tests in the docs, and builds the examples.
pub fn run() -> Result<()> {
    whole().map(drop)
}

/// Runs the tests and the checks, and ends with the counts of the tests: the checks have a lot to say,
/// and the counts are what people look for.
pub fn run_and_check() -> Result<()> {
    let closing = whole()?;
    check::run()?;
    print!("{closing}");
    Ok(())
}

/// Runs everything and returns the closing lines.
fn whole() -> Result<String> {
    servers::run()?;
    let mut jobs = binaries::build_all()?;
    let stores = stores()?;
    let servers = start_servers(&stores)?;
    for job in &mut jobs {
        job.command.envs(servers.iter().flat_map(|server| server.variables.iter().cloned()));
    }

    // Most of them wait for a server half of the time. More at once would only disturb each other.
    let at_once = thread::available_parallelism().map_or(1, |processors| processors.get().min(4));
    let seen = Mutex::new((Outcome::default(), Vec::new()));
    jobs::run(jobs, at_once, |report| {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        jobs::show(&report)?;
        report.output.lines().for_each(|line| seen.0.read(line));
        if !report.success {
            seen.1.push(format!("{} has failed", report.name));
        }
        Ok(())
    })?;
    drop(servers);

    let (outcome, mut failed) = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.extend(faults(&stores, &outcome));
    for fault in &failed {
        println!("xtask: {fault}");
    }
    let closing = closing_lines(&stores, &outcome);
    print!("{closing}");
    if failed.is_empty() { Ok(closing) } else { Err("the tests have failed".into()) }
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
