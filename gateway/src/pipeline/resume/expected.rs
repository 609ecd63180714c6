//! What the beginning of a continuation may turn out to be, other than the rest of the answer.
//!
//! A server may repeat the prefix it was given: that is dropped, if it is all of it, word for word, and not a text that
//! is one thing said several times, which may well be said once more. And the cut may
//! have split a stop sequence, which a server only looks for in what it writes itself: the answer then ends where the
//! two parts of the sequence meet. While either is possible, what is heard is held back; that is a token or two.

/// The shortest prefix that is believed to be repeated: a short one may come again by chance.
const SHORTEST_ECHO: usize = 32;

/// What may be heard, as long as that is open.
#[derive(Default)]
pub struct Expected {
    echo: Option<String>,
    /// Rests of stop sequences whose beginnings the cut left at the end of the answer.
    stops: Vec<String>,
    heard: String,
}

/// What was heard.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// It is not clear yet.
    Open,
    /// The rest of the answer.
    Rest,
    /// The whole prefix, and then this.
    Echo(String),
    /// A stop sequence: the answer is over.
    Stop,
}

impl Expected {
    /// After `said`, with these stop sequences.
    pub fn after(said: &str, stops: &[String]) -> Self {
        let rests = |stop: &String| {
            let parts = stop.char_indices().skip(1).map(|(at, _)| stop.split_at(at));
            parts
                .filter(|(begun, _)| said.ends_with(begun))
                .map(|(_, rest)| rest.to_owned())
                .collect::<Vec<_>>()
        };
        Self {
            echo: (said.len() >= SHORTEST_ECHO && !repeats_itself(said)).then(|| said.to_owned()),
            stops: stops.iter().flat_map(rests).collect(),
            heard: String::new(),
        }
    }

    /// Whether it is clear already.
    pub fn is_over(&self) -> bool {
        self.echo.is_none() && self.stops.is_empty()
    }

    /// Hears the next piece of text.
    pub fn hear(&mut self, text: &str) -> Heard {
        if text.is_empty() && self.heard.is_empty() {
            return Heard::Rest;
        }
        self.heard.push_str(text);
        if let Some(echo) = &self.echo {
            if let Some(rest) = self.heard.strip_prefix(echo.as_str()) {
                self.heard = rest.to_owned();
                self.echo = None;
                return self.after_echo();
            }
            if echo.starts_with(&self.heard) {
                return Heard::Open;
            }
            self.echo = None;
        }
        self.look_for_stops()
    }

    fn after_echo(&mut self) -> Heard {
        let rest = self.heard.clone();
        if !rest.is_empty() {
            if self.look_for_stops() == Heard::Stop {
                return Heard::Stop;
            }
            // What follows an echo in the same piece passes with it: it is not held back once more.
            self.stops.clear();
        }
        Heard::Echo(rest)
    }

    fn look_for_stops(&mut self) -> Heard {
        let heard = &self.heard;
        if self.stops.iter().any(|stop| heard.starts_with(stop.as_str())) {
            return Heard::Stop;
        }
        self.stops.retain(|stop| stop.starts_with(heard.as_str()));
        if self.stops.is_empty() { Heard::Rest } else { Heard::Open }
    }
}

/// Whether a text is a shorter one several times over.
fn repeats_itself(text: &str) -> bool {
    let twice = text.repeat(2);
    let again = memchr::memmem::find(&twice.as_bytes()[1..], text.as_bytes());
    again.is_some_and(|at| at + 1 < text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "Once upon a time there was a gateway that";

    #[test]
    fn a_repeated_prefix_is_told_however_it_is_cut_and_a_similar_text_is_none() {
        for at in 1..SAID.len() {
            let mut expected = Expected::after(SAID, &[]);
            assert_eq!(expected.hear(&SAID[..at]), Heard::Open, "{at}");
            assert_eq!(expected.hear(&format!("{} never", &SAID[at..])), Heard::Echo(" never".into()));
            assert!(expected.is_over());
            let mut expected = Expected::after(SAID, &[]);
            expected.hear(&SAID[..at]);
            assert_eq!(expected.hear("✗"), Heard::Rest, "{at}");
            assert!(expected.is_over());
        }
        assert!(Expected::after("ha", &[]).is_over(), "\"haha\" is a word");
        let lines = "All work and no play.\n".repeat(2);
        assert!(Expected::after(&lines, &[]).is_over(), "and these two lines may be four");
        assert!(!Expected::after(&format!("{lines}All"), &[]).is_over());
    }

    #[test]
    fn a_stop_sequence_split_by_the_cut_ends_the_answer() {
        let stops = ["```".to_owned(), "END".to_owned()];
        let mut expected = Expected::after("code ``", &stops);
        assert_eq!(expected.hear("`\nmore"), Heard::Stop);
        let mut expected = Expected::after("code `", &stops);
        assert_eq!((expected.hear("`"), expected.hear("x")), (Heard::Open, Heard::Rest));
        let mut expected = Expected::after("code `", &stops);
        assert_eq!((expected.hear("`"), expected.hear("`")), (Heard::Open, Heard::Stop));
        assert!(Expected::after("THE EN ", &stops).is_over());
        assert_eq!(Expected::after("THE E", &stops).hear("ND"), Heard::Stop);
        assert!(Expected::after("é", &["éé".to_owned()]).hear("é") == Heard::Stop);
    }
}
