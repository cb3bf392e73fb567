//! Globs with one wildcard: `*` stands for any run of characters, the empty one too.

/// Whether `pattern` covers `name`, in linear time.
///
/// The parts between stars are looked for from left to right, each at its first place: an earlier
/// place never makes a later part harder to find, so nothing is ever tried again.
pub(super) fn covers(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return *pattern == *name;
    };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(inner) = name
        .strip_prefix(first)
        .and_then(|name| name.strip_suffix(last))
    else {
        return false;
    };
    let mut parts = middle.split('*');
    let left = parts.try_fold(inner, |left, part| {
        Some(&left[left.find(part)? + part.len()..])
    });
    left.is_some()
}
