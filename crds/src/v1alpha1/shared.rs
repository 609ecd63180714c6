//! Pieces that several kinds use: references, durations, windows.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Names the `DeepSeekGateway` that serves this resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayRef {
    /// Name of the `DeepSeekGateway`.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Its namespace. Default: the namespace of this resource.
    #[schemars(length(min = 1, max = 63))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Names another resource, by default in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespacedRef {
    /// Name of the resource.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Its namespace. Default: the namespace of this resource. Another namespace must permit the reference with a
    /// Gateway API `ReferenceGrant`.
    #[schemars(length(min = 1, max = 63))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Where a secret value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretSource {
    /// The key of a Secret in the same namespace. A change of the Secret takes effect without a restart.
    pub secret_ref: SecretKeyRef,
}

/// One key of a Secret in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in the Secret's `data`.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// A duration such as `500ms`, `30s`, `1m30s` or `2h` (Gateway API's format: whole numbers of h, m, s, ms).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct DurationString(
    #[schemars(length(min = 2, max = 32), regex(pattern = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"))] pub String,
);

/// A quota window: a whole number of seconds, minutes, hours, days or months, such as `30s`, `1m`, `1h`, `1d`, `1mo`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct WindowString(
    #[schemars(length(min = 2, max = 8), regex(pattern = r"^[1-9][0-9]{0,4}(s|m|h|d|mo)$"))] pub String,
);

impl From<&str> for DurationString {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<&str> for WindowString {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl DurationString {
    /// The duration, or `None` where the text is not in the documented format.
    #[must_use]
    pub fn parse(&self) -> Option<Duration> {
        let mut rest = self.0.as_str();
        let mut total = Duration::ZERO;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit())?;
            let number: u64 = rest[..digits].parse().ok()?;
            rest = &rest[digits..];
            let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
            total += match &rest[..unit] {
                "ms" => Duration::from_millis(number),
                "s" => Duration::from_secs(number),
                "m" => Duration::from_secs(number.checked_mul(60)?),
                "h" => Duration::from_secs(number.checked_mul(3600)?),
                _ => return None,
            };
            rest = &rest[unit..];
        }
        (!self.0.is_empty()).then_some(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_add_their_parts_and_refuse_anything_else() {
        assert_eq!(DurationString::from("1m30s").parse(), Some(Duration::from_secs(90)));
        assert_eq!(DurationString::from("500ms").parse(), Some(Duration::from_millis(500)));
        for bad in ["", "5", "s", "1.5s", "-1s", "1d", "1s "] {
            assert_eq!(DurationString::from(bad).parse(), None, "{bad:?}");
        }
    }
}
