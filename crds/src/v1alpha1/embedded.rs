//! Schemas of Kubernetes' own types inside ours: only what a gateway pod can use, each bounded and briefly documented.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::json;

/// Labels or annotations.
pub(super) fn string_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": {"type": "string", "maxLength": 4096}
    })
}

/// Labels that are asked for.
pub(super) fn label_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {"type": "string", "maxLength": 63}
    })
}

/// `ResourceRequirements` without `claims`, which would need a field of the pod that is not ours to set.
pub(super) fn resources(_: &mut SchemaGenerator) -> Schema {
    let quantities = |description: &str| {
        json_schema!({
            "description": description,
            "type": "object",
            "maxProperties": 16,
            "additionalProperties": {
                "anyOf": [{"type": "integer"}, {"type": "string"}],
                "maxLength": 64,
                "pattern": r"^[0-9]+(\.[0-9]+)?([numkMGTPE]|[KMGTPE]i|[eE][0-9]+)?$",
                "x-kubernetes-int-or-string": true
            }
        })
    };
    json_schema!({
        "type": "object",
        "properties": {
            "limits": quantities("The most it may use, such as `memory: 512Mi`."),
            "requests": quantities("What the scheduler sets aside for it, such as `cpu: 250m`.")
        }
    })
}

/// A list of `Toleration`s.
pub(super) fn tolerations(_: &mut SchemaGenerator) -> Schema {
    let text = |description: &str, max: u32| json_schema!({"description": description, "type": "string", "maxLength": max});
    let choice = |description: &str, values: &[&str]| json_schema!({"description": description, "type": "string", "enum": values});
    let properties = json!({
        "key": text("Key of the taint. Left out, with operator `Exists`: every taint.", 316),
        "operator": choice("How key and value are compared. Default: `Equal`.", &["Equal", "Exists"]),
        "value": text("Value of the taint, with operator `Equal`.", 63),
        "effect": choice(
            "Effect of the taint. Default: every effect.",
            &["NoSchedule", "PreferNoSchedule", "NoExecute"]
        ),
        "tolerationSeconds": {
            "description": "How long a taint with effect `NoExecute` is tolerated. Default: forever.",
            "type": "integer",
            "format": "int64",
            "minimum": 0,
            "maximum": i32::MAX
        }
    });
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "items": {"description": "A taint that is tolerated.", "type": "object", "properties": properties}
    })
}

/// A list of `LocalObjectReference`s to Secrets.
pub(super) fn pull_secrets(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 8,
        "items": {
            "description": "Names a Secret in the same namespace.",
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {
                    "description": "Name of the Secret.",
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 253
                }
            }
        }
    })
}
