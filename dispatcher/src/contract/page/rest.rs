//! The routes.

use serde_json::{Map, Value};

use super::html::{block, escaped, line, prose, text};
use super::shape::Shape;

/// Every operation, in the order of the paths.
pub(super) fn rest(document: &Value) -> String {
    let mut page = String::new();
    for (path, item) in members(&document["paths"]) {
        for (method, operation) in members(item) {
            page += &shown(document, path, method, operation);
        }
    }
    page
}

fn shown(document: &Value, path: &str, method: &str, operation: &Value) -> String {
    let id = escaped(text(&operation["operationId"]));
    let scope = escaped(text(&operation["security"][0]["api_key"][0]));
    format!(
        "<section id=\"{id}\">\n<h3><b>{}</b> <code>{}</code></h3>\n<p>{} <small>scope <code>{scope}</code></small></p>\n\
         {}{}{}<h4>Answers</h4>\n{}</section>\n",
        escaped(&method.to_uppercase()),
        escaped(path),
        line(text(&operation["summary"])),
        prose(text(&operation["description"])),
        parameters(document, operation),
        body(document, operation),
        answers(document, operation),
    )
}

fn parameters(document: &Value, operation: &Value) -> String {
    let Some(all) = operation["parameters"].as_array() else {
        return String::new();
    };
    let rows = all.iter().map(|parameter| {
        let shape = Shape::of(&parameter["schema"], document);
        let name = format!("{} ({})", text(&parameter["name"]), text(&parameter["in"]));
        let row = shape.row(&name, parameter["required"] == true);
        format!("{row}<dd>{}</dd>\n", line(text(&parameter["description"])))
    });
    format!(
        "<h4>Parameters</h4>\n<dl>\n{}</dl>\n",
        rows.collect::<String>()
    )
}

fn body(document: &Value, operation: &Value) -> String {
    let request = &operation["requestBody"];
    let mut page = String::new();
    for (kind, content) in members(&request["content"]) {
        let shape = Shape::of(&content["schema"], document);
        page += &format!(
            "<h4>Body <small>{}</small></h4>\n{}{}",
            escaped(kind),
            prose(text(&request["description"])),
            shape.fields()
        );
    }
    page
}

fn answers(document: &Value, operation: &Value) -> String {
    let mut page = String::new();
    for (status, answer) in members(&operation["responses"]) {
        let open = if status.starts_with('2') { " open" } else { "" };
        page += &format!(
            "<details{open}>\n<summary><b>{}</b></summary>\n{}{}{}</details>\n",
            escaped(status),
            prose(text(&answer["description"])),
            headers(document, answer),
            contents(document, answer),
        );
    }
    page
}

fn headers(document: &Value, answer: &Value) -> String {
    let mut rows = String::new();
    for (name, header) in members(&answer["headers"]) {
        rows += &Shape::of(&header["schema"], document).row(name, false);
        rows += &format!("<dd>{}</dd>\n", line(text(&header["description"])));
    }
    match rows.is_empty() {
        true => rows,
        false => format!("<dl>\n{rows}</dl>\n"),
    }
}

fn contents(document: &Value, answer: &Value) -> String {
    let mut page = String::new();
    for (kind, content) in members(&answer["content"]) {
        page += &format!("<p><small>{}</small></p>\n", escaped(kind));
        page += &Shape::of(&content["schema"], document).fields();
        // Problems look alike: one shows them all.
        if let Some((_, example)) = members(&content["examples"]).next() {
            page += &block(&example["value"]);
        }
    }
    page
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}
