//! What a code is good for, as it is written.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use token_session::codes::{CodeError, Codes};
use token_session::{Codec, CodecError, MessagePack};

use super::watched::Watched;
use super::{ANNA, assert_refused, builder, dump, store_with_clock};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Change {
    account: u64,
    address: String,
}

fn change() -> Change {
    Change { account: 17, address: ANNA.to_owned() }
}

/// Hides text, as a codec that encrypts would; writes no empty text, and reads none but its own.
struct Hidden;

const MARK: u8 = 0xff;

impl Codec<String> for Hidden {
    fn encode(&self, data: &String) -> Result<Bytes, CodecError> {
        if data.is_empty() {
            return Err("nothing to hide".into());
        }
        Ok(std::iter::once(MARK).chain(data.bytes().map(|byte| !byte)).collect())
    }

    fn decode(&self, bytes: &[u8]) -> Result<String, CodecError> {
        let hidden = bytes.strip_prefix(&[MARK]).ok_or("not hidden")?;
        Ok(String::from_utf8(hidden.iter().map(|byte| !byte).collect())?)
    }
}

/// The text `"payload"`, as JSON, in base64url.
const IN_THE_CLEAR: &str = "InBheWxvYWQi";

#[tokio::test]
async fn a_payload_goes_through_message_pack_and_comes_back() {
    let (store, _) = store_with_clock();
    let codes = Codes::<Change>::builder("change-address").store(store).codec(MessagePack);
    let codes = codes.build().unwrap();
    let issued = codes.issue(ANNA, &change()).await.unwrap();
    let redeemed = codes.redeem(issued.challenge.handle.reveal(), issued.code.reveal()).await;
    assert_eq!(redeemed.unwrap().payload, change());
}

#[tokio::test]
async fn a_dump_shows_a_payload_in_the_clear_unless_the_codec_hides_it() {
    let (store, _) = store_with_clock();
    let codes = builder(store.clone()).build().unwrap();
    codes.issue(ANNA, &"payload".to_owned()).await.unwrap();
    assert!(dump(&store).await.contains(IN_THE_CLEAR));

    let (store, _) = store_with_clock();
    let codes = builder(store.clone()).codec(Hidden).build().unwrap();
    let issued = codes.issue(ANNA, &"payload".to_owned()).await.unwrap();
    assert!(!dump(&store).await.contains(IN_THE_CLEAR));
    let redeemed = codes.redeem(issued.challenge.handle.reveal(), issued.code.reveal()).await;
    assert_eq!(redeemed.unwrap().payload, "payload");
}

#[tokio::test]
async fn what_the_codec_cannot_write_is_not_sent_to_the_store() {
    let store = Arc::new(Watched::new(store_with_clock().0));
    let codes = builder(store.clone()).codec(Hidden).build().unwrap();
    let answer = codes.issue(ANNA, &String::new()).await;
    assert!(matches!(answer, Err(CodeError::Encode(_))), "{answer:?}");
    assert_eq!(store.calls(), [""; 0]);
}

#[tokio::test]
async fn what_the_codec_cannot_read_is_not_spent() {
    let (store, _) = store_with_clock();
    let codes = builder(store.clone()).build().unwrap();
    let issued = codes.issue(ANNA, &"payload".to_owned()).await.unwrap();
    let (handle, code) = (issued.challenge.handle.reveal(), issued.code.reveal());
    let of_another_codec = builder(store).codec(Hidden).build().unwrap();
    let answer = of_another_codec.redeem(handle, code).await;
    assert!(matches!(answer, Err(CodeError::Decode { .. })), "{answer:?}");
    assert_eq!(codes.redeem(handle, code).await.unwrap().payload, "payload");
    assert_refused(of_another_codec.redeem(handle, code).await);
}

#[tokio::test]
async fn a_payload_of_the_largest_size_is_taken_and_one_byte_more_is_not() {
    let (store, _) = store_with_clock();
    // In JSON, a text has two quotation marks besides.
    let codes = builder(store).max_payload(10).build().unwrap();
    codes.issue(ANNA, &"8 bytes.".to_owned()).await.unwrap();
    let answer = codes.issue(ANNA, &"9 bytes..".to_owned()).await;
    assert!(matches!(answer, Err(CodeError::TooLarge { size: 11, max: 10 })), "{answer:?}");
}
