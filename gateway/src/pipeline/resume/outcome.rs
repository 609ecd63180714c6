//! What became of a broken stream: a closed set, also a metric label.

macro_rules! outcomes {
    ($($(#[doc = $doc:literal])+ $name:ident;)+) => {
        /// What became of a stream that broke after content had flowed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Outcome { $($(#[doc = $doc])+ $name,)+ }
        impl Outcome {
            /// Every one, for documentation and tests.
            pub const ALL: &[Self] = &[$(Self::$name),+];
            /// As it stands in metrics and logs.
            #[must_use]
            pub fn as_str(self) -> &'static str { match self { $(Self::$name => stringify!($name)),+ } }
        }
    };
}

outcomes! {
    /// A backend went on with the answer.
    Resumed;
    /// All of the answer had arrived, and only its end was missing: the gateway supplied that.
    Finished;
    /// Not continued: a tool call had begun, and half of one cannot be given to a model.
    Tools;
    /// Not continued: several choices were asked for, and a prefix is one.
    Choices;
    /// Not continued: log-probabilities were asked for, and those of a text tokenised anew are not those of one answer.
    Logprobs;
    /// Not continued: content in a set form had begun, which a server would begin anew.
    Structured;
    /// Not continued: the answer was longer than what is remembered of one.
    TooLong;
    /// Not continued: the pod had too little memory left to keep what it takes.
    NoRoom;
    /// Not continued: a part of the answer or of the request was of a shape the gateway does not know.
    Unreadable;
    /// Not continued: no backend of the route can go on with an answer that broke where this one did.
    Unsupported;
    /// Not continued: no attempt at it succeeded, or none was left.
    Failed;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_them_all_and_no_others() {
        let page = include_str!("../../../../docs/streams.md");
        let table =
            page.split("### What became of it").nth(1).and_then(|rest| rest.split("Each break").next());
        let told: Vec<_> = table
            .into_iter()
            .flat_map(|table| table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()))
            .collect();
        assert_eq!(told, Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect::<Vec<_>>());
    }
}
