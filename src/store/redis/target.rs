//! What a URL leads to.

use std::time::Duration;

use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, ProtocolVersion,
    RedisResult,
};

use super::error::refused;
use super::tls::{self, Certificates};
use crate::store::{Result, StoreError};

/// After so long without a sign of life the system takes a connection for lost. Less would take a
/// server for lost that is stopped for a snapshot of its machine.
const SILENCE: Duration = Duration::from_secs(15);

/// Whether a URL with this scheme leads here.
pub(in crate::store) fn answers_to(scheme: &str) -> bool {
    let scheme = scheme.strip_suffix("-cluster").unwrap_or(scheme);
    let scheme = scheme.strip_suffix("-sentinel").unwrap_or(scheme);
    matches!(scheme, "redis" | "rediss" | "valkey" | "valkeys")
}

/// The servers that a URL names.
pub(super) enum Place {
    /// One server.
    Server(ConnectionInfo),
    /// Some nodes of a Cluster.
    Cluster(Vec<ConnectionInfo>),
    /// The master of this name, as Sentinels know it.
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        master: String,
        /// The login to the master; the address is a Sentinel's.
        node: ConnectionInfo,
    },
}

impl Place {
    /// Reads a URL; what its parts are stands at [`RedisBuilder::connect`](super::RedisBuilder::connect).
    pub(super) fn parse(url: &str) -> Result<Self> {
        let (scheme, rest) = url.split_once("://").ok_or_else(not_a_url)?;
        let (kind, scheme) = match scheme {
            "redis-cluster" | "valkey-cluster" => ("cluster", "redis"),
            "rediss-cluster" | "valkeys-cluster" => ("cluster", "rediss"),
            "redis-sentinel" | "valkey-sentinel" => ("sentinel", "redis"),
            "rediss-sentinel" | "valkeys-sentinel" => ("sentinel", "rediss"),
            _ => return info(url).map(Self::Server),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let at = if login.is_empty() { "" } else { "@" };
        let nodes = |login: &str, database: &str| {
            hosts
                .split(',')
                .map(|host| info(&format!("{scheme}://{login}{host}/{database}")))
                .collect::<Result<Vec<_>>>()
        };
        let login = format!("{login}{at}");
        if kind == "cluster" {
            return nodes(&login, path).map(Self::Cluster);
        }
        let (master, database) = path.split_once('/').unwrap_or((path, ""));
        if master.is_empty() {
            return Err(refused(
                "the Redis URL names no master; it goes redis-sentinel://host,host/master",
            ));
        }
        Ok(Self::Sentinel {
            sentinels: nodes("", "")?,
            master: master.to_owned(),
            node: nodes(&login, database)?.swap_remove(0),
        })
    }
}

fn info(url: &str) -> Result<ConnectionInfo> {
    if url.starts_with("rediss:") || url.starts_with("valkeys:") {
        tls::check()?;
    }
    let info = url.into_connection_info().map_err(|error| {
        // The driver's words may hold parts of the URL, and so of the password.
        drop(error);
        not_a_url()
    })?;
    let settings = info
        .redis_settings()
        .clone()
        // Tells at once when the connection ends.
        .set_protocol(ProtocolVersion::RESP3)
        // Spares the user one right.
        .set_skip_set_lib_name();
    Ok(info.set_redis_settings(settings).set_tcp_settings(tcp_settings()))
}

fn not_a_url() -> StoreError {
    refused(
        "the Redis URL cannot be read; it goes redis://user:password@host:port/database, \
         redis-cluster://host:port,host:port or redis-sentinel://host:port,host:port/master",
    )
}

/// How a connection is made to last, and its loss to be noticed.
pub(super) fn tcp_settings() -> TcpSettings {
    let keepalive = TcpKeepalive::new().with_time(SILENCE / 3).with_interval(SILENCE / 3);
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    let settings = settings.set_user_timeout(SILENCE);
    settings
}

/// Makes clients for servers of one kind: the same login, the same certificates.
#[derive(Clone)]
pub(super) struct Dialer {
    info: ConnectionInfo,
    certificates: Certificates,
}

impl Dialer {
    pub(super) fn new(info: ConnectionInfo, certificates: Certificates) -> Self {
        Self { info, certificates }
    }

    /// A client for the server that the dialer was made with.
    pub(super) fn client(&self) -> RedisResult<Client> {
        self.certificates.client(self.info.clone())
    }

    /// A client for another server, `host:port`.
    pub(super) fn client_at(&self, address: &str) -> RedisResult<Client> {
        let (host, port) = address
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)))
            .ok_or((ErrorKind::Client, "Redis names a server that has no address"))?;
        let addr = match self.info.addr() {
            ConnectionAddr::TcpTls { .. } => {
                ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
            }
            _ => ConnectionAddr::Tcp(host, port),
        };
        self.certificates.client(self.info.clone().set_addr(addr))
    }
}
