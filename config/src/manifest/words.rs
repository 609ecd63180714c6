//! Words for types, patterns and lists, and the nearest of several names.

use serde_json::Value;

/// How alike two names must be to be mistaken for each other (1 is the same).
const ALIKE: f64 = 0.8;

/// A type, with its article.
pub(super) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// `a, b or c`.
pub(super) fn or<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().collect();
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// The one of `names` that was probably meant by `written`.
pub(super) fn nearest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = written.to_lowercase();
    let alike = |name: &&str| strsim::jaro_winkler(&lower, &name.to_lowercase());
    let best = names.into_iter().max_by(|a, b| alike(a).total_cmp(&alike(b)))?;
    (alike(&best) >= ALIKE).then_some(best)
}

/// What a pattern of the definitions asks for, in words.
pub(super) fn pattern(pattern: &str) -> Option<&'static str> {
    Some(match pattern {
        r"^([0-9]{1,5}(h|m|s|ms)){1,4}$" => {
            "is not a duration. Use whole numbers of h, m, s and ms, such as 500ms, 30s or 1m30s"
        }
        r"^[1-9][0-9]{0,4}(s|m|h|d|mo)$" => {
            "is not a window. Use a whole number of s, m, h, d or mo, such as 30s, 1m, 1h, 1d or 1mo"
        }
        r"^https?://[^\s?#]+$" => {
            "is not a base URL. Use one such as https://api.deepseek.com, without a query"
        }
        r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$" => {
            "is not a model name. Use letters, digits and . _ : / @ -, beginning with a letter or digit"
        }
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" => {
            "is not a name. Use lower-case letters, digits and -, beginning and ending with a letter or \
             digit"
        }
        r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$" => {
            "is not a zone. Use letters, digits, '-', '_' and '.', beginning and ending with a letter or digit"
        }
        r"^[0-9]{1,9}(\.[0-9]{1,6})?$" => {
            "is not an amount. Use up to 9 digits, and up to 6 more after a point, such as \"10.00\""
        }
        r"^[A-Za-z][A-Za-z0-9_+/-]*$" => "is not a time zone. Use an IANA name such as Asia/Shanghai or UTC",
        r"^[-._a-zA-Z0-9]+$" => "is not a key of a Secret. Use letters, digits, '-', '_' and '.'",
        r"^[0-9]+(\.[0-9]+)?([numkMGTPE]|[KMGTPE]i|[eE][0-9]+)?$" => {
            "is not a quantity. Use one such as 250m or 64Mi"
        }
        _ => return None,
    })
}
