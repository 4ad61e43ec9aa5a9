//! Confirms an address at the terminal: sends it a code by SMTP, and asks for the code.
//!
//! ```sh
//! cargo run --package mail-example -- --smtp smtp://127.0.0.1:2525 --to anna@example.org
//! ```

use std::io::{self, BufRead, Write};

use clap::Parser;
use mail_example::Mailer;
use token_session::codes::{CodeError, Codes};
use token_session::subjects;

#[derive(Parser)]
struct Options {
    /// The mail server: smtps://user:password@host, smtp://host?tls=required, smtp://127.0.0.1:2525
    #[arg(long)]
    smtp: String,
    /// Whom the mail is from
    #[arg(long, default_value = "The service <service@example.org>")]
    from: String,
    /// The address to confirm
    #[arg(long)]
    to: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let options = Options::parse();
    let mailer = Mailer::new(&options.smtp, &options.from)?;
    let codes = Codes::<String>::builder("confirm-address").build()?;
    let address = subjects::email(&options.to)?;

    let issued = codes.issue(&address, &address).await?;
    mailer.send_code(&address, &issued.code)?;
    let handle = issued.challenge.handle.reveal();
    loop {
        print!("The code, or an empty line for another one: ");
        io::stdout().flush()?;
        let Some(typed) = io::stdin().lock().lines().next().transpose()? else {
            break;
        };
        if typed.is_empty() {
            match codes.resend(handle).await {
                Ok(resent) => {
                    if let Some((code, address)) = resent.message {
                        mailer.send_code(&address, &code)?;
                    }
                }
                Err(error) => println!("{error}"),
            }
            continue;
        }
        match codes.redeem(handle, &typed).await {
            Ok(redeemed) => {
                println!("{} is yours", redeemed.payload);
                break;
            }
            Err(CodeError::Refused) => println!("{}", CodeError::Refused),
            Err(error) => return Err(error.into()),
        }
    }
    mailer.finish().await;
    Ok(())
}
