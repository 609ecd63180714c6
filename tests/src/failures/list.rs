//! The list of all cases: the one place where a case is added.

use super::{Absent, Case};

/// Calls a macro with every case, written `module::function: "settings", "scenarios of failoverbench";`.
#[macro_export]
macro_rules! every_case {
    ($with:ident) => {
        $with! {
            streams::f01_a_cut_stream_is_never_presented_as_a_success: "", "S08";
            streams::f02_a_missing_end_mark_is_told_from_a_missing_finish: "", "S11";
            streams::f03_silence_in_the_middle_of_a_stream_ends_by_the_clock: "idle 1s", "S09";
            streams::f04_comments_do_not_keep_a_stalled_stream_alive: "idle 1s", "S09";
            streams::f05_comments_and_blank_lines_are_no_answer_and_no_harm: "", "";
        }
    };
}

/// Failures without a case.
pub const ABSENT: &[Absent] = &[];

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
    }
}
