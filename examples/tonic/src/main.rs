//! `cargo run -p tonic-example`, and call `example.Accounts` with the client of your choice.

use token_session::TokenSession;
use tonic::transport::Server;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = "127.0.0.1:50051".parse()?;
    println!("listening on http://{address}");
    let routes = tonic_example::routes(TokenSession::in_memory());
    Server::builder().add_routes(routes).serve(address).await?;
    Ok(())
}
