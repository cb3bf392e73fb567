//! Files of a page that are built into a program: plain modules and styles, as a browser loads them.
//!
//! So nothing is built before `cargo build`, nothing built is in the repository, and what a page runs can be read in
//! the browser, with the comments.

use axum::{
    Router,
    http::{
        HeaderName, HeaderValue,
        header::{self, HeaderMap},
    },
    response::IntoResponse,
    routing::get,
};

/// The media type of a module.
pub const SCRIPT: &str = "text/javascript; charset=utf-8";
/// The media type of a style sheet.
pub const STYLE: &str = "text/css; charset=utf-8";
/// The media type of a picture.
pub const PICTURE: &str = "image/svg+xml";

/// Colours and type of every page, by day and by night.
pub const COLOURS: &str = include_str!("../../looks/colours.css");
/// Texts, cards, buttons, fields and tables of every page.
pub const BASICS: &str = include_str!("../../looks/basics.css");
/// The picture of every page.
pub const ICON: &str = include_str!("../../looks/icon.svg");

/// A file of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    /// Where it is served.
    pub path: &'static str,
    /// Its media type.
    pub kind: &'static str,
    /// All of it.
    pub text: &'static str,
}

impl File {
    /// A router that serves each of them.
    pub fn served(all: impl IntoIterator<Item = Self>) -> Router {
        all.into_iter().fold(Router::new(), |router, file| {
            router.route(file.path, get(async move || file.answer()))
        })
    }

    /// Another program serves another one under the same path, so nothing is kept.
    fn answer(self) -> impl IntoResponse {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (header::CONTENT_TYPE, self.kind),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::CACHE_CONTROL, "no-store"),
            (
                HeaderName::from_static("cross-origin-resource-policy"),
                "same-origin",
            ),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        (headers, self.text)
    }
}
