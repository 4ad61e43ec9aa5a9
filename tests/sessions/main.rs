//! Sessions as an application, and its clients, see them.

#[allow(dead_code, reason = "its main is not run here")]
#[path = "../../examples/accounts.rs"]
mod accounts;
mod client;
mod http;
mod manager;
mod service;
mod spy;
