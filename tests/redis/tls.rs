//! TLS: a private authority, and a certificate for the client.

use std::fs;

use token_session::store::{Condition, Redis, Store, StoreErrorKind};

use crate::{fresh_key, hour};

#[tokio::test]
async fn a_server_with_a_private_authority_knows_us_by_our_certificate() {
    let (url, certificates) = test_servers::redis_tls();
    let store = Redis::builder()
        .certificate_authority(fs::read(certificates.authority()).unwrap())
        .client_certificate(
            fs::read(certificates.client_certificate()).unwrap(),
            fs::read(certificates.client_key()).unwrap(),
        )
        .connect(url)
        .await
        .unwrap();
    let key = fresh_key();
    store.insert(&key, &hour("data")).await.unwrap();
    assert!(store.remove(&key, Condition::Always, true).await.unwrap().record().is_some());
}

#[tokio::test]
async fn a_server_of_an_unknown_authority_is_not_spoken_to() {
    let (url, _) = test_servers::redis_tls();
    let error = Redis::connect(url).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{error:?}");
    assert!(format!("{error:?}").contains("certificate"), "{error:?}");
}

#[tokio::test]
async fn certificates_that_are_none_are_refused() {
    let (url, _) = test_servers::redis_tls();
    for builder in [
        Redis::builder().client_certificate("no certificate", "no key"),
        Redis::builder()
            .certificate_authority("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----"),
    ] {
        let error = builder.connect(url).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Refused, "{error:?}");
    }
}
