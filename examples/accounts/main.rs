//! A small REST service that shows the job: log in, be known, see and end one's sessions; register
//! and sign in by mail; hand out downloads.
//!
//! `cargo run --example accounts`, and try the lines that it prints.

mod downloads;
mod mail;
mod pages;
mod problem;
mod proofs;
mod sessions;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{delete, get, post};
use clap::Parser;
use token_session::codes::Codes;
use token_session::http::SessionLayer;
use token_session::links::{BaseUrl, Links, SignInLinks, page_headers};
use token_session::store::{self, AtomicStore};
use token_session::{Lifetime, TokenSession};
use tokio::net::TcpListener;

use self::mail::Outbox;
use self::proofs::SignIn;
pub use self::sessions::Account;

#[derive(Parser)]
struct Options {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where sessions are kept, as a URL.
    #[arg(long, default_value = "memory:")]
    store: String,
    /// Seconds after which an unused session ends.
    #[arg(long, default_value_t = 30 * 60, allow_negative_numbers = true)]
    ttl: i64,
    /// What links begin with, such as https://example.org. Default: where it listens.
    #[arg(long)]
    base: Option<String>,
}

/// What the handlers share.
#[derive(Clone)]
pub struct Service {
    register: Codes<String>,
    reset: Codes<String>,
    sign_in: SignInLinks<SignIn>,
    downloads: Links<String>,
    outbox: Outbox,
    /// A real service has a table of them.
    known: Arc<Mutex<HashSet<String>>>,
}

impl Service {
    /// Codes and links in the sessions' own store, which is fine as nothing here lists all sessions; links
    /// to `base`, whatever `Host` a request names.
    fn new(store: &Arc<dyn AtomicStore>, base: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let magic = BaseUrl::path(&format!("{base}/magic/"))?;
        let downloads = BaseUrl::path(&format!("{base}/downloads/"))?;
        Ok(Self {
            register: Codes::builder("register").store(store.clone()).build()?,
            reset: Codes::builder("password-reset").store(store.clone()).build()?,
            sign_in: Codes::builder("sign-in").store(store.clone()).build_with_links(magic)?,
            downloads: Links::builder("download", downloads).store(store.clone()).build()?,
            outbox: Outbox::default(),
            known: Arc::default(),
        })
    }

    fn is_known(&self, email: &str) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(email)
    }

    fn add(&self, email: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(email.to_owned());
    }
}

/// The service on a store. `base` is the address that its links lead to. It is to be served with
/// the clients' addresses, as [`run`] does.
///
/// # Errors
/// A lifetime or an address that is none.
pub fn app(
    store: Arc<dyn AtomicStore>,
    lifetime: Lifetime,
    base: &str,
) -> Result<(Router, TokenSession<Account>), Box<dyn std::error::Error>> {
    let service = Service::new(&store, base)?;
    let sessions = TokenSession::builder().store(store).lifetime(lifetime).build()?;
    let router = Router::new()
        .route("/", get("log in with POST /login\n"))
        .route("/login", post(sessions::login))
        .route("/me", get(sessions::me))
        .route("/visits", post(sessions::visit))
        .route("/regenerate", post(sessions::regenerate))
        .route("/sessions", get(sessions::list))
        .route("/sessions/{id}", delete(sessions::end))
        .route("/logout-others", post(sessions::logout_others))
        .route("/logout", post(sessions::logout))
        .route("/register", post(proofs::register))
        .route("/register/resend", post(proofs::register_resend))
        .route("/verify", post(proofs::verify))
        .route("/magic", get(pages::ask).post(proofs::magic))
        .route("/magic/{link}", get(proofs::magic_page).post(proofs::magic_redeem))
        .route("/magic-code", post(proofs::magic_code))
        .route("/password-reset", post(proofs::password_reset))
        .route("/password-reset/redeem", post(proofs::password_reset_redeem))
        .route("/downloads", post(downloads::offer).delete(downloads::withdraw))
        .route("/downloads/{link}", get(downloads::download).head(downloads::look))
        .route("/dev/outbox", get(mail::outbox))
        .with_state(service)
        .layer(SessionLayer::new(sessions.clone()))
        .layer(map_response(keep_private));
    Ok((router, sessions))
}

/// Each answer is for one client, and many addresses have a token in them.
async fn keep_private(mut response: Response) -> Response {
    for (name, value) in page_headers() {
        response.headers_mut().insert(name, value);
    }
    response
}

fn print_examples(address: SocketAddr) {
    println!(
        r#"listening on http://{address}

Try:
  curl -s -H 'Content-Type: application/json' -d '{{"user":"anna","device":"phone"}}' http://{address}/login
  TOKEN=…   # the token of the answer
  curl -s -H "Authorization: Bearer $TOKEN" http://{address}/me
  curl -s -H "Authorization: Bearer $TOKEN" -X POST http://{address}/visits
  curl -s -H "Authorization: Bearer $TOKEN" http://{address}/sessions
  curl -s -H "Authorization: Bearer $TOKEN" -X DELETE http://{address}/sessions/ID
  curl -s -H "Authorization: Bearer $TOKEN" -X POST http://{address}/regenerate
  curl -s -H "Authorization: Bearer $TOKEN" -X POST http://{address}/logout-others
  curl -s -H "Authorization: Bearer $TOKEN" -X POST http://{address}/logout

Register, and sign in by a link, here or in a browser at http://{address}/magic; the mail is shown
here and at http://{address}/dev/outbox:
  curl -s -H 'Content-Type: application/json' -d '{{"email":"anna@example.org"}}' http://{address}/register
  curl -s -H 'Content-Type: application/json' -d '{{"handle":"HANDLE","code":"CODE"}}' http://{address}/verify
  curl -s -H 'Content-Type: application/json' -d '{{"email":"anna@example.org"}}' http://{address}/magic
  curl -s -H 'Content-Type: application/json' -d '{{"handle":"HANDLE"}}' LINK

Stop with ctrl-c."#
    );
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("accounts: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Box<dyn std::error::Error>> {
    let base = options.base.clone().unwrap_or_else(|| format!("http://{}", options.listen));
    BaseUrl::path(&base).map_err(|error| {
        format!("links cannot lead to {base}: {error}; give another address with --base")
    })?;
    let lifetime = Lifetime::idle_secs(options.ttl)?;
    let store = store::connect(&options.store).await?;
    let listener = TcpListener::bind(options.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", options.listen))?;
    let address = listener.local_addr()?;
    // The port is known now, if it was left to the system.
    let base = options.base.unwrap_or_else(|| format!("http://{address}"));
    let (router, sessions) = app(store, lifetime, &base)?;
    let _sweeper = sessions.spawn_sweeper(Duration::from_secs(60));
    print_examples(address);
    let router = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, router)
        .with_graceful_shutdown(async {
            if let Err(error) = tokio::signal::ctrl_c().await {
                eprintln!("ctrl-c cannot be awaited: {error}");
            }
        })
        .await?;
    println!("stopped");
    Ok(())
}
