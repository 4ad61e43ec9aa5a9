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

pub async fn huge_update(mut session: Session<Data>) -> Result<(), Rejection> {
    session.update(|data| data.push("x".repeat(1_000))).await
}

/// Asks for the session twice at once, and changes what it gets first.
pub async fn two_holders(sessions: Sessions<Data>) -> Result<&'static str, Rejection> {
    let change = async {
        sessions.session().await?.push("first".to_owned());
        Ok::<_, Rejection>(())
    };
    let look = async { sessions.session().await.map(drop) };
    let (changed, looked) = tokio::join!(biased; change, look);
    changed.and(looked).map(|()| "done")
}

/// A change that cannot be written, and another one.
pub async fn update_twice(mut session: Session<Data>) -> &'static str {
    let refused = session.update(|data| data.push("x".repeat(1_000))).await;
    assert!(refused.is_err());
    session.push("small".to_owned());
    "done"
}

pub async fn number(session: Session<u32>) -> String {
    session.to_string()
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

/// Does what the name says to anna's session, and to another one that may be hers.
pub async fn end(
    what: String,
    manager: Manager,
    sessions: Sessions<Data>,
) -> Result<&'static str, Rejection> {
    let mut session = sessions.session().await?;
    let anna = Owner::new("anna").unwrap();
    let made = match what.split_once('-').unwrap_or_default() {
        ("create", rest) if rest.starts_with("for-nobody") => sessions.create(&vec![]).await?,
        ("create", _) => {
            sessions.create_with(&vec![], NewSession::new().owner(anna.clone())).await?
        }
        ("regenerate", _) => session.regenerate().await?,
        _ => session.reauthenticate().await?,
    };
    match what.rsplit_once("and-").unwrap_or_default() {
        (_, "destroy") => drop(session.destroy().await?),
        (_, "destroy-owned") => drop(sessions.destroy_owned(&anna, &made.key).await?),
        (_, "destroy-all") => sessions.destroy_all(&anna).await?,
        (_, "destroy-others") => session.destroy_others().await?,
        (_, last) => {
            manager.destroy_key(&made.key).await?;
            if last == "update" {
                session.update(|data| data.push("too late".to_owned())).await?;
            } else {
                session.push("too late".to_owned());
            }
        }
    }
    Ok("done")
}

/// What layers and handlers put on an answer.
pub const DECORATIONS: [(&str, &str); 9] = [
    ("access-control-allow-origin", "https://example.org"),
    ("vary", "origin"),
    ("set-cookie", "a=1"),
    ("set-cookie", "b=2"),
    ("x-frame-options", "DENY"),
    ("content-security-policy", "default-src 'none'"),
    ("etag", "\"1\""),
    ("location", "/elsewhere"),
    ("content-language", "de"),
];
