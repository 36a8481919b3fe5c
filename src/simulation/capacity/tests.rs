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
