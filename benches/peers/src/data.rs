//! The keys and values that every server holds: whoever asks for a key must get the value that begins with it.

use crate::layout::Layout;
use serde::{Deserialize, Serialize};

/// Keys of one size, except for the 10 MB values, of which few are enough.
pub const KEYS: u32 = 10_000;
/// Every key has this many bytes, so that keys are slices of one text and nobody formats one while the clock runs.
const KEY_BYTES: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Size {
    Bytes64,
    Kib4,
    Mb10,
}

impl Size {
    pub const fn bytes(self) -> usize {
        match self {
            Size::Bytes64 => 64,
            Size::Kib4 => 4 << 10,
            Size::Mb10 => 10_000_000,
        }
    }

    pub const fn keys(self) -> u32 {
        match self {
            Size::Bytes64 | Size::Kib4 => KEYS,
            Size::Mb10 => 8,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Size::Bytes64 => "64 B",
            Size::Kib4 => "4 KB",
            Size::Mb10 => "10 MB",
        }
    }

    /// What precedes the twelve digits of a key.
    pub const fn prefix(self) -> &'static str {
        match self {
            Size::Bytes64 => "64b:",
            Size::Kib4 => "4kb:",
            Size::Mb10 => "10m:",
        }
    }

    pub fn key(self, at: u32) -> String {
        format!("{}{at:012}", self.prefix())
    }

    /// The key itself, and padding.
    pub fn value(self, key: &str) -> Vec<u8> {
        let mut value = vec![b'x'; self.bytes()];
        value[..KEY_BYTES].copy_from_slice(key.as_bytes());
        value
    }

    /// Every answer goes through here; what is looked at is little, so that it costs little.
    pub fn is_value_of(self, key: &str, value: &[u8]) -> bool {
        value.len() == self.bytes() && value[..KEY_BYTES] == *key.as_bytes()
    }
}

/// A key, and which of the peer's connections leads to it.
///
/// Peers that must be routed by hand get the connection from a table made beforehand, so that their routing is free:
/// a real caller would hash the key. It favours the peers; keyway hashes on every call.
#[derive(Clone, Copy)]
pub struct Key {
    pub text: &'static str,
    pub home: u16,
}

impl redis::ToRedisArgs for Key {
    fn write_redis_args<W: ?Sized + redis::RedisWrite>(&self, out: &mut W) {
        out.write_arg(self.text.as_bytes());
    }
}

/// All keys of one size. Lives as long as the process, so that tasks need no count of references.
pub struct Keys {
    pub size: Size,
    texts: String,
    homes: Vec<u16>,
}

impl Keys {
    /// `home` turns a node into the connection that the peer has for it.
    pub fn new(size: Size, layout: &Layout, home: impl Fn(u16) -> u16) -> &'static Keys {
        let placement = layout.placement();
        let texts: Vec<String> = (0..size.keys()).map(|at| size.key(at)).collect();
        Box::leak(Box::new(Keys {
            size,
            homes: texts
                .iter()
                .map(|key| home(placement.node(key.as_bytes()).0))
                .collect(),
            texts: texts.concat(),
        }))
    }

    fn key(&'static self, at: usize) -> Key {
        Key {
            text: &self.texts[at * KEY_BYTES..(at + 1) * KEY_BYTES],
            home: self.homes[at],
        }
    }
}

/// The order in which one task asks for keys: every key once, then again.
pub struct Walk {
    keys: &'static Keys,
    at: usize,
    stride: usize,
}

impl Walk {
    pub fn new(keys: &'static Keys, task: u32) -> Walk {
        let count = keys.homes.len();
        let task = task as usize;
        Walk {
            keys,
            at: task * 7_919 % count,
            // Odd and no multiple of five, as coprime to 10,000 and to 8 as 7,907 itself.
            stride: (7_907 + 10 * task) % count,
        }
    }

    pub fn next_key(&mut self) -> Key {
        self.at = (self.at + self.stride) % self.keys.homes.len();
        self.keys.key(self.at)
    }

    pub fn size(&self) -> Size {
        self.keys.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn layout(nodes: u16) -> Layout {
        Layout {
            servers: vec![1, 2],
            nodes,
            ..Layout::default()
        }
    }

    #[test]
    fn every_task_visits_every_key() {
        for size in [Size::Bytes64, Size::Mb10] {
            let keys = Keys::new(size, &layout(64), |node| node);
            for task in [0, 1, 5, 63, 9_999] {
                let mut walk = Walk::new(keys, task);
                let seen: HashSet<_> = (0..size.keys()).map(|_| walk.next_key().text).collect();
                assert_eq!(seen.len(), size.keys() as usize, "{size:?}, task {task}");
            }
        }
    }

    #[test]
    fn big_values_are_on_both_servers() {
        let layout = layout(64);
        let keys = Keys::new(Size::Mb10, &layout, |node| layout.server_of(node));
        assert_eq!(keys.homes.iter().collect::<HashSet<_>>().len(), 2);
    }

    #[test]
    fn another_keys_value_is_wrong() {
        let (ours, other) = (Size::Bytes64.key(1), Size::Bytes64.key(2));
        let value = Size::Bytes64.value(&ours);
        assert!(Size::Bytes64.is_value_of(&ours, &value));
        assert!(!Size::Bytes64.is_value_of(&other, &value));
        assert!(!Size::Bytes64.is_value_of(&ours, &value[..63]));
    }
}
