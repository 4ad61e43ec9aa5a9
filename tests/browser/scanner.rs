//! A mail scanner at its most thorough: it follows each link with `HEAD` and `GET`, opens it in a
//! browser, clicks whatever can be clicked and sends every form, on every page that it comes to. It
//! has read the mail and the pages, and types what it found there. What it does not have is the handle
//! of the browser that asked.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::client::send;
use crate::driver::Driver;

pub struct Scanner<'a> {
    pub browser: &'a Driver,
    pub service: SocketAddr,
    /// What it types where an address is asked for.
    pub address: &'a str,
    /// What it types everywhere else.
    pub code: &'a str,
}

/// What a scanner did.
#[derive(Default)]
pub struct Scanned {
    /// Where it was, by path.
    pub pages: BTreeSet<String>,
    pub clicks: usize,
    /// What the pages said to what was sent.
    pub answers: Vec<String>,
}

impl Scanner<'_> {
    /// Follows a mail, and what it leads to.
    pub async fn scan(&self, mail: &str) -> Scanned {
        let mut scanned = Scanned::default();
        let links = mail.split_whitespace().filter(|word| word.starts_with("http"));
        let mut open: Vec<_> = links.map(str::to_owned).collect();
        while let Some(url) = open.pop() {
            let origin = format!("http://{}", self.service);
            let path = url.strip_prefix(&origin).expect("nothing leads to another service");
            if !scanned.pages.insert(path.to_owned()) {
                continue;
            }
            for method in ["HEAD", "GET"] {
                assert!(send(self.service, &format!("{method} {path}"), "", "").await.status < 500);
            }
            self.browser.open(&url).await;
            open.extend(self.browser.links().await);
            self.click_everything(&url, &mut open, &mut scanned).await;
            self.send_everything(&url, &mut scanned).await;
        }
        scanned
    }

    /// Clicks everything on a page, each on the page as it was at first.
    async fn click_everything(&self, url: &str, open: &mut Vec<String>, scanned: &mut Scanned) {
        self.browser.open(url).await;
        for nth in 0..self.browser.clickable().await.len() {
            self.browser.open(url).await;
            self.browser.fill(self.address, self.code).await;
            let element = &self.browser.clickable().await[nth];
            let sends = self.browser.sends(element).await;
            self.browser.click(element).await;
            scanned.clicks += 1;
            if sends {
                scanned.answers.push(self.browser.answer().await);
            }
            open.push(self.browser.address().await);
        }
    }

    async fn send_everything(&self, url: &str, scanned: &mut Scanned) {
        self.browser.open(url).await;
        for form in 0..self.browser.forms().await {
            self.browser.open(url).await;
            self.browser.fill(self.address, self.code).await;
            self.browser.submit(form).await;
            scanned.answers.push(self.browser.answer().await);
        }
    }
}
