//! What one request to one session is answered, and what it does to the store.

use super::{Layer, Server, Service};
use crate::client::send_bytes;

const NO_TOKEN: &str = r#"Bearer realm="session""#;
const INVALID_TOKEN: &str = r#"Bearer realm="session", error="invalid_token""#;
const INVALID_REQUEST: &str = r#"Bearer realm="session", error="invalid_request""#;

/// A request, and what is to come of it. Each one finds a session with the data `["first"]`.
struct Case {
    fact: &'static str,
    request: &'static str,
    /// `TOKEN` stands for the session's token.
    headers: Vec<(&'static str, &'static [u8])>,
    store_is_down: bool,
    status: u16,
    /// The headers that the answer has, and by `None` those that it has not.
    answer: Vec<(&'static str, Option<&'static str>)>,
    body: Option<&'static str>,
    /// What stands somewhere in the detail of the problem that the body describes.
    detail: &'static str,
    /// What the store was asked.
    calls: usize,
    /// What the session holds then; `None` when it has ended.
    data: Option<Vec<&'static str>>,
}

/// A request without a token that is answered 200, asks the store nothing and changes nothing.
fn case(fact: &'static str, request: &'static str) -> Case {
    Case {
        fact,
        request,
        headers: vec![],
        store_is_down: false,
        status: 200,
        answer: vec![],
        body: None,
        detail: "",
        calls: 0,
        data: Some(vec!["first"]),
    }
}

impl Case {
    fn with(mut self, name: &'static str, value: &'static [u8]) -> Self {
        self.headers.push((name, value));
        self
    }

    fn bearer(self) -> Self {
        self.with("authorization", b"Bearer TOKEN")
    }

    fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    fn answers(mut self, name: &'static str, value: impl Into<Option<&'static str>>) -> Self {
        self.answer.push((name, value.into()));
        self
    }

    fn challenge(self, status: u16, challenge: &'static str) -> Self {
        self.status(status)
            .answers("www-authenticate", challenge)
            .answers("content-type", "application/problem+json")
            .answers("cache-control", "no-store")
    }

    fn body(mut self, body: &'static str) -> Self {
        self.body = Some(body);
        self
    }

    fn detail(mut self, detail: &'static str) -> Self {
        self.detail = detail;
        self
    }

    fn calls(mut self, calls: usize) -> Self {
        self.calls = calls;
        self
    }

    fn data(mut self, data: impl Into<Option<Vec<&'static str>>>) -> Self {
        self.data = data.into();
        self
    }
}

fn cases() -> Vec<Case> {
    let mut cases = vec![
        case("no token is 401 with a bare challenge", "GET /read")
            .challenge(401, NO_TOKEN)
            .detail("log in"),
        case("no token is no session where one is optional", "GET /maybe").body("none"),
        case("a token that was not made here is 401", "GET /read")
            .with("authorization", b"Bearer unknown")
            .challenge(401, INVALID_TOKEN)
            .calls(1),
        case("a token that was not made here is no optional session", "GET /maybe")
            .with("authorization", b"Bearer unknown")
            .body("none")
            .calls(1),
        case("a bearer token is read", "GET /read").bearer().body("first").calls(1),
        case("an optional session is one call too", "GET /maybe").bearer().body("some 1").calls(1),
        case("the header of the layer is read", "GET /read")
            .with("token-session", b"TOKEN")
            .body("first")
            .calls(1),
        case("a cookie is not read by default", "GET /read")
            .with("cookie", b"tks=TOKEN; token-session=TOKEN")
            .challenge(401, NO_TOKEN),
        case("a query parameter is not read by default", "GET /read?token-session=TOKEN")
            .challenge(401, NO_TOKEN),
        case("one token twice is one", "GET /read")
            .bearer()
            .with("token-session", b"TOKEN")
            .calls(1),
        case("an empty header is no token", "GET /read")
            .with("token-session", b"")
            .challenge(401, NO_TOKEN)
            .detail("log in"),
        case("an empty header stands in no token's way", "GET /read")
            .with("token-session", b"")
            .bearer()
            .body("first")
            .calls(1),
        case("empty credentials stand in no token's way", "GET /read")
            .with("authorization", b"Bearer ")
            .with("token-session", b"TOKEN")
            .body("first")
            .calls(1),
        case("a route without a session costs the store nothing", "GET /public")
            .bearer()
            .body("public"),
        case("a change is there once the response is", "POST /add")
            .bearer()
            .answers("token-session", None)
            .calls(2)
            .data(vec!["first", "added"]),
        case("an update is two calls", "POST /update")
            .bearer()
            .body("2")
            .calls(2)
            .data(vec!["first", "x"]),
        case("a middleware may hold what the handler changes, at no call more", "POST /guarded")
            .bearer()
            .calls(2)
            .data(vec!["first", "added"]),
        case("a login is one call and leaves the session that the request has", "POST /login")
            .bearer()
            .calls(1),
        case("a logout is two calls", "POST /logout").bearer().calls(2).data(None),
        case("a handler that fails changes nothing", "POST /fail").bearer().status(500).calls(1),
        case("data over the limit is 500 and the old data stays", "POST /huge")
            .bearer()
            .status(500)
            .calls(1),
        case("of two who ask at once none loses the other's change", "POST /two-holders")
            .bearer()
            .calls(3)
            .data(vec!["first", "first"]),
        case("a change that an update refused is not written by a later one", "POST /update-twice")
            .bearer()
            .calls(2)
            .data(vec!["first", "small"]),
        case("a request that ends after the logout revives nothing", "POST /logout-during-add")
            .bearer()
            .challenge(401, INVALID_TOKEN)
            .calls(3)
            .data(None),
    ];
    for request in ["GET /read", "GET /maybe"] {
        cases.push(
            case("two different tokens are 400", request)
                .bearer()
                .with("token-session", b"other")
                .challenge(400, INVALID_REQUEST),
        );
    }
    for request in ["GET /read", "GET /maybe", "POST /add", "POST /login", "POST /logout"] {
        let mut down = case("a store that is down is 503 and never 401", request)
            .bearer()
            .status(503)
            .answers("retry-after", "1")
            .answers("www-authenticate", None)
            .calls(1);
        down.store_is_down = true;
        cases.push(down);
    }
    let malformed: [&[u8]; 6] =
        [b"with space", b"\xc3\xa9", b"\xff", b"tab\tinside", b"a=b", &[b'a'; 10_000]];
    for token in malformed {
        cases.push(
            case("a malformed token is 401 and costs the store nothing", "GET /read")
                .with("token-session", token)
                .challenge(401, INVALID_TOKEN),
        );
        cases.push(
            case("a malformed token is no optional session", "GET /maybe")
                .with("token-session", token)
                .body("none"),
        );
    }
    cases
}

/// With a layer that reads no `Authorization: Bearer`.
fn cases_without_bearer() -> Vec<Case> {
    vec![
        case("a bearer token is not read where that is off", "GET /read")
            .bearer()
            .challenge(401, NO_TOKEN),
        case("a bearer token is no optional session where that is off", "GET /maybe")
            .bearer()
            .body("none"),
        case("another service's bearer token does not stand in the way of the header", "GET /read")
            .with("authorization", b"Bearer another-service's")
            .with("token-session", b"TOKEN")
            .body("first")
            .calls(1),
        case("a change under the header's token is written", "POST /add")
            .with("token-session", b"TOKEN")
            .calls(2)
            .data(vec!["first", "added"]),
    ]
}

/// With a layer that reads no header but `Authorization`.
fn cases_without_header() -> Vec<Case> {
    vec![
        case("the header of the layer is not read where that is off", "GET /read")
            .with("token-session", b"TOKEN")
            .challenge(401, NO_TOKEN),
        case("the header of the layer is no optional session where that is off", "GET /maybe")
            .with("token-session", b"TOKEN")
            .body("none"),
        case("what is in the header does not stand in the way of the bearer token", "GET /read")
            .bearer()
            .with("token-session", b"other")
            .body("first")
            .calls(1),
        case("a change under the bearer token is written", "POST /add")
            .bearer()
            .calls(2)
            .data(vec!["first", "added"]),
    ]
}

/// With a layer that reads neither.
fn cases_without_either() -> Vec<Case> {
    vec![
        case("no carrier that is off is read", "GET /read")
            .bearer()
            .with("token-session", b"TOKEN")
            .challenge(401, NO_TOKEN),
        case("a cookie is read alone", "GET /read")
            .bearer()
            .with("token-session", b"other")
            .with("cookie", b"tks=TOKEN")
            .body("first")
            .calls(1),
    ]
}

/// With a layer that reads a cookie and the query too.
fn cases_of_cookies_and_queries() -> Vec<Case> {
    let mut cases = vec![
        case("nothing but empty values is no token", "GET /read?token=")
            .with("authorization", b"Bearer ")
            .with("token-session", b"")
            .with("cookie", b"tks=; tks=\"\"")
            .challenge(401, NO_TOKEN),
        case("of two cookies the one that is alive counts", "GET /read")
            .with("cookie", b"tks=dead; tks=TOKEN")
            .body("first")
            .calls(2),
        case("of two cookies the one that is alive counts in any order", "GET /read")
            .with("cookie", b"tks=TOKEN; tks=dead")
            .body("first")
            .calls(2),
        case("cookies of two headers are cookies of one name too", "GET /maybe")
            .with("cookie", b"tks=dead")
            .with("cookie", b"a=b; tks=TOKEN")
            .body("some 1")
            .calls(2),
        case("a change under the second cookie is written", "POST /add")
            .with("cookie", b"tks=dead; tks=TOKEN")
            .calls(3)
            .data(vec!["first", "added"]),
        case("dead cookies alone are 401", "GET /read")
            .with("cookie", b"tks=dead; tks=dead; tks=dead-too")
            .challenge(401, INVALID_TOKEN)
            .calls(2),
        case("dead cookies alone are no optional session", "GET /maybe")
            .with("cookie", b"tks=dead; tks=dead-too")
            .body("none")
            .calls(2),
        case("the store is asked for four cookies at most", "GET /read")
            .with("cookie", b"tks=1; tks=2; tks=3; tks=4; tks=TOKEN")
            .challenge(401, INVALID_TOKEN)
            .calls(4),
        case("a cookie that agrees with the bearer token is enough", "GET /read")
            .bearer()
            .with("cookie", b"tks=dead; tks=TOKEN")
            .body("first")
            .calls(1),
        case("cookies of which none is the bearer token are 400", "GET /read")
            .bearer()
            .with("cookie", b"tks=dead; tks=other")
            .challenge(400, INVALID_REQUEST),
        case("a cookie that can be no token is told by its fault", "GET /read")
            .with("cookie", b"tks=a b")
            .challenge(401, INVALID_TOKEN)
            .detail("character"),
        case("a header that can be no token goes with no cookie", "GET /read")
            .with("authorization", b"Bearer a b")
            .with("cookie", b"tks=TOKEN")
            .challenge(400, INVALID_REQUEST),
        case(
            "a parameter that is there twice with one token is one",
            "GET /read?token=TOKEN&token=TOKEN",
        )
        .body("first")
        .calls(1),
        case("two different parameters are 400", "GET /read?token=TOKEN&token=other")
            .challenge(400, INVALID_REQUEST),
        case("a parameter of a longer name is another one", "GET /read?tokens=TOKEN&token")
            .challenge(401, NO_TOKEN),
    ];
    let no_tokens: [&[u8]; 5] = [b"tks=", b"tks=\"\"", b"tks=a b", b"tks=\xff", b"tks; tks=%"];
    for cookie in no_tokens {
        cases.push(
            case("a cookie that is no token stands in no token's way", "GET /read")
                .bearer()
                .with("cookie", cookie)
                .body("first")
                .calls(1),
        );
    }
    for request in
        ["GET /read?token", "GET /read?token=", "GET /read?a&token=&", "GET /read?token=a%20b"]
    {
        cases.push(
            case("a parameter that is no token stands in no token's way", request)
                .bearer()
                .body("first")
                .calls(1),
        );
        cases.push(
            case("nor in a cookie's", request).with("cookie", b"tks=TOKEN").body("first").calls(1),
        );
    }
    cases
}

pub async fn each_case_of_cookies_and_queries_holds(server: Server) {
    let on = |layer: Layer| layer.cookie("tks").query("token");
    each_holds(server, on, cases_of_cookies_and_queries()).await;
}

pub async fn each_case_of_the_table_holds(server: Server) {
    each_holds(server, |layer| layer, cases()).await;
}

pub async fn each_case_without_a_carrier_holds(server: Server) {
    each_holds(server, |layer| layer.bearer(false), cases_without_bearer()).await;
    each_holds(server, |layer| layer.without_header(), cases_without_header()).await;
    let cookie_alone = |layer: Layer| layer.bearer(false).without_header().cookie("tks");
    each_holds(server, cookie_alone, cases_without_either()).await;
}

/// Runs every case, and names those that do not hold.
async fn each_holds(server: Server, options: fn(Layer) -> Layer, cases: Vec<Case>) {
    let service = server.start_with(options).await;
    let mut failures = String::new();
    for case in cases {
        if let Err(difference) = run(&service, &case).await {
            let sent =
                case.headers.iter().map(|(name, v)| format!(" {name}: {}", v.escape_ascii()));
            let (fact, request, sent) = (case.fact, case.request, sent.collect::<String>());
            failures += &format!("{fact} ({request}{sent}): {difference}\n");
        }
    }
    assert!(failures.is_empty(), "on {server:?}:\n{failures}");
}

async fn run(service: &Service, case: &Case) -> Result<(), String> {
    let issued = service.sessions.create(&vec!["first".to_owned()]).await.unwrap();
    let token = issued.token.reveal();
    let line = case.request.replace("TOKEN", token);
    let filled: Vec<(&str, Vec<u8>)> = case
        .headers
        .iter()
        .map(|(name, value)| match str::from_utf8(value) {
            Ok(text) => (*name, text.replace("TOKEN", token).into_bytes()),
            Err(_) => (*name, value.to_vec()),
        })
        .collect();
    let headers: Vec<(&str, &[u8])> = filled.iter().map(|(name, v)| (*name, &**v)).collect();

    service.store.calls();
    service.store.set_down(case.store_is_down);
    let answer = send_bytes(service.address, &line, &headers, "").await;
    service.store.set_down(false);
    let calls = service.store.calls();

    expect("status", answer.status, case.status)?;
    for (name, value) in &case.answer {
        expect(name, answer.header(name), *value)?;
    }
    if let Some(body) = case.body {
        expect("body", &*answer.body, body)?;
    }
    if !case.detail.is_empty() {
        let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
        expect("detail", detail.contains(case.detail).then_some(case.detail), Some(case.detail))?;
    }
    expect("calls to the store", calls, case.calls)?;
    let session = service.sessions.get_untouched(&issued.token).await.unwrap();
    let data = session.as_ref().map(|session| session.iter().map(String::as_str).collect());
    expect("data", data, case.data.clone())
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, is: T, expected: T) -> Result<(), String> {
    if is == expected { Ok(()) } else { Err(format!("{what} is {is:?}, not {expected:?}")) }
}
