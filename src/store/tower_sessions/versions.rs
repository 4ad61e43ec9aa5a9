//! [`Tower`]: a store of tower-sessions, whichever version of its trait it has.

use std::collections::HashMap;
use std::fmt::Debug;
use std::pin::Pin;

use serde_json::Value;
use time::OffsetDateTime;

use crate::error::Source;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// What such a store keeps, under an id.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) id: i128,
    pub(super) data: HashMap<String, Value>,
    pub(super) expiry_date: OffsetDateTime,
}

/// Why it did not, in its own words.
pub(super) enum Failure {
    Encode(Source),
    Decode(Source),
    Backend(Source),
}

pub(super) trait Tower: Debug + Send + Sync + 'static {
    /// The id that it was kept under: another one if this one was taken.
    fn create(&self, kept: Kept) -> Boxed<'_, i128>;
    fn save(&self, kept: Kept) -> Boxed<'_, ()>;
    fn load(&self, id: i128) -> Boxed<'_, Option<Kept>>;
    fn delete(&self, id: i128) -> Boxed<'_, ()>;
}

/// The trait has been the same for several versions of the crate, which are strangers to the compiler.
macro_rules! adapt {
    ($adapter:ident, $core:ident) => {
        #[derive(Debug)]
        pub(super) struct $adapter<S>(pub(super) S);

        impl<S: $core::SessionStore> Tower for $adapter<S> {
            fn create(&self, kept: Kept) -> Boxed<'_, i128> {
                Box::pin(async move {
                    let mut record = $core::session::Record::from(kept);
                    self.0.create(&mut record).await?;
                    Ok(record.id.0)
                })
            }

            fn save(&self, kept: Kept) -> Boxed<'_, ()> {
                Box::pin(async move { Ok(self.0.save(&kept.into()).await?) })
            }

            fn load(&self, id: i128) -> Boxed<'_, Option<Kept>> {
                Box::pin(async move {
                    Ok(self.0.load(&$core::session::Id(id)).await?.map(|record| Kept {
                        id: record.id.0,
                        data: record.data,
                        expiry_date: record.expiry_date,
                    }))
                })
            }

            fn delete(&self, id: i128) -> Boxed<'_, ()> {
                Box::pin(async move { Ok(self.0.delete(&$core::session::Id(id)).await?) })
            }
        }

        impl From<Kept> for $core::session::Record {
            fn from(kept: Kept) -> Self {
                let id = $core::session::Id(kept.id);
                Self { id, data: kept.data, expiry_date: kept.expiry_date }
            }
        }

        impl From<$core::session_store::Error> for Failure {
            fn from(error: $core::session_store::Error) -> Self {
                match error {
                    $core::session_store::Error::Encode(_) => Self::Encode(error.into()),
                    $core::session_store::Error::Decode(_) => Self::Decode(error.into()),
                    $core::session_store::Error::Backend(_) => Self::Backend(error.into()),
                }
            }
        }
    };
}

adapt!(Core015, tower_sessions_core);
adapt!(Core014, tower_sessions_core_0_14);
