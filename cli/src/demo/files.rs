//! The page's files, built into the program: its own, and the npm package's modules as they are.
//!
//! Those are what the package is built from, plain modules without a dependency that every browser loads as they
//! stand.

use axum::Router;
use carillon_common::http::{
    Page,
    files::{BASICS, COLOURS, File, ICON, PICTURE, SCRIPT, STYLE},
};

const HTML: &str = include_str!("../../demo/index.html");

macro_rules! own {
    ($($name:literal)*) => {
        [$(File {
            path: concat!("/demo/", $name),
            kind: SCRIPT,
            text: include_str!(concat!("../../demo/", $name)),
        }),*]
    };
}

macro_rules! package {
    ($($name:literal)*) => {
        [$(File {
            path: concat!("/demo/carillon-client/", $name),
            kind: SCRIPT,
            text: include_str!(concat!("../../../client/js/src/", $name)),
        }),*]
    };
}

const OWN: &[File] = &own!["main.js" "dom.js" "actions.js" "service.js" "person.js" "account.js" "operator.js" "code.js" "log.js" "tour.js"];

/// The core: what `index.js` leads to.
const PACKAGE: &[File] = &package![
    "index.js" "client.js" "core.js" "options.js" "channels.js" "connection.js" "delivery.js" "errors.js" "ledger.js"
    "outbox.js" "page.js" "protocol.js" "quietly.js" "tokens.js" "link.js" "liveness.js" "timer.js"
];

const LOOKS: &[File] = &[
    File {
        path: "/demo/style.css",
        kind: STYLE,
        text: include_str!("../../demo/style.css"),
    },
    File {
        path: "/demo/parts.css",
        kind: STYLE,
        text: include_str!("../../demo/parts.css"),
    },
];

/// What it shares with other pages.
const SHARED: &[File] = &[
    File {
        path: "/demo/colours.css",
        kind: STYLE,
        text: COLOURS,
    },
    File {
        path: "/demo/basics.css",
        kind: STYLE,
        text: BASICS,
    },
    File {
        path: "/demo/icon.svg",
        kind: PICTURE,
        text: ICON,
    },
];

/// What the page at `/` loads.
pub(super) fn router() -> Router {
    File::served([OWN, PACKAGE, LOOKS, SHARED].concat())
}

/// The page.
pub(super) fn page() -> Page {
    Page::of_modules(HTML)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use carillon_common::http::import_map;

    use super::*;

    fn all() -> Vec<File> {
        [OWN, PACKAGE, LOOKS, SHARED].concat()
    }

    /// The texts in quotes after each of these words.
    fn quoted<'a>(text: &'a str, before: &str, quote: char) -> Vec<&'a str> {
        let pieces = text.split(before).skip(1);
        pieces.filter_map(|rest| rest.split(quote).next()).collect()
    }

    #[test]
    fn whatever_is_loaded_is_served() {
        let served: BTreeSet<&str> = all().iter().map(|file| file.path).collect();
        let map: serde_json::Value = serde_json::from_str(import_map(HTML).unwrap()).unwrap();
        let mut asked = BTreeSet::new();
        for File { path, text, .. } in all().into_iter().filter(|file| file.kind == SCRIPT) {
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
        let served: BTreeSet<String> = own.iter().map(|file| file.path.to_owned()).collect();
        assert_eq!(paths, served);
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere_and_nothing_is_inline() {
        assert!(import_map(HTML).unwrap().contains("carillon-client"));
        for File { path, text, .. } in all() {
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
