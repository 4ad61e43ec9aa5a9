//! A connection that cannot be set up.

use std::time::Duration;

use token_session::store::{Postgres, StoreErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::sql_faults::BOUND;

/// Lets every client log in, and refuses every statement.
async fn refuse(mut client: TcpStream) -> std::io::Result<()> {
    let mut asked = [0; 8192];
    // The start-up message; its content does not matter here.
    let _ = client.read(&mut asked).await?;
    client.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I").await?;
    while client.read(&mut asked).await? > 0 {
        let fields = b"SERROR\0C42501\0Msettings are not yours\0\0";
        let length = u32::try_from(fields.len() + 4).unwrap().to_be_bytes();
        client.write_all(&[b"E", &length[..], fields, b"Z\0\0\0\x05I"].concat()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_connection_that_cannot_be_set_up_says_why_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(refuse(client));
        }
    });
    let url = format!("postgres://somebody@127.0.0.1:{port}/shop?sslmode=disable");
    let connecting = Postgres::builder().timeout(Duration::from_secs(600)).connect(&url);
    let error = tokio::time::timeout(BOUND, connecting).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{error}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("settings are not yours"), "{source}");
}
