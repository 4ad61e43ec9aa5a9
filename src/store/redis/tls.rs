//! [`Certificates`]: the authorities to trust, and the store's own certificate.

#[cfg(feature = "redis-rustls")]
use redis::ConnectionAddr;
use redis::{Client, ConnectionInfo, RedisResult};

use super::error::refused;
use crate::store::Result;

/// Whether connections with TLS can be made at all.
#[cfg(not(feature = "redis-rustls"))]
pub(super) fn check() -> Result<()> {
    Err(refused("TLS to Redis needs the feature redis-rustls-ring or redis-rustls-aws-lc-rs"))
}

/// Whether connections with TLS can be made at all. The TLS library panics without a cryptography
/// provider, so this installs one if the application has not.
#[cfg(feature = "redis-rustls")]
pub(super) fn check() -> Result<()> {
    use rustls::crypto::CryptoProvider;

    if CryptoProvider::get_default().is_some() {
        return Ok(());
    }
    #[cfg(feature = "redis-rustls-aws-lc-rs")]
    let provider = Some(rustls::crypto::aws_lc_rs::default_provider());
    #[cfg(all(feature = "redis-rustls-ring", not(feature = "redis-rustls-aws-lc-rs")))]
    let provider = Some(rustls::crypto::ring::default_provider());
    #[cfg(not(any(feature = "redis-rustls-ring", feature = "redis-rustls-aws-lc-rs")))]
    let provider: Option<CryptoProvider> = None;
    match provider {
        Some(provider) => {
            // Fails if another thread has installed one meanwhile, which is just as good.
            let _ = provider.install_default();
            Ok(())
        }
        None => Err(refused(
            "TLS to Redis needs a cryptography provider: switch on the feature \
             redis-rustls-ring or redis-rustls-aws-lc-rs, or install one of rustls",
        )),
    }
}

/// Certificates in PEM for connections with TLS.
#[derive(Clone, Default)]
pub(super) struct Certificates {
    /// The authorities to trust; `None`: those that the system trusts.
    pub(super) authority: Option<Vec<u8>>,
    /// The certificate and the key that the store shows.
    pub(super) client: Option<(Vec<u8>, Vec<u8>)>,
}

impl Certificates {
    /// A client with these certificates.
    pub(super) fn client(&self, info: ConnectionInfo) -> RedisResult<Client> {
        #[cfg(feature = "redis-rustls")]
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            return Client::build_with_tls(info, self.for_driver());
        }
        Client::open(info)
    }

    #[cfg(feature = "redis-rustls")]
    pub(super) fn for_driver(&self) -> redis::TlsCertificates {
        let client_tls = self
            .client
            .clone()
            .map(|(client_cert, client_key)| redis::ClientTlsConfig { client_cert, client_key });
        redis::TlsCertificates { client_tls, root_cert: self.authority.clone() }
    }
}
