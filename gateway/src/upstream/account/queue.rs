//! A bounded queue that is fair to tenants: they take turns, and within one tenant the first comes first.
//!
//! Pure: no clock, no waking. When it is full, the newest of whoever waits with the most gives way to a tenant that waits
//! with clearly less: one tenant alone cannot keep all others out.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// The queue. `T` is what wakes the one who waits.
pub struct FairQueue<T> {
    /// Tenants with someone waiting, in the order of their turns.
    turns: VecDeque<Arc<str>>,
    waiting: HashMap<Arc<str>, VecDeque<(u64, T)>>,
    len: usize,
    next_id: u64,
}

/// A place in the queue.
pub struct Joined<T> {
    /// Its number, to leave by.
    pub id: u64,
    /// Who had to give way for it.
    pub evicted: Option<T>,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self { turns: VecDeque::new(), waiting: HashMap::new(), len: 0, next_id: 0 }
    }
}

impl<T> FairQueue<T> {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Joins the queue, of at most `bound`; `None` when it is full and `tenant` has its fair part of it.
    pub fn join(&mut self, tenant: &Arc<str>, bound: usize, item: T) -> Option<Joined<T>> {
        let evicted = if self.len < bound { None } else { Some(self.evict_for(tenant)?) };
        let id = self.next_id;
        self.next_id += 1;
        self.len += 1;
        let mine = self.waiting.entry(Arc::clone(tenant)).or_default();
        if mine.is_empty() {
            self.turns.push_back(Arc::clone(tenant));
        }
        mine.push_back((id, item));
        Some(Joined { id, evicted })
    }

    /// Leaves the queue. Nothing happens to one that is no longer in it.
    pub fn leave(&mut self, tenant: &str, id: u64) {
        let Some(mine) = self.waiting.get_mut(tenant) else { return };
        let Some(at) = mine.iter().position(|(other, _)| *other == id) else { return };
        mine.remove(at);
        self.len -= 1;
        self.forget_if_empty(tenant);
    }

    /// The next one of a tenant that `may` go; its tenant's next turn comes after all others'.
    pub fn next(&mut self, may: impl Fn(&str) -> bool) -> Option<(Arc<str>, T)> {
        let at = self.turns.iter().position(|tenant| may(tenant))?;
        let tenant = self.turns.remove(at)?;
        let mine = self.waiting.get_mut(&tenant)?;
        let (_, item) = mine.pop_front()?;
        self.len -= 1;
        if mine.is_empty() {
            self.waiting.remove(&tenant);
        } else {
            self.turns.push_back(Arc::clone(&tenant));
        }
        Some((tenant, item))
    }

    /// Sends everybody away.
    pub fn clear(&mut self) {
        self.turns.clear();
        self.waiting.clear();
        self.len = 0;
    }

    fn evict_for(&mut self, tenant: &str) -> Option<T> {
        let mine = self.waiting.get(tenant).map_or(0, VecDeque::len);
        let (longest, theirs) = self.waiting.iter().max_by_key(|(_, waiting)| waiting.len())?;
        if theirs.len() <= mine + 1 {
            return None;
        }
        let longest = Arc::clone(longest);
        let (_, item) = self.waiting.get_mut(&longest)?.pop_back()?;
        self.len -= 1;
        Some(item)
    }

    fn forget_if_empty(&mut self, tenant: &str) {
        if self.waiting.get(tenant).is_some_and(VecDeque::is_empty) {
            self.waiting.remove(tenant);
            self.turns.retain(|other| **other != *tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(queue: &mut FairQueue<u32>) -> Vec<u32> {
        std::iter::from_fn(|| queue.next(|_| true).map(|(_, item)| item)).collect()
    }

    #[test]
    fn tenants_take_turns_and_within_one_the_first_comes_first() {
        let (a, b, c) = (Arc::from("a"), Arc::from("b"), Arc::from("c"));
        let mut queue = FairQueue::default();
        for (tenant, item) in [(&a, 1), (&a, 2), (&a, 3), (&b, 11), (&b, 12), (&c, 21)] {
            assert!(queue.join(tenant, 10, item).is_some());
        }
        assert_eq!(order(&mut queue), [1, 11, 21, 2, 12, 3]);
        assert!(queue.is_empty());
    }

    #[test]
    fn one_that_left_is_not_called_and_its_tenant_loses_no_turn() {
        let (a, b) = (Arc::from("a"), Arc::from("b"));
        let mut queue = FairQueue::default();
        let first = queue.join(&a, 10, 1).map(|joined| joined.id);
        queue.join(&a, 10, 2);
        let only = queue.join(&b, 10, 11).map(|joined| joined.id);
        queue.leave("a", first.unwrap());
        queue.leave("a", first.unwrap());
        queue.leave("b", only.unwrap());
        assert_eq!(queue.len(), 1);
        assert_eq!(order(&mut queue), [2]);
    }

    #[test]
    fn who_may_not_go_yet_is_passed_over_and_keeps_the_place() {
        let (a, b) = (Arc::from("a"), Arc::from("b"));
        let mut queue = FairQueue::default();
        queue.join(&a, 10, 1);
        queue.join(&b, 10, 11);
        assert_eq!(queue.next(|tenant| tenant == "b").map(|(_, item)| item), Some(11));
        assert!(queue.next(|tenant| tenant == "b").is_none());
        assert_eq!(order(&mut queue), [1]);
    }

    #[test]
    fn a_full_queue_turns_its_largest_tenant_away_and_makes_room_for_others() {
        let (a, b) = (Arc::from("a"), Arc::from("b"));
        let mut queue = FairQueue::default();
        for item in 1..=4 {
            queue.join(&a, 4, item);
        }
        assert!(queue.join(&a, 4, 5).is_none(), "it is full");
        let joined = queue.join(&b, 4, 11).expect("the newest of a makes room");
        assert_eq!(joined.evicted, Some(4));
        assert!(queue.join(&b, 4, 12).is_some_and(|joined| joined.evicted == Some(3)));
        assert!(queue.join(&b, 4, 13).is_none(), "half of it is its fair part");
        assert_eq!(queue.len(), 4);
        assert_eq!(order(&mut queue), [1, 11, 2, 12]);
    }

    #[test]
    fn a_queue_of_no_places_takes_nobody() {
        assert!(FairQueue::default().join(&Arc::from("a"), 0, ()).is_none());
    }
}
