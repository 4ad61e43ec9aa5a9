//! A span and two metrics around every operation, where the features are on.

use std::future::Future;

use crate::error::Error;
use crate::key::Key;

/// Runs an operation of the manager. The span `token_session` has the fields `operation`, `key` and
/// `outcome`; the counter `token_session_operations_total` and the histogram
/// `token_session_operation_seconds` have the labels `operation` and, the counter, `outcome`.
pub(crate) async fn observe<R>(
    operation: &'static str,
    key: Option<&Key>,
    work: impl Future<Output = Result<R, Error>>,
) -> Result<R, Error> {
    run(operation, None, key, work).await
}

/// Runs an operation of codes or links, as [`observe`] does those of the manager. Span, counter and
/// histogram also have the purpose. They never tell the subject or the payload.
pub(crate) async fn observe_for<R, E: Failure>(
    purpose: &str,
    operation: &'static str,
    key: Option<&Key>,
    work: impl Future<Output = Result<R, E>>,
) -> Result<R, E> {
    run(operation, Some(purpose), key, work).await
}

/// An error, as spans and metrics see it.
#[cfg_attr(not(any(feature = "metrics", feature = "tracing")), expect(dead_code))]
pub(crate) trait Failure: std::error::Error {
    /// One of a few fixed words.
    fn outcome(&self) -> &'static str;
}

/// The outcome that logs a warning.
pub(crate) const STORE_ERROR: &str = "store_error";

async fn run<R, E: Failure>(
    operation: &'static str,
    purpose: Option<&str>,
    key: Option<&Key>,
    work: impl Future<Output = Result<R, E>>,
) -> Result<R, E> {
    #[cfg(feature = "tracing")]
    let (work, span) = {
        use tracing::Instrument;
        use tracing::field::{Empty, display};
        let key = key.map(display);
        let outcome = Empty;
        let span = tracing::debug_span!("token_session", operation, purpose, key, outcome);
        (work.instrument(span.clone()), span)
    };
    #[cfg(not(feature = "tracing"))]
    let _ = key;
    #[cfg(feature = "metrics")]
    let start = std::time::Instant::now();

    let result = work.await;

    #[cfg(any(feature = "metrics", feature = "tracing"))]
    let outcome = result.as_ref().err().map_or("ok", Failure::outcome);
    #[cfg(feature = "metrics")]
    measure(operation, purpose, outcome, start.elapsed());
    #[cfg(feature = "tracing")]
    {
        span.record("outcome", outcome);
        if let Err(error) = &result
            && outcome == STORE_ERROR
        {
            // Not left to the span, which exists only at the debug level.
            let key = key.map(tracing::field::display);
            span.in_scope(|| tracing::warn!(operation, purpose, key, %error, "the store failed"));
        }
    }
    #[cfg(not(any(feature = "metrics", feature = "tracing")))]
    let _ = (operation, purpose);
    result
}

#[cfg(feature = "metrics")]
fn measure(
    operation: &'static str,
    purpose: Option<&str>,
    outcome: &'static str,
    took: std::time::Duration,
) {
    use metrics::{Label, counter, histogram};
    let mut labels = Vec::with_capacity(3);
    labels.push(Label::from_static_parts("operation", operation));
    labels.extend(purpose.map(|purpose| Label::new("purpose", purpose.to_owned())));
    histogram!("token_session_operation_seconds", labels.clone()).record(took);
    labels.push(Label::from_static_parts("outcome", outcome));
    counter!("token_session_operations_total", labels).increment(1);
}
