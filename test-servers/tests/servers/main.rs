//! Every server starts, answers, dies and comes back, and none outlives its owner.

mod databases;
mod facts;
mod mail;
mod owner;
mod redis;
