//! A proxy on loopback that can hold back what the server answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};

/// Listens on a port of its own until the test's runtime ends. It is open at first.
pub struct Gate {
    port: u16,
    state: Arc<State>,
}

struct State {
    /// How many bytes of answers may pass, counted from the beginning.
    allowed: watch::Sender<usize>,
    counts: watch::Sender<Counts>,
    /// What is sent to the server in the client's place.
    slipped_in: broadcast::Sender<&'static [u8]>,
    swallows: AtomicBool,
}

/// What went through so far.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    pub connections: usize,
    /// Bytes from clients.
    pub asked: usize,
    /// Bytes to clients.
    pub answered: usize,
}

impl Gate {
    pub async fn start(server_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            allowed: watch::Sender::new(usize::MAX),
            counts: watch::Sender::default(),
            slipped_in: broadcast::Sender::new(1),
            swallows: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                accepting.counts.send_modify(|counts| counts.connections += 1);
                let server = TcpStream::connect(("127.0.0.1", server_port)).await.unwrap();
                for stream in [&client, &server] {
                    stream.set_nodelay(true).unwrap();
                }
                let (from_server, to_server) = server.into_split();
                let (from_client, to_client) = client.into_split();
                tokio::spawn(ask(from_client, to_server, Arc::clone(&accepting)));
                tokio::spawn(answer(from_server, to_client, Arc::clone(&accepting)));
            }
        });
        Self { port, state }
    }

    /// A gate before the server of a URL, and the URL that leads through it, in the clear.
    pub async fn before(url: &str) -> (Self, String) {
        let (before, after) = url.rsplit_once(':').unwrap();
        let (port, database) = after.split_once('/').unwrap();
        let gate = Self::start(port.parse().unwrap()).await;
        let url = format!("{before}:{}/{database}", gate.port);
        (gate, url)
    }

    pub fn counts(&self) -> Counts {
        *self.state.counts.borrow()
    }

    pub fn open(&self) {
        self.state.allowed.send_replace(usize::MAX);
    }

    /// Closes after this many more bytes of answers.
    pub fn close_after(&self, bytes: usize) {
        self.state.allowed.send_replace(self.counts().answered + bytes);
    }

    pub async fn until(&self, reached: impl FnMut(&Counts) -> bool) {
        let mut counts = self.state.counts.subscribe();
        counts.wait_for(reached).await.unwrap();
    }

    /// Sends a message to the servers of idle clients, and keeps the answers from the clients.
    pub async fn slip_in(&self, message: &'static [u8]) {
        self.state.swallows.store(true, Ordering::SeqCst);
        self.state.slipped_in.send(message).unwrap();
        while self.state.swallows.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
    }
}

async fn ask(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: Arc<State>) {
    let mut chunk = vec![0; 64 * 1024];
    let mut slipped_in = state.slipped_in.subscribe();
    loop {
        let sent = tokio::select! {
            read = from.read(&mut chunk) => {
                let Ok(length @ 1..) = read else { break };
                state.counts.send_modify(|counts| counts.asked += length);
                to.write_all(&chunk[..length]).await
            }
            Ok(message) = slipped_in.recv() => to.write_all(message).await,
        };
        if sent.is_err() {
            break;
        }
    }
}

async fn answer(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: Arc<State>) {
    let mut chunk = vec![0; 64 * 1024];
    let mut allowed = state.allowed.subscribe();
    while let Ok(length @ 1..) = from.read(&mut chunk).await {
        if state.swallows.swap(false, Ordering::SeqCst) {
            continue;
        }
        let mut unsent = &chunk[..length];
        while !unsent.is_empty() {
            let answered = state.counts.borrow().answered;
            let Ok(limit) = allowed.wait_for(|limit| *limit > answered).await.map(|limit| *limit)
            else {
                return;
            };
            let (now, later) = unsent.split_at(unsent.len().min(limit - answered));
            if to.write_all(now).await.is_err() {
                return;
            }
            state.counts.send_modify(|counts| counts.answered += now.len());
            unsent = later;
        }
    }
}
