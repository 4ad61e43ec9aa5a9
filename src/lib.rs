//! Sessions without cookies for REST services.

mod codec;
mod error;
mod event;
mod record;
pub mod store;
mod token;

#[cfg(feature = "messagepack")]
pub use codec::MessagePack;
pub use codec::{Codec, CodecError, Json};
pub use error::{Error, Source};
pub use event::{Event, Events, Subscription};
pub use record::{
    Label, Lifetime, LifetimeError, Meta, Owner, Record, TextError, Timestamp, Version,
};
pub use token::{Key, KeyError, KeyScheme, Token, TokenError};
