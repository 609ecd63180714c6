//! Base URLs: what a user may write, and the form a document holds.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Longest base URL.
const MAX_LENGTH: usize = 512;

/// Endpoints that the gateway appends itself.
const ENDPOINTS: [&str; 6] =
    ["/chat/completions", "/completions", "/embeddings", "/models", "/messages", "/responses"];

/// Checks a base URL and gives it back without a trailing slash; else what is wrong and what to do.
pub(super) fn base_url(text: &str) -> Result<String, String> {
    let shown = redacted(text);
    let bad = |what: &str, fix: &str| Err(format!("{shown:?} {what}. {fix}."));
    if text.len() > MAX_LENGTH {
        return Err(format!("has {} characters. Use at most {MAX_LENGTH}.", text.len()));
    }
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
        return bad("does not begin with https:// or http://", "Use a URL such as https://api.deepseek.com");
    };
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return bad(
            "holds a space, a control character or a letter outside ASCII",
            "Remove or percent-encode it",
        );
    }
    if rest.contains(['?', '#']) {
        return bad("has a query or fragment", "Remove it: the gateway appends the endpoint to this URL");
    }
    let (authority, path) = rest.split_once('/').map_or((rest, ""), |(host, path)| (host, path));
    if authority.contains('@') {
        return bad("has a user name or password", "Remove it, and put the key into a Secret");
    }
    if let Err(what) = check_authority(authority) {
        return bad(what, "Use a URL such as https://api.deepseek.com or http://vllm.models.svc:8000/v1");
    }
    if text.parse::<http::Uri>().is_err() {
        return bad("is not a URL", "Use a URL such as https://api.deepseek.com");
    }
    let trimmed = path.trim_end_matches('/');
    if trimmed.split('/').any(|segment| matches!(segment, "" | "." | "..")) && !trimmed.is_empty() {
        return bad("has an empty, . or .. segment in its path", "Write the path out");
    }
    if let Some(endpoint) = ENDPOINTS.iter().find(|endpoint| format!("/{trimmed}").ends_with(*endpoint)) {
        return bad(
            &format!("names the endpoint {endpoint}"),
            "Use the base URL only: the gateway appends the endpoint",
        );
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// `text` without what may be secret: user name and password, query, fragment.
fn redacted(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let start = text.find("://").map_or(0, |at| at + 3);
    let end = text[start..].find('/').map_or(text.len(), |at| start + at);
    match text[start..end].rfind('@') {
        Some(at) => format!("{}…{}", &text[..start], &text[start + at..]),
        None => text.to_owned(),
    }
}

fn check_authority(authority: &str) -> Result<(), &'static str> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or("has an IPv6 address without ]")?;
        address.parse::<Ipv6Addr>().map_err(|_| "has a malformed IPv6 address")?;
        (None, port)
    } else {
        let end = authority.find(':').unwrap_or(authority.len());
        (Some(&authority[..end]), &authority[end..])
    };
    if let Some(host) = host {
        check_host(host)?;
    }
    match port.strip_prefix(':').map(str::parse::<u16>) {
        None if port.is_empty() => Ok(()),
        Some(Ok(1..)) => Ok(()),
        _ => Err("has a port that is not a number from 1 to 65535"),
    }
}

fn check_host(host: &str) -> Result<(), &'static str> {
    if host.is_empty() {
        return Err("has no host");
    }
    if host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return host.parse::<Ipv4Addr>().map(|_| ()).map_err(|_| "has a malformed IPv4 address");
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.len() <= 253 && name.split('.').all(label) { Ok(()) } else { Err("has a malformed host name") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_keeps_its_path_and_loses_its_trailing_slash() {
        for (text, want) in [
            ("https://api.deepseek.com", "https://api.deepseek.com"),
            ("https://api.deepseek.com/", "https://api.deepseek.com"),
            ("http://vllm.models.svc:8000/v1/", "http://vllm.models.svc:8000/v1"),
            ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
            ("http://127.0.0.1:1", "http://127.0.0.1:1"),
        ] {
            assert_eq!(base_url(text).as_deref(), Ok(want));
        }
    }

    #[test]
    fn a_bad_base_url_is_refused_with_what_is_wrong() {
        for (text, says) in [
            ("ftp://a", "begin with"),
            ("HTTPS://a", "begin with"),
            ("https://", "no host"),
            ("https://:80", "no host"),
            ("https://a b", "space"),
            ("https://a?x=1", "query"),
            ("https://a/#x", "query or fragment"),
            ("https://u:p@a", "password"),
            ("https://a:0", "port"),
            ("https://a:", "port"),
            ("https://a:65536", "port"),
            ("https://256.1.1.1", "IPv4"),
            ("https://[::g]", "IPv6"),
            ("https://[::1", "IPv6"),
            ("https://-a", "host name"),
            ("https://a..b", "host name"),
            ("https://a/../b", "segment"),
            ("https://a//b", "segment"),
            ("https://api.deepseek.com/v1/chat/completions", "endpoint"),
        ] {
            let message = base_url(text).expect_err(text);
            assert!(message.contains(says), "{text}: {message}");
            assert!(message.ends_with('.'), "{message}");
        }
    }

    #[test]
    fn what_may_be_secret_in_a_url_is_not_repeated() {
        for text in ["https://user:hunter2@host/x", "https://host/?key=hunter2", "hunter@x://user:hunter2@h"]
        {
            assert!(!base_url(text).expect_err(text).contains("hunter2"), "{text}");
        }
    }
}
