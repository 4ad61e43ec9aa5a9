//! What a step of the machine's clock does to codes. The tests move the times in the file the other way,
//! which is the same to a record.

use std::time::Duration;

use token_session::codes::{CodeError, Codes, IssuedCode};
use token_session::store::{Listing, Sqlite};

use crate::folder::{Folder, run};

const MINUTE: Duration = Duration::from_secs(60);

struct Machine {
    folder: Folder,
    store: Sqlite,
    codes: Codes<()>,
}

impl Machine {
    async fn new() -> Self {
        let folder = Folder::new();
        let store = folder.store("codes.db", Sqlite::builder()).await;
        let codes = Codes::builder("sign-in").store(store.clone()).build().unwrap();
        Self { folder, store, codes }
    }

    async fn clock_goes_forward(&self, time: Duration) {
        self.move_records("-", time).await;
    }

    async fn clock_goes_back(&self, time: Duration) {
        self.move_records("+", time).await;
    }

    async fn move_records(&self, sign: &str, time: Duration) {
        let columns = ["created_at", "last_seen", "deadline"];
        let millis = time.as_millis();
        let moved = columns.map(|column| format!("{column} = {column} {sign} {millis}"));
        let update = format!("UPDATE token_sessions SET {}", moved.join(", "));
        run(&mut self.folder.beside("codes.db").await, update).await;
    }

    async fn issue(&self) -> IssuedCode {
        self.codes.issue("anna@example.org", &()).await.unwrap()
    }

    async fn redeem(&self, issued: &IssuedCode) -> Result<(), CodeError> {
        let (handle, code) = (issued.challenge.handle.reveal(), issued.code.reveal());
        self.codes.redeem(handle, code).await.map(drop)
    }

    async fn guess_wrong(&self, issued: &IssuedCode) -> CodeError {
        let code = issued.code.reveal();
        let first = if code.starts_with('0') { '1' } else { '0' };
        let wrong = format!("{first}{}", &code[1..]);
        let handle = issued.challenge.handle.reveal();
        self.codes.redeem(handle, &wrong).await.expect_err("the code is wrong")
    }
}

#[tokio::test]
async fn setting_the_clock_back_revives_no_used_spent_revoked_or_swept_code() {
    let machine = Machine::new().await;
    let [used, spent] = [machine.issue().await, machine.issue().await];
    machine.redeem(&used).await.unwrap();
    for _ in 0..5 {
        assert!(matches!(machine.guess_wrong(&spent).await, CodeError::Refused));
    }
    machine.clock_goes_back(5 * MINUTE).await;
    assert!(matches!(machine.redeem(&used).await, Err(CodeError::Refused)));
    assert!(matches!(machine.redeem(&spent).await, Err(CodeError::Exhausted)));

    let revoked = machine.issue().await;
    machine.codes.revoke("anna@example.org").await.unwrap();
    let swept = machine.issue().await;
    machine.clock_goes_forward(10 * MINUTE).await;
    assert!(matches!(machine.redeem(&swept).await, Err(CodeError::Refused)));
    machine.store.sweep(usize::MAX).await.unwrap();
    machine.clock_goes_back(5 * MINUTE).await;
    for dead in [revoked, swept] {
        assert!(matches!(machine.redeem(&dead).await, Err(CodeError::Refused)));
    }
}

/// The store's contract says so.
#[tokio::test]
async fn setting_the_clock_back_prolongs_an_unswept_code_by_the_same_time() {
    let machine = Machine::new().await;
    let issued = machine.issue().await;
    machine.clock_goes_forward(10 * MINUTE).await;
    assert!(matches!(machine.redeem(&issued).await, Err(CodeError::Refused)));
    machine.clock_goes_back(5 * MINUTE).await;
    assert!(matches!(machine.guess_wrong(&issued).await, CodeError::Refused));
    assert_eq!(machine.codes.compared(), 1);
    machine.clock_goes_forward(5 * MINUTE).await;
    assert!(matches!(machine.redeem(&issued).await, Err(CodeError::Refused)));
    assert_eq!(machine.codes.compared(), 1);
}
