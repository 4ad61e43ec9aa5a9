//! A wire that can be cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Carries bytes to a server and back, until it is told to cut the connection in the middle of an
/// answer.
pub struct Proxy {
    port: u16,
    /// How many more bytes of answers pass before all connections are cut.
    left: Arc<AtomicUsize>,
}

const NEVER: usize = usize::MAX;

impl Proxy {
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let left = Arc::new(AtomicUsize::new(NEVER));
        let shared = Arc::clone(&left);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                tokio::spawn(carry(client, server, Arc::clone(&shared)));
            }
        });
        Self { port: own, left }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Cuts the connection after this many bytes of the next answer. Later connections are not cut.
    pub fn cut_after(&self, bytes: usize) {
        self.left.store(bytes, Ordering::SeqCst);
    }
}

async fn carry(mut client: TcpStream, mut server: TcpStream, left: Arc<AtomicUsize>) {
    let (mut asked, mut answered) = ([0; 4096], [0; 4096]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(read @ 1..) = read else { return };
                server.write_all(&asked[..read]).await.unwrap();
            }
            read = server.read(&mut answered) => {
                let Ok(read @ 1..) = read else { return };
                let allowed = left.load(Ordering::SeqCst);
                let _ = client.write_all(&answered[..read.min(allowed)]).await;
                if allowed != NEVER {
                    left.store(NEVER, Ordering::SeqCst);
                    return;
                }
            }
        }
    }
}
