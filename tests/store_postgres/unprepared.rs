//! Unusable connections, without prepared statements.

use crate::failover::waits_for_two_read_only_connections;
use crate::server::Sql;

#[tokio::test]
async fn an_unprepared_call_outlives_two_connections_that_became_read_only() {
    waits_for_two_read_only_connections(Sql::builder().prepared_statements(false)).await;
}
