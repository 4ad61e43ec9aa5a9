use std::error::Error;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use token_session::store;
use token_session::store::compat::{ConnectRedis, Shape, Successor};
use token_session::{Lifetime, Owner, Record, TokenSession};

#[derive(Deserialize)]
struct Data {
    user: Option<String>,
}

/// Whose a session is that began in Node, so that "sign out everywhere" finds it.
fn owner(record: &Record) -> Option<Owner> {
    let data: Data = serde_json::from_slice(&record.data).ok()?;
    Owner::new(data.user?).ok()
}

pub type Sessions = TokenSession<Value>;

/// `is_first`: in the first deployment, while instances run that know the old store alone.
pub async fn sessions(
    redis_url: &str,
    postgres_url: &str,
    is_first: bool,
) -> Result<Sessions, Box<dyn Error>> {
    let ttl = Duration::from_secs(7200);
    let shape = Shape::token_session().ttl(ttl)?;
    let old = ConnectRedis::connect(redis_url, shape).await?.prefix("tokensess:");
    let new = store::connect(postgres_url).await?;
    let mut store = Successor::new(new, old).owner(owner)?;
    if is_first {
        store = store.begin_in_old();
    }
    Ok(TokenSession::builder().store(store).lifetime(Lifetime::idle(ttl)?).build()?)
}
