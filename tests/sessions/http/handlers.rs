//! The handlers behind the routes: the same functions on every server, since each of them has the
//! same extractors and takes the same rejections for answers.

use std::sync::Arc;
use std::time::Duration;

use token_session::http::{Rejection, Session, Sessions};
use token_session::{NewSession, Owner};
use tokio::sync::Barrier;

use super::{Data, Manager};

pub async fn public() -> &'static str {
    "public"
}

pub async fn read(session: Session<Data>) -> String {
    session.join(",")
}

/// Behind what each server has for a session that may be missing.
pub fn maybe(session: Option<Session<Data>>) -> String {
    session.map_or("none".to_owned(), |session| format!("some {}", session.len()))
}

pub async fn add(mut session: Session<Data>) -> &'static str {
    session.push("added".to_owned());
    "done"
}

pub async fn add_slowly(both: Arc<Barrier>, mut session: Session<Data>) -> &'static str {
    both.wait().await;
    session.push("slow".to_owned());
    "done"
}

pub async fn update(mut session: Session<Data>) -> Result<String, Rejection> {
    session
        .update(|data| {
            data.push("x".to_owned());
            data.len().to_string()
        })
        .await
}

/// Answers 500 after it has changed the session.
pub async fn fail(mut session: Session<Data>) -> Result<&'static str, Rejection> {
    session.push("from a handler that failed".to_owned());
    Err(Rejection::NoLayer)
}

pub async fn huge(mut session: Session<Data>) -> &'static str {
    session.push("x".repeat(1_000));
    "done"
}

pub async fn login(sessions: Sessions<Data>) -> Result<String, Rejection> {
    let new = NewSession::new().owner(Owner::new("anna").unwrap());
    Ok(sessions.create_with(&vec![], new).await?.token.reveal().to_owned())
}

pub async fn regenerate(mut session: Session<Data>) -> Result<String, Rejection> {
    session.regenerate().await.map(|issued| issued.token.reveal().to_owned())
}

pub async fn add_and_regenerate(mut session: Session<Data>) -> Result<&'static str, Rejection> {
    session.push("before".to_owned());
    session.regenerate().await?;
    session.push("after".to_owned());
    Ok("done")
}

pub async fn fresh(session: Session<Data>) -> Result<&'static str, Rejection> {
    session.require_fresh(Duration::from_secs(300))?;
    Ok("fresh")
}

pub async fn reauthenticate(mut session: Session<Data>) -> Result<String, Rejection> {
    session.reauthenticate().await.map(|issued| issued.token.reveal().to_owned())
}

pub async fn logout(session: Session<Data>) -> Result<&'static str, Rejection> {
    session.destroy().await?;
    Ok("done")
}

pub async fn logout_during_add(sessions: Manager, mut session: Session<Data>) -> &'static str {
    session.push("too late".to_owned());
    sessions.destroy_key(session.key()).await.unwrap();
    "done"
}
