//! Output: lines on stdout, colours where somebody looks, a progress line.

use std::io::{self, IsTerminal, Write};

/// Colours, or none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    colours: bool,
}

impl Style {
    /// For stdout.
    pub(crate) fn stdout() -> Self {
        Self::on(io::stdout().is_terminal())
    }

    /// For stderr.
    pub(crate) fn stderr() -> Self {
        Self::on(io::stderr().is_terminal())
    }

    /// For tests of what is said.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self { colours: false }
    }

    /// <https://no-color.org>: any value but the empty one.
    fn on(terminal: bool) -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            colours: terminal && !unwanted,
        }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.paint("31;1", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    pub(crate) fn cyan(self, text: &str) -> String {
        self.paint("36", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colours {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Writes one line to stdout, at once.
pub(crate) fn say(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(line.as_bytes())?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}

/// Writes lines to stderr; where nobody reads any more, there is nobody to tell.
pub(crate) fn tell(text: &str) {
    writeln!(io::stderr(), "{text}").unwrap_or_default();
}

/// Text of others, made safe to show: control characters could steer the terminal.
pub(crate) fn shown(text: &str) -> String {
    let visible = |character: char| match character {
        '\n' | '\t' => ' ',
        character if character.is_control() => '\u{fffd}',
        character => character,
    };
    text.chars().map(visible).collect()
}

/// A line on stderr that is written over again and again; nothing where nobody looks.
#[derive(Debug)]
pub(crate) struct Progress {
    live: bool,
}

impl Progress {
    pub(crate) fn new(wanted: bool) -> Self {
        Self {
            live: wanted && io::stderr().is_terminal(),
        }
    }

    pub(crate) fn show(&self, line: &str) {
        if self.live {
            // Nothing depends on it.
            write!(io::stderr(), "\r\x1b[2K{line}").unwrap_or_default();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.show("");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_others_cannot_steer_the_terminal() {
        assert_eq!(shown("a\x1b[2Jb\nc\u{9b}"), "a\u{fffd}[2Jb c\u{fffd}");
    }

    #[test]
    fn without_colours_text_is_itself() {
        assert_eq!(Style { colours: false }.red("x"), "x");
        assert_eq!(Style { colours: true }.green("x"), "\x1b[32mx\x1b[0m");
    }
}
