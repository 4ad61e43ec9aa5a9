//! [`Session`]: a record of Node's as the store contract wants it, and the way back.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::backend::{Life, Stored};
use super::iso::iso_date;
use super::members::{Members, raw};
use super::own::{OWN, Own, millis};
use super::shape::{Layout, Shape, null};
use crate::event::Listeners;
use crate::record::{Details, Lifetime, Meta, Proofs, Record, Timestamp, Version};
use crate::store::{NewRecord, Touch, Write};

/// By how much the end of a session that never slides may be off: stores keep whole seconds, and a write
/// takes its time.
const ROUNDING: Duration = Duration::from_secs(2);

/// The member of a cookie that says how long a session of express-session lives, in milliseconds.
pub(super) const MAX_AGE: &str = "originalMaxAge";

/// The cookie of each session that `token-session` 1.1 wraps.
const WRAPPERS: &str = r#"{"maxAge":0}"#;

/// How a shape is read in a certain package's store.
#[derive(Clone, Debug)]
pub(super) struct Format {
    pub(super) shape: Shape,
    /// The lifetime of a record that says nothing of it.
    pub(super) default: Lifetime,
    /// The listeners that are told of damaged records.
    pub(super) listeners: Arc<Listeners>,
}

/// A record, read.
#[derive(Debug)]
pub(super) struct Session<'a> {
    format: &'a Format,
    members: Members<'a>,
    /// `None` where it is no object, as no Node module writes it.
    cookie: Option<Members<'a>>,
    own: Own,
    data: Bytes,
    lifetime: Lifetime,
    expires: Option<Timestamp>,
    /// Whether it was seen now; else when follows from when it ends.
    seen: bool,
    now: Timestamp,
    version: Version,
}

/// What becomes of a record when it is written.
#[derive(Debug, Default)]
pub(super) struct Change<'a> {
    pub(super) data: Option<&'a [u8]>,
    pub(super) details: Option<&'a Details>,
    pub(super) seen: bool,
    pub(super) lifetime: Option<Lifetime>,
    pub(super) authenticated: bool,
}

impl<'a> From<&'a Write<'_>> for Change<'a> {
    fn from(write: &'a Write<'_>) -> Self {
        Self {
            data: write.data.as_deref(),
            details: write.details,
            seen: write.touch,
            lifetime: write.lifetime.copied(),
            authenticated: write.authenticated,
        }
    }
}

/// A record after a change.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) text: String,
    pub(super) life: Life,
    /// When the session ends if it is not touched again.
    pub(super) expires_at: Timestamp,
}

/// The data cannot stand in such a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("the data is not JSON, which is all that the format holds; use the codec `Json`")]
    NotJson,
    #[error("the data is no JSON object, as express-session wants it; use a struct or a map")]
    NoObject,
    #[error(
        "the data has a field `cookie` or `tokenSession`, which an express-session record has \
         itself; rename it"
    )]
    Reserved,
    #[error(
        "the data has a field `cookie` that is empty, or looks wrapped already, which reading takes \
         for what the Node module slips in, and leaves out; rename the field"
    )]
    Slipped,
    #[error(
        "another service keeps a field `tokenSession` in it, where this crate has what the \
         format lacks; rename it there, or leave the lifetime and the rest as they are"
    )]
    Foreign,
    #[error("its details are not text, which is all that the format holds")]
    Details,
}

/// The version that a record with this text has: a digest of it, so that each write of Node's makes
/// another one.
pub(super) fn version_of(text: &[u8]) -> Version {
    let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = Sha256::digest(text).into();
    Version::from_u64(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
}

impl Format {
    /// Whether a record with this lifetime does not mention it.
    fn is_unsaid(&self, lifetime: &Lifetime) -> bool {
        self.shape.max_age.is_none() && *lifetime == self.default
    }

    /// Whether the text of a new record holds a time, so that the database has to be asked for it.
    pub(super) fn needs_clock(&self, record: &NewRecord<'_>) -> bool {
        !self.is_unsaid(&record.lifetime)
            || !record.details.as_bytes().is_empty()
            || record.authenticated
    }

    /// The text of a new record.
    pub(super) fn begin(&self, record: &NewRecord<'_>, now: Timestamp) -> Result<String, Unfit> {
        let mut session = Session {
            format: self,
            members: Members::default(),
            cookie: None,
            own: Own { created: Some(now.as_millis()), ..Own::default() },
            data: Bytes::new(),
            lifetime: record.lifetime,
            expires: None,
            seen: true,
            now,
            version: record.version,
        };
        session.change(&Change {
            data: Some(&record.data),
            details: Some(&record.details),
            lifetime: (!self.is_unsaid(&record.lifetime)).then_some(record.lifetime),
            authenticated: record.authenticated,
            seen: false,
        })?;
        Ok(session.members.to_text())
    }
}

impl<'a> Session<'a> {
    /// Reads what a database holds; an error is what is wrong with it.
    pub(super) fn read(format: &'a Format, stored: &'a Stored) -> Result<Self, &'static str> {
        let text = str::from_utf8(&stored.text).map_err(|_| "it is not UTF-8")?;
        let members = Members::parse(text)
            .map_err(|_| "it is no JSON object; is it encrypted, or something else's?")?;
        let cookie = members.borrowed("cookie").map(RawValue::get);
        let cookie = cookie.and_then(|text| Members::parse(text).ok());
        let own = members.get(OWN).and_then(Own::read).unwrap_or_default();
        let idle = match format.shape.layout {
            Layout::Wrapped => own.idle,
            Layout::Flat => cookie.as_ref().and_then(max_age),
        };
        let lifetime = own.lifetime(idle).map_err(|_| "its lifetime is invalid")?;
        let data = match format.shape.layout {
            Layout::Wrapped => wrapped_data(&stored.text, &members, format.shape.unwraps),
            Layout::Flat => flat_data(&members),
        };
        Ok(Self {
            format,
            members,
            cookie,
            own,
            data,
            lifetime: lifetime.unwrap_or(format.default),
            expires: stored.expires,
            seen: false,
            now: stored.now,
            version: version_of(&stored.text),
        })
    }

    /// Whether its own deadline lets it live; the database has judged the rest.
    pub(super) fn is_live(&self) -> bool {
        self.deadline().is_none_or(|deadline| self.now < deadline)
    }

    /// Whether a Node service of this shape has written it, and not something else that shares the
    /// place: each of theirs has a cookie, and what is wrapped has nothing in the place of `data`.
    /// What looks wrapped is not flat: moved as that, it would have its wrapper as its data.
    pub(super) fn is_of_node(&self) -> bool {
        let Some(cookie) = &self.cookie else {
            return false;
        };
        let mut others = self.members.iter().filter(|(name, _)| !["cookie", OWN].contains(name));
        match self.format.shape.layout {
            Layout::Wrapped => self.members.get("data").is_some() || others.next().is_none(),
            // In any order: binary JSON keeps none.
            Layout::Flat => {
                cookie.to_text() != WRAPPERS || !others.map(|(name, _)| name).eq(["data"])
            }
        }
    }

    pub(super) fn version(&self) -> Version {
        self.version
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.own.deadline.map(Timestamp::from_millis)
    }

    /// The life to give it where a touch is to be written. A Node service may have given it its
    /// store's own life, which is too long or too short: either is mended.
    pub(super) fn due(&self, touch: Touch) -> Option<Duration> {
        let (Touch::After(interval), Some(expires)) = (touch, self.expires) else {
            return None;
        };
        let end = self.lifetime.expiry(self.now, self.deadline());
        let off = end.as_millis().abs_diff(expires.as_millis());
        let idle = self.lifetime.idle_timeout();
        let due = idle.map_or(ROUNDING, |idle| interval.min(idle / 10));
        (off >= millis(due)).then(|| end.since(self.now))
    }

    /// As it is once a touch has been written.
    pub(super) fn see(&mut self) {
        self.seen = self.lifetime.idle_timeout().is_some();
        let end = self.lifetime.expiry(self.now, self.deadline());
        self.expires = self.expires.map(|_| end);
    }

    pub(super) fn meta(&self) -> Meta {
        let last_seen = match (self.expires, self.lifetime.idle_timeout()) {
            _ if self.seen => self.now,
            (Some(expires), Some(idle)) => {
                let start = expires.as_millis().saturating_sub(millis(idle));
                Timestamp::from_millis(start).min(self.now)
            }
            (_, None) => self.own.created.map_or(self.now, Timestamp::from_millis).min(self.now),
            (None, _) => self.now,
        };
        Meta {
            version: self.version,
            lifetime: self.lifetime,
            created_at: self.own.created.map_or(last_seen, Timestamp::from_millis),
            last_seen,
            deadline: self.deadline(),
            authenticated_at: self.own.authenticated.map(Timestamp::from_millis),
            owner: None,
            now: self.now,
        }
    }

    pub(super) fn record(&self) -> Record {
        let details = self.own.details.clone().map(Bytes::from).unwrap_or_default();
        Record {
            data: self.data.clone(),
            details: Details::from_stored(details),
            proofs: Proofs::default(),
            meta: self.meta(),
        }
    }

    /// The record after a change.
    pub(super) fn changed(mut self, change: &Change<'_>) -> Result<Changed, Unfit> {
        let life = self.change(change)?;
        let expires_at = self.meta().expires_at();
        Ok(Changed { text: self.members.to_text(), life, expires_at })
    }

    fn change(&mut self, change: &Change<'_>) -> Result<Life, Unfit> {
        // Express answers 500 to a session without a cookie.
        let mut cookie = self.cookie.take().unwrap_or_else(|| self.format.shape.cookie.clone());
        if let Some(lifetime) = change.lifetime {
            self.lifetime = lifetime;
            let idle = lifetime.idle_timeout().filter(|_| !self.format.is_unsaid(&lifetime));
            match self.format.shape.layout {
                Layout::Wrapped => self.own.begin(idle, &lifetime, self.now),
                Layout::Flat => {
                    self.own.begin(None, &lifetime, self.now);
                    cookie.set(MAX_AGE, idle.map_or(null(), |idle| raw(&millis(idle))));
                }
            }
        }
        if let Some(details) = change.details {
            let text = str::from_utf8(details.as_bytes()).map_err(|_| Unfit::Details)?;
            self.own.details = (!text.is_empty()).then(|| text.to_owned());
        }
        if change.authenticated {
            self.own.authenticated = Some(self.now.as_millis());
            self.own.deadline = self.lifetime.deadline(self.now).map(Timestamp::as_millis);
        }
        let end = self.lifetime.expiry(self.now, self.deadline());
        let slides = (change.seen || change.authenticated) && self.expires.is_some();
        let life = if change.lifetime.is_some() || slides {
            self.expires = Some(end);
            Life::For(end.since(self.now))
        } else {
            Life::Keep
        };
        if self.format.shape.layout == Layout::Flat {
            renew(&mut cookie, self.expires);
        }
        let cookie = raw(&cookie);
        match (change.data, self.format.shape.layout) {
            (Some(data), Layout::Flat) => {
                let data = object(data)?;
                self.members = Members::default();
                self.members.set("cookie", cookie);
                self.members.append(data);
            }
            (data, _) => {
                self.members.set("cookie", cookie);
                if let Some(data) = data {
                    let data = json(data)?;
                    if is_slipped(data.get(), self.format.shape.unwraps) {
                        return Err(Unfit::Slipped);
                    }
                    self.members.set("data", data);
                }
            }
        }
        let is_foreign = self.members.get(OWN).is_some() && !holds_ours(&self.members);
        match (self.own.is_needed(), is_foreign) {
            (true, true) => return Err(Unfit::Foreign),
            (true, false) => self.members.set(OWN, raw(&self.own)),
            (false, true) => {}
            (false, false) => self.members.remove(OWN),
        }
        Ok(life)
    }
}

/// Express renews a cookie's date whenever it writes, where the cookie has one.
fn renew(cookie: &mut Members<'_>, expires: Option<Timestamp>) {
    match expires.filter(|_| max_age(cookie).is_some()) {
        Some(expires) => cookie.set("expires", raw(&iso_date(expires))),
        None if cookie.get("expires").is_some() => cookie.set("expires", null()),
        None => {}
    }
}

/// The members of the user's data, if they can stand beside the cookie.
fn object(data: &[u8]) -> Result<Members<'static>, Unfit> {
    let data = json(data)?;
    let members = Members::parse(data.get()).map_err(|_| Unfit::NoObject)?;
    if members.get("cookie").is_some() || holds_ours(&members) {
        return Err(Unfit::Reserved);
    }
    Ok(members.into_owned())
}

/// The data's text, if it is JSON.
fn json<'a>(data: &[u8]) -> Result<Cow<'a, RawValue>, Unfit> {
    let value: &RawValue = serde_json::from_slice(data).map_err(|_| Unfit::NotJson)?;
    Ok(Cow::Owned(value.to_owned()))
}

/// Whether there is a member of ours, and not just one of its name.
fn holds_ours(members: &Members<'_>) -> bool {
    members.get(OWN).and_then(Own::read).is_some()
}

/// A cookie's `originalMaxAge` in milliseconds, where it is one that a session can live by.
fn max_age(cookie: &Members<'_>) -> Option<u64> {
    let millis: f64 = serde_json::from_str(cookie.get(MAX_AGE)?.get()).ok()?;
    (millis >= 1.0).then(|| (millis as u64).min(self::millis(Lifetime::MAX)))
}

/// What `token-session` has wrapped; it leaves out `undefined`, which is `null` here.
fn wrapped_data(text: &Bytes, members: &Members<'_>, unwraps: bool) -> Bytes {
    let mut data = members.borrowed("data").map(RawValue::get);
    while unwraps && let Some(inner) = data.and_then(rewrapped) {
        data = inner;
    }
    let Some(data) = data else {
        return Bytes::from_static(b"null");
    };
    without_ttl_hack(data).unwrap_or_else(|| text.slice_ref(data.as_bytes()))
}

/// Whether reading hands out something else than this data, for what Node may have made of it.
fn is_slipped(data: &str, unwraps: bool) -> bool {
    without_ttl_hack(data).is_some() || (unwraps && rewrapped(data).is_some())
}

/// What is wrapped in data that is nothing but a wrapper itself; within, `None` for `undefined`.
fn rewrapped(data: &str) -> Option<Option<&str>> {
    let members = Members::parse(data).ok()?;
    let cookie = Members::parse(members.borrowed("cookie")?.get()).ok()?;
    let is_wrapper = cookie.to_text() == WRAPPERS;
    let others = members.iter().filter(|(name, _)| !["cookie", "data"].contains(name)).count();
    (is_wrapper && others == 0).then(|| members.borrowed("data").map(RawValue::get))
}

/// The data without the cookie that `setWttl` of the Node module slips into it: `{}` or
/// `{"maxAge":null}`, and no other. `None` if there is none.
fn without_ttl_hack(data: &str) -> Option<Bytes> {
    if !data.contains("\"cookie\"") {
        return None;
    }
    let mut members = Members::parse(data).ok()?;
    let cookie = Members::parse(members.borrowed("cookie")?.get()).ok()?;
    let is_hack = cookie.iter().all(|(name, value)| name == "maxAge" && value.get() == "null");
    is_hack.then(|| {
        members.remove("cookie");
        members.to_text().into()
    })
}

/// The user's fields of an express-session record.
fn flat_data(members: &Members<'_>) -> Bytes {
    let mut data = members.clone();
    data.remove("cookie");
    if holds_ours(members) {
        data.remove(OWN);
    }
    data.to_text().into()
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
