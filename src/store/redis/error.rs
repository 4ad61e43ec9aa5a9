//! What a Redis error means for the caller of a store.

use std::error::Error;
use std::io;
use std::sync::Arc;

use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};

use crate::store::{StoreError, StoreErrorKind};

/// The store's error for a Redis one.
pub(in crate::store) fn store_error(error: RedisError) -> StoreError {
    let (kind, message) = classify(&error);
    StoreError::new(kind, message).with_source(error)
}

/// The store's error if it could not connect to these servers. At this time, the URL is often wrong.
pub(super) fn on_connecting(error: RedisError, servers: &str, is_tls: bool) -> StoreError {
    let (kind, message) = classify(&error);
    let advice = if is_tls && error.is_timeout() {
        "; if it expects no TLS, the URL begins with redis"
    } else if !is_tls && (is_hung_up(&error) || error.kind() == ErrorKind::Parse) {
        "; if it expects TLS, the URL begins with rediss"
    } else {
        ""
    };
    StoreError::new(kind, format!("{message}{advice} (connecting to {servers})")).with_source(error)
}

/// Whether the server has closed the connection instead of refusing it.
fn is_hung_up(error: &RedisError) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let kind = cause(error).map(io::Error::kind);
    matches!(kind, Some(BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof))
}

/// The answer of the driver, which hands out an error of the server as a value.
pub(super) fn answer(result: RedisResult<Value>) -> RedisResult<Value> {
    match result {
        Ok(Value::ServerError(error)) => Err(error.into()),
        other => other,
    }
}

/// The answer did not come in time.
pub(super) fn timed_out() -> RedisError {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time").into()
}

/// A wrong setting, found before anything was sent.
pub(super) fn refused(message: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Refused, message)
}

/// A wrong setting, found by asking a server.
pub(super) fn wrong_setting(message: String) -> RedisError {
    (ErrorKind::InvalidClientConfig, "a setting for Redis is wrong", message).into()
}

/// The error of a Sentinel, with words that tell it from an error of the master.
pub(super) fn of_sentinel(error: RedisError) -> RedisError {
    if is_of_login(&error) {
        return wrong_setting(
            "a Sentinel refuses the login; its user and password are set by \
             RedisBuilder::sentinel_login, for those in the URL are the master's"
                .to_owned(),
        );
    }
    if error.detail().is_some_and(|detail| detail.contains("unknown command")) {
        return wrong_setting(
            "a server in the URL is no Sentinel; those listen on port 26379 by default, and a server \
             takes a URL with redis or redis-cluster"
                .to_owned(),
        );
    }
    error
}

/// The server, or something in between, has sent an answer that no script of this store sends.
pub(in crate::store) fn unexpected() -> StoreError {
    refused("Redis sent an answer that no script of this store sends; is there a proxy in between?")
}

/// Whether the command has certainly not been run, because the server said so or no server was
/// reached. It can then be sent again without being run twice.
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

/// Whether something else lies under the name than what the command is for.
pub(super) fn is_of_another_type(error: &RedisError) -> bool {
    error.code() == Some("WRONGTYPE")
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
        _ if is_of_login(error) => {
            (Refused, "Redis refuses the login; check the user and the password".to_owned())
        }
        ErrorKind::InvalidClientConfig if !detail.is_empty() => (Refused, detail.to_owned()),
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
        "WRONGTYPE" => (
            Refused,
            "a Redis key with the name of a session holds something else; give the store a prefix \
             of its own"
                .to_owned(),
        ),
        _ => of_words(detail),
    }
}

/// For errors with a general code, such as those from within a script.
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
    } else if says("unknown command") {
        // The arguments are of no use to a reader.
        let command = detail.split(',').next().unwrap_or_default();
        (
            Refused,
            format!(
                "the server cannot keep sessions ({command}); it takes Redis 7.0 or later, and a \
                 Sentinel takes a URL with redis-sentinel"
            ),
        )
    } else if says("cluster support disabled") {
        let what = "the server is no node of a Cluster; it takes a URL with redis";
        (Refused, what.to_owned())
    } else if says("DB index is out of range") || says("SELECT is not allowed") {
        let what = "Redis has no database of the number in the URL; a Cluster has number 0 alone";
        (Refused, format!("{what} ({detail})"))
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

/// Whether the server refuses the login, or asks for one.
pub(super) fn is_of_login(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"))
}

/// Whether the connection was given up because of the server's certificate.
fn is_of_tls(error: &RedisError) -> bool {
    cause(error).is_some_and(|io| io.kind() == io::ErrorKind::InvalidData)
}

fn cause(error: &RedisError) -> Option<&io::Error> {
    // What the driver hands out as the cause is a shared pointer to it.
    let cause = error.source()?.downcast_ref::<Arc<dyn Error + Send + Sync>>()?;
    cause.downcast_ref()
}
