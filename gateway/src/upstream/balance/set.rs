//! A set of a route's backends.

/// A set of backends, by their place in the route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Set(u32);

/// A route has at most 16 backends.
const MOST: usize = u32::BITS as usize;

impl Set {
    /// The set of one.
    #[must_use]
    pub fn of(at: usize) -> Self {
        Self(if at < MOST { 1 << at } else { 0 })
    }

    /// Adds one.
    pub fn insert(&mut self, at: usize) {
        self.0 |= Self::of(at).0;
    }

    /// Takes one out.
    pub fn remove(&mut self, at: usize) {
        self.0 &= !Self::of(at).0;
    }

    /// Whether it holds one.
    #[must_use]
    pub fn contains(self, at: usize) -> bool {
        self.0 & Self::of(at).0 != 0
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The only one it holds.
    #[must_use]
    pub fn only(self) -> Option<usize> {
        self.iter().next().filter(|at| self == Self::of(*at))
    }

    /// Those that are not in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those that are in `other` too.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those that are in either.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// All of them, in the order of the route.
    pub fn iter(self) -> impl Iterator<Item = usize> + Clone {
        (0..MOST).filter(move |at| self.contains(*at))
    }
}

impl Extend<usize> for Set {
    fn extend<I: IntoIterator<Item = usize>>(&mut self, more: I) {
        more.into_iter().for_each(|at| self.insert(at));
    }
}

impl FromIterator<usize> for Set {
    fn from_iter<I: IntoIterator<Item = usize>>(all: I) -> Self {
        let mut set = Self::default();
        set.extend(all);
        set
    }
}
