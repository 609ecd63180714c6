//! The API reference as Markdown, written from the definitions.

use crate::all;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use std::fmt::Write as _;

/// The reference of all kinds: what is checked in as `docs/api.md`.
#[must_use]
pub fn reference() -> String {
    let mut out = String::from(
        "# API reference\n\n\
         Written from the types by `cargo run -p deepseek-crds --bin crdgen -- --docs docs/api.md`; the same text is \
         what `kubectl explain` shows. Fields are optional unless marked **required**. Conditions and their reasons: \
         [conditions.md](conditions.md).\n",
    );
    for (_, definition) in all() {
        kind(&mut out, &definition);
    }
    out
}

fn kind(out: &mut String, definition: &CustomResourceDefinition) {
    let names = &definition.spec.names;
    let Some(version) = definition.spec.versions.first() else { return };
    let Some(schema) = version.schema.as_ref().and_then(|s| s.open_api_v3_schema.as_ref()) else { return };
    let short = names.short_names.as_deref().unwrap_or_default().join("`, `");
    let _ = write!(
        out,
        "\n## {}\n\n{}\n\n`{}/{}`, `kubectl get {}` (`{short}`)\n",
        names.kind,
        schema.description.as_deref().unwrap_or_default(),
        definition.spec.group,
        version.name,
        names.plural,
    );
    rules(out, "", schema);
    for part in ["spec", "status"] {
        let Some(schema) = schema.properties.as_ref().and_then(|properties| properties.get(part)) else {
            continue;
        };
        let _ =
            write!(out, "\n### {} {part}\n\n| field | type | what it says |\n|---|---|---|\n", names.kind);
        fields(out, "", schema);
        rules(out, part, schema);
    }
}

/// A row for each property, depth first.
fn fields(out: &mut String, prefix: &str, schema: &JSONSchemaProps) {
    for (name, field) in schema.properties.iter().flatten() {
        let path = format!("{prefix}{name}");
        // Kubernetes documents its own types.
        let foreign = path == "conditions";
        let required = schema.required.iter().flatten().any(|required| required == name);
        let marker = if required && !foreign { "**required**<br>" } else { "" };
        let _ = writeln!(out, "| `{path}` | {} | {marker}{} |", type_of(field), text(field));
        if foreign {
            continue;
        }
        fields(out, &format!("{path}."), field);
        if let Some(JSONSchemaPropsOrArray::Schema(items)) = &field.items {
            fields(out, &format!("{path}[]."), items);
        }
    }
}

/// The rules that hold between fields, as a list.
fn rules(out: &mut String, path: &str, schema: &JSONSchemaProps) {
    let mut found = Vec::new();
    collect(&mut found, path, schema);
    if !found.is_empty() {
        out.push_str("\nRules:\n\n");
    }
    for rule in found {
        let _ = writeln!(out, "- {rule}");
    }
}

fn collect(found: &mut Vec<String>, path: &str, schema: &JSONSchemaProps) {
    for rule in schema.x_kubernetes_validations.iter().flatten() {
        let at = if path.is_empty() { String::new() } else { format!("`{path}`: ") };
        found.push(format!("{at}{}.", rule.message.as_deref().unwrap_or(&rule.rule)));
    }
    if path.is_empty() {
        return;
    }
    for (name, field) in schema.properties.iter().flatten() {
        collect(found, &format!("{path}.{name}"), field);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
        collect(found, &format!("{path}[]"), items);
    }
}

fn type_of(schema: &JSONSchemaProps) -> String {
    if schema.pattern.as_deref().is_some_and(|pattern| pattern.contains("|ms)")) {
        return "duration".to_owned();
    }
    let base = schema.type_.as_deref().unwrap_or("integer or string");
    let base = match (&schema.items, &schema.additional_properties) {
        (Some(JSONSchemaPropsOrArray::Schema(items)), _) => format!("list of {}", type_of(items)),
        (_, Some(JSONSchemaPropsOrBool::Schema(values))) => format!("map to {}", type_of(values)),
        _ => base.to_owned(),
    };
    let bounds = [
        range(schema.minimum, schema.maximum, ""),
        #[expect(clippy::cast_precision_loss, reason = "lengths are small")]
        range(schema.min_length.map(|n| n as f64), schema.max_length.map(|n| n as f64), " characters"),
        #[expect(clippy::cast_precision_loss, reason = "lengths are small")]
        range(schema.min_items.map(|n| n as f64), schema.max_items.map(|n| n as f64), " items"),
        schema.max_properties.map(|n| format!("at most {n} entries")),
    ];
    let bounds: Vec<String> = bounds.into_iter().flatten().collect();
    if bounds.is_empty() || schema.enum_.is_some() { base } else { format!("{base}, {}", bounds.join(", ")) }
}

fn range(min: Option<f64>, max: Option<f64>, unit: &str) -> Option<String> {
    match (min, max) {
        (Some(min), Some(max)) => Some(format!("{min} to {max}{unit}")),
        (None, Some(max)) => Some(format!("at most {max}{unit}")),
        (Some(min), None) => Some(format!("at least {min}{unit}")),
        (None, None) => None,
    }
}

/// The description on one line of a table; the values of a list's items included.
fn text(schema: &JSONSchemaProps) -> String {
    let mut text = schema.description.clone().unwrap_or_default();
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items
        && items.enum_.is_some()
        && let Some((_, values)) = items.description.as_deref().and_then(|text| text.split_once("\n\n"))
    {
        text = format!("{text}\n\n{values}");
    }
    text.replace('|', "\\|").replace("\n\n", "<br>").replace("\n- ", "<br>- ").replace('\n', " ")
}
