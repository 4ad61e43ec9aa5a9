//! What the driver's errors mean to the caller of a store.

use mongodb::error::{Error, ErrorKind, WriteFailure};

use crate::store::{StoreError, StoreErrorKind};

/// The server's code for a unique value that exists already.
const DUPLICATE_KEY: i32 = 11_000;

/// Why an operation did not do its work.
#[derive(Debug)]
pub(super) enum Failure {
    /// An error of the driver, or of the server.
    Driver(Error),
    /// An error of the store.
    Store(StoreError),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Driver(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Driver(error) => of_driver(error),
            Failure::Store(error) => error,
        }
    }
}

/// Whether a document with this key, or with this place of its owner, exists already.
pub(in crate::store) fn is_duplicate(error: &Error) -> bool {
    code(error) == Some(DUPLICATE_KEY)
}

/// The error for a URL that cannot be used, or a server that it names.
pub(super) fn in_the_url(error: Error) -> StoreError {
    match *error.kind {
        ErrorKind::InvalidArgument { .. } => StoreError::new(
            StoreErrorKind::Refused,
            "the URL of MongoDB cannot be used; write mongodb://user:password@host:27017/database, \
             or turn the feature `mongodb-srv` on for mongodb+srv:",
        )
        .with_source(error),
        _ => of_driver(error),
    }
}

pub(in crate::store) fn of_driver(error: Error) -> StoreError {
    let (kind, what) = classify(&error);
    StoreError::new(kind, format!("MongoDB {what}")).with_source(error)
}

fn classify(error: &Error) -> (StoreErrorKind, &'static str) {
    use StoreErrorKind::{Refused, Unavailable};
    match &*error.kind {
        ErrorKind::ServerSelection { .. } => {
            (Unavailable, "has no primary that answers; check its servers and the URL")
        }
        ErrorKind::Io(_)
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::DnsResolve { .. } => (Unavailable, "does not answer"),
        ErrorKind::Authentication { .. } => {
            (Refused, "does not let this user in; check the URL's user, password and authSource")
        }
        ErrorKind::InvalidTlsConfig { .. } => {
            (Refused, "cannot be reached over TLS; check the URL's settings")
        }
        ErrorKind::Shutdown => (Refused, "has its client shut down"),
        // A failover may undo the write, or it may stay.
        ErrorKind::Write(WriteFailure::WriteConcernError(_)) => (
            Unavailable,
            "has written it, but a majority of its servers did not confirm that in time",
        ),
        _ => code(error).map_or((Refused, "cannot run the command"), of_code),
    }
}

/// By the names in `src/mongo/base/error_codes.yml` of MongoDB's source.
fn of_code(code: i32) -> (StoreErrorKind, &'static str) {
    use StoreErrorKind::{Full, Refused, Unavailable};
    match code {
        // OutOfDiskSpace, ExceededMemoryLimit.
        14_031 | 146 => (Full, "is out of disk or memory; make room on its host"),
        // MaxTimeMSExpired, NetworkInterfaceExceededTimeLimit, ExceededTimeLimit.
        50 | 202 | 262 => (Unavailable, "ended the command, which ran too long; try later"),
        // HostUnreachable, HostNotFound, NetworkTimeout, ShutdownInProgress, WriteConcernFailed,
        // PrimarySteppedDown, NotWritablePrimary, InterruptedAtShutdown, Interrupted,
        // InterruptedDueToReplStateChange, NotPrimaryNoSecondaryOk, NotPrimaryOrSecondary,
        // ReadConcernMajorityNotAvailableYet, SocketException, UnsatisfiableWriteConcern.
        6 | 7 | 89 | 91 | 64 | 189 | 10_107 | 11_600 | 11_601 | 11_602 | 13_435 | 13_436 | 134
        | 9_001 | 100 => (Unavailable, "is changing its primary or is shutting down; try later"),
        // WriteConflict, StaleConfig, LockTimeout: the driver has tried again already.
        112 | 13_388 | 24 => (Unavailable, "was too busy with other operations; try later"),
        // Unauthorized.
        13 => (
            Refused,
            "denies permission; grant the user find, insert, update and remove on the collection \
             (migrate() needs createIndex)",
        ),
        // AuthenticationFailed.
        18 => (Refused, "does not let this user in; check the URL's user, password and authSource"),
        // IndexOptionsConflict, IndexKeySpecsConflict.
        85 | 86 => (
            Refused,
            "has other indexes of the same names in this collection; give the store a collection of \
             its own",
        ),
        // BSONObjectTooLarge.
        10_334 => (Refused, "keeps at most 16 MiB in one document; store less in a session"),
        // NotAReplicaSet.
        123 => (Refused, "is not a replica set, which linearizable reads need"),
        _ => (Refused, "refused the command"),
    }
}

/// The server's code, if the error is the server's.
pub(in crate::store) fn code(error: &Error) -> Option<i32> {
    match &*error.kind {
        ErrorKind::Command(error) => Some(error.code),
        ErrorKind::Write(WriteFailure::WriteError(error)) => Some(error.code),
        ErrorKind::Write(WriteFailure::WriteConcernError(error)) => Some(error.code),
        _ => None,
    }
}
