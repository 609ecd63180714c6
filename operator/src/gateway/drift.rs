//! Whether a stored object still is what was applied. Pure.

use super::build::APPLIED;
use kube::ResourceExt as _;
use kube::core::DynamicObject;
use serde_json::Value;

/// Whether `stored` was applied from `object` and still has all of it.
pub fn in_place(object: &Value, stored: &DynamicObject, uid: &str) -> bool {
    let digest = object.pointer("/metadata/annotations").and_then(|a| a.get(APPLIED)?.as_str());
    let applied = stored.annotations().get(APPLIED).map(String::as_str);
    let owned = stored.owner_references().iter().any(|owner| owner.uid == uid);
    owned && applied == digest && holds(&stored.data, object)
}

/// Whether `have` has every field of `want` beside metadata, with the same value.
fn holds(have: &Value, want: &Value) -> bool {
    let fields = want.as_object().into_iter().flatten();
    let mut fields = fields.filter(|(name, _)| !["apiVersion", "kind", "metadata"].contains(&name.as_str()));
    fields.all(|(name, want)| have.get(name).is_some_and(|have| contains(have, want)))
}

fn contains(have: &Value, want: &Value) -> bool {
    match (have, want) {
        (Value::Object(have), Value::Object(want)) => want.iter().all(|(name, want)| match have.get(name) {
            Some(have) => contains(have, want),
            None => want.is_null() || want.as_object().is_some_and(serde_json::Map::is_empty),
        }),
        (Value::Array(have), Value::Array(want)) => {
            have.len() == want.len() && have.iter().zip(want).all(|(have, want)| contains(have, want))
        }
        (Value::String(have), Value::String(want)) => have == want || same_quantity(have, want),
        (have, want) => have == want,
    }
}

/// Whether two amounts are the same: the API server writes `1000m` as `1`.
fn same_quantity(have: &str, want: &str) -> bool {
    matches!((quantity(have), quantity(want)), (Some(have), Some(want)) if (have - want).abs() <= want.abs() * 1e-9)
}

fn quantity(text: &str) -> Option<f64> {
    const SUFFIXES: [(&str, f64); 15] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let suffix = SUFFIXES.iter().find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, factor)));
    let (number, factor) = suffix.unwrap_or((text, &1.0));
    number.parse::<f64>().ok().map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn amounts_are_compared_by_what_they_mean() {
        let (have, want) = (
            json!({"spec": {"cpu": "1", "memory": "1Gi"}}),
            json!({"spec": {"cpu": "1000m", "memory": "1024Mi"}}),
        );
        assert!(holds(&have, &want));
        assert!(!holds(&have, &json!({"spec": {"cpu": "1001m"}})));
        assert!(!same_quantity("a", "b"));
    }

    #[test]
    fn what_the_api_server_adds_is_no_difference_and_what_somebody_changed_is_one() {
        let want = json!({"kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": [{"port": 1}], "selector": {}}});
        let have = json!({"spec": {"ports": [{"port": 1, "protocol": "TCP"}], "clusterIP": "10.0.0.1"}});
        assert!(holds(&have, &want));
        for changed in [
            json!({"spec": {"ports": [{"port": 2}]}}),
            json!({"spec": {"ports": [{"port": 1}, {"port": 2}]}}),
            json!({}),
        ] {
            assert!(!holds(&changed, &want), "{changed}");
        }
    }
}
