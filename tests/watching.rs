//! Several application servers on one store, each with a cache: how soon one sees what another one did.

#[path = "watching/processes.rs"]
mod processes;
#[path = "watching/told.rs"]
mod told;
