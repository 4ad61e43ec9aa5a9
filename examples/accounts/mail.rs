//! The outbox: where mail goes that a real service would send. It is logged, and `GET /dev/outbox`
//! shows it; a real service has no such route.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::Service;

/// How many mails the outbox keeps.
const KEPT: usize = 100;

#[derive(Clone, Serialize)]
pub struct Mail {
    to: String,
    text: String,
}

#[derive(Clone, Default)]
pub struct Outbox(Arc<Mutex<Vec<Mail>>>);

impl Outbox {
    pub fn send(&self, to: &str, text: String) {
        println!("mail to {to}: {text}");
        let mut mails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if mails.len() == KEPT {
            mails.remove(0);
        }
        mails.push(Mail { to: to.to_owned(), text });
    }
}

pub async fn outbox(State(service): State<Service>) -> Json<Vec<Mail>> {
    let mails = service.outbox.0.lock().unwrap_or_else(PoisonError::into_inner);
    Json(mails.clone())
}
