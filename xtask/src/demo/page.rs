//! What a demo prints when it is ready: the state of things, and what to paste.

use std::fmt::Write as _;

use serde_json::Value;

use super::quickstart::Quickstart;

/// The table of routes and backends, as the gateway's report has them.
pub(super) fn table(quickstart: &Quickstart, report: &Value) -> Result<String, std::fmt::Error> {
    let mut routes = vec![["ROUTE", "MODEL", "BACKENDS", "READY"].map(str::to_owned)];
    let mut backends = vec![["BACKEND", "URL", "STATE", ""].map(str::to_owned)];
    for route in quickstart.routes() {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let name = format!("default/{}", text(&route["metadata"]["name"]));
        let id = format!("DeepSeekRoute/{name}");
        let seen = |backend: &Value| {
            let all = report["backends"].as_array()?.iter();
            let mut of_route = all.filter(|it| it["route"] == *id && it["name"] == backend["name"]);
            Some(text(&of_route.next()?["state"]))
        };
        let mut healthy = 0;
        let of_route = route["spec"]["backends"].as_array().map(Vec::as_slice).unwrap_or_default();
        for backend in of_route {
            let state = seen(backend).unwrap_or_else(|| "Unknown".to_owned());
            healthy += usize::from(state == "Healthy");
            backends.push([text(&backend["name"]), text(&backend["baseUrl"]), state, String::new()]);
        }
        let loaded = report["objects"].as_array().into_iter().flatten().find(|it| it["id"] == *id);
        let is_ready = loaded.is_some_and(|it| it["sha256"].is_string() && it["refused"].is_null());
        let ready = if is_ready { "True" } else { "False" };
        let count = format!("{healthy}/{}", of_route.len());
        routes.push([name, text(&route["spec"]["model"]), count, ready.to_owned()]);
    }
    let mut out = String::new();
    for rows in [routes, backends] {
        write_table(&mut out, &rows)?;
        writeln!(out)?;
    }
    Ok(out)
}

fn write_table(out: &mut String, rows: &[[String; 4]]) -> std::fmt::Result {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0) + 3;
    for row in rows {
        let cells = row.iter().enumerate().map(|(column, cell)| format!("{cell:<0$}", width(column)));
        writeln!(out, "{}", cells.collect::<String>().trim_end())?;
    }
    Ok(())
}

/// A call to paste, and each setting of a client on a line of its own.
pub(super) fn how_to_call(endpoint: &str, model: &str, api_key: &str) -> String {
    format!(
        "curl -sS {endpoint}/chat/completions -H 'Authorization: Bearer {api_key}' \
         -H 'Content-Type: application/json' \
         -d '{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":\"Hello\"}}]}}'\n\n\
         ENDPOINT={endpoint}\nMODEL={model}\nAPI_KEY={api_key}\n"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_table_tells_what_the_gateway_reports() {
        let quickstart = Quickstart::read("http://127.0.0.1:1").unwrap();
        let route = "DeepSeekRoute/default/flash";
        let report = |state: &str| {
            json!({"objects": [{"id": route, "sha256": "x"}],
                "backends": [{"route": route, "name": "deepseek", "state": state}]})
        };

        let healthy = table(&quickstart, &report("Healthy")).unwrap();
        let open = table(&quickstart, &report("Open")).unwrap();
        let unknown = table(&quickstart, &json!({})).unwrap();

        assert!(healthy.contains("default/flash   deepseek-flash   1/1        True\n"), "{healthy}");
        assert!(open.contains("0/1        True\n") && open.contains("http://127.0.0.1:1   Open\n"), "{open}");
        assert!(unknown.contains("0/1        False\n"), "{unknown}");
    }

    #[test]
    fn the_settings_stand_on_lines_of_their_own() {
        let text = how_to_call("http://127.0.0.1:1/v1", "deepseek-flash", "sk-1");
        let lines: Vec<&str> = text.lines().collect();
        for line in ["ENDPOINT=http://127.0.0.1:1/v1", "MODEL=deepseek-flash", "API_KEY=sk-1"] {
            assert!(lines.contains(&line), "{text}");
        }
    }
}
