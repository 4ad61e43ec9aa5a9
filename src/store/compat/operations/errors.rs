//! What a database's errors mean to these stores, and what is said of them.

use std::error::Error as _;

use crate::store::compat::backend::Backend;
#[cfg(feature = "mongodb")]
use crate::store::mongodb::mongodb_code;
#[cfg(feature = "redis")]
use crate::store::redis::redis_was_not_run;
use crate::store::{Result, StoreError, StoreErrorKind};

pub(in crate::store::compat) fn refused(message: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Refused, message)
}

pub(in crate::store::compat) fn no_owners<B: Backend>() -> StoreError {
    refused(format!(
        "{} knows no owners of sessions, so none can be listed or ended by owner; leave out the \
         owner, or move to a store of this crate's own",
        B::PACKAGE
    ))
}

/// Without what the server says of a row, for that may be its id, which is the token.
pub(in crate::store::compat) fn discreet<B: Backend, T>(
    backend: &B,
    result: Result<T>,
) -> Result<T> {
    result.map_err(|error| advised(error, |code| backend.advice(code)))
}

/// As [`discreet`], where there is no store yet.
pub(in crate::store::compat) fn advised(
    error: StoreError,
    advice: impl FnOnce(&str) -> Option<String>,
) -> StoreError {
    let Some(code) = server_code(&error) else {
        return error;
    };
    let message = advice(&code).unwrap_or_else(|| match error.to_string() {
        // It speaks of the tables that this crate makes for itself.
        message if message.contains("migrate()") => {
            "the database does not take the statement; is the table as the package makes it?"
                .to_owned()
        }
        message => message,
    });
    StoreError::new(error.kind(), format!("{message} (its code: {code})"))
}

/// The code of an error that comes from the server and not from the driver.
pub(in crate::store::compat) fn server_code(error: &StoreError) -> Option<String> {
    let source = error.source()?;
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    if let Some(sqlx::Error::Database(error)) = source.downcast_ref() {
        #[cfg(feature = "mysql")]
        if let Some(error) = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
            return Some(error.number().to_string());
        }
        return Some(error.code().unwrap_or_default().into_owned());
    }
    #[cfg(feature = "mongodb")]
    if let Some(error) = source.downcast_ref::<mongodb::error::Error>()
        && let Some(code) = mongodb_code(error)
    {
        return Some(code.to_string());
    }
    let _ = source;
    None
}

/// Whether a write that failed like this has certainly not taken place, and will not.
pub(super) fn wrote_nothing(error: &StoreError) -> bool {
    #[cfg(feature = "redis")]
    if error.source().and_then(|error| error.downcast_ref()).is_some_and(redis_was_not_run) {
        return true;
    }
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    match error.source().and_then(|error| error.downcast_ref()) {
        Some(sqlx::Error::PoolTimedOut) => return true,
        Some(sqlx::Error::Database(_)) => {
            return !server_code(error).is_some_and(|code| is_of_a_lost_server(&code));
        }
        _ => {}
    }
    error.kind() != StoreErrorKind::Unavailable
}

/// Whether SQL's code may come from a server that goes down, or from a proxy that has lost its
/// server: a statement under way may have been committed by then, and one that the proxy repeats
/// may yet be.
#[cfg(any(feature = "mysql", feature = "postgres"))]
fn is_of_a_lost_server(code: &str) -> bool {
    // MySQL's are four digits long, an SQLSTATE five. Among them are a failure that has no number of
    // its own, and one of the commit.
    let mysql = [
        "1053", "1077", "1078", "1079", "1105", "1152", "1158", "1159", "1160", "1161", "1180",
        "1184", "1927", "2006", "2013", "4031",
    ];
    // Connection trouble, an operator's intervention, trouble outside of the database, an unknown
    // outcome, a failure that has no code of its own.
    let states = ["08", "57P", "58", "40003", "XX000"];
    mysql.contains(&code) || (code.len() == 5 && states.iter().any(|lost| code.starts_with(lost)))
}
