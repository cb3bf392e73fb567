//! `/docs/errors`: the table of all errors, with an anchor for each code.

use carillon_common::errors::{Explained, Section, sections};

use super::html::{escaped, line, prose};
use super::page;

/// The page.
pub(in crate::contract) fn errors() -> String {
    let sections = sections();
    let links = sections.iter().enumerate().map(|(index, section)| {
        format!("<a href=\"#part-{index}\">{}</a> ", escaped(section.title))
    });
    let links: String = links.collect();
    let mut body = format!(
        "<h1>Errors</h1>\n<p class=\"links\"><a href=\"../docs\">Contract</a> {links}</p>\n"
    );
    for (index, section) in sections.iter().enumerate() {
        body += &shown(index, section);
    }
    page("Carillon: errors", &body)
}

/// The codes of problems are anchors as they are, for the `type` of each leads there; a close is found by its
/// number.
fn shown(index: usize, section: &Section) -> String {
    let mut part = format!(
        "<h2 id=\"part-{index}\">{}</h2>\n{}",
        escaped(section.title),
        prose(section.about)
    );
    let mut former = None;
    for row in &section.errors {
        if former != Some((row.code, row.number)) {
            part += &heading(index, row);
        }
        former = Some((row.code, row.number));
        part += &format!(
            "<p><b>{}</b> <small>again? {}</small></p>\n<p>{}</p>\n<p>→ {}</p>\n",
            escaped(row.title),
            line(row.retry.words()),
            line(row.meaning),
            line(row.remedy),
        );
    }
    part
}

fn heading(index: usize, row: &Explained) -> String {
    let number = row.number.map(|it| it.to_string()).unwrap_or_default();
    let id = match (index, row.number) {
        (0, _) => row.code.to_owned(),
        (_, Some(close @ 1000..)) => close.to_string(),
        _ => format!("{index}-{}", row.code),
    };
    format!(
        "<h3 id=\"{id}\"><code>{}</code> <small>{number}</small></h3>\n",
        escaped(row.code)
    )
}
