//! What needs a look inside: what a code is bound to, and attacks on a dump of the store.

mod binding;
mod offline_attack;
