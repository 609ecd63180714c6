//! The OpenAI SDK for Python, and plain calls as other kinds of clients make them.

use crate::support::{
    BREAKER, LIMIT, World, both_calls_end_upstream, comes_again, is_asked_once, is_continued, succeeds,
};

async fn run(name: &str) {
    let world = World::start().await;
    succeeds(world.python(name)).await;
}

#[tokio::test]
async fn a_chat_is_answered_with_all_its_fields() {
    run("chat.py").await;
}

#[tokio::test]
async fn a_stream_says_the_same_as_the_whole_answer() {
    run("stream.py").await;
}

#[tokio::test]
async fn a_stream_ends_with_the_usage_when_it_was_asked_for() {
    run("usage.py").await;
}

#[tokio::test]
async fn reasoning_is_seen_beside_the_answer() {
    run("reasoning.py").await;
}

#[tokio::test]
async fn tools_are_called_and_their_results_answered() {
    run("tools.py").await;
}

#[tokio::test]
async fn embeddings_come_from_a_backend_that_has_them() {
    run("embeddings.py").await;
}

#[tokio::test]
async fn the_list_of_models_is_the_callers_own() {
    run("models.py").await;
}

#[tokio::test]
async fn every_refusal_is_the_exception_that_applications_catch() {
    run("errors.py").await;
}

#[tokio::test]
async fn above_a_quota_the_sdk_waits_as_told_and_gets_through() {
    run("patience.py").await;
}

#[tokio::test]
async fn fifty_streams_at_once_each_get_their_own_answer() {
    run("parallel.py").await;
}

#[tokio::test]
async fn the_beta_continues_a_prefix_and_fills_in_the_middle() {
    run("beta.py").await;
}

#[tokio::test]
async fn responses_come_whole_and_as_events() {
    run("responses.py").await;
}

#[tokio::test]
async fn the_anthropic_endpoint_answers_its_own_kind_of_client() {
    run("anthropic.py").await;
}

#[tokio::test]
async fn a_client_that_loses_interest_ends_the_call_upstream() {
    let world = World::start().await;
    both_calls_end_upstream(&world, world.python("cancel.py")).await;
}

#[tokio::test]
async fn comments_and_blank_lines_while_a_model_thinks_are_read_over() {
    run("pings.py").await;
}

#[tokio::test]
async fn a_stream_that_another_backend_continues_is_one_answer() {
    is_continued(&World::start().await, 2, |world| world.python("resumed.py")).await;
}

#[tokio::test]
async fn an_error_amid_a_stream_is_raised_and_asked_for_once() {
    is_asked_once(&World::start().await, |world| world.python("interrupted.py")).await;
}

#[tokio::test]
async fn a_503_is_tried_again_when_its_retry_after_says() {
    comes_again(&World::start().await, BREAKER, |world| world.python("retried.py")).await;
}

#[tokio::test]
async fn a_429_is_tried_again_when_its_retry_after_says() {
    comes_again(&World::start().await, LIMIT, |world| world.python("retried.py")).await;
}
