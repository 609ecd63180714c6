//! `langchain-deepseek`.

use crate::support::{World, is_asked_once, is_continued, succeeds};

#[tokio::test]
async fn answers_reasoning_usage_tools_and_comments_are_understood() {
    let world = World::start().await;
    succeeds(world.python("langchain_chat.py")).await;
}

#[tokio::test]
async fn a_stream_that_another_backend_continues_is_one_answer() {
    is_continued(&World::start().await, 1, |world| world.python("langchain_resumed.py")).await;
}

#[tokio::test]
async fn an_error_amid_a_stream_is_raised_and_asked_for_once() {
    is_asked_once(&World::start().await, |world| world.python("langchain_interrupted.py")).await;
}
