//! The cases, in the order of the contract. [`list`](super::list) names them all.

pub mod alive;
pub mod confirmation;
pub mod ends;
pub mod handover;
pub mod insert;
pub mod limits;
pub mod listing;
pub mod load;
pub mod moves;
pub mod owners;
pub mod proof;
pub mod reference;
pub mod remove;
pub mod replace;
pub mod reuse;
pub mod throughout;
