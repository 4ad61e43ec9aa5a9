//! The headers of a page that was reached by a link.

use http::header::{CACHE_CONTROL, HeaderName, HeaderValue, REFERRER_POLICY};

/// The headers of a page whose address has a token in it: no browser tells the address to the pages
/// that it leads to, and no cache keeps what it shows (OWASP, Forgot Password Cheat Sheet; OWASP ASVS
/// 5.0, 14.3.2).
///
/// An array of headers is a part of an axum response as it is:
///
/// ```
/// use axum::response::{Html, IntoResponse};
/// use token_session::links::page_headers;
///
/// async fn page() -> impl IntoResponse {
///     (page_headers(), Html("<form method=post><button>Sign in</button></form>"))
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let response = page().await.into_response();
/// assert_eq!(response.headers()["referrer-policy"], "no-referrer");
/// assert_eq!(response.headers()["cache-control"], "no-store");
/// # });
/// ```
pub const fn page_headers() -> [(HeaderName, HeaderValue); 2] {
    [
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ]
}
