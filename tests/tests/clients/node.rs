//! The OpenAI SDK for Node.

use crate::support::{
    BREAKER, LIMIT, World, both_calls_end_upstream, comes_again, is_asked_once, is_continued, succeeds,
};

async fn run(name: &str) {
    let world = World::start().await;
    succeeds(world.node(name)).await;
}

#[tokio::test]
async fn answers_reasoning_and_tools_arrive_whole_and_in_pieces() {
    run("chat.mjs").await;
}

#[tokio::test]
async fn every_refusal_is_the_exception_that_applications_catch() {
    run("errors.mjs").await;
}

#[tokio::test]
async fn a_client_that_loses_interest_ends_the_call_upstream() {
    let world = World::start().await;
    both_calls_end_upstream(&world, world.node("cancel.mjs")).await;
}

#[tokio::test]
async fn comments_and_blank_lines_while_a_model_thinks_are_read_over() {
    run("pings.mjs").await;
}

#[tokio::test]
async fn a_stream_that_another_backend_continues_is_one_answer() {
    is_continued(&World::start().await, 2, |world| world.node("resumed.mjs")).await;
}

#[tokio::test]
async fn an_error_amid_a_stream_is_raised_and_asked_for_once() {
    is_asked_once(&World::start().await, |world| world.node("interrupted.mjs")).await;
}

#[tokio::test]
async fn a_503_is_tried_again_when_its_retry_after_says() {
    comes_again(&World::start().await, BREAKER, |world| world.node("retried.mjs")).await;
}

#[tokio::test]
async fn a_429_is_tried_again_when_its_retry_after_says() {
    comes_again(&World::start().await, LIMIT, |world| world.node("retried.mjs")).await;
}
