//! [`Endpoint`]: a server to connect to, and [`ClientFactory`], which makes clients for servers.

use std::sync::Arc;
use std::time::Duration;

use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{Client, ConnectionAddr, ConnectionInfo, ErrorKind, RedisResult};

use super::sentinel::Sentinels;
use super::tls::Certificates;

/// How long the system waits for a sign of life before it gives a connection up. A server that is
/// stopped for a snapshot of its machine must not look lost.
const SILENCE: Duration = Duration::from_secs(15);

/// A server to connect to.
#[derive(Clone)]
pub(super) enum Endpoint {
    Server(Box<Client>),
    /// The master that the Sentinels name.
    Master(Arc<Sentinels>),
}

impl Endpoint {
    pub(super) async fn client(&self) -> RedisResult<Client> {
        match self {
            Self::Server(client) => Ok((**client).clone()),
            Self::Master(sentinels) => sentinels.master().await,
        }
    }
}

/// How a connection is kept, and how its loss is noticed.
pub(super) fn tcp_settings() -> TcpSettings {
    let keepalive = TcpKeepalive::new().with_time(SILENCE / 3).with_interval(SILENCE / 3);
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    let settings = settings.set_user_timeout(SILENCE);
    settings
}

/// Makes clients for servers with the same login and the same certificates.
#[derive(Clone)]
pub(super) struct ClientFactory {
    info: ConnectionInfo,
    certificates: Certificates,
}

impl ClientFactory {
    pub(super) fn new(info: ConnectionInfo, certificates: Certificates) -> Self {
        Self { info, certificates }
    }

    /// A client for the server that the factory was made with.
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
