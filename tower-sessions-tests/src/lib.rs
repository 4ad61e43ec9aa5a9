//! Nothing but tests: `tests/stores.rs` runs what can hold of the contract on stores that others have
//! made for `tower-sessions`. In a package of its own, so that nobody builds their drivers who does
//! not run all tests.
