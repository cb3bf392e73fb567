//! The page's files, built into the program: its own, and the npm package's modules as they are.
//!
//! Those are what the package is built from, plain modules without a dependency that every browser loads as they
//! stand. So nothing is built before `cargo build`, nothing built is in the repository, and what the page runs can
//! be read in the browser, with the comments.

use axum::{
    Router,
    http::{
        HeaderName, HeaderValue,
        header::{self, HeaderMap},
    },
    response::IntoResponse,
    routing::get,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use carillon_common::http::Page;
use sha2::{Digest, Sha256};

const HTML: &str = include_str!("../../demo/index.html");

/// Path, media type, text.
type File = (&'static str, &'static str, &'static str);

const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! own {
    ($($name:literal)*) => {
        [$((concat!("/demo/", $name), SCRIPT, include_str!(concat!("../../demo/", $name)))),*]
    };
}

macro_rules! package {
    ($($name:literal)*) => {
        [$((
            concat!("/demo/carillon-client/", $name),
            SCRIPT,
            include_str!(concat!("../../../client/js/src/", $name)),
        )),*]
    };
}

const OWN: &[File] = &own!["main.js" "dom.js" "actions.js" "service.js" "person.js" "account.js" "operator.js" "code.js" "log.js" "tour.js"];

/// The core: what `index.js` leads to.
const PACKAGE: &[File] = &package![
    "index.js" "client.js" "core.js" "options.js" "channels.js" "connection.js" "delivery.js" "errors.js" "ledger.js"
    "outbox.js" "page.js" "protocol.js" "quietly.js" "tokens.js" "link.js" "liveness.js" "timer.js"
];

const LOOKS: &[File] = &[
    (
        "/demo/style.css",
        "text/css; charset=utf-8",
        include_str!("../../demo/style.css"),
    ),
    (
        "/demo/parts.css",
        "text/css; charset=utf-8",
        include_str!("../../demo/parts.css"),
    ),
    (
        "/demo/icon.svg",
        "image/svg+xml",
        include_str!("../../demo/icon.svg"),
    ),
];

/// What the page at `/` loads.
pub(super) fn router() -> Router {
    let all = [OWN, PACKAGE, LOOKS].concat();
    all.into_iter().fold(Router::new(), |router, file| {
        router.route(file.0, get(async move || answer(file)))
    })
}

fn answer((_, kind, text): File) -> impl IntoResponse {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    (headers, text)
}

/// The page. It loads what is served here and nothing else; the one script in it, which says where the package
/// is, by its hash.
pub(super) fn page() -> Page {
    let map = STANDARD.encode(Sha256::digest(import_map()));
    let policy = format!(
        "default-src 'none'; script-src 'self' 'sha256-{map}'; style-src 'self'; img-src 'self'; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'"
    );
    Page::new(HTML, policy)
}

fn import_map() -> &'static str {
    const START: &str = "<script type=\"importmap\">";
    let map = HTML.split_once(START).map(|(_, rest)| rest);
    let map = map.and_then(|rest| rest.split_once("</script>"));
    map.map_or("", |(map, _)| map)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    fn all() -> Vec<File> {
        [OWN, PACKAGE, LOOKS].concat()
    }

    /// The texts in quotes after each of these words.
    fn quoted<'a>(text: &'a str, before: &str, quote: char) -> Vec<&'a str> {
        let pieces = text.split(before).skip(1);
        pieces.filter_map(|rest| rest.split(quote).next()).collect()
    }

    #[test]
    fn whatever_is_loaded_is_served() {
        let served: BTreeSet<&str> = all().iter().map(|(path, ..)| *path).collect();
        let map: serde_json::Value = serde_json::from_str(import_map()).unwrap();
        let mut asked = BTreeSet::new();
        for (path, _, text) in all().into_iter().filter(|(_, kind, _)| *kind == SCRIPT) {
            let (folder, _) = path.rsplit_once('/').unwrap();
            let lines = text.lines().filter(|line| {
                line.starts_with("import ")
                    || line.starts_with("export {")
                    || line.starts_with("} from ")
            });
            for name in lines.flat_map(|line| quoted(line, "from '", '\'')) {
                let to = match name.strip_prefix("./") {
                    Some(name) => format!("{folder}/{name}"),
                    None => map["imports"][name].as_str().unwrap_or(name).to_owned(),
                };
                assert!(served.contains(&*to), "{path} loads {name}");
                asked.insert(to);
            }
        }
        for attribute in ["src=\"", "href=\""] {
            for to in quoted(HTML, attribute, '"') {
                assert!(served.contains(to), "the page loads {to}");
                asked.insert(to.to_owned());
            }
        }
        let asked: BTreeSet<&str> = asked.iter().map(String::as_str).collect();
        assert_eq!(asked, served, "served and never loaded, or the other way");
    }

    #[test]
    fn whatever_is_in_the_folder_is_served() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo");
        let names = fs::read_dir(folder).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let paths: BTreeSet<String> = names
            .filter(|name| name != "index.html")
            .map(|name| format!("/demo/{name}"))
            .collect();
        let own = [OWN, LOOKS].concat();
        let served: BTreeSet<String> = own.iter().map(|(path, ..)| (*path).to_owned()).collect();
        assert_eq!(paths, served);
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere_and_nothing_is_inline() {
        assert!(import_map().contains("carillon-client"));
        for (path, _, text) in all() {
            for word in ["https://", "@import", "url(", "eval(", "innerHTML"] {
                assert!(!text.contains(word), "{word} in {path}");
            }
        }
        for word in [" style=", " onclick=", "javascript:", "https://", "<style"] {
            assert!(!HTML.contains(word), "{word} in the page");
        }
        assert_eq!(HTML.matches("<script").count(), 2, "the map and the start");
    }
}
