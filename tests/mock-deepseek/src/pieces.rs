//! A text in tokens, the unit in which answers are streamed and counted.

use std::sync::Arc;

/// A text in tokens, the tail of which may be filler, made only when it is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pieces {
    parts: Arc<[String]>,
    filler: Arc<str>,
    fillers: usize,
}

impl Pieces {
    /// A text in words, each with the space before it.
    pub(crate) fn words(text: &str) -> Self {
        let mut parts: Vec<String> = Vec::new();
        for part in text.split_inclusive(' ') {
            // The space belongs to the next word, as tokenizers have it.
            let carried = parts.last_mut().and_then(|last| last.ends_with(' ').then(|| last.pop())).flatten();
            // A space at the start is no token of its own.
            parts.pop_if(|last| last.is_empty());
            parts.push(carried.into_iter().chain(part.chars()).collect());
        }
        // A text that begins with a space leaves nothing of its first part.
        parts.retain(|part| !part.is_empty());
        Self { parts: parts.into(), ..Self::default() }
    }

    /// A text in pieces of a few characters, which split its markers.
    pub(crate) fn splinters(text: &str) -> Self {
        let characters: Vec<char> = text.chars().collect();
        Self { parts: characters.chunks(5).map(|piece| piece.iter().collect()).collect(), ..Self::default() }
    }

    /// Exactly `count` pieces, each of at least `bytes`.
    pub(crate) fn shaped(self, count: Option<u32>, bytes: usize) -> Self {
        let mut parts = self.parts.to_vec();
        let count = count.map_or(parts.len(), |count| count as usize);
        if count == 0 {
            return Self::default();
        }
        if parts.len() > count {
            let rest = parts.split_off(count - 1).concat();
            parts.push(rest);
        }
        let padded = |text: &str| {
            let missing = bytes.saturating_sub(text.len());
            format!("{text}{}", " lorem".chars().cycle().take(missing).collect::<String>())
        };
        let fillers = count - parts.len();
        Self {
            parts: parts.iter().map(|part| padded(part)).collect(),
            filler: padded(" lorem").into(),
            fillers,
        }
    }

    /// The first so many of them.
    pub(crate) fn first(&self, count: usize) -> Self {
        let own = self.parts.len().min(count);
        Self {
            parts: self.parts[..own].into(),
            filler: self.filler.clone(),
            fillers: self.fillers.min(count - own),
        }
    }

    /// How many tokens.
    pub(crate) fn len(&self) -> usize {
        self.parts.len() + self.fillers
    }

    /// The whole text.
    pub(crate) fn text(&self) -> String {
        self.parts.concat() + &self.filler.repeat(self.fillers)
    }

    /// Something for each token; the filler's is made once and cloned.
    pub(crate) fn each<T: Clone>(self, make: impl Fn(&str) -> T) -> impl Iterator<Item = T> {
        let filler = (self.fillers > 0).then(|| make(&self.filler));
        let own = (0..self.parts.len()).map({
            let parts = self.parts;
            move |index| make(&parts[index])
        });
        own.chain(filler.into_iter().flat_map(move |filler| std::iter::repeat_n(filler, self.fillers)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_every_byte_of_the_text() {
        for text in ["", "one", "one two  three", " lead", "trail ", "多字节 文本"] {
            assert_eq!(Pieces::words(text).text(), text);
        }
        assert_eq!(Pieces::words("one two").parts.to_vec(), ["one", " two"]);
        assert_eq!(Pieces::words(" one two").parts.to_vec(), [" one", " two"]);
    }

    #[test]
    fn shaping_gives_exactly_the_count_asked_for() {
        let pieces = Pieces::words("a b c d").shaped(Some(2), 0);
        assert_eq!((pieces.len(), pieces.text().as_str()), (2, "a b c d"));
        assert_eq!(Pieces::words("a b").shaped(Some(100), 0).each(str::len).count(), 100);
        assert!(Pieces::words("a b").shaped(None, 10).each(str::len).all(|length| length == 10));
    }
}
