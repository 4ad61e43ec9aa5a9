//! Debian's Chromium, driven by the WebDriver protocol (W3C), in a profile of its own.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use test_servers::Chromium;

use crate::client::send;

/// A browser without a window. Stopped when it is dropped.
pub struct Driver {
    browser: Chromium,
    address: SocketAddr,
}

impl Driver {
    pub async fn start() -> Self {
        let browser = tokio::task::spawn_blocking(|| Chromium::start().unwrap()).await.unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], browser.port()));
        Self { browser, address }
    }

    /// What the driver answers, once it is a success.
    async fn call(&self, method: &str, path: &str, body: Value) -> Value {
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let answer = send(self.address, &format!("{method} {path}"), "", &body).await;
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.body);
        answer.json()["value"].take()
    }

    async fn run(&self, script: &str, arguments: Value) -> Value {
        let path = format!("/session/{}/execute/sync", self.browser.session());
        self.call("POST", &path, json!({ "script": script, "args": arguments })).await
    }

    pub async fn open(&self, url: &str) {
        let path = format!("/session/{}/url", self.browser.session());
        self.call("POST", &path, json!({ "url": url })).await;
    }

    /// The address of the page.
    pub async fn address(&self) -> String {
        let path = format!("/session/{}/url", self.browser.session());
        self.call("GET", &path, json!({})).await.as_str().expect("an address").to_owned()
    }

    /// Where the links of the page lead.
    pub async fn links(&self) -> Vec<String> {
        let found = self.run("return [...document.links].map(link => link.href)", json!([])).await;
        serde_json::from_value(found).expect("addresses")
    }

    /// How many forms the page has.
    pub async fn forms(&self) -> u64 {
        self.run("return document.forms.length", json!([])).await.as_u64().expect("a number")
    }

    /// Types into every field: an address where one is asked for, and the code into all others.
    pub async fn fill(&self, address: &str, code: &str) {
        let script = "for (const field of document.querySelectorAll('input'))
            field.value = field.type === 'email' ? arguments[0] : arguments[1]";
        self.run(script, json!([address, code])).await;
    }

    /// Sends a form, as a script of the page would.
    pub async fn submit(&self, form: u64) {
        self.run("document.forms[arguments[0]].requestSubmit()", json!([form])).await;
    }

    /// What can be clicked.
    pub async fn clickable(&self) -> Vec<String> {
        self.find("a, button, input, label, select, summary, [onclick], [role=button]").await
    }

    /// The elements that fit a CSS selector, by their ids.
    pub async fn find(&self, selector: &str) -> Vec<String> {
        let path = format!("/session/{}/elements", self.browser.session());
        let wanted = json!({ "using": "css selector", "value": selector });
        let found = self.call("POST", &path, wanted).await;
        let elements = found.as_array().expect("a list of elements").iter();
        let id =
            |element: &Value| element.as_object()?.values().next()?.as_str().map(str::to_owned);
        elements.map(|element| id(element).expect("an element has an id")).collect()
    }

    /// Clicks an element, as a person would.
    pub async fn click(&self, element: &str) {
        let path = format!("/session/{}/element/{element}/click", self.browser.session());
        self.call("POST", &path, json!({})).await;
    }

    /// Types into an element, as a person would.
    pub async fn type_into(&self, element: &str, text: &str) {
        let path = format!("/session/{}/element/{element}/value", self.browser.session());
        self.call("POST", &path, json!({ "text": text })).await;
    }

    /// The text that the page shows.
    pub async fn text(&self) -> String {
        let text = self.run("return document.body.innerText", json!([])).await;
        text.as_str().expect("a text").to_owned()
    }

    /// Whether clicking an element sends a form.
    pub async fn sends(&self, element: &str) -> bool {
        let path = format!("/session/{}/element/{element}/name", self.browser.session());
        self.call("GET", &path, json!({})).await == "button"
    }

    /// What the page says once the service has answered it.
    pub async fn answer(&self) -> String {
        self.answer_other_than("").await
    }

    /// What the page says when it says this no more.
    pub async fn answer_other_than(&self, before: &str) -> String {
        for _ in 0..300 {
            let text = self.run("return document.querySelector('#answer').textContent", json!([]));
            let text = text.await.as_str().unwrap_or_default().to_owned();
            if text != before {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the page says nothing new within 30 seconds");
    }
}
