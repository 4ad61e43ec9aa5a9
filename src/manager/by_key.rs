//! What the HTTP layer asks for: it has found the token, and knows the session by its credential.

use super::{Credential, Issued, Renewed, Result, TokenSession};
use crate::generator::Origin;
use crate::manager::Loaded;
use crate::observe::observe;
use crate::store::{Renewal, Write};

impl<T: Send + 'static> TokenSession<T> {
    /// As [`get`](Self::get).
    pub(crate) async fn get_by(&self, credential: &Credential) -> Result<Option<Loaded<T>>> {
        let load = self.load_by(credential, self.auto_touch());
        observe("get", Some(&credential.key), load).await
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

    /// As [`regenerate`](Self::regenerate) or [`reauthenticate`](Self::reauthenticate), of what was
    /// loaded.
    pub(crate) async fn renew_loaded(
        &self,
        loaded: &mut Loaded<T>,
        renewal: Renewal,
        origin: Origin<'_>,
    ) -> Result<Issued> {
        let credential = Credential { key: loaded.key.clone(), claim: loaded.claim };
        let (issued, renewed) =
            self.renew_by(&credential, Write::default(), renewal, origin).await?;
        let version = loaded.meta.version;
        match renewed {
            Renewed::InPlace(written) => {
                let write = Write {
                    touch: true,
                    authenticated: renewal == Renewal::Authentication,
                    ..Write::default()
                };
                loaded
                    .meta
                    .written(&write, written.times.map_or(loaded.meta.now, |times| times.now));
                loaded.meta.version = written.version;
            }
            Renewed::Moved(meta) => loaded.meta = meta,
        }
        loaded.key = issued.key.clone();
        loaded.claim = self.credential(&issued.token).and_then(|credential| credential.claim);
        if loaded.meta.version != version.next() {
            // The store counts no versions, or another request wrote before: then what is changed here
            // must still meet it. The data tells which.
            let credential = Credential { key: loaded.key.clone(), claim: loaded.claim };
            loaded.meta.version = match self.get_by(&credential).await {
                Ok(Some(found)) if found.encoded == loaded.encoded => found.meta.version,
                _ => version,
            };
        }
        Ok(issued)
    }
}
