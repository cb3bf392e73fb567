//! The contract as a person reads it: pages that need no other host and run nothing.

mod errors;
mod html;
mod rest;
mod shape;
mod socket;

pub(super) use errors::errors;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use sha2::{Digest, Sha256};

use html::{escaped, prose};

const STYLE: &str = include_str!("style.css");

/// What a page may do: show its own style.
pub(super) fn policy() -> String {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
}

/// `/docs`: every route and every frame.
pub(super) fn contract(openapi: &Value, asyncapi: &Value) -> String {
    let version = html::text(&openapi["info"]["version"]);
    let about = prose(html::text(&openapi["info"]["description"]));
    let body = format!(
        "<h1>Carillon <small>{}</small></h1>\n<p class=\"links\"><a href=\"#rest\">REST</a> \
         <a href=\"#socket\">Socket</a> <a href=\"docs/errors\">Errors</a> <a href=\"openapi.json\">openapi.json</a> \
         <a href=\"asyncapi.json\">asyncapi.json</a></p>\n<h2 id=\"rest\">REST</h2>\n{about}{}\
         <h2 id=\"socket\">Socket</h2>\n{}",
        escaped(version),
        rest::rest(openapi),
        socket::socket(asyncapi),
    );
    page("Carillon: the contract", &body)
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        escaped(title)
    )
}

#[cfg(test)]
mod tests {
    use carillon_common::{
        errors::{At, ProblemKind},
        http::Problem,
        settings::Settings,
    };

    use super::*;
    use crate::{
        contract::documents::{asyncapi, openapi},
        paths::{ERRORS, ROUTES},
    };

    fn docs() -> String {
        let settings = Settings::default();
        contract(&openapi(&settings), &asyncapi(&settings))
    }

    #[test]
    fn every_route_and_frame_is_shown() {
        let page = docs();
        for (method, path) in ROUTES {
            assert!(
                page.contains(&format!("{method}</b> <code>{path}</code>")),
                "{path}"
            );
        }
        for kind in ["notification", "welcome", "ack", "reconnect"] {
            assert!(page.contains(&format!("<code>{kind}</code>")), "{kind}");
        }
        assert!(page.contains("Idempotency-Key") && page.contains("target_user"));
    }

    #[test]
    fn the_pages_need_no_other_host_and_run_nothing() {
        for page in [docs(), errors()] {
            let active = [
                "<script", "<img", "<link", "src=", "@import", "url(", "style=", "=\"http", "=\"//",
            ];
            for outside in active {
                assert!(!page.contains(outside), "{outside}");
            }
            assert_eq!(page.matches('<').count(), page.matches('>').count());
        }
        assert!(policy().starts_with("default-src 'none'; style-src 'sha256-"));
    }

    #[test]
    fn the_type_of_every_problem_leads_to_its_anchor() {
        let page = errors();
        for kind in ProblemKind::ALL.iter().filter(|kind| kind.at() == At::Rest) {
            let problem = Problem::explained(*kind);
            let (path, code) = problem.kind.split_once('#').unwrap();
            assert_eq!(path, ERRORS);
            assert_eq!(page.matches(&format!("id=\"{code}\"")).count(), 1, "{code}");
        }
    }
}
