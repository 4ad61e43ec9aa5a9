//! Describes the service, where a project with a `.proto` file has tonic-prost-build and protoc.

use tonic_build::manual::{Builder, Method, Service};

fn main() {
    let method = |name: &str, route: &str, input: &str, output: &str| {
        Method::builder()
            .name(name)
            .route_name(route)
            .input_type(format!("crate::{input}"))
            .output_type(format!("crate::{output}"))
            .codec_path("tonic_prost::ProstCodec")
            .build()
    };
    let accounts = Service::builder()
        .package("example")
        .name("Accounts")
        .method(method("login", "Login", "Login", "LoggedIn"))
        .method(method("visit", "Visit", "Nothing", "Account"))
        .method(method("rename", "Rename", "Rename", "Account"))
        .method(method("logout", "Logout", "Nothing", "Nothing"))
        .build();
    Builder::new().compile(&[accounts]);
}
