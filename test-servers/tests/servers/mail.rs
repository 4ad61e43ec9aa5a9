use test_servers::{Result, Server, Smtp};

use crate::facts::{it_lives_dies_and_returns, says};

#[test]
fn smtp_lives_dies_and_returns() -> Result<()> {
    let server = Smtp::start()?;
    it_lives_dies_and_returns(&server, smtp_answers)?;
    assert!(server.mails()?.is_empty());
    Ok(())
}

/// Greets, and reads until the last line of the answer.
fn smtp_answers(server: &Server) -> bool {
    let greeting = b"EHLO localhost\r\n";
    says(server.port(), greeting, |answer| answer.windows(6).any(|part| part == b"\n250 H"))
}
