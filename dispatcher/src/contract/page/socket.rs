//! The frames.

use serde_json::{Map, Value};

use super::html::{block, escaped, line, prose, text};
use super::shape::Shape;

/// Every frame of each dialect, by who sends it.
pub(super) fn socket(document: &Value) -> String {
    let mut page = prose(text(&document["info"]["description"]));
    for (name, channel) in members(&document["channels"]) {
        page += &format!(
            "<h3 id=\"{}\">{} <small><code>{}</code></small></h3>\n{}",
            escaped(name),
            escaped(text(&channel["title"])),
            escaped(text(&channel["address"])),
            prose(text(&channel["description"])),
        );
        for (title, action) in [("Clients send", "receive"), ("Gateways send", "send")] {
            page += &format!("<h4>{title}</h4>\n");
            page += &frames(document, name, action);
        }
    }
    page
}

fn frames(document: &Value, channel: &str, action: &str) -> String {
    let own = format!("#/channels/{channel}");
    let operations = members(&document["operations"]).map(|(_, operation)| operation);
    let wanted = operations.filter(|it| it["action"] == action && it["channel"]["$ref"] == *own);
    let messages = wanted.flat_map(|it| it["messages"].as_array().into_iter().flatten());
    messages.map(|message| shown(document, message)).collect()
}

/// A message, over the channel's reference to it.
fn shown(document: &Value, message: &Value) -> String {
    let follow = |it: &Value| {
        let pointer = text(&it["$ref"]).trim_start_matches('#').to_owned();
        document.pointer(&pointer)
    };
    let Some(message) = follow(message).and_then(follow) else {
        return String::new();
    };
    format!(
        "<details>\n<summary><code>{}</code> {}</summary>\n{}{}</details>\n",
        escaped(text(&message["name"])),
        line(text(&message["summary"])),
        Shape::of(&message["payload"], document).fields(),
        block(&message["examples"][0]["payload"]),
    )
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}
