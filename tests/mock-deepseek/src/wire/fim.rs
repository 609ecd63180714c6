//! Fill in the middle: `POST /beta/completions`, object `text_completion`.

use std::iter;

use serde::Deserialize;

use super::{
    chat::usage,
    errors::{ErrorKind, Refusal},
    object::{NULL, Object, object},
    sse::{Frame, Frames, Part},
};
use crate::{
    answer::{Answer, Ask, CREATED, FINGERPRINT, tokens_of},
    check::{House, context},
    request::{Stop, StreamOptions},
    scenario::UsagePlace,
};

#[derive(Debug, Deserialize)]
pub(crate) struct FimRequest {
    model: String,
    prompt: String,
    suffix: Option<String>,
    #[serde(default)]
    echo: Option<bool>,
    max_tokens: Option<i64>,
    stop: Option<Stop>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
}

/// Checks a request; what is filled in is an echo of the prompt's last line.
pub(crate) fn ask(request: FimRequest, house: House<'_>) -> Result<Ask, Refusal> {
    let model = house.model(&request.model)?;
    if house.options.flavor.is_deepseek() && !house.beta {
        // The real text is not known: only that the documentation wants the beta base.
        return Err(Refusal::saying(
            ErrorKind::Invalid,
            "completions api is only available when using beta api (set base_url=\"https://api.deepseek.com/beta\")",
        ));
    }
    let prompt_tokens = tokens_of(&request.prompt) + request.suffix.as_deref().map_or(0, tokens_of);
    context(prompt_tokens, request.max_tokens, house)?;
    let last_line = request.prompt.lines().next_back().unwrap_or_default().trim();
    let text = if request.echo == Some(true) { request.prompt.clone() } else { last_line.to_owned() };
    Ok(Ask {
        model,
        stream: request.stream.unwrap_or(false),
        include_usage: request.stream_options.is_some_and(|options| options.include_usage),
        max_tokens: request.max_tokens.and_then(|max| u64::try_from(max).ok()),
        prompt_tokens,
        text,
        stop: request.stop.map(Stop::into_list).unwrap_or_default(),
        ..Ask::default()
    })
}

/// The whole answer.
pub(crate) fn whole(answer: &Answer) -> String {
    let mut body = shape(answer, &answer.content.text(), Some(&answer.finish));
    if answer.style.usage_place != UsagePlace::None {
        body.put("usage", usage(answer.usage, answer.style.usage_fields));
    }
    body.to_text()
}

/// The stream, `[DONE]` included.
pub(crate) fn frames(answer: &Answer) -> Frames {
    let answer = answer.clone();
    let framing = answer.style.framing;
    let mut last = shape(&answer, "", Some(&answer.finish));
    let counts = usage(answer.usage, answer.style.usage_fields);
    let mut alone = shape(&answer, "", None);
    alone.put("usage", &counts);
    if answer.style.usage_place == UsagePlace::Finish {
        last.put("usage", &counts);
    }
    let separate = (answer.style.usage_place == UsagePlace::Separate && answer.include_usage)
        .then(|| framing.data(Part::Usage, &alone.to_text()));
    let data = answer.content.clone().each(move |text| -> Frame {
        let mut chunk = shape(&answer, text, None);
        if answer.include_usage {
            chunk.put("usage", NULL);
        }
        framing.data(Part::Data, &chunk.to_text())
    });
    let end = [framing.data(Part::Finish, &last.to_text())].into_iter().chain(separate);
    Box::new(data.chain(end).chain(iter::once(framing.data(Part::Done, "[DONE]"))))
}

fn shape(answer: &Answer, text: &str, finish: Option<&str>) -> Object {
    let choice = object! {"text": text, "index": 0, "logprobs": NULL, "finish_reason": finish};
    let choices = if answer.style.no_choices { vec![] } else { vec![choice] };
    object! {
        "id": answer.id, "object": "text_completion", "created": CREATED, "model": answer.model, "choices": choices,
        "system_fingerprint": FINGERPRINT,
    }
}
