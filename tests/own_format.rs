//! A format of one's own, as the docs of `Backend` show it, in the suite for such formats.

use std::time::Duration;

use token_session::store::compat::{AnyBytes, Shape, Shared};
use token_session::store::conformance::Harness;

mod in_memory {
    include!("own_format/in_memory.rs");
}

struct Own(Shape);

impl Harness for Own {
    type Store = AnyBytes<Shared<in_memory::InMemory>>;

    async fn store(&self) -> Self::Store {
        AnyBytes(Shared::new(in_memory::InMemory::default(), self.0.clone()))
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

token_session::shared_format_suite!(Own(Shape::token_session()));
