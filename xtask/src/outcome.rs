use std::collections::BTreeMap;
use std::fmt;

/// What libtest has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub passed: u64,
    pub failed: u64,
    pub ignored: u64,
    /// Those that the caller did not want.
    pub left_out: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        match self.left_out {
            0 => Ok(()),
            left_out => write!(f, ", {left_out} left out"),
        }
    }
}

/// Reads the output of `cargo test` line by line and keeps the counts of each test binary.
#[derive(Default)]
pub struct Outcome {
    binary: String,
    counts: BTreeMap<String, Counts>,
}

impl Outcome {
    pub fn read(&mut self, line: &str) {
        if let Some(binary) = binary(line) {
            binary.clone_into(&mut self.binary);
        } else if let Some(more) = counts(line) {
            let counts = self.counts.entry(self.binary.clone()).or_default();
            counts.passed += more.passed;
            counts.failed += more.failed;
            counts.ignored += more.ignored;
            counts.left_out += more.left_out;
        }
    }

    /// The counts of one test binary, by the path of its source; none when it has reported none.
    pub fn of(&self, binary: &str) -> Counts {
        self.counts.get(binary).copied().unwrap_or_default()
    }

    pub fn total(&self) -> Counts {
        self.counts.values().fold(Counts::default(), |total, counts| Counts {
            passed: total.passed + counts.passed,
            failed: total.failed + counts.failed,
            ignored: total.ignored + counts.ignored,
            left_out: total.left_out + counts.left_out,
        })
    }
}

/// `     Running tests/store_memory.rs (target/debug/deps/store_memory-0123)`, or `unittests` and a
/// path, or `   Doc-tests` and a crate.
fn binary(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let running = line.strip_prefix("Running ").and_then(|rest| rest.split(" (").next());
    running.or_else(|| line.strip_prefix("Doc-tests "))
}

/// `test result: ok. 8 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1s`
fn counts(line: &str) -> Option<Counts> {
    let (_, numbers) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut counts = Counts::default();
    for part in numbers.split("; ") {
        match part.split_once(' ') {
            Some((number, "passed")) => counts.passed = number.parse().ok()?,
            Some((number, "failed")) => counts.failed = number.parse().ok()?,
            Some((number, "ignored")) => counts.ignored = number.parse().ok()?,
            Some((number, "filtered out")) => counts.left_out = number.parse().ok()?,
            _ => {}
        }
    }
    Some(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
     Running unittests src/lib.rs (target/debug/deps/token_session-1)
test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
     Running tests/store_memory.rs (target/debug/deps/store_memory-2)
running 62 tests
test result: FAILED. 61 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 9.1s
     Running tests/store_redis.rs (target/debug/deps/store_redis-3)
error: test failed, to rerun pass `--test store_redis`
   Doc-tests token_session
test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s
test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s
";

    fn outcome() -> Outcome {
        let mut outcome = Outcome::default();
        OUTPUT.lines().for_each(|line| outcome.read(line));
        outcome
    }

    #[test]
    fn each_result_belongs_to_the_binary_that_was_named_last() {
        let memory = Counts { passed: 61, failed: 1, ..Counts::default() };
        assert_eq!(outcome().of("tests/store_memory.rs"), memory);
        assert_eq!(outcome().of("unittests src/lib.rs").ignored, 1);
        assert_eq!(outcome().of("token_session").passed, 7);
    }

    #[test]
    fn a_binary_that_crashed_has_run_nothing() {
        assert_eq!(outcome().of("tests/store_redis.rs"), Counts::default());
    }

    #[test]
    fn the_total_is_one_line_of_passed_and_failed() {
        assert_eq!(outcome().total().to_string(), "70 passed, 1 failed");
    }

    #[test]
    fn a_test_that_was_left_out_is_counted_as_that_alone() {
        let mut outcome = Outcome::default();
        outcome.read("test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out");
        assert_eq!(outcome.total().to_string(), "2 passed, 0 failed, 3 left out");
    }
}
