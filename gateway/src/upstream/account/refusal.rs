//! What the text of a 429 tells. DeepSeek documents neither a code nor `Retry-After`; its text is all there is.
//!
//! The text stays here: it is read and never shown.

/// What a 429 is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// One `user_id` of the account; others are served.
    User,
    /// The whole account, of which the text names the most calls in flight.
    Limit(u64),
    /// The whole account, without figures.
    Unknown,
}

impl Refusal {
    /// Reads the body, or the message, of a 429.
    #[must_use]
    pub fn read(text: &str) -> Self {
        if text.contains("user_id") {
            return Self::User;
        }
        // "Your current concurrency is 40, which exceeds your concurrency limit of 39 based on your remaining balance."
        let figure = text.split_once("concurrency limit of ").map_or("", |(_, rest)| rest);
        let digits = figure.find(|c: char| !c.is_ascii_digit()).map_or(figure, |end| &figure[..end]);
        digits.parse().map_or(Self::Unknown, |limit: u64| Self::Limit(limit.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accounts_limit_is_read_from_what_deepseek_says() {
        let text = r#"{"error":{"message":"Your current concurrency is 40, which exceeds your concurrency limit of 39 based on your remaining balance. Please top up your balance to restore your concurrency.","type":"rate_limit_error"}}"#;
        assert_eq!(Refusal::read(text), Refusal::Limit(39));
        assert_eq!(Refusal::read("exceeds your concurrency limit of 0"), Refusal::Limit(1));
    }

    #[test]
    fn a_refusal_of_one_user_is_not_one_of_the_account() {
        let text =
            "The concurrency of user_id abc is 21, which exceeds the concurrency limit of 20 per user_id.";
        assert_eq!(Refusal::read(text), Refusal::User);
    }

    #[test]
    fn a_text_without_figures_tells_nothing() {
        for text in ["", "Rate limit reached for TPM", "concurrency limit of many", "concurrency limit of "] {
            assert_eq!(Refusal::read(text), Refusal::Unknown, "{text}");
        }
    }
}
