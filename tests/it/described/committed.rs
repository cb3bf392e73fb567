//! The documents in docs/, held against the code and against the last release.

use carillon_common::settings::Settings;
use carillon_dispatcher::contract;
use carillon_tests::breaking::breaks;
use serde_json::Value;

use crate::tidy::read;

#[test]
fn the_documents_are_those_of_the_code() {
    for (path, text) in contract::files() {
        assert!(
            read(path) == text,
            "{path} is not what the code makes: write it anew with `make contract-docs`"
        );
    }
}

/// At a release docs/openapi.json becomes docs/openapi-released.json. What has to break goes into a version of its own.
#[test]
fn callers_of_the_last_release_are_not_broken() {
    let released: Value = serde_json::from_str(&read("docs/openapi-released.json")).unwrap();
    let found = breaks(&released, &contract::openapi(&Settings::default()));
    assert!(
        found.is_empty(),
        "callers of the last release (docs/openapi-released.json) would be broken:\n{}",
        found.join("\n")
    );
}

#[test]
fn the_documents_are_linked() {
    let (api, protocol) = (read("docs/api.md"), read("docs/protocol.md"));
    for (document, link) in [
        (&api, "(openapi.json)"),
        (&api, "(errors.md"),
        (&protocol, "(asyncapi.json)"),
        (&protocol, "(errors.md"),
    ] {
        assert!(document.contains(link), "{link}");
    }
    for path in carillon_dispatcher::PAGES {
        assert!(
            api.contains(&format!("`{path}`")),
            "docs/api.md does not name {path}"
        );
    }
}
