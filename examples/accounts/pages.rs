//! The two pages of signing in by mail: where a link is asked for, and where it leads.
//!
//! The first one keeps the handle in the browser that asked, so that the link, opened in the same
//! browser, signs in with one click. Opened anywhere else it shows a code, and the first page has a
//! field to type it in.

use axum::response::Html;

use super::proofs::SignIn;

/// Where a link is asked for. It waits for the code of a link that was opened elsewhere.
pub async fn ask() -> Html<String> {
    page(
        r#"<form data-to="/magic" data-done="look into your mail">
<label>Your address <input name=email type=email required></label> <button>Send me a link</button>
</form>
<p>Opened the link on another device? Type the code that it shows.
<form data-to="/magic-code" data-done="signed in">
<label>Code <input name=code required></label> <button>Sign in</button>
</form>"#,
    )
}

/// What a link will do, and for whom. Any program may have asked for it, under any name.
pub fn confirm(sign_in: &SignIn, code: &str) -> Html<String> {
    let (email, asked_from) = (escape(&sign_in.email), escape(&sign_in.asked_from));
    page(&format!(
        r#"<p>Sign in as <b>{email}</b>? The link was asked for from <b>{asked_from}</b>.
<form data-to="" data-done="signed in"><button>Sign in</button></form>
<p>Asked for it in another browser? Type this code there: <b id=code>{code}</b>
<p>If it was not you who asked, close this page, and tell the code to nobody.
<p><a href="/magic">Ask for another link</a>"#
    ))
}

/// A page whose forms are sent with the handle that this browser was given, if it was given one. A
/// scanner has none, so what it sends is refused. A real page keeps the token of the answer too.
fn page(body: &str) -> Html<String> {
    Html(format!(
        r#"<!doctype html>
<meta charset=utf-8>
<title>Sign in</title>
{body}
<p id=answer></p>
<script>
for (const form of document.forms) form.onsubmit = async (event) => {{
    event.preventDefault();
    const handle = localStorage.getItem('handle') ?? '';
    const body = JSON.stringify({{ handle, ...Object.fromEntries(new FormData(form)) }});
    const headers = {{ 'content-type': 'application/json' }};
    const button = form.querySelector('button');
    button.disabled = true; // A second click would be told that the first one has used the code.
    const response = await fetch(form.dataset.to, {{ method: 'POST', headers, body }});
    button.disabled = response.ok;
    if (response.status === 202) localStorage.setItem('handle', (await response.json()).handle);
    answer.textContent = response.ok ? form.dataset.done : 'refused: ' + response.status;
}};
</script>
"#
    ))
}

/// A text as HTML shows it, in an element or in a quoted attribute.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}
