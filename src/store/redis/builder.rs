//! [`RedisBuilder`]: the settings of a [`Redis`].

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
#[cfg(feature = "redis-rustls")]
use redis::ConnectionAddr;
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::{AsyncConnectionConfig, ConnectionInfo, ProtocolVersion, RedisError, RedisResult};
use tokio::time::{Instant, timeout};

use super::cluster::{AskRedirects, Cluster};
use super::connection::{Connection, Way};
use super::connectivity::Connectivity;
use super::endpoint::{ClientFactory, Endpoint, tcp_settings};
use super::error::{on_connecting, refused, timed_out};
#[cfg(feature = "tracing")]
use super::eviction::warn_of_eviction;
use super::names::Names;
use super::reconnecting::Reconnecting;
use super::sentinel::Sentinels;
use super::subscriber::Endpoints;
use super::tls::Certificates;
use super::url::RedisUrl;
use super::{Inner, Redis, RedisConnection};
use crate::store::patience::patience;
use crate::store::{Result, StoreError};

/// How many partitions a store on a Cluster has. They lie evenly over the slots, so even a dozen
/// masters get equal loads.
const CLUSTER_PARTITIONS: u16 = 256;

/// The settings of a [`Redis`]; made by [`Redis::builder`].
///
/// ```no_run
/// use std::time::Duration;
/// use token_session::store::Redis;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Redis::builder()
///     .prefix("shop:")
///     .timeout(Duration::from_millis(500))
///     .connect("redis://shop:secret@10.0.0.7/2")
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use]
pub struct RedisBuilder {
    prefix: String,
    partitions: Option<u16>,
    timeout: Duration,
    connect_timeout: Duration,
    certificates: Certificates,
    sentinel_login: Option<(String, String)>,
}

impl Default for RedisBuilder {
    fn default() -> Self {
        Self {
            prefix: "ts:".to_owned(),
            partitions: None,
            timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(1),
            certificates: Certificates::default(),
            sentinel_login: None,
        }
    }
}

impl std::fmt::Debug for RedisBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisBuilder")
            .field("prefix", &self.prefix)
            .field("partitions", &self.partitions)
            .field("timeout", &self.timeout)
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}

impl RedisBuilder {
    /// What the names of all the store's Redis keys begin with: `ts:` by default. Two services on
    /// one Redis take two prefixes, or two database numbers.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Into how many partitions the sessions are divided, 1 to 1024: 256 on a Cluster and 1
    /// elsewhere, by default.
    ///
    /// The names of the Redis keys depend on it, so a store finds its sessions only as long as it
    /// stays. For a server that is to become a Cluster, set 256 from the beginning: its data can then
    /// be copied as it is.
    pub fn partitions(mut self, partitions: u16) -> Self {
        self.partitions = Some(partitions);
        self
    }

    /// How long a call waits for its answer, a new connection included: two seconds by default. It
    /// then fails with [`Unavailable`](crate::store::StoreErrorKind::Unavailable).
    ///
    /// From a millisecond to 24 days; a timeout outside of these limits is set to the nearest one.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = patience(timeout);
        self
    }

    /// How long an attempt to connect may take, for [`connect`](Self::connect): a second by
    /// default.
    ///
    /// From a millisecond to 24 days; a timeout outside of these limits is set to the nearest one.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = patience(timeout);
        self
    }

    /// The certificates of the authorities to trust, in PEM, for [`connect`](Self::connect) with
    /// TLS. By default, those that the system trusts.
    pub fn certificate_authority(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.certificates.authority = Some(pem.into());
        self
    }

    /// The certificate and the key, in PEM, that the store shows to a server that asks, for
    /// [`connect`](Self::connect) with TLS.
    pub fn client_certificate(
        mut self,
        certificate_pem: impl Into<Vec<u8>>,
        key_pem: impl Into<Vec<u8>>,
    ) -> Self {
        self.certificates.client = Some((certificate_pem.into(), key_pem.into()));
        self
    }

    /// The login to the Sentinels, if they ask for one. If they ask only for a password, the user is
    /// `default`. The login in the URL is the one to the master.
    pub fn sentinel_login(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.sentinel_login = Some((user.into(), password.into()));
        self
    }

    /// Uses an existing connection.
    ///
    /// # Errors
    /// [`Refused`](crate::store::StoreErrorKind::Refused) for a prefix or a number of partitions
    /// that cannot be used.
    pub fn build(self, connection: impl Into<RedisConnection>) -> Result<Redis> {
        let RedisConnection(connection) = connection.into();
        let (names, connectivity) = (Arc::new(self.names(&connection)?), Arc::default());
        let timeout = self.timeout;
        let inner = Inner { connection, names, connectivity, timeout, endpoints: None };
        Ok(Redis(Arc::new(inner)))
    }

    /// Connects to the servers of a URL, at once.
    ///
    /// | URL | |
    /// |---|---|
    /// | `redis://user:password@host:port/database` | one server |
    /// | `redis-cluster://user:password@host:port,host:port` | a Cluster, by some of its nodes |
    /// | `redis-sentinel://user:password@host:port,host:port/master/database` | the master that these Sentinels know by this name |
    /// | `redis+unix:///path?db=database&user=user&pass=password`, or `unix://` | one server, by its socket |
    ///
    /// Write `rediss` for TLS. `valkey` and `valkeys` work too, in capitals or not. Everything but the
    /// host, the path of a socket and the name of a master can be left out; the default port is 6379, and
    /// 26379 for a Sentinel. The database can also be the option `db`. There is no other option. Escape a
    /// user or password as in every URL: `%2F` for `/`, `%3F` for `?`, `%23` for `#`, `%40` for `@`.
    ///
    /// # Errors
    /// [`Refused`](crate::store::StoreErrorKind::Refused) for a setting, a URL, a login or a
    /// certificate that cannot be used, [`Unavailable`](crate::store::StoreErrorKind::Unavailable)
    /// when the server is out of reach.
    pub async fn connect(self, url: &str) -> Result<Redis> {
        let connectivity = Arc::<Connectivity>::default();
        let (connection, endpoints) = self.reach(url, &connectivity).await?;
        let names = Arc::new(self.names(&connection)?);
        #[cfg(feature = "tracing")]
        warn_of_eviction(&connection, Instant::now() + self.connect_timeout).await;
        Ok(Redis(Arc::new(Inner {
            connection,
            names,
            connectivity,
            timeout: self.timeout,
            endpoints: Some(endpoints),
        })))
    }

    /// Connects as [`connect`](Self::connect) does, for another store.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connection(&self, url: &str) -> Result<RedisConnection> {
        let (connection, _) = self.reach(url, &Arc::default()).await?;
        Ok(RedisConnection(connection))
    }

    /// A connection that is established.
    async fn reach(
        &self,
        url: &str,
        connectivity: &Arc<Connectivity>,
    ) -> Result<(Connection, Endpoints)> {
        let url = RedisUrl::parse(url)?;
        let (servers, is_tls) = url.servers();
        let failed = |error| on_connecting(error, &servers, is_tls);
        let (connection, endpoints) = self.open(url, connectivity, failed).await?;
        connection.reach(Instant::now() + self.connect_timeout).await.map_err(failed)?;
        Ok((connection, endpoints))
    }

    async fn open(
        &self,
        url: RedisUrl,
        connectivity: &Arc<Connectivity>,
        failed: impl FnOnce(RedisError) -> StoreError,
    ) -> Result<(Connection, Endpoints)> {
        let factory = |info| ClientFactory::new(info, self.certificates.clone());
        let one = |endpoint: Endpoint| {
            let connection =
                Reconnecting::new(endpoint.clone(), self.connect_timeout, Arc::clone(connectivity));
            Ok((Way::Reconnecting(Arc::new(connection)).into(), Endpoints::One(endpoint)))
        };
        match url {
            RedisUrl::Server(info) => {
                let client = factory(info).client().map_err(bad_settings)?;
                one(Endpoint::Server(Box::new(client)))
            }
            RedisUrl::Sentinel { sentinels, master, node } => {
                let sentinels = sentinels
                    .into_iter()
                    .map(|info| factory(self.with_sentinel_login(info)).client())
                    .collect::<RedisResult<_>>()
                    .map_err(bad_settings)?;
                let sentinels = Sentinels::new(sentinels, master, factory(node));
                one(Endpoint::Master(Arc::new(sentinels)))
            }
            RedisUrl::Cluster(nodes) => {
                let factory = factory(nodes[0].clone());
                let connection = match self.open_cluster(nodes.clone())?.await {
                    Ok(connection) => connection,
                    Err(error) => return Err(failed(self.reason(nodes, error).await)),
                };
                let redirects = AskRedirects::new(
                    factory.clone(),
                    self.connect_timeout,
                    Arc::clone(connectivity),
                );
                let cluster = Cluster::new(connection, Some(redirects));
                Ok((
                    Way::Cluster(cluster.clone()).into(),
                    Endpoints::Cluster(cluster, Box::new(factory)),
                ))
            }
        }
    }

    /// Connects to a Cluster by these nodes.
    fn open_cluster(
        &self,
        nodes: Vec<ConnectionInfo>,
    ) -> Result<impl Future<Output = RedisResult<ClusterConnection>> + use<>> {
        #[cfg(feature = "redis-rustls")]
        let is_tls = nodes.iter().any(|node| matches!(node.addr(), ConnectionAddr::TcpTls { .. }));
        let builder = ClusterClientBuilder::new(nodes)
            // The driver would send a command again whose answer was lost.
            .retries(0)
            .use_protocol(ProtocolVersion::RESP3)
            .connection_timeout(self.connect_timeout)
            .response_timeout(self.timeout)
            // Each call has a deadline of its own.
            .overall_response_timeout(None)
            .tcp_settings(tcp_settings());
        // Certificates alone would switch TLS on.
        #[cfg(feature = "redis-rustls")]
        let builder = if is_tls { builder.certs(self.certificates.for_driver()) } else { builder };
        let client = builder.build().map_err(bad_settings)?;
        let patience = self.timeout;
        Ok(async move {
            let connecting = timeout(patience, client.get_async_connection()).await;
            connecting.unwrap_or_else(|_| Err(timed_out()))
        })
    }

    /// Why none of these nodes leads to a Cluster. The driver calls them unreachable for any reason,
    /// even for a wrong password, so each of them is asked once more.
    async fn reason(&self, nodes: Vec<ConnectionInfo>, said: RedisError) -> RedisError {
        if !said.is_io_error() {
            return said;
        }
        let attempts = nodes.into_iter().map(async |node| {
            let client = ClientFactory::new(node, self.certificates.clone()).client()?;
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(self.connect_timeout))
                .set_response_timeout(None);
            client.get_multiplexed_async_connection_with_config(&config).await
        });
        let reasons: Vec<_> =
            join_all(attempts).await.into_iter().filter_map(Result::err).collect();
        let answer = reasons.iter().find(|reason| !reason.is_io_error());
        answer.or(reasons.first()).cloned().unwrap_or(said)
    }

    fn with_sentinel_login(&self, info: ConnectionInfo) -> ConnectionInfo {
        let Some((user, password)) = &self.sentinel_login else {
            return info;
        };
        let settings = info.redis_settings().clone();
        let settings = settings.set_username(user).set_password(password);
        info.set_redis_settings(settings)
    }

    fn names(&self, connection: &Connection) -> Result<Names> {
        let Self { prefix, partitions, .. } = self;
        if prefix.len() > 128 || prefix.chars().any(|c| c.is_control() || "{}".contains(c)) {
            return Err(refused(
                "the prefix of the Redis keys has more than 128 bytes, a brace or a control \
                 character; the braces are the store's own",
            ));
        }
        let by_default = if connection.is_cluster() { CLUSTER_PARTITIONS } else { 1 };
        let partitions = partitions.unwrap_or(by_default);
        if !(1..=1024).contains(&partitions) {
            return Err(refused(format!(
                "a Redis store cannot have {partitions} partitions; give it 1 to 1024"
            )));
        }
        Ok(Names::new(prefix.clone(), partitions))
    }
}

/// An error of the driver before it has tried to connect.
fn bad_settings(error: RedisError) -> StoreError {
    refused("the certificates or addresses for Redis cannot be used").with_source(error)
}
