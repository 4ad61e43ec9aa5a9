//! What a gRPC client gets, over a real connection.

use token_session::store::Memory;
use token_session::{TokenSession, TokenSessionBuilder};
use tokio::net::TcpListener;
use tonic::metadata::MetadataValue;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request};
use tonic_example::{Account, AccountsClient, Login, Nothing, Rename};

async fn client(
    options: fn(TokenSessionBuilder<Account>) -> TokenSessionBuilder<Account>,
) -> AccountsClient<Channel> {
    let sessions = options(TokenSession::builder()).build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder().add_routes(tonic_example::routes(sessions));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    AccountsClient::connect(format!("http://{address}")).await.unwrap()
}

async fn login(client: &mut AccountsClient<Channel>) -> String {
    let answer = client.login(Login { user: "anna".to_owned() }).await.unwrap();
    let header = answer.metadata().get("token-session").unwrap().to_str().unwrap().to_owned();
    assert_eq!(answer.into_inner().token, header);
    header
}

fn with_token<M>(token: &str, message: M) -> Request<M> {
    let mut request = Request::new(message);
    let bearer = MetadataValue::try_from(format!("Bearer {token}")).unwrap();
    request.metadata_mut().insert("authorization", bearer);
    request
}

fn rename(token: &str, user: &str) -> Request<Rename> {
    with_token(token, Rename { user: user.to_owned() })
}

#[tokio::test]
async fn a_session_from_login_to_logout() {
    let mut client = client(|options| options).await;
    let token = login(&mut client).await;
    for visits in 1..=3 {
        let account = client.visit(with_token(&token, Nothing {})).await.unwrap().into_inner();
        assert_eq!(account, Account { user: "anna".to_owned(), visits });
    }
    client.logout(with_token(&token, Nothing {})).await.unwrap();
    let status = client.visit(with_token(&token, Nothing {})).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn no_token_and_a_bad_one_are_unauthenticated() {
    let mut client = client(|options| options).await;
    for request in [Request::new(Nothing {}), with_token("unknown", Nothing {})] {
        let status = client.visit(request).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        assert!(status.message().contains("log in"), "{status:?}");
    }
}

#[tokio::test]
async fn two_tokens_are_an_invalid_argument() {
    let mut client = client(|options| options).await;
    let mut request = with_token("one", Nothing {});
    request.metadata_mut().insert("token-session", MetadataValue::from_static("other"));
    let status = client.visit(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_store_that_takes_nothing_is_unavailable() {
    let mut client = client(|options| options.store(Memory::builder().capacity(0).build())).await;
    let status = client.login(Login { user: "anna".to_owned() }).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_change_is_written_unless_the_call_fails() {
    let mut client = client(|options| options).await;
    let token = login(&mut client).await;
    client.rename(rename(&token, "bea")).await.unwrap();
    let status = client.rename(rename(&token, "fail")).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    let account = client.visit(with_token(&token, Nothing {})).await.unwrap().into_inner();
    assert_eq!(account.user, "bea");
}

#[tokio::test]
async fn a_write_of_the_layer_that_fails_is_a_status_too() {
    let mut client = client(|options| options.max_size(100)).await;
    let token = login(&mut client).await;
    let status = client.rename(rename(&token, &"x".repeat(100))).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(status.message(), "the service cannot handle its sessions");
}
