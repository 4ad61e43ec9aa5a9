//! What operators read in the log when the edge answers 5xx.

use std::io;
use std::sync::{Mutex, Once};

use bytes::Bytes;
use token_session::Token;
use token_session::store::{Store, Write};

use super::Server;

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Log;

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps the log of this process from now on, at the level that services run with.
pub fn capture() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::INFO);
        let subscriber = subscriber.with_ansi(false).with_writer(|| Log).finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

/// The lines with this text.
pub fn lines_with(text: &str) -> Vec<String> {
    let log = LOG.lock().unwrap();
    let log = str::from_utf8(&log).unwrap();
    log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
}

/// The one event about a session, without its token.
pub fn one_event(key: &token_session::Key, token: &Token) -> String {
    let lines = lines_with(&format!("key={key}"));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines_with(token.reveal()).is_empty());
    lines[0].clone()
}

pub async fn each_answer_of_500_or_503_has_one_event_with_the_reason_and_the_key(server: Server) {
    let service = server.start().await;
    for request in ["POST /huge", "POST /huge-update"] {
        let issued = service.login().await;
        assert_eq!(service.ask(request, issued.token.reveal()).await.status, 500);
        let event = one_event(&issued.key, &issued.token);
        assert!(
            event.contains("ERROR") && event.contains("more than the maximum of 1000"),
            "{event}"
        );
    }
    for request in ["GET /read", "GET /maybe"] {
        let issued = service.login().await;
        let garbage = Write::data(Bytes::from_static(b"no JSON"));
        service.store.replace(&issued.key, &garbage).await.unwrap();
        assert_eq!(service.ask(request, issued.token.reveal()).await.status, 500);
        let event = one_event(&issued.key, &issued.token);
        assert!(event.contains("ERROR") && event.contains("expected ident at line 1"), "{event}");
    }
    for (request, nth) in
        [("GET /read", 1), ("POST /add", 2), ("POST /update", 2), ("POST /logout", 2)]
    {
        let issued = service.login().await;
        service.store.fail_call(nth);
        assert_eq!(service.ask(request, issued.token.reveal()).await.status, 503, "{request}");
        let event = one_event(&issued.key, &issued.token);
        assert!(event.contains("WARN") && event.contains("the spy plays dead"), "{event}");
    }
    for request in ["GET /read", "POST /fail", "POST /logout-during-add"] {
        let issued = service.login().await;
        service.ask(request, issued.token.reveal()).await;
        assert!(lines_with(&issued.key.to_string()).is_empty(), "{request} is no fault of ours");
    }
}
