//! A proxy on loopback that counts the round trips of a database's clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// What the clients speak.
pub trait Protocol: Default + Send + 'static {
    /// The length of the next message, once all of it is there.
    fn message_length(&self, unread: &[u8]) -> Option<usize>;

    /// What a message asks of the server.
    fn read(&mut self, message: &[u8]) -> Asks;
}

/// What a message asks of the server.
pub enum Asks {
    /// An answer, to work that it did.
    Answer,
    /// Whether it is there.
    Ping,
    /// Nothing that the client waits for.
    Nothing,
}

/// Listens on a port of its own until the test's runtime ends.
pub struct Proxy {
    pub port: u16,
    counts: Arc<Counts>,
}

/// How often a client waited for the server.
#[derive(Default)]
struct Counts {
    statements: AtomicUsize,
    pings: AtomicUsize,
}

impl Proxy {
    pub async fn start<P: Protocol>(server_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let counts = Arc::new(Counts::default());
        let counted = Arc::clone(&counts);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server_port)).await.unwrap();
                let (mut from_server, to_server) = server.into_split();
                let (from_client, mut to_client) = client.into_split();
                tokio::spawn(count::<P>(from_client, to_server, Arc::clone(&counted)));
                tokio::spawn(async move {
                    // Either side may close at any time.
                    let _ = copy(&mut from_server, &mut to_client).await;
                });
            }
        });
        Self { port, counts }
    }

    /// Round trips that did work, so far.
    pub fn statements(&self) -> usize {
        self.counts.statements.load(Ordering::SeqCst)
    }

    /// Round trips that only asked whether the server is there, so far.
    pub fn pings(&self) -> usize {
        self.counts.pings.load(Ordering::SeqCst)
    }
}

async fn count<P: Protocol>(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, counts: Arc<Counts>) {
    let mut protocol = P::default();
    let mut unread = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut chunk).await {
        unread.extend_from_slice(&chunk[..length]);
        while let Some(length) = protocol.message_length(&unread) {
            let message: Vec<u8> = unread.drain(..length).collect();
            match protocol.read(&message) {
                Asks::Answer => drop(counts.statements.fetch_add(1, Ordering::SeqCst)),
                Asks::Ping => drop(counts.pings.fetch_add(1, Ordering::SeqCst)),
                Asks::Nothing => {}
            }
        }
        if to.write_all(&chunk[..length]).await.is_err() {
            break;
        }
    }
}
