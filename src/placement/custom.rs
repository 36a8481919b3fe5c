//! Placement by a function of the program's own, for data that was placed by a rule that no algorithm here has.

use std::fmt;
use std::sync::Arc;

/// A function from a key and the number of nodes to a node, known by a name and a version.
///
/// Nobody can compare functions, so these two stand for it, here and on a reload: **raise the version whenever the function may place any
/// key elsewhere**. The function must be pure: the same key and number give the same node, in every process, for the life of the data.
///
/// It is given the whole key, so hash tags are its own business: with [`hash_tag`](crate::hash::hash_tag) keys with one tag share a node.
/// It runs in the task of the caller, for every key of every command, and for channels that are subscribed to or published on. It must take
/// any bytes, none at all included.
///
/// ```
/// use keyway::placement::{Custom, NodeSpec, Placement};
/// // The shard is the number between the first two colons: "user:1234567:timeline".
/// let by_user = Custom::new("by-user", 3, |key: &[u8], node_count: u16| {
///     let digits = key.split(|byte| *byte == b':').nth(1).unwrap_or_default();
///     let user = digits.iter().fold(0_u64, |user, digit| user.wrapping_mul(10).wrapping_add(u64::from(*digit)));
///     (user % u64::from(node_count)) as u16
/// });
/// let nodes = (0..64).map(|node| NodeSpec::new(node.to_string())).collect();
/// let placement = Placement::custom(by_user, nodes)?;
/// assert_eq!(placement.describe(), "custom \"by-user\" version 3 over 64 nodes");
/// # Ok::<(), keyway::placement::PlacementError>(())
/// ```
#[derive(Clone)]
pub struct Custom {
    name: Arc<str>,
    version: u32,
    function: Arc<Function>,
}

type Function = dyn Fn(&[u8], u16) -> u16 + Send + Sync;

/// Of a key that a panic shows.
const KEY_BYTES_SHOWN: usize = 100;

impl Custom {
    /// The function's arguments are the key and the number of nodes, which is at least 1; its result is a node below that number.
    ///
    /// # Panics
    /// Not here: where a key is placed, if the function panics or returns a node that there is not. See [`Placement::node`].
    ///
    /// [`Placement::node`]: super::Placement::node
    pub fn new(
        name: impl Into<Arc<str>>,
        version: u32,
        function: impl Fn(&[u8], u16) -> u16 + Send + Sync + 'static,
    ) -> Custom {
        Custom {
            name: name.into(),
            version,
            function: Arc::new(function),
        }
    }

    /// Its name, as in a cluster file's `custom`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version, as in a cluster file's `version`.
    pub fn version(&self) -> u32 {
        self.version
    }

    pub(super) fn node(&self, key: &[u8], node_count: u16) -> u16 {
        let node = (self.function)(key, node_count);
        if node >= node_count {
            self.no_such_node(node, key, node_count);
        }
        node
    }

    /// Any other node would be a wrong place for the key, to read it from and, worse, to write it to.
    #[cold]
    fn no_such_node(&self, node: u16, key: &[u8], node_count: u16) -> ! {
        let dots = if key.len() > KEY_BYTES_SHOWN {
            "..."
        } else {
            ""
        };
        let shown = key[..key.len().min(KEY_BYTES_SHOWN)].escape_ascii();
        panic!(
            "{self} placed the key \"{shown}{dots}\" on node {node}, but the nodes are 0 to {}",
            node_count - 1
        );
    }
}

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.version == other.version
    }
}

impl Eq for Custom {}

/// `custom "by-user" version 3`.
impl fmt::Display for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "custom {:?} version {}", self.name, self.version)
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Custom({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Algorithm, Label, NodeSpec, Placement};
    use super::*;
    use crate::hash::crc32;

    fn nodes(count: usize) -> Vec<NodeSpec> {
        (0..count)
            .map(|node| NodeSpec::new(node.to_string()))
            .collect()
    }

    /// Where the function says, of the key's first byte.
    fn first_byte(name: &str, version: u32) -> Custom {
        Custom::new(name, version, |key: &[u8], _| u16::from(key[0]))
    }

    #[test]
    fn the_function_gets_the_whole_key_and_the_number_of_nodes() {
        let custom = Custom::new("crc", 1, |key: &[u8], node_count: u16| {
            (crc32(key) % u32::from(node_count)) as u16
        });
        for count in [1, 3, 16_384] {
            let placement = Placement::custom(custom.clone(), nodes(count)).unwrap();
            for key in ["", "user:1", "{user:1}:name", "a\0b"] {
                let expected = crc32(key.as_bytes()) as usize % count;
                assert_eq!(placement.node(key.as_bytes()).index(), expected, "{key}");
                assert_eq!(placement.hashed(key.as_bytes()), key.as_bytes());
            }
        }
    }

    #[test]
    fn placements_are_equal_by_name_version_and_nodes() {
        let placement = |name, version, count| {
            Placement::custom(first_byte(name, version), nodes(count)).unwrap()
        };
        let base = placement("feeds", 3, 64);
        assert_eq!(base, placement("feeds", 3, 64));
        assert_ne!(base, placement("feeds", 4, 64));
        assert_ne!(base, placement("posts", 3, 64));
        assert_ne!(base, placement("feeds", 3, 63));
        let renamed = nodes(64)
            .into_iter()
            .map(|node| NodeSpec::new(format!("n{}", node.name)));
        let renamed = Placement::custom(first_byte("feeds", 3), renamed.collect());
        assert_ne!(base, renamed.unwrap());
        assert_ne!(base, Placement::new(Algorithm::Jump, nodes(64)).unwrap());
    }

    #[test]
    fn a_placement_says_which_function_it_has() {
        let placement = Placement::custom(first_byte("feeds", 3), nodes(64)).unwrap();
        assert_eq!(placement.algorithm(), Algorithm::Custom);
        assert_eq!(
            placement.describe(),
            "custom \"feeds\" version 3 over 64 nodes"
        );
        assert_eq!("custom".parse(), Ok(Algorithm::Custom));
        assert_eq!(Algorithm::Custom.to_string(), "custom");
        assert!(!Algorithm::Custom.is_preset());
        assert!(Algorithm::all().all(|algorithm| algorithm != Algorithm::Custom));
    }

    #[test]
    #[should_panic(
        expected = "custom \"feeds\" version 3 placed the key \"@\\xff:1\" on node 64, but the nodes are 0 to 63"
    )]
    fn a_node_that_there_is_not_is_no_place_for_a_key() {
        let placement = Placement::custom(first_byte("feeds", 3), nodes(64)).unwrap();
        assert_eq!(placement.node(b"?\xff:1").0, 63);
        placement.node(b"@\xff:1");
    }

    #[test]
    fn what_a_function_has_no_use_for_is_refused() {
        let mut text = String::new();
        let mut refuse =
            |outcome: Result<Placement, _>| text += &format!("{}\n", outcome.unwrap_err());
        refuse(Placement::custom(first_byte("", 3), nodes(2)));
        refuse(Placement::custom(first_byte(&"x".repeat(256), 3), nodes(2)));
        refuse(Placement::custom(first_byte("feeds", 3), nodes(0)));
        let weighted = vec![NodeSpec::new("a"), NodeSpec::weighted("b", 2)];
        refuse(Placement::custom(first_byte("feeds", 3), weighted));
        let mut labelled = nodes(2);
        labelled[1].label = Some(Label::new("hunter2"));
        refuse(Placement::custom(first_byte("feeds", 3), labelled));
        refuse(Placement::new(Algorithm::Custom, nodes(2)));
        insta::assert_snapshot!(text, @r#"
        custom: the function's name has 0 bytes: expected 1 to 255
        custom: the function's name has 256 bytes: expected 1 to 255
        a placement needs at least one node, and none was given
        node "b" has weight 2, but custom knows no weights: leave it out; the function may have weights of its own
        custom: a node has a label, which the function is not given: leave it out
        custom: this needs a function: Placement::custom in code, or for a file a ConfigReader that has one
        "#);
    }
}
