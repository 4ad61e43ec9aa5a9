use std::path::Path;
use std::sync::{Mutex, PoisonError};

use test_servers::Newest;

use crate::Result;
use crate::outcome::Outcome;
use crate::{binaries, jobs};

/// Where the servers are kept from one run to the next.
const FOLDER: &str = "/var/cache/token-session-newest";

/// One of the newest servers.
struct Newcomer {
    program: &'static str,
    /// The program that the tests start where they need a Redis.
    redis: &'static str,
    /// The tests of the stores on it.
    tests: &'static [&'static str],
    /// The tests whose names begin like this are left out.
    without: &'static [&'static str],
}

const NEWCOMERS: &[Newcomer] = &[
    Newcomer {
        program: "redis-server",
        redis: "redis-server",
        tests: &["store_redis", "redis", "node_redis"],
        without: &[],
    },
    Newcomer {
        program: "valkey-server",
        redis: "valkey-server",
        tests: &["store_redis", "redis", "node_redis"],
        without: &[],
    },
    Newcomer {
        program: "postgres",
        redis: "redis-server",
        tests: &["store_postgres", "node_postgres", "watching"],
        without: &[],
    },
    Newcomer {
        program: "mysqld",
        redis: "redis-server",
        tests: &["store_mysql", "node_mysql"],
        // The package `mysql`, which it uses, cannot log in to MySQL 9.
        without: &["version_2::"],
    },
];

/// Runs the tests of the stores against the newest servers that Debian has, one server after another.
pub fn run() -> Result<()> {
    let newest = Newest::prepare(Path::new(FOLDER))?;
    let mut closing = Vec::new();
    let mut success = true;
    for newcomer in NEWCOMERS {
        let version = newest.version(newcomer.program)?;
        println!("xtask: {version}");
        closing.push(version);
        for (passed, line) in test(&newest, newcomer)? {
            success &= passed;
            closing.push(format!("  {line}"));
        }
    }
    closing.iter().for_each(|line| println!("{line}"));
    if success { Ok(()) } else { Err("the tests have failed".into()) }
}

/// Runs the tests of one server. A line about each program of tests, and whether it passed.
fn test(newest: &Newest, newcomer: &Newcomer) -> Result<Vec<(bool, String)>> {
    let mut selection = vec!["--all-features"];
    newcomer.tests.iter().for_each(|test| selection.extend(["--test", test]));
    let mut jobs = binaries::build(&selection)?;
    for job in &mut jobs {
        newest.give(&mut job.command, newcomer.redis);
        for name in newcomer.without {
            job.command.args(["--skip", name]);
        }
    }
    let lines = Mutex::new(Vec::new());
    jobs::run(jobs, 1, |report| {
        jobs::show(&report)?;
        let mut outcome = Outcome::default();
        report.output.lines().for_each(|line| outcome.read(line));
        let fault = fault(report.success, &outcome);
        let line = format!("{}: {}{}", report.name, outcome.total(), fault.unwrap_or(""));
        lines.lock().unwrap_or_else(PoisonError::into_inner).push((fault.is_none(), line));
        Ok(())
    })?;
    Ok(lines.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// What is wrong with a program of tests that has ended: a store is tested whole, or it is not tested.
fn fault(success: bool, outcome: &Outcome) -> Option<&'static str> {
    let counts = outcome.total();
    match () {
        () if counts.failed > 0 => Some(""),
        () if !success => Some(", and the program failed"),
        () if counts.passed == 0 => Some(", no test has run"),
        () if counts.ignored > 0 => Some(", some were ignored"),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault_of(success: bool, line: &str) -> Option<&'static str> {
        let mut outcome = Outcome::default();
        outcome.read(line);
        fault(success, &outcome)
    }

    #[test]
    fn tests_that_fail_crash_or_do_not_run_are_faults() {
        assert_eq!(fault_of(true, "test result: ok. 5 passed; 0 failed; 0 ignored"), None);
        let failed = "test result: FAILED. 5 passed; 1 failed; 0 ignored";
        assert_eq!(fault_of(false, failed), Some(""));
        assert_eq!(fault_of(false, ""), Some(", and the program failed"));
        assert_eq!(fault_of(true, ""), Some(", no test has run"));
        let ignored = "test result: ok. 5 passed; 0 failed; 1 ignored";
        assert_eq!(fault_of(true, ignored), Some(", some were ignored"));
    }
}
