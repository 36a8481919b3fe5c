//! One call in parts, one part per connection, for peers that leave this to their callers.

use crate::data::Key;

/// Which keys of the call go through which connection. Kept from call to call for its memory.
#[derive(Clone, Default)]
pub(super) struct Parts {
    positions: Vec<Vec<u16>>,
}

impl Parts {
    pub(super) fn split(&mut self, keys: &[Key], connections: usize) {
        self.positions.resize_with(connections, Vec::new);
        self.positions.iter_mut().for_each(Vec::clear);
        for (at, key) in keys.iter().enumerate() {
            let at = u16::try_from(at).expect("a call has few keys");
            self.positions[usize::from(key.home)].push(at);
        }
    }

    /// The positions of each connection's keys, empty for connections that have none.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u16]> {
        self.positions.iter().map(Vec::as_slice)
    }

    /// The answers of the connections that had keys, back in the order of the call. A key without an answer gets an
    /// empty value, which is noticed as a wrong one.
    pub(super) fn join<V: Default>(&self, parts: Vec<Vec<V>>) -> Vec<V> {
        let mut joined = Vec::new();
        joined.resize_with(self.positions.iter().map(Vec::len).sum(), V::default);
        let asked = self.positions.iter().filter(|part| !part.is_empty());
        for (positions, values) in asked.zip(parts) {
            for (at, value) in positions.iter().zip(values) {
                joined[usize::from(*at)] = value;
            }
        }
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_back_in_the_order_of_the_call() {
        let keys = [("a", 2), ("b", 0), ("c", 2), ("d", 0)].map(|(text, home)| Key { text, home });
        let mut parts = Parts::default();
        parts.split(&keys, 3);
        assert_eq!(
            parts.iter().collect::<Vec<_>>(),
            [&[1, 3][..], &[], &[0, 2]]
        );
        assert_eq!(
            parts.join(vec![vec!["b", "d"], vec!["a", "c"]]),
            ["a", "b", "c", "d"]
        );
    }
}
