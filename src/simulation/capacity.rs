//! Capacity: how many users fit, how many servers they need month by month, and when the next split is due. Arithmetic, no chance.
//!
//! - A user takes `bytes_per_user = extra_bytes_per_user + bytes_per_timeline + items_per_timeline * bytes_per_item`, rounded up.
//! - A server may hold `server_memory_bytes * (1 - headroom)`.
//! - Nodes are whole: of N nodes on S servers the fullest server has `k = ceil(N / S)`. And they are not equal: its k nodes are taken to hold
//!   `k + 3 * node_sd * sqrt(k)` times what an average node holds, three standard deviations more than k average ones.
//! - So S servers have room for `floor(server_bytes * N / ((k + 3 * node_sd * sqrt(k)) * bytes_per_user))` users, and the servers that are needed
//!   are the fewest that have room. A server more that leaves k as it is has room for no more users: 33 to 63 servers of 64 nodes hold what 32 do.
//! - Users grow from `users` by `growth_per_month`, compounded continuously; or along `curve`, straight from point to point, and after its last point
//!   by `growth_per_month`.
//!
//! The default of 126 B an item and 350 B a timeline is what Redis 7.0.15 took for timelines of 1,000 items with ids of 19 digits: 126,349 B each by
//! used_memory, which is what `maxmemory` is compared with (118,323 B by MEMORY USAGE; 110,398 B with ids of 10 digits). Timelines of up to 128 items are
//! stored in another way, and take 21 to 25 B an item: say so if yours are that short.
//!
//! Every user has a full timeline, which is the safe side: a new one has a short one. Copies on write during a save, fragmentation and buffers are
//! what the headroom is for, and so is a split, whose destination holds all of its source for a while (but no more than a server may hold).
//!
//! ```
//! use keyway::simulation::capacity::{CapacitySpec, capacity};
//!
//! let mut spec = CapacitySpec::default();
//! spec.users = 1_000_000;
//! spec.growth_per_month = 0.1;
//! spec.servers = 10;
//! spec.server_memory_bytes = 32 << 30;
//! let report = capacity(&spec)?;
//! println!("{} servers at the end, the next split in {:?} months", report.points[36].servers, report.next_split_months);
//! # Ok::<(), (&'static str, String)>(())
//! ```

use super::report::{CapacityPoint, CapacityReport};
use crate::placement::NODES_MAX;
use crate::topology::SERVERS_MAX;
use serde::{Deserialize, Serialize};

/// Most months to look at: 50 years.
pub const MONTHS_MAX: u32 = 600;
/// Most users: with what one may take, all arithmetic stays exact.
pub const USERS_MAX: u64 = 1_000_000_000_000_000;
/// Most that one user may take: 1 TiB.
pub const BYTES_PER_USER_MAX: u64 = 1 << 40;
/// Most growth in a month: tenfold.
pub const GROWTH_PER_MONTH_MAX: f64 = 9.0;
/// How far above the average a server's nodes are taken to be.
const DEVIATIONS: f64 = 3.0;
/// Nodes are weighed in millionths of an average one.
const NODE_UNITS: u128 = 1_000_000;

/// What there is and how it grows: `[capacity]` of a scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CapacitySpec {
    /// Users now. May be left out if `curve` says it.
    pub users: u64,
    /// How many more each month, as a fraction: 0.1 is ten percent. Below 0, users leave. Default: 0.
    pub growth_per_month: f64,
    /// Instead: users by month, `[[0, 100000], [12, 400000]]`, months ascending.
    pub curve: Vec<(u32, u64)>,
    /// Items that a timeline keeps. Default: 1,000.
    pub items_per_timeline: u64,
    /// What an item takes, in bytes. Default: 126, measured; [`Timeline::capacity`](crate::timeline::Timeline::capacity) measures yours.
    pub bytes_per_item: f64,
    /// What a timeline takes by itself, in bytes: its key, its entry in the server's table. Default: 350.
    pub bytes_per_timeline: u64,
    /// What a user takes besides, in bytes. Default: 0.
    pub extra_bytes_per_user: u64,
    /// What a server has, in bytes. Default: 16 GiB.
    pub server_memory_bytes: u64,
    /// What of it is to stay free, as a fraction. Default: 0.3.
    pub headroom: f64,
    /// Nodes of the placement. Default: 64.
    pub nodes: u32,
    /// Standard deviation of what nodes hold, relative to the average. Default: 0.08, that of ketama with 160 points per node (1/sqrt(160)).
    pub node_sd: f64,
    /// Servers now. Default: 1.
    pub servers: u32,
    /// Months to look at, at most 600. Default: 36.
    pub months: u32,
}

impl Default for CapacitySpec {
    fn default() -> CapacitySpec {
        CapacitySpec {
            users: 0,
            growth_per_month: 0.0,
            curve: Vec::new(),
            items_per_timeline: 1_000,
            bytes_per_item: 126.0,
            bytes_per_timeline: 350,
            extra_bytes_per_user: 0,
            server_memory_bytes: 16 << 30,
            headroom: 0.3,
            nodes: 64,
            node_sd: 0.08,
            servers: 1,
            months: 36,
        }
    }
}

impl CapacitySpec {
    /// Says what of it cannot be.
    ///
    /// # Errors
    /// The field, and why its value is refused.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let within = |field, value: u64, min: u64, max: u64| match (min..=max).contains(&value) {
            true => Ok(()),
            false => Err((field, format!("{value}: expected {min} to {max}"))),
        };
        let fraction = |field, value: f64, min: f64, max: f64| match (min..=max).contains(&value) {
            true => Ok(()),
            false => Err((field, format!("{value}: expected {min} to {max}"))),
        };
        if self.curve.is_empty() && self.users == 0 {
            let why = "0: expected how many users there are now, at least 1";
            return Err(("users", why.to_owned()));
        }
        within("users", self.users, 0, USERS_MAX)?;
        fraction(
            "growth_per_month",
            self.growth_per_month,
            -0.99,
            GROWTH_PER_MONTH_MAX,
        )?;
        self.check_curve()?;
        fraction(
            "bytes_per_item",
            self.bytes_per_item,
            0.0,
            (1_u64 << 40) as f64,
        )?;
        if self.bytes_per_user() == 0 {
            let why = "0, and a user takes nothing else: expected what one item takes, in bytes";
            return Err(("bytes_per_item", why.to_owned()));
        }
        if self.bytes_per_user() > BYTES_PER_USER_MAX {
            let why = format!(
                "{}: with these a user takes {} B; expected at most {BYTES_PER_USER_MAX} B in all",
                self.items_per_timeline,
                self.bytes_per_user()
            );
            return Err(("items_per_timeline", why));
        }
        within("server_memory_bytes", self.server_memory_bytes, 1, 1 << 50)?;
        if !(0.0..1.0).contains(&self.headroom) {
            let why = format!("{}: expected a fraction, 0 to less than 1", self.headroom);
            return Err(("headroom", why));
        }
        within("nodes", u64::from(self.nodes), 1, NODES_MAX as u64)?;
        fraction("node_sd", self.node_sd, 0.0, 10.0)?;
        let servers_max = self.nodes.min(SERVERS_MAX as u32);
        if !(1..=servers_max).contains(&self.servers) {
            let why = format!(
                "{}: expected 1 to {servers_max}, as every server has at least one of the {} nodes",
                self.servers, self.nodes
            );
            return Err(("servers", why));
        }
        within("months", u64::from(self.months), 1, u64::from(MONTHS_MAX))
    }

    fn check_curve(&self) -> Result<(), (&'static str, String)> {
        let Some(&(first, users)) = self.curve.first() else {
            return Ok(());
        };
        let refused = |why: String| Err(("curve", why));
        if first > 0 && self.users == 0 {
            return refused(format!(
                "it begins in month {first}: expected a point for month 0, or `users` as the users now"
            ));
        }
        if first == 0 && self.users != 0 && self.users != users {
            return refused(format!(
                "{users} users in month 0, and `users` says {}: expected the same, or one of them only",
                self.users
            ));
        }
        for pair in self.curve.windows(2) {
            if pair[0].0 >= pair[1].0 {
                return refused(format!(
                    "month {} follows month {}: expected ascending months, each once",
                    pair[1].0, pair[0].0
                ));
            }
        }
        for &(month, users) in &self.curve {
            if month > MONTHS_MAX {
                return refused(format!("month {month}: expected at most {MONTHS_MAX}"));
            }
            if users > USERS_MAX {
                return refused(format!("{users} users: expected at most {USERS_MAX}"));
            }
        }
        Ok(())
    }

    /// What one user takes, in bytes.
    pub fn bytes_per_user(&self) -> u64 {
        let items = libm::ceil(self.items_per_timeline as f64 * self.bytes_per_item) as u64;
        items
            .saturating_add(self.bytes_per_timeline)
            .saturating_add(self.extra_bytes_per_user)
    }

    /// What a server may hold, in bytes, rounded down.
    pub fn server_bytes(&self) -> u64 {
        libm::floor(self.server_memory_bytes as f64 * (1.0 - self.headroom)) as u64
    }

    /// What the fullest of some servers holds if it has so many nodes, in millionths of what an average node holds, rounded up.
    fn fullest(&self, nodes: u32) -> u128 {
        let more = DEVIATIONS * self.node_sd * libm::sqrt(f64::from(nodes));
        u128::from(nodes) * NODE_UNITS + libm::ceil(more * NODE_UNITS as f64) as u128
    }

    /// How many users fit on so many servers.
    pub fn users_max(&self, servers: u32) -> u64 {
        let nodes = self.nodes.div_ceil(servers.clamp(1, self.nodes.max(1)));
        let room = self.room() / (self.fullest(nodes) * u128::from(self.bytes_per_user())).max(1);
        u64::try_from(room).unwrap_or(u64::MAX)
    }

    /// What all nodes may hold if each is an average one alone on its server, in millionths of bytes.
    fn room(&self) -> u128 {
        u128::from(self.server_bytes()) * u128::from(self.nodes) * NODE_UNITS
    }

    /// The fewest servers that have room for so many users. More than there are nodes if a single node is too large for a server: then as many
    /// as would do if nodes could be cut.
    pub fn servers_needed(&self, users: u64) -> u32 {
        let need = |nodes: u32| {
            u128::from(users) * u128::from(self.bytes_per_user()) * self.fullest(nodes)
        };
        let (mut fits, mut too_many) = (0, self.nodes + 1);
        while fits + 1 < too_many {
            let middle = fits + (too_many - fits) / 2;
            match need(middle) <= self.room() {
                true => fits = middle,
                false => too_many = middle,
            }
        }
        if fits > 0 {
            return self.nodes.div_ceil(fits);
        }
        let one_server = (u128::from(self.server_bytes()) * NODE_UNITS).max(1);
        u32::try_from(need(1).div_ceil(one_server)).unwrap_or(u32::MAX)
    }

    /// The points of the curve, from month 0 on.
    fn knots(&self) -> Vec<(f64, f64)> {
        let begins = self.curve.first().is_some_and(|point| point.0 == 0);
        let now = (!begins).then_some((0, self.users));
        let knots = now.into_iter().chain(self.curve.iter().copied());
        knots
            .map(|(month, users)| (f64::from(month), users as f64))
            .collect()
    }

    /// Users at a time, in months from now.
    pub fn users_at(&self, month: f64) -> f64 {
        let knots = self.knots();
        let after = knots.partition_point(|knot| knot.0 <= month);
        let (since, users) = knots[after.saturating_sub(1)];
        match knots.get(after) {
            Some(&(until, then)) => users + (then - users) * ((month - since) / (until - since)),
            None => (users * libm::pow(1.0 + self.growth_per_month, month - since))
                .min(USERS_MAX as f64),
        }
    }

    /// When users are more than so many for the first time, in months from now.
    fn exceeds(&self, users_max: u64) -> Option<f64> {
        let max = users_max as f64;
        let knots = self.knots();
        if knots[0].1 > max {
            return Some(0.0);
        }
        let crossing = knots.windows(2).find(|pair| pair[1].1 > max).map(|pair| {
            let ((since, users), (until, then)) = (pair[0], pair[1]);
            since + (max - users) / (then - users) * (until - since)
        });
        let (since, users) = knots[knots.len() - 1];
        let grows = self.growth_per_month > 0.0 && users > 0.0 && max < USERS_MAX as f64;
        crossing
            .or_else(|| {
                grows.then(|| since + libm::log(max / users) / libm::log1p(self.growth_per_month))
            })
            .filter(|month| *month <= f64::from(self.months))
    }
}

/// How many servers will be needed when.
///
/// Cost: microseconds.
///
/// # Errors
/// What [`CapacitySpec::check`] refuses.
pub fn capacity(spec: &CapacitySpec) -> Result<CapacityReport, (&'static str, String)> {
    spec.check()?;
    let bytes_per_user = spec.bytes_per_user();
    let mut there = spec.servers;
    let mut points = Vec::with_capacity(spec.months as usize + 1);
    for month in 0..=spec.months {
        let users = libm::round(spec.users_at(f64::from(month))) as u64;
        let servers = spec.servers_needed(users);
        points.push(CapacityPoint {
            month,
            users,
            bytes: users.saturating_mul(bytes_per_user),
            servers,
            is_split: servers > there,
        });
        there = there.max(servers);
    }
    Ok(CapacityReport {
        assumptions: assumptions(spec),
        bytes_per_user,
        server_bytes: spec.server_bytes(),
        users_max: spec.users_max(spec.servers),
        users_max_at_all_nodes: spec.users_max(spec.nodes),
        points,
        next_split_months: spec.exceeds(spec.users_max(spec.servers)),
        exhausted_months: spec.exceeds(spec.users_max(spec.nodes)),
    })
}

fn assumptions(spec: &CapacitySpec) -> String {
    let gib = |bytes: u64| bytes as f64 / (1_u64 << 30) as f64;
    let extra = match spec.extra_bytes_per_user {
        0 => String::new(),
        extra => format!(" and {extra} B besides"),
    };
    let growth = match (spec.curve.len(), spec.growth_per_month) {
        (0, growth) => format!("{:.1} % more users each month", growth * 100.0),
        (points, _) => format!("users by a curve of {points} points"),
    };
    let nodes = spec.nodes.div_ceil(spec.servers);
    format!(
        "a user takes {} B: a timeline of {} items of {} B each, {} B of its own{extra}; a server may hold {:.1} of its {:.1} GiB; the fullest of {} \
         servers has {nodes} of {} nodes, and is taken to hold what {:.2} average ones do (3 standard deviations of {:.1} % per node more); {growth}",
        spec.bytes_per_user(),
        spec.items_per_timeline,
        spec.bytes_per_item,
        spec.bytes_per_timeline,
        gib(spec.server_bytes()),
        gib(spec.server_memory_bytes),
        spec.servers,
        spec.nodes,
        spec.fullest(nodes) as f64 / NODE_UNITS as f64,
        spec.node_sd * 100.0,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A user takes 1,000 B, a server may hold 1,000,000 B: it has room for 1,000 users.
    fn round() -> CapacitySpec {
        CapacitySpec {
            users: 1_000,
            items_per_timeline: 10,
            bytes_per_item: 80.0,
            bytes_per_timeline: 150,
            extra_bytes_per_user: 50,
            server_memory_bytes: 2_000_000,
            headroom: 0.5,
            nodes: 64,
            node_sd: 0.0,
            servers: 5,
            months: 24,
            ..CapacitySpec::default()
        }
    }

    #[test]
    fn servers_are_needed_as_whole_nodes_fit() {
        let spec = round();
        assert_eq!(spec.bytes_per_user(), 1_000);
        assert_eq!(spec.server_bytes(), 1_000_000);
        // The fullest of 5 servers has 13 of 64 nodes: 1,000 users * 64 / 13.
        assert_eq!(spec.users_max(5), 4_923);
        // 11 of 6, 10 of 7, 8 of 8, 2 of 32 and of 63, 1 of 64.
        assert_eq!(spec.users_max(6), 5_818);
        assert_eq!(spec.users_max(7), 6_400);
        assert_eq!(spec.users_max(8), 8_000);
        assert_eq!(spec.users_max(32), 32_000);
        assert_eq!(spec.users_max(63), 32_000);
        assert_eq!(spec.users_max(64), 64_000);
        for (users, servers) in [
            (0, 1),
            (1, 1),
            (1_000, 1),
            (1_001, 2),
            (4_923, 5),
            (4_924, 6),
            (5_819, 7),
            (6_401, 8),
            (32_000, 32),
            // 33 to 63 servers would do no better than 32.
            (32_001, 64),
            (64_000, 64),
            // Only if nodes could be cut.
            (64_001, 65),
            (100_000, 100),
        ] {
            assert_eq!(spec.servers_needed(users), servers, "{users} users");
        }
    }

    #[test]
    fn nodes_that_are_not_equal_need_room() {
        // 16 nodes on each of 4 servers with 10 %: 16 + 3 * 0.1 * 4 = 17.2 average nodes. 1,000 * 64 / 17.2 = 3,720.9.
        let spec = CapacitySpec {
            node_sd: 0.1,
            ..round()
        };
        assert_eq!(spec.users_max(4), 3_720);
        // One node each: 1.3. 64,000 / 1.3 = 49,230.8.
        assert_eq!(spec.users_max(64), 49_230);
        assert_eq!(spec.servers_needed(3_720), 4);
        assert_eq!(spec.servers_needed(3_721), 5);
        assert_eq!(spec.servers_needed(49_231), 65);
    }

    #[test]
    fn the_next_split_is_due_when_compound_growth_reaches_what_fits() {
        // Doubling every month from 1,000: 4,923 users after log2(4.923) = 2.2995 months, 64,000 after 6.
        let spec = CapacitySpec {
            growth_per_month: 1.0,
            ..round()
        };
        let report = capacity(&spec).unwrap();
        assert_eq!(
            (report.users_max, report.users_max_at_all_nodes),
            (4_923, 64_000)
        );
        assert!((report.next_split_months.unwrap() - 2.299_538).abs() < 1e-6);
        assert!((report.exhausted_months.unwrap() - 6.0).abs() < 1e-12);
        let found: Vec<_> = (report.points.iter().take(8))
            .map(|point| {
                (
                    point.month,
                    point.users,
                    point.bytes,
                    point.servers,
                    point.is_split,
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                (0, 1_000, 1_000_000, 1, false),
                (1, 2_000, 2_000_000, 2, false),
                (2, 4_000, 4_000_000, 4, false),
                (3, 8_000, 8_000_000, 8, true),
                (4, 16_000, 16_000_000, 16, true),
                (5, 32_000, 32_000_000, 32, true),
                (6, 64_000, 64_000_000, 64, true),
                (7, 128_000, 128_000_000, 128, true),
            ]
        );
        assert_eq!(report.points.len(), 25);

        // Ten percent a month: log(4.923) / log(1.1) = 16.7235 months.
        let slow = CapacitySpec {
            growth_per_month: 0.1,
            ..round()
        };
        assert!((capacity(&slow).unwrap().next_split_months.unwrap() - 16.723_48).abs() < 1e-4);
        // Not within a year, never without growth, and at once if it is too late.
        let year = CapacitySpec { months: 12, ..slow };
        assert_eq!(capacity(&year).unwrap().next_split_months, None);
        assert_eq!(capacity(&round()).unwrap().next_split_months, None);
        let late = CapacitySpec {
            users: 5_000,
            ..round()
        };
        let late = capacity(&late).unwrap();
        assert_eq!(late.next_split_months, Some(0.0));
        assert!(late.points[0].is_split);
        assert_eq!(late.exhausted_months, None);
    }

    #[test]
    fn a_curve_is_straight_between_its_points_and_growth_goes_on_after_the_last() {
        // 1,000 now, 3,000 in month 10, 5,000 in month 20: 4,923 in month 10 + 10 * 1,923 / 2,000.
        let spec = CapacitySpec {
            curve: vec![(10, 3_000), (20, 5_000)],
            growth_per_month: 0.5,
            ..round()
        };
        let report = capacity(&spec).unwrap();
        assert!((report.next_split_months.unwrap() - 19.615).abs() < 1e-9);
        let users = |month: usize| report.points[month].users;
        assert_eq!(
            (users(0), users(5), users(10), users(15), users(20)),
            (1_000, 2_000, 3_000, 4_000, 5_000)
        );
        assert_eq!((users(21), users(22)), (7_500, 11_250));
        // 64,000 / 5,000 = 1.5^6.2877.
        let all = CapacitySpec {
            months: 60,
            ..spec.clone()
        };
        assert!((capacity(&all).unwrap().exhausted_months.unwrap() - 26.287_7).abs() < 1e-3);
        let flat = CapacitySpec {
            growth_per_month: 0.0,
            ..all
        };
        assert_eq!(capacity(&flat).unwrap().points[60].users, 5_000);
    }

    #[test]
    fn servers_that_have_been_there_are_no_split_when_users_come_back() {
        let spec = CapacitySpec {
            users: 0,
            curve: vec![(0, 5_500), (1, 1_000), (2, 5_500), (3, 6_000)],
            months: 3,
            ..round()
        };
        let report = capacity(&spec).unwrap();
        let found: Vec<_> = report
            .points
            .iter()
            .map(|point| (point.servers, point.is_split))
            .collect();
        assert_eq!(found, [(6, true), (1, false), (6, false), (7, true)]);
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_field() {
        let refused = |change: fn(&mut CapacitySpec)| {
            let mut spec = round();
            change(&mut spec);
            let refused = spec.check().unwrap_err();
            assert_eq!(capacity(&spec).unwrap_err(), refused);
            format!("{}: {}", refused.0, refused.1)
        };
        assert_eq!(
            refused(|s| s.users = 0),
            "users: 0: expected how many users there are now, at least 1"
        );
        assert_eq!(
            refused(|s| s.growth_per_month = f64::NAN),
            "growth_per_month: NaN: expected -0.99 to 9"
        );
        assert_eq!(
            refused(|s| s.headroom = 1.0),
            "headroom: 1: expected a fraction, 0 to less than 1"
        );
        assert_eq!(
            refused(|s| s.servers = 65),
            "servers: 65: expected 1 to 64, as every server has at least one of the 64 nodes"
        );
        assert_eq!(refused(|s| s.nodes = 0), "nodes: 0: expected 1 to 16384");
        assert_eq!(
            refused(|s| s.months = 601),
            "months: 601: expected 1 to 600"
        );
        assert_eq!(
            refused(|s| s.curve = vec![(3, 1), (3, 2)]),
            "curve: month 3 follows month 3: expected ascending months, each once"
        );
        assert_eq!(
            refused(|s| s.curve = vec![(0, 7)]),
            "curve: 7 users in month 0, and `users` says 1000: expected the same, or one of them only"
        );
        assert_eq!(
            refused(|s| {
                s.users = 0;
                s.curve = vec![(2, 7)];
            }),
            "curve: it begins in month 2: expected a point for month 0, or `users` as the users now"
        );
        assert_eq!(
            refused(|s| s.items_per_timeline = u64::MAX),
            "items_per_timeline: 18446744073709551615: with these a user takes 18446744073709551615 B; expected at most 1099511627776 B in all"
        );
        assert_eq!(
            refused(|s| {
                s.bytes_per_item = 0.0;
                s.bytes_per_timeline = 0;
                s.extra_bytes_per_user = 0;
            }),
            "bytes_per_item: 0, and a user takes nothing else: expected what one item takes, in bytes"
        );
    }

    #[test]
    fn a_section_of_a_scenario_is_read_with_defaults_and_nothing_unknown() {
        let spec: CapacitySpec =
            toml::from_str("users = 5\ncurve = [[1, 7]]\nbytes_per_item = 90").unwrap();
        assert_eq!(
            (spec.users, spec.curve, spec.bytes_per_item, spec.nodes),
            (5, vec![(1, 7)], 90.0, 64)
        );
        assert!(
            toml::from_str::<CapacitySpec>("userz = 5")
                .unwrap_err()
                .to_string()
                .contains("userz")
        );
    }

    fn specs() -> impl Strategy<Value = CapacitySpec> {
        let users = (
            1_u64..1_000_000,
            -0.2_f64..0.5,
            proptest::collection::vec((1_u32..20, 0_u64..3_000_000), 0..4),
        );
        let sizes = (
            0_u64..2_000,
            0.0_f64..200.0,
            1_u64..5_000,
            1_u64..1 << 36,
            0.0_f64..0.9,
        );
        let servers = (1_u32..200, 0.0_f64..0.5, 0.0_f64..=1.0, 1_u32..120);
        (users, sizes, servers).prop_map(|(users, sizes, servers)| {
            let mut month = 0;
            let mut curve = users.2;
            for point in &mut curve {
                month += point.0;
                point.0 = month;
            }
            CapacitySpec {
                users: users.0,
                growth_per_month: users.1,
                curve,
                items_per_timeline: sizes.0,
                bytes_per_item: sizes.1,
                bytes_per_timeline: sizes.2,
                extra_bytes_per_user: 0,
                server_memory_bytes: sizes.3,
                headroom: sizes.4,
                nodes: servers.0,
                node_sd: servers.1,
                servers: 1 + (f64::from(servers.0 - 1) * servers.2) as u32,
                months: servers.3,
            }
        })
    }

    proptest! {
        #[test]
        fn the_servers_needed_are_the_fewest_with_room_and_the_dates_agree_with_the_months(spec in specs()) {
            let report = capacity(&spec).unwrap();
            for point in &report.points {
                if point.servers <= spec.nodes {
                    prop_assert!(point.users <= spec.users_max(point.servers));
                    prop_assert!(point.servers == 1 || point.users > spec.users_max(point.servers - 1));
                } else {
                    prop_assert!(point.users > report.users_max_at_all_nodes);
                }
            }
            // The first month in which they do not fit is the first after the date. Users are rounded to whole ones, so give that half a user.
            for (max, date) in [(report.users_max, report.next_split_months), (report.users_max_at_all_nodes, report.exhausted_months)] {
                for month in 0..=spec.months {
                    let users = spec.users_at(f64::from(month));
                    let before = date.is_none_or(|date| f64::from(month) < date);
                    prop_assert!(!before || users <= max as f64 * (1.0 + 1e-9) + 1e-9, "{} users in month {}, {:?}", users, month, date);
                }
                if let Some(date) = date.filter(|date| *date > 0.0) {
                    let then = spec.users_at(date);
                    prop_assert!((then - max as f64).abs() <= 1e-6 * (max as f64) + 1e-6, "{} users then, {} fit", then, max);
                }
            }
        }

        #[test]
        fn more_of_anything_that_weighs_never_needs_fewer_servers(spec in specs(), users in 0_u64..1_000_000, more in 1_u64..1_000) {
            let needed = spec.servers_needed(users);
            let with = |change: &dyn Fn(&mut CapacitySpec)| {
                let mut other = spec.clone();
                change(&mut other);
                other.servers_needed(users)
            };
            prop_assert!(spec.servers_needed(users + more) >= needed);
            prop_assert!(with(&|s| s.items_per_timeline += more) >= needed);
            prop_assert!(with(&|s| s.bytes_per_item += more as f64) >= needed);
            prop_assert!(with(&|s| s.bytes_per_timeline += more) >= needed);
            prop_assert!(with(&|s| s.extra_bytes_per_user += more) >= needed);
            prop_assert!(with(&|s| s.node_sd += more as f64 / 1e3) >= needed);
            prop_assert!(with(&|s| s.headroom = (s.headroom + more as f64 / 1e4).min(0.99)) >= needed);
            prop_assert!(with(&|s| s.server_memory_bytes += more * 1_000_000) <= needed);
            let mut last = 0;
            for servers in 1..=spec.nodes {
                let max = spec.users_max(servers);
                prop_assert!(max >= last);
                last = max;
            }
        }
    }
}
