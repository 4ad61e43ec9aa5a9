//! What the SQL stores share: names in statements, rows, and how a statement is run.

// Each store needs a part of it.
#![cfg_attr(
    not(all(feature = "mysql", feature = "postgres", feature = "sqlite")),
    allow(dead_code, unused_imports)
)]

mod call;
mod name;
mod pooled;
mod row;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod set_up;

pub(super) use self::call::{Call, Client, Failure, Server, UNTESTED, Verdict, store_error};
pub(super) use self::name::{Quotes, fill, quoted};
pub(super) use self::row::{
    age_cursor, age_of, key, key_cursor, millis, number, page, record, row_limit, ten_intervals,
    time, timeouts, version,
};
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(super) use self::set_up::SetUp;
