//! What the HTTP layer asks for: it has found the token, and knows the session by its key.

use super::{Result, TokenSession};
use crate::manager::Loaded;
use crate::observe::observe;
use crate::token::Key;

impl<T: Send + 'static> TokenSession<T> {
    /// As [`get`](Self::get).
    pub(crate) async fn get_by_key(&self, key: &Key) -> Result<Option<Loaded<T>>> {
        observe("get", Some(key), self.load_key(key, self.auto_touch())).await
    }

    /// Writes what was loaded, if its data changed, over the version that was loaded.
    pub(crate) async fn set_loaded(&self, loaded: &mut Loaded<T>) -> Result<bool> {
        let key = loaded.key.clone();
        observe("set", Some(&key), self.write_back(loaded)).await
    }

    /// As [`update`](Self::update), of what was loaded.
    pub(crate) async fn update_loaded<R>(
        &self,
        loaded: &mut Loaded<T>,
        change: impl FnMut(&mut T) -> R + Send,
    ) -> Result<R> {
        let key = loaded.key.clone();
        observe("update", Some(&key), self.change_loaded(loaded, change)).await
    }
}
