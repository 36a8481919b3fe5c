//! How a key finds its node, step by step, to be held against what the other program says.
//!
//! Everything is made anew from the specification when it is asked for, so that lookups carry nothing for it.

use super::preset::{Circle, Clash, Find, KeyHash, Pick, Recipe, recipe};
use super::{Algorithm, Lookup, NodeId, NodeSpec, Placement, jump, ketama, rendezvous};
use crate::hash::{crc32, xxh3};
use serde::{Deserialize, Serialize};
use std::fmt;

/// In place of a label.
const LABEL: &str = "(label)";
/// Most places told of an order of nodes.
const PLACES_MAX: usize = 16;

/// How a key finds its node. `Display` is a line for each step; labels are never shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The algorithm's name in a cluster file.
    pub algorithm: String,
    /// Where keys are placed like this: [`Algorithm::original`].
    pub original: String,
    /// What is hashed of a key, in words.
    pub tag_rule: String,
    /// What is hashed of this key; what is not UTF-8 is replaced.
    pub hashed: String,
    /// The same in hexadecimal, if it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hashed_hex: Option<String>,
    /// Only a part of the key is hashed.
    pub is_tag: bool,
    /// The hash of that; `None` where a function of the program's own decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<HashValue>,
    /// How the hash finds the node.
    pub finding: Finding,
    /// The node.
    pub node: u16,
    /// Its name.
    pub node_name: String,
}

/// A hash, or a point on a ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HashValue {
    /// The hash function.
    pub function: String,
    /// 32 or 64.
    pub bits: u32,
    /// The number, unsigned. JSON readers that know binary64 only lose digits of 64 bits: `hex` has them all.
    pub value: u64,
    /// The same, as `0x` and all hexadecimal digits.
    pub hex: String,
    /// The same as a signed number, if that is how the original has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<i64>,
}

/// How a hash finds its node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Finding {
    /// By a point on a ring.
    Ring {
        /// Which point it is, in words.
        rule: String,
        /// The point.
        point: Point,
        /// There was no such point, so that it is the one at the other end.
        has_wrapped: bool,
        /// How many points the nodes have in all.
        points: u64,
    },
    /// By a remainder.
    Modulo {
        /// What is divided: the hash, as a signed number where the original does that.
        dividend: i64,
        /// By what.
        divisor: u64,
        /// What is left, never negative.
        remainder: u64,
        /// If remainders are not node numbers: whose they are, as many of them as are near.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order: Option<Vec<Place>>,
    },
    /// Every node bids for the key.
    Bids {
        /// What a bid is, and which wins, in words.
        rule: String,
        /// The node that has the key.
        winner: Bid,
        /// The next one, if there are two nodes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        runner_up: Option<Bid>,
    },
    /// By an entry of a table, which is the remainder of the hash.
    Table {
        /// Entries of the table.
        entries: u64,
        /// The key's.
        entry: u64,
    },
    /// Not at all: no key has a home, and every call goes to the next node in turn. The hash finds the node of a channel of this name.
    InTurn {
        /// How many nodes take turns.
        nodes: u64,
    },
    /// By a function of the program's own, which does not say how.
    Custom {
        /// Its name.
        name: String,
        /// Its version.
        version: u32,
    },
    /// By jumps.
    Jumps {
        /// The nodes that it lands on. The last of them has the key.
        landings: Vec<u16>,
        /// The next landing, which is beyond the last node.
        beyond: u64,
    },
}

/// A point on a ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Point {
    /// The point.
    pub hash: HashValue,
    /// The text whose hash it is, with `(label)` in place of a label.
    pub text: String,
    /// Which of the numbers that the text's hash gives, from 0.
    pub part: u32,
    /// How many numbers it gives.
    pub parts: u32,
}

/// Remainders of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Place {
    /// The first remainder.
    pub first: u64,
    /// The last remainder.
    pub last: u64,
    /// The node.
    pub node: u16,
    /// Its name.
    pub node_name: String,
}

/// What a node bids for a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Bid {
    /// The node.
    pub node: u16,
    /// Its name.
    pub node_name: String,
    /// The bid, as `0x` and sixteen hexadecimal digits.
    pub bid: String,
    /// What it costs by the node's weight, if weights differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
}

impl Placement {
    /// How `key` finds its node, step by step. Cost: as much as building the placement, for algorithms with points.
    ///
    /// ```
    /// use keyway::placement::{Algorithm, NodeSpec, Placement};
    /// let nodes = ["redis://localhost:6379/0", "redis://localhost:6379/1"].map(NodeSpec::new);
    /// let placement = Placement::new(Algorithm::NydusKetama, nodes.into())?;
    /// println!("{}", placement.explain(b"user:42"));
    /// # Ok::<(), keyway::placement::PlacementError>(())
    /// ```
    pub fn explain(&self, key: &[u8]) -> Explanation {
        let hashed = self.hashed(key);
        let node = self.node(key);
        let (hash, finding) = self.find(hashed);
        let is_text = std::str::from_utf8(hashed).is_ok();
        Explanation {
            algorithm: self.algorithm().to_string(),
            original: self.algorithm().original().to_owned(),
            tag_rule: match &self.built.lookup {
                Lookup::Custom(_) => "none but those that the function looks for".to_owned(),
                _ => self.tag_rule().in_words(),
            },
            hashed: String::from_utf8_lossy(hashed).into_owned(),
            hashed_hex: (!is_text)
                .then(|| hashed.iter().map(|byte| format!("{byte:02x}")).collect()),
            is_tag: hashed.len() < key.len(),
            hash,
            finding,
            node: node.0,
            node_name: self.node_name(node).to_owned(),
        }
    }

    fn find(&self, hashed: &[u8]) -> (Option<HashValue>, Finding) {
        let nodes = self.specs();
        let crc = || HashValue::of_32("CRC-32", u64::from(crc32(hashed)));
        let xxh = || HashValue::of_64("XXH3 of 64 bits", xxh3(hashed));
        let (hash, finding) = match &self.built.lookup {
            Lookup::Ketama(_) => {
                let hash = crc();
                let mut search = Search::new(Pick::AtOrAfter, Clash::Undefined, false, hash.value);
                ketama::marks(nodes, &mut |node, text, points| {
                    search.offer(node, text, &points.map(u64::from));
                });
                let finding = search.finding(nodes, MD5_WORDS);
                (hash, finding)
            }
            Lookup::Modulo(_) => {
                let hash = crc();
                let finding = Finding::remainder(hash.value, nodes.len() as u64, None);
                (hash, finding)
            }
            Lookup::Rendezvous(_) => {
                let hash = xxh();
                let finding = self.rendezvous(hash.value);
                (hash, finding)
            }
            Lookup::Jump { node_count } => {
                let hash = xxh();
                let (landings, beyond) = jump::landings(hash.value, *node_count);
                (hash, Finding::Jumps { landings, beyond })
            }
            Lookup::Maglev(maglev) => {
                let hash = xxh();
                let entries = maglev.entries();
                let entry = hash.value % entries;
                (hash, Finding::Table { entries, entry })
            }
            Lookup::Preset(_) => self.find_as_original(hashed),
            Lookup::InTurn(_) => {
                let nodes = nodes.len() as u64;
                (crc(), Finding::InTurn { nodes })
            }
            Lookup::Custom(custom) => {
                let (name, version) = (custom.name().to_owned(), custom.version());
                return (None, Finding::Custom { name, version });
            }
        };
        (Some(hash), finding)
    }

    fn rendezvous(&self, hash: u64) -> Finding {
        let nodes = self.specs();
        let is_weighted = nodes
            .windows(2)
            .any(|pair| pair[0].weight != pair[1].weight);
        let bids = nodes.iter().map(|node| rendezvous::bid(node, hash));
        if is_weighted {
            let rule = "the bid is SplitMix64's finaliser of the hash xor XXH3 of the name; the lowest -ln(bid / 2^64) / weight wins";
            let bids = bids.map(|(bid, cost)| (bid, Some(cost)));
            self.best(rule, bids, |one, other| one.1 < other.1)
        } else {
            let rule = "SplitMix64's finaliser of the hash xor XXH3 of the name; the highest wins";
            self.best(rule, bids.map(|(bid, _)| (bid, None)), |one, other| {
                one.0 > other.0
            })
        }
    }

    /// The two best of all nodes' bids; of equal ones the first.
    fn best(
        &self,
        rule: &str,
        bids: impl Iterator<Item = (u64, Option<f64>)>,
        is_better: impl Fn(&(u64, Option<f64>), &(u64, Option<f64>)) -> bool,
    ) -> Finding {
        let mut bids: Vec<_> = bids.zip(self.nodes()).collect();
        let best_of = |bids: &[((u64, Option<f64>), NodeId)]| {
            let mut best = 0;
            for at in 1..bids.len() {
                if is_better(&bids[at].0, &bids[best].0) {
                    best = at;
                }
            }
            best
        };
        let told = |((bid, cost), node): ((u64, Option<f64>), NodeId)| Bid {
            node: node.0,
            node_name: self.node_name(node).to_owned(),
            bid: hex(bid, 64),
            cost,
        };
        let winner = bids.remove(best_of(&bids));
        let runner_up = (!bids.is_empty()).then(|| bids.swap_remove(best_of(&bids)));
        Finding::Bids {
            rule: rule.to_owned(),
            winner: told(winner),
            runner_up: runner_up.map(told),
        }
    }

    fn find_as_original(&self, hashed: &[u8]) -> (HashValue, Finding) {
        let (algorithm, options, nodes) = (self.algorithm(), self.options(), self.specs());
        #[expect(
            clippy::expect_used,
            reason = "the same nodes gave a recipe when the placement was made, and recipes are pure"
        )]
        let recipe = recipe(algorithm, &options, nodes).expect("a recipe that was good before");
        let Recipe { hash, find, .. } = recipe;
        let value = hash.of(hashed);
        let is_java = is_java(algorithm);
        let mut shown = HashValue::new(&hash.in_words(), hash.bits(), value);
        let finding = match find {
            Find::Circle(circle) => {
                let mut search = Search::new(circle.pick, circle.clash, is_java, value);
                let Circle { marks, is_wide, .. } = circle;
                marks(algorithm, &options, nodes, &mut |node, text, points| {
                    search.offer(node, text, points);
                });
                shown = shown.widened(is_wide, is_java);
                search.finding(nodes, (&point_hash(algorithm, &hash), shown.bits))
            }
            Find::Modulo { order } => {
                let value = u64::from(value as u32);
                let divisor = order.len() as u64;
                let order = self.order(&order, value % divisor);
                Finding::remainder(value, divisor, order)
            }
            Find::SignedModulo { node_count } => {
                let signed = i64::from((value as u32).cast_signed());
                shown.signed = Some(signed);
                Finding::Modulo {
                    dividend: signed,
                    divisor: u64::from(node_count),
                    remainder: signed.rem_euclid(i64::from(node_count)).cast_unsigned(),
                    order: None,
                }
            }
            Find::HighestBid { names } => {
                let rule = "xorshift64* of the hash xor XXH64 of the name; the highest wins";
                let bids = names.iter().map(|name| (xorshift_star(value ^ name), None));
                self.best(rule, bids, |one, other| one.0 > other.0)
            }
            Find::Table(table) => {
                let entries = table.len() as u64;
                let entry = value % entries;
                Finding::Table { entries, entry }
            }
        };
        (shown, finding)
    }

    /// Whose the remainders around `at` are, unless remainders are node numbers.
    fn order(&self, order: &[u16], at: u64) -> Option<Vec<Place>> {
        if order
            .iter()
            .enumerate()
            .all(|(at, node)| at == usize::from(*node))
        {
            return None;
        }
        let mut places = Vec::new();
        let mut first = 0;
        for run in order.chunk_by(|one, next| one == next) {
            let last = first + run.len() as u64 - 1;
            places.push(Place {
                first,
                last,
                node: run[0],
                node_name: self.node_name(NodeId(run[0])).to_owned(),
            });
            first = last + 1;
        }
        let found = places.partition_point(|place| place.last < at);
        let start = found.saturating_sub(PLACES_MAX / 2);
        let start = start.min(places.len().saturating_sub(PLACES_MAX));
        Some(places.into_iter().skip(start).take(PLACES_MAX).collect())
    }
}

/// Java has no unsigned numbers.
fn is_java(algorithm: Algorithm) -> bool {
    use Algorithm::*;
    matches!(
        algorithm,
        JedisMurmur | JedisMd5 | JedisMurmurNamed | JedisMd5Named
    )
}

/// Points of which an MD5 digest has four.
const MD5_WORDS: (&str, u32) = ("MD5", 32);

/// The hash that gives the points, in words.
fn point_hash(algorithm: Algorithm, of_keys: &KeyHash) -> String {
    use Algorithm::*;
    match algorithm {
        RedisRb4 | PredisHashring => "CRC-32".to_owned(),
        RedisRb5 | RedisRb5Db => "MD5, its first four bytes big-endian".to_owned(),
        EnvoyRingXxhash => "XXH64".to_owned(),
        EnvoyRingMurmur2 | LibmemcachedKetama | LibmemcachedSpy | JedisMurmur
        | JedisMurmurNamed | JedisMd5 | JedisMd5Named => of_keys.in_words(),
        _ => "MD5".to_owned(),
    }
}

/// Vigna's xorshift64*, as go-redis mixes.
fn xorshift_star(mut z: u64) -> u64 {
    z ^= z >> 12;
    z ^= z << 25;
    z ^= z >> 27;
    z.wrapping_mul(2_685_821_657_736_338_717)
}

fn hex(value: u64, bits: u32) -> String {
    match bits {
        16 => format!("{value:#06x}"),
        32 => format!("{value:#010x}"),
        _ => format!("{value:#018x}"),
    }
}

impl KeyHash {
    fn in_words(self) -> String {
        match self {
            KeyHash::Twemproxy(hash) => format!("{hash}, as twemproxy has it"),
            KeyHash::Hashkit(hash) => format!("{hash}, as libhashkit has it"),
            KeyHash::Md5 => "MD5, its first four bytes little-endian".to_owned(),
            KeyHash::Crc32 => "CRC-32".to_owned(),
            KeyHash::Crc16 => "CRC-16/XMODEM".to_owned(),
            KeyHash::Murmur64A => "MurmurHash64A, seed 0x1234ABCD".to_owned(),
            KeyHash::MurmurLibstdcxx => "MurmurHash2 of 64 bits, seed 0xC70F6907".to_owned(),
            KeyHash::Xxh64 => "XXH64".to_owned(),
        }
    }

    fn bits(self) -> u32 {
        match self {
            KeyHash::Twemproxy(_) | KeyHash::Hashkit(_) | KeyHash::Md5 | KeyHash::Crc32 => 32,
            KeyHash::Crc16 => 16,
            KeyHash::Murmur64A | KeyHash::MurmurLibstdcxx | KeyHash::Xxh64 => 64,
        }
    }
}

impl HashValue {
    fn new(function: &str, bits: u32, value: u64) -> HashValue {
        HashValue {
            function: function.to_owned(),
            bits,
            value,
            hex: hex(value, bits),
            signed: None,
        }
    }

    fn of_32(function: &str, value: u64) -> HashValue {
        HashValue::new(function, 32, value)
    }

    fn of_64(function: &str, value: u64) -> HashValue {
        HashValue::new(function, 64, value)
    }

    /// On a circle of 64 bits, whose numbers Java shows signed.
    fn widened(self, is_wide: bool, is_java: bool) -> HashValue {
        if !is_wide {
            return self;
        }
        HashValue {
            bits: 64,
            hex: hex(self.value, 64),
            signed: is_java.then(|| self.value.cast_signed()),
            ..self
        }
    }
}

impl Finding {
    fn remainder(value: u64, divisor: u64, order: Option<Vec<Place>>) -> Finding {
        Finding::Modulo {
            dividend: value.cast_signed(),
            divisor,
            remainder: value % divisor,
            order,
        }
    }
}

/// Looks for one point among all as they are made, so that not all texts are kept.
struct Search {
    pick: Pick,
    clash: Clash,
    /// Flipped in points and hash where they are compared as signed numbers.
    sign: u64,
    hash: u64,
    /// By the rule; and the one that it wraps to.
    found: Option<Mark>,
    at_the_end: Option<Mark>,
    points: u64,
}

struct Mark {
    point: u64,
    node: u16,
    text: String,
    part: usize,
    parts: usize,
}

impl Search {
    fn new(pick: Pick, clash: Clash, is_signed: bool, hash: u64) -> Search {
        Search {
            pick,
            clash,
            sign: u64::from(is_signed) << 63,
            hash,
            found: None,
            at_the_end: None,
            points: 0,
        }
    }

    fn offer(&mut self, node: u16, text: &str, points: &[u64]) {
        self.points += points.len() as u64;
        for (part, &point) in points.iter().enumerate() {
            let mark = || Mark {
                point,
                node,
                text: text.to_owned(),
                part,
                parts: points.len(),
            };
            if self.is_better(point, self.at_the_end.as_ref()) {
                self.at_the_end = Some(mark());
            }
            let (at, hash) = (point ^ self.sign, self.hash ^ self.sign);
            let fits = match self.pick {
                Pick::AtOrAfter => at >= hash,
                Pick::After => at > hash,
                Pick::AtOrBefore => at <= hash,
            };
            if fits && self.is_better(point, self.found.as_ref()) {
                self.found = Some(mark());
            }
        }
    }

    /// Nearer to the hash, if both fit; nearer to the end that the rule starts from, if it wraps.
    fn is_better(&self, point: u64, than: Option<&Mark>) -> bool {
        let Some(than) = than else {
            return true;
        };
        if point == than.point {
            return self.clash == Clash::LaterWins;
        }
        let is_lower = (point ^ self.sign) < (than.point ^ self.sign);
        is_lower == (self.pick != Pick::AtOrBefore)
    }

    fn finding(self, nodes: &[NodeSpec], (function, bits): (&str, u32)) -> Finding {
        let has_wrapped = self.found.is_none();
        #[expect(
            clippy::expect_used,
            reason = "a placement without a point is refused when it is made"
        )]
        let mark = self
            .found
            .or(self.at_the_end)
            .expect("a ring has at least one point");
        let rule = match self.pick {
            Pick::AtOrAfter => "the first point at or after the hash; after the last, the first",
            Pick::After => "the first point after the hash, not at it; after the last, the first",
            Pick::AtOrBefore => "the last point at or before the hash; before the first, the last",
        };
        let mut hash = HashValue::new(function, bits, mark.point);
        if self.sign != 0 {
            hash.signed = Some(mark.point.cast_signed());
        }
        Finding::Ring {
            rule: rule.to_owned(),
            point: Point {
                hash,
                text: without_label(mark.text, &nodes[usize::from(mark.node)]),
                part: mark.part as u32,
                parts: mark.parts as u32,
            },
            has_wrapped,
            points: self.points,
        }
    }
}

/// The text of a point, which the preset made of the node's label: of what does not show it as it is, nothing may be shown.
fn without_label(text: String, node: &NodeSpec) -> String {
    match &node.label {
        None => text,
        Some(label) => match text.split_once(label.0.as_str()) {
            Some((before, after)) => format!("{before}{LABEL}{after}"),
            None => LABEL.to_owned(),
        },
    }
}

impl Explanation {
    /// The steps, each with its name: what [`Display`](fmt::Display) writes.
    pub fn steps(&self) -> Vec<(&'static str, String)> {
        let hashed = match &self.hashed_hex {
            None => format!("{:?}", self.hashed),
            Some(hex) => format!("0x{hex}"),
        };
        let what = match self.is_tag {
            true if self.tag_rule.starts_with("none") => "a part of the key",
            true => "its hash tag",
            false => "the whole key",
        };
        let mut steps = vec![
            (
                "placed by",
                format!("{} ({})", self.algorithm, self.original),
            ),
            ("hashed", format!("{hashed}, {what}")),
            ("tag rule", self.tag_rule.clone()),
        ];
        if let Some(hash) = &self.hash {
            steps.push(("hash", format!("{hash} by {}", hash.function)));
        }
        self.finding.add_steps(&mut steps);
        let found = match self.finding {
            Finding::InTurn { .. } => "channel",
            _ => "node",
        };
        steps.push((found, format!("{} {:?}", self.node, self.node_name)));
        steps
    }
}

impl Finding {
    fn add_steps(&self, steps: &mut Vec<(&'static str, String)>) {
        let mut add = |name, text| steps.push((name, text));
        match self {
            Finding::Ring {
                rule,
                point,
                has_wrapped,
                points,
            } => {
                let part = match point.parts {
                    // All of them are MD5 digests.
                    4 => {
                        let first = point.part * 4;
                        format!(", its bytes {first} to {} little-endian", first + 3)
                    }
                    0 | 1 => String::new(),
                    parts => format!(", number {} of {parts}", point.part),
                };
                let wrapped = if *has_wrapped { ", wrapped around" } else { "" };
                let function = &point.hash.function;
                let text = &point.text;
                add("point", format!("{} of {points}{wrapped}", point.hash));
                add("made of", format!("{text:?} by {function}{part}"));
                add("ring rule", rule.clone());
            }
            Finding::Modulo {
                dividend,
                divisor,
                remainder,
                order,
            } => {
                let floored = if *dividend < 0 {
                    " (floored, as in Python)"
                } else {
                    ""
                };
                add(
                    "modulo",
                    format!("{dividend} % {divisor} = {remainder}{floored}"),
                );
                if let Some(places) = order {
                    add("order", in_order(places, *divisor));
                    add(
                        "sorted",
                        "by name, shorter ones first, each as often as its weight says".to_owned(),
                    );
                }
            }
            Finding::Bids {
                rule,
                winner,
                runner_up,
            } => {
                add("winner", winner.to_string());
                if let Some(bid) = runner_up {
                    add("next best", bid.to_string());
                }
                add("bid rule", rule.clone());
            }
            Finding::Table { entries, entry } => {
                add("entry", format!("hash % {entries} = {entry}"));
            }
            Finding::InTurn { nodes } => {
                add(
                    "turns",
                    format!(
                        "each call asks the next of {nodes} nodes, whatever the key; a channel is on node hash % {nodes}"
                    ),
                );
            }
            Finding::Custom { name, version } => {
                add("function", format!("{name:?} version {version}"));
            }
            Finding::Jumps { landings, beyond } => {
                let landings: Vec<String> = landings.iter().map(u16::to_string).collect();
                let landings = landings.join(", ");
                add(
                    "jumps",
                    format!("{landings}; the next, {beyond}, is beyond the last node"),
                );
            }
        }
    }
}

fn in_order(places: &[Place], divisor: u64) -> String {
    let told: Vec<String> = places
        .iter()
        .map(|place| {
            let name = &place.node_name;
            match place.first == place.last {
                true => format!("{} {name:?}", place.first),
                false => format!("{}-{} {name:?}", place.first, place.last),
            }
        })
        .collect();
    let before = places.first().is_some_and(|place| place.first > 0);
    let after = places.last().is_some_and(|place| place.last + 1 < divisor);
    format!(
        "{}{}{}",
        if before { "..., " } else { "" },
        told.join(", "),
        if after { ", ..." } else { "" }
    )
}

/// Decimal, then hexadecimal: `2684354560 (0xa0000000)`.
impl fmt::Display for HashValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.signed {
            Some(signed) if signed < 0 => {
                write!(f, "{} ({}, signed {signed})", self.value, self.hex)
            }
            _ => write!(f, "{} ({})", self.value, self.hex),
        }
    }
}

impl fmt::Display for Bid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of node {} {:?}", self.bid, self.node, self.node_name)?;
        match self.cost {
            Some(cost) => write!(f, ", cost {cost:.6e}"),
            None => Ok(()),
        }
    }
}

/// A line for each step.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self
            .steps()
            .into_iter()
            .map(|(name, text)| format!("{name:<9}  {text}"))
            .collect();
        f.write_str(&lines.join("\n"))
    }
}

#[cfg(test)]
mod tests;
