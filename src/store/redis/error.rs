//! What a Redis error means to the caller of a store.

use std::error::Error;
use std::io;
use std::sync::Arc;

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::store::{StoreError, StoreErrorKind};

/// The store's error for a Redis one.
pub(in crate::store) fn store_error(error: RedisError) -> StoreError {
    let (kind, message) = classify(&error);
    StoreError::new(kind, message).with_source(error)
}

/// The answer did not come in time.
pub(super) fn timed_out() -> RedisError {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time").into()
}

/// A wrong setting, found before anything was sent.
pub(super) fn refused(message: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Refused, message)
}

/// The server, or something in between, answered what no script of this store answers.
pub(in crate::store) fn unexpected() -> StoreError {
    refused("Redis answered what it never should; is there a proxy that rewrites scripts?")
}

/// Whether the command has certainly not been run, because the server said so or none was reached,
/// so that to send it again cannot do it twice.
pub(in crate::store) fn was_not_run(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ClusterConnectionNotFound
            | ErrorKind::Server(
                ServerErrorKind::Moved
                    | ServerErrorKind::TryAgain
                    | ServerErrorKind::ClusterDown
                    | ServerErrorKind::MasterDown
                    | ServerErrorKind::ReadOnly
            )
    )
}

/// Whether the server does not know the script.
pub(super) fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// Whether the server is a replica, such as the old master after a failover.
pub(super) fn is_read_only(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

fn classify(error: &RedisError) -> (StoreErrorKind, String) {
    use StoreErrorKind::{Refused, Unavailable};
    let detail = error.detail().unwrap_or_default();
    match error.kind() {
        ErrorKind::Io if error.is_timeout() => {
            (Unavailable, "Redis did not answer in time".to_owned())
        }
        ErrorKind::Io if is_of_tls(error) => {
            (Refused, "Redis and the store do not trust each other's certificates".to_owned())
        }
        // A parse error is an answer that was cut off, or another protocol on that port.
        ErrorKind::Io
        | ErrorKind::Parse
        | ErrorKind::ClusterConnectionNotFound
        | ErrorKind::MasterNameNotFoundBySentinel => {
            (Unavailable, "Redis is out of reach".to_owned())
        }
        ErrorKind::AuthenticationFailed => {
            (Refused, "Redis refuses the login; check the user and the password".to_owned())
        }
        ErrorKind::Server(kind) => of_server(kind, detail),
        ErrorKind::Extension => of_code(error.code().unwrap_or_default(), detail),
        _ => (Refused, format!("Redis cannot be used: {error}")),
    }
}

fn of_server(kind: ServerErrorKind, detail: &str) -> (StoreErrorKind, String) {
    use StoreErrorKind::{Refused, Unavailable};
    match kind {
        ServerErrorKind::BusyLoading => {
            (Unavailable, "Redis is still loading its data after a start".to_owned())
        }
        ServerErrorKind::Moved
        | ServerErrorKind::Ask
        | ServerErrorKind::TryAgain
        | ServerErrorKind::ClusterDown
        | ServerErrorKind::MasterDown
        | ServerErrorKind::ReadOnly => {
            (Unavailable, format!("no Redis master takes the command now ({detail})"))
        }
        ServerErrorKind::NoPerm => (Refused, lacks_right(detail)),
        _ => of_words(detail),
    }
}

fn of_code(code: &str, detail: &str) -> (StoreErrorKind, String) {
    use StoreErrorKind::{Full, Refused, Unavailable};
    match code {
        "OOM" => (Full, out_of_memory()),
        "MISCONF" => (
            Full,
            format!(
                "Redis takes no writes, as it cannot save to disk; live sessions are untouched \
                 ({detail})"
            ),
        ),
        "NOREPLICAS" | "BUSY" | "UNKILLABLE" | "INPROG" | "NOGOODSLAVE" => {
            (Unavailable, format!("Redis does not take the command now ({detail})"))
        }
        "NOAUTH" | "WRONGPASS" => {
            (Refused, "Redis refuses the login; check the user and the password".to_owned())
        }
        "WRONGTYPE" => (
            Refused,
            "something else than a session lies under one of the store's names in Redis; give the \
             store a prefix of its own"
                .to_owned(),
        ),
        _ => of_words(detail),
    }
}

/// For the errors whose code says nothing, above all those from within a script.
fn of_words(detail: &str) -> (StoreErrorKind, String) {
    use StoreErrorKind::{Full, Refused, Unavailable};
    let says = |words: &str| detail.contains(words);
    if says("OOM") || says("used memory > 'maxmemory'") {
        (Full, out_of_memory())
    } else if says("non local key") || says("max number of clients") {
        // The first is from a Cluster that is moving the slot.
        (Unavailable, format!("Redis does not take the command now ({detail})"))
    } else if says("executing the script can't") || says("permission") {
        (Refused, lacks_right(detail))
    } else {
        (Refused, format!("Redis refuses the command: {detail}"))
    }
}

fn out_of_memory() -> String {
    "Redis has reached its maxmemory and takes no new data; live sessions are untouched. Raise \
     maxmemory, or see which maxmemory-policy suits sessions"
        .to_owned()
}

fn lacks_right(detail: &str) -> String {
    format!(
        "the Redis user lacks a right that the store needs; the docs of Redis list them, and \
         ACL LOG says which it was ({detail})"
    )
}

/// Whether the connection was given up for what the server showed.
fn is_of_tls(error: &RedisError) -> bool {
    // The driver hands out its shared pointer to the cause as the cause.
    let cause =
        error.source().and_then(|cause| cause.downcast_ref::<Arc<dyn Error + Send + Sync>>());
    let io = cause.and_then(|cause| cause.downcast_ref::<io::Error>());
    io.is_some_and(|io| io.kind() == io::ErrorKind::InvalidData)
}
