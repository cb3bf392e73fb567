//! Texts as editors and shells leave them in files and bodies.

/// What some editors put before UTF-8; it is no part of the text.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The text without a byte order mark.
pub fn without_bom(text: &str) -> &str {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

/// Why bytes are no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotText {
    /// By its byte order mark.
    #[error("is UTF-16: save it as UTF-8")]
    Utf16,
    /// Valid up to this byte.
    #[error("is not UTF-8 at byte {0}: save it as UTF-8")]
    NotUtf8(usize),
}

/// The UTF-8 text that a file holds, without a byte order mark.
///
/// # Errors
/// Another encoding.
pub fn decoded(bytes: &[u8]) -> Result<&str, NotText> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(NotText::Utf16);
    }
    std::str::from_utf8(bytes)
        .map(without_bom)
        .map_err(|error| NotText::NotUtf8(error.valid_up_to()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_text() {
        assert_eq!(decoded("\u{feff}a\u{feff}".as_bytes()), Ok("a\u{feff}"));
        assert_eq!(decoded("å".as_bytes()), Ok("å"));
        assert_eq!(decoded(b""), Ok(""));
    }

    #[test]
    fn another_encoding_is_named() {
        assert_eq!(decoded(b"\xff\xfea\0"), Err(NotText::Utf16));
        assert_eq!(decoded(b"\xfe\xff\0a"), Err(NotText::Utf16));
        assert_eq!(decoded(b"ol\xe9"), Err(NotText::NotUtf8(2)));
    }
}
