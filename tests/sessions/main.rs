//! Sessions as an application, and its clients, see them.

#[allow(dead_code, reason = "its main is not run here")]
#[path = "../../examples/accounts/main.rs"]
mod accounts;
#[cfg(feature = "actix")]
#[allow(dead_code, reason = "its main is not run here")]
#[path = "../../examples/actix.rs"]
mod actix_example;
mod builders;
mod client;
mod http;
mod manager;
mod program;
mod proofs;
mod service;
mod spy;
mod story;
mod sweeper;
mod unchanged;
