//! Real servers on free loopback ports, each in a temporary directory, for the tests of
//! `token-session`. A server stops when its value is dropped.
