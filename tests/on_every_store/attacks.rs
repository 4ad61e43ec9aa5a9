//! What an attacker gets with much time, or with the store's dump, on every store that keeps the contract.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use token_session::codes::{CodeError, Codes, RecoveryCodes};
use token_session::store::conformance::Harness;
use token_session::store::{AtomicStore, Listing};
use token_session::{Key, KeyRing, Meta, Record, Timestamp, Token};

use super::later::Later;
use super::*;

/// A store's dump has no handle, no code, no link and no subject, as it is or encoded.
pub async fn a_dump_tells_no_secret<H: Harness<Store: AtomicStore>>(on: &On<H>) {
    let store = on.store().await;
    let secrets = put_some_of_everything(&store).await;
    let dump = dump_of(&store).await;
    let words = words(&dump);
    let mut text = as_text(&dump);
    for word in &words {
        let bytes = URL_SAFE_NO_PAD.decode(word).unwrap_or_default();
        let _ = writeln!(text, "{}", String::from_utf8_lossy(&bytes));
    }
    assert!(text.contains("payload 0"), "what the dump encodes is not read");
    for secret in secrets {
        assert!(!text.contains(&secret), "the dump tells {secret:?}:\n{text}");
    }
}

/// No value of a dump is a handle or a link that does anything.
pub async fn nothing_in_a_dump_redeems<H: Harness<Store: AtomicStore>>(on: &On<H>) {
    let store = on.store().await;
    let (codes, links) = (codes_in(store.clone()), links_in(store.clone()));
    let (handle, code) = issue(&codes, 0).await;
    let link = links.create(&"report.pdf".to_owned()).await.unwrap().link;
    let mut values = words(&dump_of(&store).await);
    values.retain(|word| word.len() > 20);
    // The challenge's key, subject, salt, MAC and link, and the key of the other link.
    assert!(values.len() >= 6, "{values:?}");
    for word in values {
        assert_eq!(outcome(codes.redeem(&word, &code).await), Outcome::Refused, "{word:?}");
        assert_eq!(outcome(codes.resend(&word).await), Outcome::Refused, "{word:?}");
        assert_eq!(link_outcome(links.redeem(&word).await), Outcome::Refused, "{word:?}");
    }
    assert_eq!(codes.compared(), 0);
    assert_eq!(outcome(codes.redeem(&handle, &code).await), Outcome::Redeemed);
    assert_eq!(link_outcome(links.redeem(link.token()).await), Outcome::Redeemed);
}

/// A client opens challenges, asks for new codes and guesses for 30 days, as often as it may. Within any
/// 24 hours no more guesses are compared than the budget of a day. The budget is the smallest, which spares
/// the store's server. With fewer [rounds](On::rounds) it is fewer days.
pub async fn thirty_days_of_guesses_stay_within_the_budget<H: Harness<Store: AtomicStore>>(
    on: &On<H>,
) {
    let store = Arc::new(Later::new(on.store().await));
    let codes = Codes::<()>::builder(PURPOSE).tries(1).tries_per_day(2).store(store.clone());
    let codes = codes.build().unwrap();
    let mut compared = 0;
    for day in 0..on.rounds.min(30) {
        for (hour, guesses) in [(0, 1), (8, 1), (16, 0)] {
            // The first attack leaves one of the day's guesses to the second, so that from then on they
            // are given back one by one.
            let challenges = if (day, hour) == (0, 0) { 1 } else { 3 };
            attack(&codes, &store, challenges).await;
            compared += guesses;
            assert_eq!(codes.compared(), compared, "on day {day}, since {hour} o'clock");
            store.pass(8 * HOUR);
        }
    }
}

/// Opens up to this number of challenges, asks for another code for each and guesses twice, which is once
/// too often. These are decoys: to guess at one is as to guess at a code, but no guess is right.
async fn attack(codes: &Codes<()>, store: &Later<Arc<dyn AtomicStore>>, challenges: usize) {
    let mut handles = Vec::new();
    for _ in 0..challenges {
        match codes.decoy(&subject(0), &()).await {
            Ok(challenge) => handles.push(challenge.handle),
            Err(CodeError::TooSoon { .. }) => break,
            Err(error) => panic!("{error:?}"),
        }
    }
    store.pass(Duration::from_secs(60));
    for handle in handles {
        codes.resend(handle.reveal()).await.unwrap();
        for expected in [Outcome::Refused, Outcome::Exhausted] {
            let answer = codes.redeem(handle.reveal(), "12345678").await;
            assert_eq!(outcome(answer), expected);
        }
    }
}

/// Fills a store with codes and links in all states, and returns what only their clients and their
/// persons may know.
async fn put_some_of_everything(store: &Arc<dyn AtomicStore>) -> Vec<String> {
    let mut secrets: Vec<String> = (0..6).map(subject).collect();
    put_links(store, &mut secrets).await;
    put_codes_under_a_key(store, &mut secrets).await;
    // Last, because a used code is kept for half a minute only.
    put_codes(store, &mut secrets).await;
    secrets
}

/// Codes that are open, guessed at, used and leased.
async fn put_codes(store: &Arc<dyn AtomicStore>, secrets: &mut Vec<String>) {
    let codes = codes_in(store.clone());
    let mut sent = Vec::new();
    for number in 0..4 {
        sent.push(issue(&codes, number).await);
    }
    let guess = codes.redeem(&sent[1].0, &another_than(&sent[1].1)).await;
    assert_eq!(outcome(guess), Outcome::Refused);
    codes.guess(&sent[2].0, &sent[2].1).attempt(FORM).redeem().await.unwrap();
    let lease = codes.guess(&sent[3].0, &sent[3].1).attempt(FORM).lease(HOUR / 6).await;
    assert!(lease.is_ok());
    secrets.extend(sent.into_iter().flat_map(|(handle, code)| [handle, code]));
    secrets.push(FORM.to_owned());
}

/// A link that signs in, and one that does not.
async fn put_links(store: &Arc<dyn AtomicStore>, secrets: &mut Vec<String>) {
    let sign_in = Codes::<String>::builder("sign-in").store(store.clone());
    let sign_in = sign_in.build_with_links(base()).unwrap();
    let issued = sign_in.issue(&subject(4), &"payload 4".to_owned()).await.unwrap();
    let handle = issued.challenge.handle.reveal();
    let link = issued.link.token();
    secrets.extend([handle, link, issued.code.reveal()].map(str::to_owned));
    // What leads to the challenge, and the secret of the code.
    let bytes = URL_SAFE_NO_PAD.decode(link).unwrap();
    secrets.extend([&bytes[..32], &bytes[32..]].map(|part| URL_SAFE_NO_PAD.encode(part)));

    let links = links_in(store.clone());
    let (payload, owner) = ("report.pdf".to_owned(), subject(5));
    let new = links.new_link(&payload).subject(&owner).resource("file-17");
    secrets.push(new.create().await.unwrap().link.token().to_owned());
    secrets.push("file-17".to_owned());
}

/// Recovery codes, and a code without a handle.
async fn put_codes_under_a_key(store: &Arc<dyn AtomicStore>, secrets: &mut Vec<String>) {
    const KEY: &str = "the suite's key, thirty-two bytes long";
    secrets.push(KEY.to_owned());
    let ring = || KeyRing::new(1, KEY.as_bytes()).unwrap();
    let recovery = RecoveryCodes::new("recovery", 2, ring(), store.clone()).unwrap();
    let recovery = recovery.generate(&subject(5)).await.unwrap();
    secrets.extend(recovery.iter().map(|code| code.reveal().to_owned()));
    let pairing = Codes::<String>::builder("pairing").key_ring(ring()).store(store.clone());
    let pairing = pairing.build_by_subject().unwrap();
    let sent = pairing.issue(&subject(5), &"payload 5".to_owned()).await.unwrap();
    secrets.push(sent.code.reveal().to_owned());
}

/// All pages of a store, each record once.
async fn dump_of(store: &Arc<dyn AtomicStore>) -> HashMap<Key, Record> {
    let mut records = HashMap::new();
    let mut after = None;
    loop {
        let page = store.scan(after.as_ref(), 2).await.unwrap();
        records.extend(page.records);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    // A budget of which nothing is spent ends at once, and may do so between the two.
    assert!(records.len() as u64 >= store.count().await.unwrap(), "the scan is of a part");
    records
}

/// A dump as it would be read. Not the times, which are the store's own: in their digits any code may be
/// found by chance.
fn as_text(dump: &HashMap<Key, Record>) -> String {
    let start = Timestamp::from_millis(0);
    let lines = dump.iter().map(|(key, record)| {
        let data = String::from_utf8_lossy(&record.data);
        let meta = Meta {
            created_at: start,
            last_seen: start,
            deadline: None,
            authenticated_at: None,
            now: start,
            ..record.meta.clone()
        };
        format!("{key} {data} {:?} {meta:?}\n", record.details)
    });
    lines.collect()
}

/// All that a dump holds that may be taken for a token.
fn words(dump: &HashMap<Key, Record>) -> HashSet<String> {
    let text = as_text(dump);
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
    words.filter(|word| Token::parse(word).is_ok()).map(str::to_owned).collect()
}
