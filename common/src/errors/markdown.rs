//! docs/errors.md, made of the tables.

use std::fmt::Write;

use super::{Explained, Section, sections};

/// Where the document is, from the repository's root.
pub const PATH: &str = "docs/errors.md";

/// The document. It changes with the tables alone.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Errors\n\n<!-- Made of the tables in common/src/errors/ by `make contract-docs`: change those. -->\n\n\
         Every error that callers see, by its stable code. A dispatcher shows the same at `/docs/errors`, where the \
         `type` of its problems leads; [api.md](api.md#problems) and [protocol.md](protocol.md#errors) say how they \
         come.\n",
    );
    for section in sections() {
        put_section(&mut text, &section);
    }
    text
}

fn put_section(text: &mut String, section: &Section) {
    let head = if section.errors.iter().any(|row| row.number.is_some()) {
        ("| | `code` ", "|---")
    } else {
        ("| `code` ", "")
    };
    // Writing to a String does not fail.
    write!(
        text,
        "\n## {}\n\n{}\n\n{}| title | again? | what it means | remedy |\n{}|---|---|---|---|---|\n",
        section.title, section.about, head.0, head.1
    )
    .unwrap_or_default();
    for row in &section.errors {
        put_row(text, row);
    }
}

fn put_row(text: &mut String, row: &Explained) {
    let number = row.number.map(|it| format!("| {it} ")).unwrap_or_default();
    let code = match row.code {
        "" => String::new(),
        code => format!("`{code}`"),
    };
    writeln!(
        text,
        "{number}| {code} | {} | {} | {} | {} |",
        row.title,
        row.retry.words(),
        row.meaning,
        row.remedy
    )
    .unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_its_cells() {
        let text = markdown();
        let rows = text.lines().filter(|line| line.starts_with('|'));
        let errors: usize = sections().iter().map(|section| section.errors.len()).sum();
        assert_eq!(rows.clone().count(), errors + 2 * sections().len());
        for row in rows {
            let cells = row.matches('|').count();
            assert!(matches!(cells, 6 | 7), "{row}");
        }
    }
}
