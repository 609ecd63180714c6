//! A scenario's text: `preset`, `preset?field=value&…`, `field=value&…`, or a JSON object.

use std::{convert::Infallible, fmt, str::FromStr};

use serde_json::{Map, Value};

use super::Scenario;
use crate::presets;

/// Why a scenario's text was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidScenario(String);

impl fmt::Display for InvalidScenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid scenario: {}", self.0)
    }
}

impl std::error::Error for InvalidScenario {}

impl From<Infallible> for InvalidScenario {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl Scenario {
    fn from_fields(mut fields: Map<String, Value>) -> Result<Self, InvalidScenario> {
        let mut all = match fields.remove("preset") {
            Some(Value::String(name)) => presets::fields_of(&name).ok_or_else(|| {
                InvalidScenario(format!("no preset `{name}`; GET /__mock/scenarios lists them"))
            })?,
            Some(other) => return Err(InvalidScenario(format!("`preset` must be a name, not {other}"))),
            None => Map::new(),
        };
        all.append(&mut fields);
        serde_json::from_value(Value::Object(all)).map_err(|error| InvalidScenario(error.to_string()))
    }
}

/// Parses `a=1&b=text` into JSON fields: numbers, booleans and JSON strings as such, anything else as text; a bare `a` is true.
pub(crate) fn parse_fields(text: &str) -> Map<String, Value> {
    let value_of = |raw: &str| serde_json::from_str(raw).unwrap_or_else(|_| Value::String(raw.to_owned()));
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| match pair.split_once('=') {
            // These are text even where they look like numbers.
            Some((key @ ("retry_after" | "balance" | "answer" | "reasoning" | "message" | "name"), raw)) => {
                (key.to_owned(), Value::String(raw.to_owned()))
            }
            Some((key, raw)) => (key.to_owned(), value_of(raw)),
            None => (pair.to_owned(), Value::Bool(true)),
        })
        .collect()
}

impl FromStr for Scenario {
    type Err = InvalidScenario;

    fn from_str(text: &str) -> Result<Self, InvalidScenario> {
        let text = text.trim();
        if text.starts_with('{') {
            let fields = serde_json::from_str(text).map_err(|error| InvalidScenario(error.to_string()))?;
            return Self::from_fields(fields);
        }
        let (preset, fields) = match text.split_once('?') {
            Some((preset, fields)) => (Some(preset), fields),
            None if text.contains('=') => (None, text),
            None => (Some(text), ""),
        };
        let mut fields = parse_fields(fields);
        if let Some(preset) = preset {
            fields.insert("preset".into(), preset.into());
        }
        Self::from_fields(fields)
    }
}

impl TryFrom<&str> for Scenario {
    type Error = InvalidScenario;

    fn try_from(text: &str) -> Result<Self, InvalidScenario> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cut;

    #[test]
    fn a_preset_can_be_adjusted_field_by_field() {
        let scenario: Scenario = "stall?stall_after=7".parse().unwrap();
        assert_eq!((scenario.label(), scenario.stall_after), ("stall", Some(7)));
    }

    #[test]
    fn fields_alone_make_a_scenario() {
        let scenario: Scenario = "status=429&retry_after=2".parse().unwrap();
        assert_eq!((scenario.status, scenario.retry_after.as_deref()), (Some(429), Some("2")));
        assert_eq!(scenario.label(), "custom");
    }

    #[test]
    fn json_text_is_a_scenario_too() {
        let scenario: Scenario = r#"{"preset": "cut", "cut": "rst"}"#.parse().unwrap();
        assert_eq!((scenario.label(), scenario.cut), ("cut", Cut::Rst));
    }

    #[test]
    fn an_unknown_preset_or_field_is_refused_by_name() {
        assert!("nope".parse::<Scenario>().unwrap_err().to_string().contains("no preset `nope`"));
        assert!("cut?cut_aftr=1".parse::<Scenario>().unwrap_err().to_string().contains("cut_aftr"));
    }
}
