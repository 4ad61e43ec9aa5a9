//! Several application servers on one store, with a cache each: how soon they see what another one
//! did.

#[path = "watching/processes.rs"]
mod processes;
#[path = "watching/told.rs"]
mod told;
