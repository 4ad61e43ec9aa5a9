//! A span and two metrics around every operation, where the features are on.

use std::future::Future;

use crate::error::Error;
use crate::token::Key;

/// Runs an operation of the manager. The span `token_session` has the fields `operation` and `key`;
/// the counter `token_session_operations_total` and the histogram `token_session_operation_seconds`
/// have the labels `operation` and, the counter, `outcome`.
pub(crate) async fn observe<R>(
    operation: &'static str,
    key: Option<&Key>,
    work: impl Future<Output = Result<R, Error>>,
) -> Result<R, Error> {
    #[cfg(feature = "tracing")]
    let work = {
        use tracing::Instrument;
        let key = key.map(tracing::field::display);
        work.instrument(tracing::debug_span!("token_session", operation, key))
    };
    #[cfg(not(feature = "tracing"))]
    let _ = key;
    #[cfg(feature = "metrics")]
    let start = std::time::Instant::now();

    let result = work.await;

    #[cfg(feature = "metrics")]
    {
        metrics::histogram!("token_session_operation_seconds", "operation" => operation)
            .record(start.elapsed());
        metrics::counter!("token_session_operations_total",
            "operation" => operation, "outcome" => outcome(&result))
        .increment(1);
    }
    #[cfg(feature = "tracing")]
    if let Err(Error::Store(error)) = &result {
        tracing::warn!(operation, %error, "the session store failed");
    }
    #[cfg(not(any(feature = "metrics", feature = "tracing")))]
    let _ = operation;
    result
}

#[cfg(feature = "metrics")]
fn outcome<R>(result: &Result<R, Error>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(Error::Gone) => "gone",
        Err(Error::Conflict { .. }) => "conflict",
        Err(Error::Store(_)) => "store_error",
        Err(_) => "refused",
    }
}
