//! Codes and links that share a store with sessions.

use token_session::codes::Codes;
use token_session::links::{BaseUrl, Links};
use token_session::store::{Listing, Memory, Owners};
use token_session::{Owner, TokenSession};

use super::{ANNA, builder, issue, store_with_clock};

/// The accounts that are named as the digests in a store: whatever ends the name of an owner there.
async fn accounts_named_as_digests(store: &Memory) -> Vec<Owner> {
    let page = store.scan(None, 100).await.unwrap();
    let owners = page.records.into_iter().filter_map(|(_, record)| record.meta.owner);
    let digests = owners.map(|owner| {
        let name = owner.as_str();
        Owner::new(name.strip_prefix("token-session:").unwrap()).unwrap()
    });
    digests.collect()
}

#[tokio::test]
async fn an_account_that_is_named_as_a_digest_neither_lists_nor_ends_anothers_codes() {
    let (store, _) = store_with_clock();
    let codes = builder(store.clone()).build().unwrap();
    let sessions = TokenSession::<u32>::builder().store(store.clone()).build().unwrap();
    let issued = issue(&codes).await;
    let accounts = accounts_named_as_digests(&store).await;
    assert_eq!(accounts.len(), 1);
    for account in &accounts {
        assert!(store.owned(account, None, 100, false).await.unwrap().records.is_empty());
        sessions.destroy_all(account).await.unwrap();
    }
    codes.redeem(issued.challenge.handle.reveal(), issued.code.reveal()).await.unwrap();
}

#[tokio::test]
async fn an_account_that_is_named_as_a_digest_neither_lists_nor_ends_anothers_links() {
    let (store, _) = store_with_clock();
    let base = BaseUrl::path("https://example.org/downloads/").unwrap();
    let links = Links::<u32>::builder("download", base).store(store.clone()).build().unwrap();
    let sessions = TokenSession::<u32>::builder().store(store.clone()).build().unwrap();
    let link = links.new_link(&17).subject(ANNA).create().await.unwrap().link;
    let accounts = accounts_named_as_digests(&store).await;
    assert_eq!(accounts.len(), 1);
    for account in &accounts {
        assert!(store.owned(account, None, 100, false).await.unwrap().records.is_empty());
        sessions.destroy_all(account).await.unwrap();
    }
    links.redeem(link.token()).await.unwrap();
}

#[tokio::test]
async fn the_codes_of_a_subject_are_ended_under_its_owners_name() {
    let (store, _) = store_with_clock();
    let codes: Codes<String> = builder(store.clone()).build().unwrap();
    let issued = issue(&codes).await;
    let page = store.scan(None, 100).await.unwrap();
    let mut owners = page.records.into_iter().filter_map(|(_, record)| record.meta.owner);
    assert!(owners.next().unwrap().as_str().starts_with("token-session:"));
    codes.revoke(ANNA).await.unwrap();
    codes.redeem(issued.challenge.handle.reveal(), issued.code.reveal()).await.unwrap_err();
}
