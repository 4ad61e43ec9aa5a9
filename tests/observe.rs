//! What logs and metrics are told: every operation, and never a secret.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, LazyLock, Mutex};

use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use token_session::{Lifetime, NewSession, Owner, Token, TokenSession};
use tracing_subscriber::fmt::format::FmtSpan;

#[path = "observe/codes.rs"]
mod codes;

/// Each operation of the manager, once.
const OPERATIONS: [&str; 19] = [
    "create",
    "get",
    "get_and_touch",
    "get_untouched",
    "set",
    "set_with_lifetime",
    "update",
    "touch",
    "regenerate",
    "reauthenticate",
    "take",
    "destroy",
    "owned",
    "destroy_owned",
    "destroy_all",
    "all",
    "count",
    "sweep",
    "clear",
];

/// Runs all of them, and returns the tokens that were in play.
async fn run_everything() -> Vec<String> {
    let sessions = TokenSession::<u32>::in_memory();
    let owner = Owner::new("anna").unwrap();
    let new = NewSession::new().owner(owner.clone());
    let first = sessions.create_with(&1, &new).await.unwrap().token;
    sessions.get(&first).await.unwrap();
    sessions.get_and_touch(&first).await.unwrap();
    sessions.get_untouched(&first).await.unwrap();
    sessions.set(&first, &2).await.unwrap();
    let lifetime = Lifetime::idle_secs(60).unwrap();
    sessions.set_with_lifetime(&first, &3, lifetime).await.unwrap();
    sessions.update(&first, |data| *data += 1).await.unwrap();
    sessions.touch(&first).await.unwrap();
    let second = sessions.regenerate(&first).await.unwrap().token;
    let third = sessions.reauthenticate(&second).await.unwrap();
    sessions.owned(&owner, 10).await.unwrap();
    sessions.destroy_owned(&owner, &third.key).await.unwrap();
    sessions.destroy_all(&owner).await.unwrap();
    sessions.all(None, 10).await.unwrap();
    sessions.count().await.unwrap();
    let fourth = sessions.create(&1).await.unwrap().token;
    sessions.take(&fourth).await.unwrap();
    sessions.destroy(&fourth).await.unwrap();
    sessions.update(&fourth, |data| *data += 1).await.unwrap_err();
    sessions.sweep(10).await.unwrap();
    sessions.clear().await.unwrap();
    let tokens: [Token; 4] = [first, second, third.token, fourth];
    tokens.iter().map(|token| token.reveal().to_owned()).collect()
}

fn block_on<R>(work: impl Future<Output = R>) -> R {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Counts by `operation/outcome`, and how many durations were recorded.
#[derive(Clone, Default)]
struct Counts(Arc<Mutex<BTreeMap<String, u64>>>);

struct Count(Counts, String);

impl Count {
    fn add(&self, number: u64) {
        *self.0.0.lock().unwrap().entry(self.1.clone()).or_default() += number;
    }
}

impl CounterFn for Count {
    fn increment(&self, value: u64) {
        self.add(value);
    }

    fn absolute(&self, _: u64) {}
}

impl HistogramFn for Count {
    fn record(&self, _: f64) {
        self.add(1);
    }
}

impl Counts {
    fn of(&self, key: &Key) -> Arc<Count> {
        let labels: Vec<_> = key.labels().map(|label| label.value()).collect();
        Arc::new(Count(self.clone(), format!("{} {}", key.name(), labels.join("/"))))
    }
}

impl Recorder for Counts {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.of(key))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.of(key))
    }
}

/// What one run told. All tests look at the same one: `tracing` may miss a subscriber that comes
/// while another thread meets a span for the first time.
struct Observed {
    log: String,
    counts: BTreeMap<String, u64>,
    secrets: Vec<String>,
}

static OBSERVED: LazyLock<Observed> = LazyLock::new(|| {
    let (captured, counts) = (Captured::default(), Counts::default());
    let writer = captured.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let run = async || [run_everything().await, codes::run_everything().await].concat();
    let secrets = tracing::subscriber::with_default(subscriber, || {
        metrics::with_local_recorder(&counts, || block_on(run()))
    });
    let log = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    let counts = counts.0.lock().unwrap().clone();
    Observed { log, counts, secrets }
});

#[test]
fn every_operation_has_a_span_and_no_log_holds_a_secret() {
    let Observed { log, secrets, counts } = &*OBSERVED;
    for operation in OPERATIONS.iter().chain(&codes::OPERATIONS) {
        assert!(log.contains(&format!(r#"operation="{operation}""#)), "{operation} in {log}");
    }
    assert!(log.contains("key="));
    for secret in secrets {
        assert!(!log.contains(secret), "{secret} in {log}");
        assert!(!counts.keys().any(|name| name.contains(secret)), "{secret} in {counts:?}");
    }
}

#[test]
fn a_span_says_what_became_of_the_operation() {
    let log = &OBSERVED.log;
    let line = |operation: &str, outcome: &str| {
        let (operation, outcome) = (format!("{operation:?}"), format!("{outcome:?}"));
        let fits = |line: &str| line.contains(&operation) && line.contains(&outcome);
        log.lines().find(|line| fits(line)).map(str::to_owned)
    };
    assert!(line("update", "gone").is_some(), "{log}");
    let refused = line("redeem_code", "refused").unwrap_or_else(|| panic!("{log}"));
    assert!(refused.contains(r#"purpose="sign-in""#) && refused.contains("key="), "{refused}");
}

#[test]
fn a_store_that_fails_is_a_warning_and_an_outcome() {
    let Observed { log, counts, .. } = &*OBSERVED;
    let warning = log.lines().find(|line| line.contains("the store failed"));
    let warning = warning.unwrap_or_else(|| panic!("{log}"));
    assert!(warning.contains("WARN") && warning.contains(r#"purpose="no-room""#), "{warning}");
    let outcome = "token_session_operations_total issue_code/no-room/store_error";
    assert_eq!(counts.get(outcome), Some(&1));
}

#[test]
fn operations_of_codes_and_links_are_counted_by_purpose_and_outcome() {
    let counts = &OBSERVED.counts;
    let of = |what: &str| counts.get(&format!("token_session_operations_total {what}")).copied();
    for operation in codes::OPERATIONS {
        let succeeded = ["sign-in", "pair", "recovery", "download"];
        let succeeded = succeeded.map(|purpose| of(&format!("{operation}/{purpose}/ok")));
        assert!(succeeded.iter().any(Option::is_some), "{operation} in {counts:?}");
    }
    assert_eq!(of("redeem_code/sign-in/refused"), Some(1));
    assert_eq!(of("redeem_code/sign-in/ok"), Some(1));
    assert_eq!(of("resend_code/sign-in/too_soon"), Some(1));
    assert_eq!(of("lease_code/sign-in/ok"), Some(2));
    assert_eq!(of("redeem_link/download/refused"), Some(2));
    assert_eq!(of("abort_code/wrong/lease_lost"), Some(1));
    assert_eq!(of("resend_code/wrong/error"), Some(1));
    assert!(counts.contains_key("token_session_operation_seconds redeem_code/sign-in"));
}

#[test]
fn every_operation_is_counted_by_its_outcome_and_timed() {
    let counts = &OBSERVED.counts;
    for operation in OPERATIONS {
        let outcome = format!("token_session_operations_total {operation}/ok");
        assert!(counts.contains_key(&outcome), "{outcome} in {counts:?}");
        let timed = format!("token_session_operation_seconds {operation}");
        assert!(counts.contains_key(&timed), "{timed} in {counts:?}");
    }
    assert_eq!(counts["token_session_operations_total create/ok"], 2);
    assert_eq!(counts["token_session_operations_total update/gone"], 1);
}
