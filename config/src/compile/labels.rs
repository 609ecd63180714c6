//! Labels: what Kubernetes takes as key and value.

/// What is wrong with a label or annotation key, if anything.
pub(super) fn key_problem(key: &str) -> Option<&'static str> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if let Some(prefix) = prefix
        && (prefix.is_empty() || prefix.len() > 253 || !prefix.split('.').all(is_dns_label))
    {
        return Some("the part before / is not a DNS name");
    }
    (!is_name(name)).then_some(
        "a name is 1 to 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit",
    )
}

/// What is wrong with a label value, if anything.
pub(super) fn value_problem(value: &str) -> Option<&'static str> {
    if value.is_empty() { None } else { set_value_problem(value) }
}

/// What is wrong with a label value that must not be empty, if anything.
pub(super) fn set_value_problem(value: &str) -> Option<&'static str> {
    (!is_name(value)).then_some(
        "a value is at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or \
         digit",
    )
}

fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!(bytes.len(), 1..=63)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
}

/// A DNS label (RFC 1123), lower case.
pub(crate) fn is_dns_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!(bytes.len(), 1..=63)
        && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}
