//! Sessions in files: log in, come back, log out. The store is in `store.rs`, and `tests/store_file.rs`
//! runs the conformance suite on it.
//!
//! `cargo run --example file_store`

mod format;
mod listing;
mod store;

use std::error::Error;

use token_session::TokenSession;

use crate::store::FileStore;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join("token-session-example");
    let sessions = TokenSession::<String>::builder().store(FileStore::open(&folder)?).build()?;
    let issued = sessions.create(&"Anna".to_owned()).await?;
    println!("the session {} is a file in {}", issued.key, folder.display());

    // Another process that opens the folder later finds it too.
    let later = TokenSession::<String>::builder().store(FileStore::open(&folder)?).build()?;
    let session = later.get(&issued.token).await?.ok_or("the session is gone")?;
    println!("it is the session of {}", session.data);
    later.destroy(&issued.token).await?;
    Ok(())
}
