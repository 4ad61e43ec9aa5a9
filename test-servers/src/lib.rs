//! Real servers on free loopback ports, each in a temporary directory, for the tests of
//! `token-session`.
//!
//! ```no_run
//! # fn main() -> test_servers::Result<()> {
//! let server = test_servers::Redis::start()?;
//! println!("{} is process {:?}", server.url(), server.pid());
//! server.kill()?; // SIGKILL
//! server.restart()?; // the same port, the same data
//! server.pause()?; // SIGSTOP
//! server.resume()?;
//! # Ok(())
//! # }
//! ```
//!
//! The other servers know the same words, and `redis_url` and its kind give one that all tests of a
//! process share, or the one that the environment names ([`Shared`]). A server stops when its value is dropped, in a panic
//! too, and when the test process ends in any other way. A program that is missing is installed.
//! Linux only: the parent-death signal is what keeps a server from outliving an aborted run.

mod account;
mod chromium;
mod directory;
mod error;
mod mariadb;
mod mongodb;
mod newest;
mod node;
pub mod packages;
mod pgbouncer;
mod port;
mod postgres;
mod process_tree;
mod program;
mod python;
mod redis;
mod server;
mod shared;
mod smtp;
mod spawn;
mod system;
mod target;

pub use chromium::Chromium;
pub use error::{Error, Result};
pub use mariadb::MariaDb;
pub use mongodb::MongoDb;
pub use newest::Newest;
pub use node::install_npm_packages;
pub use pgbouncer::{PgBouncer, PoolMode};
pub use postgres::Postgres;
pub use redis::{Certificates, Redis, RedisCluster, RedisTls, Sentinel};
pub use server::Server;
pub use shared::{
    Running, Shared, fresh_name, mongodb_url, mysql_url, postgres_url, redis_cluster_urls,
    redis_sentinel_urls, redis_tls, redis_url,
};
pub use smtp::Smtp;
pub use target::example;
