use std::error::Error;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use token_session::http::{SessionLayer, SignedCookie};
use token_session::store::compat::{ConnectRedis, Lossless, Shape};
use token_session::{Lifetime, TokenSession};

/// What this service needs of a session. What others keep in it stays, byte for byte.
#[derive(Serialize, Deserialize)]
pub struct Visitor {
    pub name: String,
    pub count: u32,
}

pub type Sessions = TokenSession<Lossless<Visitor>>;

/// As `new TokenSession({ store: new RedisStore({ client, prefix: 'tokensess:', ttl: 7200 }) })`
/// keeps them.
pub async fn sessions(redis_url: &str) -> Result<Sessions, Box<dyn Error>> {
    let ttl = Duration::from_secs(7200);
    let shape = Shape::token_session().ttl(ttl)?;
    let store = ConnectRedis::connect(redis_url, shape).await?.prefix("tokensess:");
    Ok(TokenSession::builder().store(store).lifetime(Lifetime::idle(ttl)?).build()?)
}

/// As `session({ secret: ['new', 'old'] })`, for browsers that still carry its cookie. A handler
/// that changes the token, by `regenerate` say, sets the cookie again: `cookie.set(&issued.token, …)`.
pub fn layer(sessions: Sessions) -> Result<SessionLayer<Lossless<Visitor>>, Box<dyn Error>> {
    let cookie = SignedCookie::new("connect.sid", "new")?.older_secret("old")?;
    Ok(SessionLayer::builder(sessions).signed_cookie(cookie).build()?)
}
