//! Sessions in a gRPC service: the tower layer around tonic's routes.
//!
//! A client sends its token as the metadata `authorization`, with the value `Bearer …`, and gets a
//! new one as the metadata `token-session` of the answer. What is wrong comes as a `grpc-status`.

#[allow(missing_docs, reason = "generated")]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/example.Accounts.rs"));
}

use serde::{Deserialize, Serialize};
use token_session::TokenSession;
use token_session::http::{Rejection, Session, SessionLayer, Sessions};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

pub use generated::accounts_client::AccountsClient;
use generated::accounts_server::{Accounts, AccountsServer};

/// What a client logs in with. A real service asks for a proof too.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Login {
    /// Who it is.
    #[prost(string, tag = "1")]
    pub user: String,
}

/// A new session.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LoggedIn {
    /// What to send with each request.
    #[prost(string, tag = "1")]
    pub token: String,
}

/// What a session holds.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
pub struct Account {
    /// Who it is.
    #[prost(string, tag = "1")]
    pub user: String,
    /// How often they came.
    #[prost(uint64, tag = "2")]
    pub visits: u64,
}

/// Another name for the account.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Rename {
    /// What it is called from now on.
    #[prost(string, tag = "1")]
    pub user: String,
}

/// A message without content.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Nothing {}

/// The service with its sessions, for [`tonic::transport::Server::add_routes`].
pub fn routes(sessions: TokenSession<Account>) -> Routes {
    let routes = Routes::new(AccountsServer::new(Service)).into_axum_router();
    routes.layer(SessionLayer::new(sessions)).into()
}

struct Service;

#[tonic::async_trait]
impl Accounts for Service {
    async fn login(&self, request: Request<Login>) -> Result<Response<LoggedIn>, Status> {
        let sessions = sessions(&request)?;
        let account = Account { user: request.into_inner().user, visits: 0 };
        let issued = sessions.create(&account).await.map_err(status)?;
        Ok(Response::new(LoggedIn { token: issued.token.reveal().to_owned() }))
    }

    /// Counts, also when many requests come at once.
    async fn visit(&self, request: Request<Nothing>) -> Result<Response<Account>, Status> {
        let mut session = session(&request).await?;
        let count = |account: &mut Account| account.visits += 1;
        session.update(count).await.map_err(status)?;
        Ok(Response::new(session.clone()))
    }

    /// Leaves it to the layer to write, which it does unless this fails.
    async fn rename(&self, request: Request<Rename>) -> Result<Response<Account>, Status> {
        let mut session = session(&request).await?;
        session.user = request.into_inner().user;
        if session.user == "fail" {
            return Err(Status::internal("something went wrong after the change"));
        }
        Ok(Response::new(session.clone()))
    }

    async fn logout(&self, request: Request<Nothing>) -> Result<Response<Nothing>, Status> {
        session(&request).await?.destroy().await.map_err(status)?;
        Ok(Response::new(Nothing {}))
    }
}

fn sessions<M>(request: &Request<M>) -> Result<Sessions<Account>, Status> {
    let sessions = request.extensions().get::<Sessions<Account>>().cloned();
    sessions.ok_or_else(|| status(Rejection::NoLayer))
}

async fn session<M>(request: &Request<M>) -> Result<Session<Account>, Status> {
    sessions(request)?.session().await.map_err(status)
}

fn status(rejection: Rejection) -> Status {
    Status::new(rejection.grpc_code().into(), rejection.to_string())
}
