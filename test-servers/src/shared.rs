use std::env;
use std::sync::OnceLock;

use crate::error::Result;
use crate::{Certificates, MariaDb, MongoDb, Postgres, Redis, RedisCluster, RedisTls, Sentinel};

/// A server that many tests share: the one that the environment names, or one that is started for
/// this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shared {
    /// `TEST_REDIS_URL`
    Redis,
    /// `TEST_REDIS_CLUSTER_URL`: nodes, separated by commas
    RedisCluster,
    /// `TEST_REDIS_SENTINEL_URL`: Sentinels, separated by commas
    RedisSentinel,
    /// `TEST_REDIS_TLS_URL`, and `TEST_REDIS_TLS_DIR` for the directory of its [`Certificates`]
    RedisTls,
    /// `TEST_POSTGRES_URL`
    Postgres,
    /// `TEST_MYSQL_URL`
    Mysql,
    /// `TEST_MONGODB_URL`
    MongoDb,
}

/// A shared server that runs as long as this value lives.
pub struct Running {
    /// What tells other processes about it, as names and values of environment variables.
    pub variables: Vec<(&'static str, String)>,
    _server: Box<dyn Send + Sync>,
}

impl Shared {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Redis,
        Self::RedisCluster,
        Self::RedisSentinel,
        Self::RedisTls,
        Self::Postgres,
        Self::Mysql,
        Self::MongoDb,
    ];

    /// The environment variables that name it, the one with its URL first.
    pub fn variables(self) -> &'static [&'static str] {
        match self {
            Self::Redis => &["TEST_REDIS_URL"],
            Self::RedisCluster => &["TEST_REDIS_CLUSTER_URL"],
            Self::RedisSentinel => &["TEST_REDIS_SENTINEL_URL"],
            Self::RedisTls => &["TEST_REDIS_TLS_URL", "TEST_REDIS_TLS_DIR"],
            Self::Postgres => &["TEST_POSTGRES_URL"],
            Self::Mysql => &["TEST_MYSQL_URL"],
            Self::MongoDb => &["TEST_MONGODB_URL"],
        }
    }

    /// Whether the environment names one already.
    pub fn is_given(self) -> bool {
        self.variables().iter().all(|name| given(name).is_some())
    }

    /// Starts one.
    pub fn start(self) -> Result<Running> {
        let (values, server): (_, Box<dyn Send + Sync>) = match self {
            Self::Redis => {
                let server = Redis::start()?;
                (vec![server.url().to_owned()], Box::new(server))
            }
            Self::RedisCluster => {
                let cluster = RedisCluster::start()?;
                (vec![cluster.url()], Box::new(cluster))
            }
            Self::RedisSentinel => {
                let sentinel = Sentinel::start()?;
                (vec![sentinel.url()], Box::new(sentinel))
            }
            Self::RedisTls => {
                let server = RedisTls::start()?;
                let directory = server.certificates().directory().display().to_string();
                (vec![server.url().to_owned(), directory], Box::new(server))
            }
            Self::Postgres => {
                let server = Postgres::start()?;
                (vec![server.url().to_owned()], Box::new(server))
            }
            Self::Mysql => {
                let server = MariaDb::start()?;
                (vec![server.url().to_owned()], Box::new(server))
            }
            Self::MongoDb => {
                let server = MongoDb::start()?;
                (vec![server.url().to_owned()], Box::new(server))
            }
        };
        let variables = self.variables().iter().copied().zip(values).collect();
        Ok(Running { variables, _server: server })
    }

    /// The values of its variables. Panics when no server can be had: a test without its server
    /// has failed.
    fn values(self, cell: &'static OnceLock<Vec<String>>) -> &'static [String] {
        cell.get_or_init(|| {
            if self.is_given() {
                return self.variables().iter().filter_map(|name| given(name)).collect();
            }
            let running = self.start().unwrap_or_else(|error| panic!("{error}"));
            let values = running.variables.iter().map(|(_, value)| value.clone()).collect();
            // A static is never dropped. The parent-death signal ends the server with this
            // process, and the next process that starts one removes the directory.
            std::mem::forget(running);
            values
        })
    }
}

/// A plain Redis server that this process's tests share.
pub fn redis_url() -> &'static str {
    static VALUES: OnceLock<Vec<String>> = OnceLock::new();
    &Shared::Redis.values(&VALUES)[0]
}

/// The nodes of a Redis Cluster that this process's tests share.
pub fn redis_cluster_urls() -> Vec<&'static str> {
    static VALUES: OnceLock<Vec<String>> = OnceLock::new();
    Shared::RedisCluster.values(&VALUES)[0].split(',').collect()
}

/// The Sentinels that this process's tests share; their master is [`Sentinel::MASTER_NAME`].
pub fn redis_sentinel_urls() -> Vec<&'static str> {
    static VALUES: OnceLock<Vec<String>> = OnceLock::new();
    Shared::RedisSentinel.values(&VALUES)[0].split(',').collect()
}

/// A Redis server with TLS that this process's tests share, and what a client of it needs.
pub fn redis_tls() -> (&'static str, Certificates) {
    static VALUES: OnceLock<Vec<String>> = OnceLock::new();
    let values = Shared::RedisTls.values(&VALUES);
    (&values[0], Certificates::in_directory(&values[1]))
}

/// A PostgreSQL server that this process's tests share.
pub fn postgres_url() -> &'static str {
    static VALUES: OnceLock<Vec<String>> = OnceLock::new();
    &Shared::Postgres.values(&VALUES)[0]
}

/// A MySQL or MariaDB server that this process's tests share.
pub fn mysql_url() -> &'static str {
    static VALUES: OnceLock<Vec<String>> = OnceLock::new();
    &Shared::Mysql.values(&VALUES)[0]
}

/// A server that speaks MongoDB's protocol, shared by this process's tests.
pub fn mongodb_url() -> &'static str {
    static VALUES: OnceLock<Vec<String>> = OnceLock::new();
    &Shared::MongoDb.values(&VALUES)[0]
}

fn given(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|value| !value.is_empty())
}

/// A name of letters and digits that nothing has on a shared server, not even from an earlier run.
pub fn fresh_name() -> String {
    format!("t{:016x}", getrandom::u64().expect("the operating system gives random bytes"))
}
