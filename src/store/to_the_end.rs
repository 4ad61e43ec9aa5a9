//! Operations of several steps, which a dropped future must not leave half done.

use super::{Result, StoreError, StoreErrorKind};

/// Runs an operation on `place` to its end, though its caller may drop it half-way, as happens when a
/// client hangs up.
pub(super) async fn to_the_end<T: Send + 'static>(
    place: &str,
    operation: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    tokio::spawn(operation).await.unwrap_or_else(|error| {
        let message = format!("the runtime ended in the middle of an operation on {place}");
        Err(StoreError::new(StoreErrorKind::Unavailable, message).with_source(error))
    })
}
