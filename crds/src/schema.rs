//! Schemas of the custom resources: from what schemars makes of the types to what the API server takes ("structural")
//! and `kubectl explain` shows well.
//!
//! kube's own rewriting marks every optional field `nullable` and lets the description of an enum type replace that of
//! the field. Here a null is no value (the API server drops it, as if the field had been left out), the field's own
//! description wins, and the values of an enum are explained under it.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// The structural schema of `T`.
pub(crate) fn structural<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    rewrite(&mut schema);
    bound_conditions(&mut schema);
    schema
}

fn rewrite(schema: &mut Value) {
    let Some(node) = schema.as_object_mut() else { return };
    for key in ["title", "uniqueItems"] {
        node.remove(key);
    }
    if node.get("default").is_some_and(Value::is_null) {
        node.remove("default");
    }
    unwrap_option(node);
    flatten_enum(node);
    if let Some(description) = node.get_mut("description") {
        *description = paragraphs(description.as_str().unwrap_or_default()).into();
    }
    if let Some(Value::Object(properties)) = node.get_mut("properties") {
        properties.values_mut().for_each(rewrite);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = node.get_mut(key) {
            rewrite(inner);
        }
    }
}

/// `T | null` becomes `T`.
fn unwrap_option(node: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = node.get_mut("type") {
        types.retain(|type_| type_ != "null");
        if let [type_] = types.as_slice() {
            node["type"] = type_.clone();
        }
    }
    let Some(Value::Array(variants)) = node.get("anyOf") else { return };
    if let [Value::Object(some), none] = variants.as_slice()
        && none == &json!({"type": "null"})
    {
        let some = some.clone();
        node.remove("anyOf");
        for (key, value) in some {
            node.entry(key).or_insert(value);
        }
    }
}

/// An enum of documented values becomes `enum`, its documentation part of the description.
fn flatten_enum(node: &mut Map<String, Value>) {
    if let Some(Value::Array(values)) = node.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    let Some(Value::Array(variants)) = node.get("oneOf") else { return };
    let (mut values, mut docs) = (Vec::new(), Vec::new());
    for variant in variants {
        let Some(value @ Value::String(name)) = variant.get("const") else { return };
        values.push(value.clone());
        let doc = variant.get("description").and_then(Value::as_str).unwrap_or_default();
        docs.push(format!("- `{name}`: {}", doc.replace('\n', " ")));
    }
    node.remove("oneOf");
    let own = node.get("description").and_then(Value::as_str).unwrap_or_default();
    let description = format!("{own}\n\n{}", docs.join("\n"));
    node.insert("type".into(), "string".into());
    node.insert("enum".into(), values.into());
    node.insert("description".into(), description.into());
}

/// Joins the lines of each paragraph, as a terminal breaks them where it wants; list items keep theirs.
fn paragraphs(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let starts = line.is_empty() || line.starts_with("- ") || out.is_empty() || out.ends_with('\n');
        if starts && !out.is_empty() {
            out.push('\n');
        } else if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(line);
    }
    out
}

/// Gives `status.conditions` the bounds of `metav1.Condition`, which the generated type does not carry.
fn bound_conditions(schema: &mut Value) {
    let Some(fields) = schema.pointer_mut("/properties/status/properties/conditions/items/properties") else {
        return;
    };
    let bounds = json!({
        "type": {"minLength": 1, "maxLength": 316},
        "status": {"enum": ["True", "False", "Unknown"]},
        "reason": {"minLength": 1, "maxLength": 1024},
        "message": {"maxLength": 32768},
        "observedGeneration": {"minimum": 0, "maximum": 9_007_199_254_740_991_i64},
    });
    for (name, bounds) in bounds.as_object().into_iter().flatten() {
        if let (Some(field), Some(bounds)) = (fields[name].as_object_mut(), bounds.as_object()) {
            field.extend(bounds.clone());
        }
    }
}

/// Writes whole numbers without a fraction: the API type holds `maximum` as a float, and `63.0` is not what the API
/// server gives back.
pub(crate) fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and far below 2^53")]
            if let Some(float) =
                number.as_f64().filter(|f| number.is_f64() && f.fract() == 0.0 && f.abs() < 9e15)
            {
                *value = (float as i64).into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(map) => map.values_mut().for_each(whole_numbers),
        _ => {}
    }
}
