//! The one list of named scenarios: name, fields, and what it is for. Help, admin port and README are made from it.

use serde_json::{Map, Value};

use crate::scenario::parse_fields;

/// A named scenario.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// The name, as in `x-mock-scenario: NAME` or model `mock/NAME`.
    pub name: &'static str,
    /// The fields it sets, as they would be written after a `?`.
    pub fields: &'static str,
    /// What it does.
    pub about: &'static str,
}

const fn preset(name: &'static str, fields: &'static str, about: &'static str) -> Preset {
    Preset { name, fields, about }
}

/// Every named scenario.
pub const PRESETS: &[Preset] = &[
    preset("plain", "", "A healthy DeepSeek: thinking on by default, usage on the finish frame"),
    preset("text", "thinking=false", "An answer without reasoning"),
    preset("thinking", "thinking=true", "An answer with reasoning"),
    preset("tools", "tool_calls=2", "Two parallel tool calls"),
    preset("long", "chunks=400", "A stream of 400 content frames"),
    preset("wide", "chunks=1&chunk_bytes=307200", "One frame of 300 KiB"),
    preset("wide-tool", "tool_calls=1&tool_bytes=5242880", "Tool arguments of 5 MiB"),
    preset("slow", "chunk_delay_ms=50&chunks=40", "A frame every 50 ms"),
    preset("slow-headers", "header_delay_ms=5000", "No headers for 5 s"),
    preset("slow-first-token", "first_token_delay_ms=20000", "Headers at once, the first token after 20 s"),
    preset("pause", "pause_after=3&pause_ms=2000", "Three frames, 2 s of silence, then the rest"),
    preset("keep-alive", "keep_alives=3&keep_alive_ms=20", "Three keep-alives, then the answer"),
    preset("keep-alive-between", "keep_alive_between=true", "A keep-alive comment before every frame"),
    preset("keep-alive-forever", "stall_after=0&stall_keep_alive_ms=20", "Keep-alives and never a token"),
    preset("stall", "stall_after=3", "Three frames, then silence with the connection open"),
    preset(
        "stall-keep-alive",
        "stall_after=5&stall_keep_alive_ms=20",
        "Five frames, then keep-alive comments for ever",
    ),
    preset("cut", "cut_after=3", "Three frames, then FIN without the end of the body"),
    preset("cut-rst", "cut_after=3&cut=rst", "Three frames, then RST"),
    preset("cut-clean", "cut_after=3&cut=clean", "Three frames, then a clean end without finish or `[DONE]`"),
    preset("cut-mid-frame", "cut_after=3&cut=mid_frame", "Three frames and a half, then FIN"),
    preset("no-done", "no_done=true", "No `[DONE]`"),
    preset("no-finish", "no_finish=true", "`[DONE]` without a finish reason"),
    preset(
        "no-resource",
        "finish_reason=insufficient_system_resource",
        "Interrupted: insufficient system resource",
    ),
    preset(
        "no-resource-first",
        "finish_reason=insufficient_system_resource&chunks=0&thinking=false",
        "Interrupted before the first token",
    ),
    preset("content-filter", "finish_reason=content_filter", "Finish reason `content_filter`"),
    preset("empty", "chunks=0", "Finish `stop` without any content (the reasoning is there)"),
    preset("empty-all", "chunks=0&thinking=false", "Finish `stop` without content or reasoning"),
    preset("null-content", "null_content=true&thinking=false", "A whole answer with `content: null`"),
    preset("no-choices", "no_choices=true", "An answer with `choices: []`"),
    preset("usage-separate", "usage=separate", "Usage in a last frame with `choices: []`"),
    preset("usage-none", "usage=none", "No usage at all"),
    preset("usage-details", "usage_fields=details", "Usage without the hit and miss pair"),
    preset("usage-plain", "usage_fields=plain", "Usage of the three counts alone"),
    preset(
        "reasoning-alias",
        "reasoning_field=reasoning&thinking=true",
        "Reasoning under the name `reasoning`",
    ),
    preset("dsml", "dsml=true", "A tool call leaked as DSML in the content"),
    preset("no-space", "no_space=true", "`data:` without the space"),
    preset("crlf", "crlf=true", "Lines end in CRLF"),
    preset("split", "split=1", "Every byte by itself, characters split at every offset"),
    preset("garbage-frame", "garbage_at=3", "A frame that is not JSON amid the stream"),
    preset("blank", "error=blank", "200 with only empty lines, then the end"),
    preset(
        "blank-slow",
        "keep_alives=4&keep_alive_ms=20&cut_after=0&cut=clean",
        "Keep-alives (empty lines, comments), then a clean end: a 200 that holds nothing",
    ),
    preset("empty-body", "status=200&error=empty", "200 with no body at all"),
    preset("error-first", "error_after=0", "200 whose first frame is an error"),
    preset("error-mid", "error_after=4", "Four frames, then an error frame and the end"),
    preset(
        "error-mid-open",
        "error_after=4&error_then=stall",
        "Four frames, an error frame, and the stream stays open",
    ),
    preset("error-200", "status=200&error=overloaded", "200 with a JSON error in place of the answer"),
    preset("html-200", "status=200&error=html", "200 with an HTML page"),
    preset("html-502", "status=502", "502 with the edge's HTML page"),
    preset("html-504", "status=504", "504 with the edge's HTML page"),
    preset("html-503", "status=503&error=html", "503 with an HTML page"),
    preset("bad-request", "error=bad_request", "400, malformed body"),
    preset(
        "octet-400",
        "error=bad_request&content_type=application/octet-stream",
        "400 whose JSON is labelled binary",
    ),
    preset("content-risk", "error=content_risk", "400, input moderation"),
    preset("context", "error=context", "400, context length exceeded"),
    preset("model-retired", "error=model", "400, model not supported any more"),
    preset("unauthorized", "error=auth", "401, wrong key"),
    preset("no-balance", "balance=0.00", "402 to every request, and an empty balance"),
    preset("not-found", "error=not_found", "404 outside the envelope"),
    preset("unsupported-media", "error=content_type", "415 in plain text"),
    preset("unprocessable", "error=unprocessable", "422, the early form of a serde error"),
    preset("rate-limit", "error=rate_limit", "429 without Retry-After"),
    preset("rate-limit-after", "error=rate_limit&retry_after=2", "429 with Retry-After: 2"),
    preset("rate-limit-after-ms", "error=rate_limit&retry_after_ms=300", "429 with retry-after-ms: 300"),
    preset("concurrency", "concurrency=1", "429 above one request in flight per account and model"),
    preset(
        "over-concurrency",
        "error=concurrency",
        "429 to every request, as above the account's concurrency",
    ),
    preset("user-limit", "error=user_concurrency", "429 that names the `user_id` it is for"),
    preset("too-large", "error=too_large", "413"),
    preset("timed-out", "status=408", "408"),
    preset("forbidden", "status=403", "403"),
    preset("server-error", "status=500", "500 in the envelope"),
    preset("overloaded", "status=503", "503 in the envelope"),
    preset("flaky", "status=503&fail_first=2", "503 twice, then answers"),
    preset("half-broken", "status=500&fail_every=2", "500 to every second request"),
    preset("no-prefix", "reject_prefix=true", "400 to a request to continue an answer"),
    preset("close", "connection=close", "Reads the request, closes the connection"),
    preset("reset", "connection=reset", "Reads the request, resets the connection"),
    preset("hang", "connection=hang", "Reads the request, never answers"),
    preset("half-headers", "connection=half_headers", "Half a response head, then nothing"),
    preset("cut-headers", "connection=cut_headers", "Half a response head, then FIN"),
    preset("not-http", "connection=garbage", "Bytes that are not HTTP"),
    preset("close-after", "close_after=true", "Answers, then closes the connection without saying so"),
    preset("close-on-reuse", "close_on_reuse=true", "Closes a connection when it is used again"),
    preset("accept-close", "accept=close", "Closes each new connection (default only)"),
    preset("accept-reset", "accept=reset", "Resets each new connection (default only)"),
    preset("accept-hang", "accept=hang", "Accepts and never reads (default only)"),
    preset("recorded", "recorded=auto", "Answers from recorded files (needs --recorded DIR)"),
    preset("bench", "bench=true&chunks=32", "Precomputed answers, 32 frames a stream (default only)"),
];

/// The fields of a preset, its name included.
pub(crate) fn fields_of(name: &str) -> Option<Map<String, Value>> {
    let preset = PRESETS.iter().find(|preset| preset.name == name)?;
    let mut fields = parse_fields(preset.fields);
    fields.insert("name".into(), name.into());
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scenario;

    #[test]
    fn every_preset_is_a_valid_scenario_under_its_own_name() {
        for preset in PRESETS {
            let scenario: Scenario = preset.name.parse().unwrap();
            assert_eq!(scenario.label(), preset.name);
        }
    }

    #[test]
    fn the_readme_lists_every_preset() {
        let readme = include_str!("../README.md");
        for preset in PRESETS {
            let row =
                format!("| `{}` | `{}` | {} |", preset.name, preset.fields, preset.about).replace("``", "");
            assert!(readme.contains(&row), "README.md lacks the row\n{row}");
        }
    }
}
