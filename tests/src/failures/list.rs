//! The list of all cases: the one place where a case is added.

use super::{Absent, Case};

/// Calls a macro with every case, written `module::function: "settings", "scenarios of failoverbench";`.
#[macro_export]
macro_rules! every_case {
    ($with:ident) => {
        $with! {
            streams::f01_a_cut_stream_is_never_presented_as_a_success: "", "S08";
            streams::f02_a_missing_end_mark_is_told_from_a_missing_finish: "", "S11";
            silence::f03_silence_in_the_middle_of_a_stream_ends_by_the_clock: "idle 1s", "S09";
            silence::f04_comments_do_not_keep_a_stalled_stream_alive: "idle 1s", "S09";
            streams::f05_comments_and_blank_lines_are_no_answer_and_no_harm: "", "";
            silence::f06_a_backend_that_never_answers_is_replaced: "firstToken 1s, answer 1s", "S06";
            silence::f07_headers_without_a_token_are_no_answer: "firstToken 1s", "S07";
            silence::f08_a_thinking_model_is_not_cut_by_what_is_in_between: "keepAlive 1s, blankPadding", "";
            streams::f09_an_error_in_the_middle_of_a_stream_ends_it_once: "", "";
            beginnings::f10_an_error_as_the_first_event_is_a_failure: "", "";
            streams::f11_a_frame_that_is_no_json_harms_nothing_else: "", "S10";
            resuming::f12_a_backend_that_takes_no_prefix_is_not_the_end: "midStream Resume", "S14";
            accounts::f13_an_account_out_of_balance_is_left_alone_until_it_has_some: "balance.interval 10s", "";
            retries::f14_retry_after_is_waited_for_or_another_is_asked: "", "S01, S02";
            retries::f15_a_backend_that_is_down_is_left_alone: "window 60s, openFor 60s", "S04, S15, S16";
            retries::f16_a_backend_that_is_well_again_is_found_by_one_trial: "openFor 1s, minRequests 4, slowStart 0s", "S15";
            retries::f17_retries_are_bounded_for_a_call_and_for_a_backend: "once minRequests 1000", "S03";
            quotas::f18_calls_at_the_same_time_do_not_overrun_a_limit: "5100 tokens per day", "";
            quotas::f18b_a_call_without_a_maximum_is_let_in: "1000 tokens per day", "";
            quotas::f19_what_was_reserved_comes_back_however_a_call_ends: "3000 tokens per day", "";
            leaving::f20_no_place_is_lost_when_clients_leave: "50 calls in flight", "";
            leaving::f21_a_client_that_leaves_takes_its_call_with_it: "", "";
            quotas::f22_pods_share_a_quota: "100 requests per day, 3 pods", "";
            quotas::f24_every_field_that_asks_for_more_reserves_more: "100000 tokens per day", "";
            quotas::f25_usage_is_billed_wherever_it_stands: "", "";
            quotas::f26_cache_hits_are_counted_once_and_as_such: "", "";
            passing::f27_reasoning_and_unknown_fields_survive_both_ways: "", "";
            passing::f28_nothing_is_edited_silently: "", "";
            retries::f29_a_mistake_of_the_caller_is_told_and_counts_against_nobody: "", "";
            beginnings::f30_insufficient_system_resource_is_no_finish: "", "";
            passing::f31_a_frame_of_any_size_passes: "", "";
            retries::f32_a_connection_that_breaks_before_an_answer_is_retried: "", "S05";
            retries::f33_refused_content_is_never_sent_elsewhere: "", "S12, S13";
            beginnings::f34_a_200_that_holds_nothing_is_a_failure: "", "";
            leaving::f35_a_gateway_that_leaves_finishes_its_streams: "drain.timeout 60s, then 1s", "";
            passing::f36_a_slow_reader_slows_its_backend_and_grows_no_memory: "", "";
            streams::f37_after_the_first_token_nothing_is_sent_again: "", "";
            passing::f38_small_frames_are_passed_on_at_once: "", "";
            accounts::f40_an_account_is_the_pool_and_its_limit_is_learned: "", "";
            accounts::f41_a_limit_of_one_user_stops_that_user_alone: "userId Consumer", "";
            silence::f43_an_anthropic_stream_shows_signs_of_life: "keepAlive 1s", "";
            resuming::f44_a_continued_answer_repeats_nothing: "midStream Resume", "S08";
            beginnings::f45_a_status_in_disguise_is_seen_through: "", "";
            failoverbench::s01_429_with_retry_after: "", "F14";
            failoverbench::s02_429_without_retry_after_for_ever: "", "F14";
            failoverbench::s03_500_once_then_healthy: "", "F17";
            failoverbench::s04_503_for_ever: "", "F15";
            failoverbench::s05_tcp_reset_before_headers: "", "F32";
            failoverbench::s06_no_response_at_all: "", "F6";
            failoverbench::s07_slow_first_token: "", "F7";
            failoverbench::s08_stream_cut_in_the_middle: "midStream Resume", "F1, F44";
            failoverbench::s09_stream_stalls: "midStream Resume, idle 1s", "F3";
            failoverbench::s10_malformed_chunk_in_the_stream: "", "F11";
            failoverbench::s11_stream_ends_without_done: "", "F2";
            failoverbench::s12_context_length_exceeded: "", "F33";
            failoverbench::s13_content_filter_rejection: "", "F33";
            failoverbench::s14_fallback_rejects_prefill: "midStream Resume, b of flavor OpenAI", "F12";
            failoverbench::s15_primary_flaps: "openFor 1s, slowStart 0s", "F15, F16";
            failoverbench::s16_failover_accounting: "", "F15";
        }
    };
}

/// Failures without a case.
pub const ABSENT: &[Absent] = &[
    Absent {
        id: "F23",
        title: "A slow or absent ledger stalls calls",
        reason: "cannot happen: no ledger is asked; each pod counts its part of a quota in memory (F22)",
    },
    Absent {
        id: "F39",
        title: "Prices that change by the time of day",
        reason: "not part of this gateway yet: quotas are in requests and tokens, nothing has a price",
    },
    Absent {
        id: "F42",
        title: "A budget switches the route too early",
        reason: "not part of this gateway yet: no budget chooses a backend",
    },
];

macro_rules! list {
    ($($module:ident::$case:ident: $settings:literal, $scenarios:literal;)*) => {
        vec![$(Case::new(stringify!($case), $settings, $scenarios, || Box::pin(super::$module::$case()))),*]
    };
}

/// Every case, in order.
pub fn cases() -> Vec<Case> {
    every_case!(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_numbered_and_titled_by_the_name_of_its_function() {
        let first = &cases()[0];
        assert_eq!(first.id, "F1");
        assert_eq!(first.title, "A cut stream is never presented as a success");
        let ids: Vec<_> = cases().into_iter().map(|case| case.id).collect();
        for id in ["F10", "F18b", "S01"] {
            assert!(ids.iter().any(|known| known == id), "{id} of {ids:?}");
        }
    }
}
