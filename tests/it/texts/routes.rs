//! Routes: every one that a text names is served, and every one is documented.

use std::collections::BTreeSet;

use carillon_common::http::admin::{self, Operations};
use carillon_common::settings::Settings;
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

use super::{documents, words};
use crate::tidy::{files, read};
use crate::world::World;

fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || "/_-{}".contains(c)
}

/// The paths that begin so, with or without a host before them.
fn paths<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
    text.match_indices(start)
        .map(|(at, _)| {
            let rest = &text[at..];
            let path = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
            // The end of a mapping in YAML is none of a path.
            match path.contains('{') {
                true => path,
                false => path.trim_end_matches('}'),
            }
        })
        .collect()
}

/// `/api/gateways/x/drain` is of `/api/gateways/{id}/drain`.
fn is_of(path: &str, route: &str) -> bool {
    let (path, route): (Vec<_>, Vec<_>) = (path.split('/').collect(), route.split('/').collect());
    path.len() == route.len()
        && path
            .iter()
            .zip(&route)
            .all(|(part, name)| part == name || name.starts_with('{'))
}

#[test]
fn routes_exist() {
    let mut texts = documents();
    for folder in ["examples", "helm/carillon"] {
        texts.extend(files(folder, &["md", "conf", "yaml", "txt", "tpl"]));
    }
    let settings = Settings::default();
    let (sockets, streams) = (settings.gateway.path, settings.sse.path);
    let mut named = 0;
    for (place, text) in texts {
        for path in paths(&text, "/api/")
            .into_iter()
            .filter(|path| *path != "/api/")
        {
            let path = path.trim_end_matches('/');
            // Kubernetes has an /api of its own.
            let ours = carillon_dispatcher::ROUTES
                .iter()
                .any(|(_, route)| is_of(path, route));
            let start = carillon_dispatcher::ROUTES
                .iter()
                .any(|(_, route)| route.starts_with(path));
            named += 1;
            assert!(
                ours || start || path.starts_with("/api/v1"),
                "{place}: {path} is served by nobody"
            );
        }
        for path in paths(&text, "/ws/")
            .into_iter()
            .filter(|path| *path != "/ws/")
        {
            assert_eq!(path, sockets, "{place}");
        }
        for path in paths(&text, "/sse/")
            .into_iter()
            .filter(|path| *path != "/sse/")
        {
            assert_eq!(path, streams, "{place}");
        }
        for path in words(&text, "`/", |c| c.is_ascii_lowercase()) {
            let path = &path[1..];
            let is_admin = path.ends_with('z') || path == "/metrics";
            assert!(
                !is_admin || admin::ROUTES.contains(&path),
                "{place}: there is no {path}"
            );
        }
    }
    assert!(named > 10, "{named}");
}

#[test]
fn every_route_is_documented() {
    let api = read("docs/api.md");
    let headings: Vec<_> = api
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .filter_map(|heading| heading.split(" · ").next()?.split_once(" /"))
        .map(|(method, path)| (method.to_owned(), format!("/{path}")))
        .collect();
    for (method, path) in carillon_dispatcher::ROUTES {
        let is_there = headings.iter().any(|(m, p)| m == method && p == path);
        assert!(is_there, "docs/api.md has no heading `## {method} {path}`");
    }
    assert_eq!(
        headings.len(),
        carillon_dispatcher::ROUTES.len(),
        "{headings:?}"
    );
    let readme = read("README.md");
    for path in admin::ROUTES {
        assert!(
            readme.contains(&format!("`{path}`")),
            "README does not name {path}"
        );
    }
}

/// What needs an admin key is in the table of docs/operations.md, row by row, and nothing else is.
#[test]
fn every_route_for_operators_is_documented() {
    let operations = read("docs/operations.md");
    let (_, section) = operations.split_once("## Looking into a process").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let rows: BTreeSet<&str> = rows
        .map(|row| row.split(['`', '?']).next().unwrap())
        .collect();
    let own = carillon_gateway::ADMIN_ROUTES.iter();
    let served = own.chain(Operations::ROUTES);
    let served: BTreeSet<String> = served
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    let served: BTreeSet<&str> = served.iter().map(String::as_str).collect();
    assert_eq!(rows, served);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_route_is_served() {
    let world = World::start(&[]).await;
    for (method, path) in carillon_dispatcher::ROUTES {
        let url = format!(
            "{}{}",
            world.dispatcher.http(),
            path.replace("{id}", "nobody")
        );
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let answer = Client::new().request(method, &url).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{url}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], "unauthenticated", "{url}");
    }
    let elsewhere = format!("{}/api/else", world.dispatcher.http());
    let answer = Client::new().get(elsewhere).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
}
