//! The console: a page for operators on the admin port, and the files that it loads. It calls the routes that stand
//! beside it there, with the key that is typed into it, and nothing else: what it does, a `curl` does.

use axum::Router;
use carillon_common::http::{
    Page,
    admin::Route,
    files::{BASICS, COLOURS, File, ICON, PICTURE, SCRIPT, STYLE},
};

const HTML: &str = include_str!("../console/index.html");

/// What a dispatcher adds to the admin port, for the list there.
pub const CONSOLE_ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/console",
        what: "a page for operators, in a browser; it asks for an API key",
    },
    Route {
        method: "GET",
        path: "/api/, /docs",
        what: "the REST API and its contract, as on the dispatcher's own port, with the same keys",
    },
];

macro_rules! own {
    ($($name:literal)*) => {
        [$(File {
            path: concat!("/console/", $name),
            kind: SCRIPT,
            text: include_str!(concat!("../console/", $name)),
        }),*]
    };
}

const MODULES: &[File] = &own![
    "main.js" "api.js" "ask.js" "calls.js" "card.js" "channel.js" "dom.js" "find.js" "findings.js"
    "format.js" "gateways.js" "health.js" "inbox.js" "metrics.js" "notification.js" "overview.js"
    "poll.js" "send.js" "sign-in.js" "table.js" "tail.js" "user.js" "words.js"
];

const LOOKS: &[File] = &[
    File {
        path: "/console/style.css",
        kind: STYLE,
        text: include_str!("../console/style.css"),
    },
    File {
        path: "/console/parts.css",
        kind: STYLE,
        text: include_str!("../console/parts.css"),
    },
];

/// What it shares with other pages.
const SHARED: &[File] = &[
    File {
        path: "/console/colours.css",
        kind: STYLE,
        text: COLOURS,
    },
    File {
        path: "/console/basics.css",
        kind: STYLE,
        text: BASICS,
    },
    File {
        path: "/console/icon.svg",
        kind: PICTURE,
        text: ICON,
    },
];

/// The page and its files.
pub(crate) fn served() -> Router {
    let page = Page::of_modules(HTML).at("/console");
    page.merge(File::served([MODULES, LOOKS, SHARED].concat()))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    fn all() -> Vec<File> {
        [MODULES, LOOKS, SHARED].concat()
    }

    /// The texts in quotes after each of these words.
    fn quoted<'a>(text: &'a str, before: &str, quote: char) -> Vec<&'a str> {
        let pieces = text.split(before).skip(1);
        pieces.filter_map(|rest| rest.split(quote).next()).collect()
    }

    #[test]
    fn whatever_is_loaded_is_served_and_the_reverse() {
        let served: BTreeSet<String> = all().iter().map(|file| file.path.to_owned()).collect();
        let mut loaded: BTreeSet<String> = ["src=\"", "href=\"/"]
            .iter()
            .flat_map(|attribute| quoted(HTML, attribute, '"'))
            .map(|path| format!("/{}", path.trim_start_matches('/')))
            .collect();
        for module in MODULES {
            let imports = module.text.lines();
            let imports = imports.filter(|line| line.starts_with("import "));
            for name in imports.flat_map(|line| quoted(line, "from './", '\'')) {
                loaded.insert(format!("/console/{name}"));
            }
        }
        assert_eq!(loaded, served);
    }

    #[test]
    fn whatever_is_in_the_folder_is_served() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("console");
        let names = fs::read_dir(folder).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let paths: BTreeSet<String> = names
            .filter(|name| name != "index.html")
            .map(|name| format!("/console/{name}"))
            .collect();
        let own = [MODULES, LOOKS].concat();
        let served: BTreeSet<String> = own.iter().map(|file| file.path.to_owned()).collect();
        assert_eq!(paths, served);
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere_and_nothing_is_inline() {
        for File { path, kind, text } in all() {
            let words: &[&str] = match kind {
                STYLE => &["@import", "url("],
                _ => &["eval(", "innerHTML", "localStorage"],
            };
            for word in words.iter().chain(&["https://"]) {
                assert!(!text.contains(word), "{word} in {path}");
            }
        }
        for word in [" style=", " onclick=", "javascript:", "https://", "<style"] {
            assert!(!HTML.contains(word), "{word} in the page");
        }
        assert_eq!(HTML.matches("<script").count(), 1, "the start");
    }
}
