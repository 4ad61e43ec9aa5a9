//! A device that is known to a subject, and has a budget of its own.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::engine::CodesEngine;
use super::error::CodeError;
use super::limits::check_subject;
use super::policy::PolicyError;
use crate::key::Key;
use crate::key_ring::{mac, same};
use crate::token::Token;

impl<T: 'static> CodesEngine<T> {
    /// A random name for the device, and the MAC of the name and the subject.
    pub fn device_token(&self, subject: &str) -> Result<Token, CodeError> {
        check_subject(subject)?;
        if self.ring.is_none() {
            let what = "tokens of devices";
            return Err(PolicyError::NoKeyRing { what }.into());
        }
        let name = Token::random("")?;
        let mac = self.device_mac(self.signing().1, name.reveal(), subject);
        let mac = URL_SAFE_NO_PAD.encode(mac);
        let text = Zeroizing::new(format!("{}.{mac}", name.reveal()));
        Ok(Token::parse(&text)?)
    }

    /// The key of a device's budget, if it is one of the subject's.
    pub fn device_budget(&self, device: &str, subject: &str) -> Option<Key> {
        self.ring.as_ref()?;
        let device = Token::parse(device).ok()?;
        let (name, signature) = device.reveal().split_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let signed = |app: &[u8]| self.device_mac(app, name, subject);
        self.app_keys().find(|app| same(&signed(app), &signature))?;
        let fields = [self.policy.purpose.as_bytes(), subject.as_bytes(), name.as_bytes()];
        Some(Key::of_digest(&mac(self.signing().1, "device of a subject", &fields)))
    }

    fn device_mac(&self, app: &[u8], name: &str, subject: &str) -> [u8; 32] {
        let fields = [self.policy.purpose.as_bytes(), subject.as_bytes(), name.as_bytes()];
        mac(app, "token of a device", &fields)
    }
}
