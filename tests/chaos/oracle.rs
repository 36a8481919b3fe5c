//! The oracle: what callers were told beside what the servers hold. It asserts safety only, and
//! knows no clock.

use crate::history::{Deed, Fate, Kind, Part, Record, Violation, Window};
use crate::map::{COUNTERS_APART, Maps, TAGS, key, marked_by, name_of, split_count, tag_of};
use std::collections::{BTreeMap, HashMap};

/// What one server holds after a round: each key with the ids in it, in their order if it has one.
pub(crate) type Keyspace = HashMap<String, Content>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A list, a set, the fields of a hash, or a text of ids.
    Ids(Vec<String>),
    /// A name or a counter.
    Text(String),
}

/// A round after its end.
pub(crate) struct Evidence<'a> {
    pub(crate) maps: Maps,
    /// The node of each tag.
    pub(crate) nodes: &'a [usize],
    pub(crate) servers: Vec<Keyspace>,
    pub(crate) records: &'a [Record],
}

/// Where an id was found.
#[derive(Clone, Copy)]
struct Place {
    server: usize,
    position: usize,
}

/// Compares all records with all that the servers hold.
pub(crate) fn judge(evidence: &Evidence<'_>) -> Vec<Violation> {
    let mut found: HashMap<(&str, &str), Vec<Place>> = HashMap::new();
    for (server, keyspace) in evidence.servers.iter().enumerate() {
        for (key, content) in keyspace {
            let Content::Ids(ids) = content else { continue };
            for (position, id) in ids.iter().enumerate() {
                let place = Place { server, position };
                found.entry((key, id)).or_default().push(place);
            }
        }
    }
    let mut violations = Vec::new();
    violations.extend(judge_writes(evidence, &found));
    violations.extend(judge_transactions(evidence, &found));
    violations.extend(judge_reloads(evidence));
    violations.extend(judge_queues(evidence, &found));
    violations.extend(judge_counters(evidence));
    violations.extend(judge_names(evidence));
    violations.extend(judge_foreign(evidence, &found));
    violations
}

type Found<'a> = HashMap<(&'a str, &'a str), Vec<Place>>;

fn judge_writes(evidence: &Evidence<'_>, found: &Found<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for record in evidence.records {
        let Deed::Write { place, .. } = record.deed else {
            continue;
        };
        let places = places_of(found, &record.key, &record.id);
        violations.extend(judge_number(record, places.len(), &seen(places)));
        violations.extend(judge_servers(evidence, record, places));
        if let (Fate::Done, Some(expected), [only]) = (record.fate, place, places)
            && usize::try_from(expected) != Ok(only.position)
        {
            let expected = format!("the reply says that it is at position {expected}");
            violations.push(violation(Kind::WrongReply, record, expected, seen(places)));
        }
    }
    violations
}

/// Acknowledged exactly once, not executed never, unknown at most once.
fn judge_number(record: &Record, times: usize, seen: &str) -> Option<Violation> {
    let (kind, expected) = match (record.fate, times) {
        (Fate::Done, 1) | (Fate::Never, 0) | (Fate::Perhaps, 0 | 1) => return None,
        (Fate::Done, 0) => (Kind::Lost, "acknowledged: executed once"),
        (Fate::Done, _) => (Kind::Doubled, "acknowledged: executed once"),
        (Fate::Never, _) => (Kind::RanAnyway, "not executed"),
        (Fate::Perhaps, _) => (Kind::Doubled, "unknown: executed at most once"),
    };
    let seen = format!("executed {times} times: {seen}");
    Some(violation(kind, record, expected.to_owned(), seen))
}

fn judge_servers(evidence: &Evidence<'_>, record: &Record, places: &[Place]) -> Option<Violation> {
    let allowed = allowed(evidence, record);
    let elsewhere = places.iter().any(|place| !allowed.contains(&place.server));
    elsewhere.then(|| {
        let expected = format!("on server {}", names(&allowed));
        violation(Kind::WrongServer, record, expected, seen(places))
    })
}

/// A transaction whose outcome is unknown was executed as a whole or not at all. For the others the
/// number of each part says the same.
fn judge_transactions(evidence: &Evidence<'_>, found: &Found<'_>) -> Vec<Violation> {
    let mut whole: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in evidence.records {
        let in_transaction = matches!(record.deed, Deed::Write { part, .. } if part != Part::Alone);
        if in_transaction && record.fate == Fate::Perhaps {
            whole.entry(&record.id).or_default().push(record);
        }
    }
    let mut violations = Vec::new();
    for (id, parts) in whole {
        let times = |part: &Record| places_of(found, &part.key, id).len();
        let is_script =
            |part: &Record| matches!(part.deed, Deed::Write { part, .. } if part == Part::Script);
        let plain: Vec<usize> = parts
            .iter()
            .filter(|part| !is_script(part))
            .map(|part| times(part))
            .collect();
        let scripts = parts
            .iter()
            .filter(|part| is_script(part))
            .map(|part| times(part));
        let first = plain.first().copied().unwrap_or(0);
        let is_torn = plain.iter().any(|times| *times != first);
        if is_torn || scripts.max().unwrap_or(0) > first {
            let list: Vec<String> = parts
                .iter()
                .map(|part| format!("{} {} times", part.key, times(part)))
                .collect();
            let expected = "unknown: all parts executed, or none".to_owned();
            violations.push(violation(Kind::Torn, parts[0], expected, list.join(", ")));
        }
    }
    violations
}

/// After a reload has returned, no command is executed any more that was routed by an older map,
/// unless its caller was told that its outcome is unknown.
fn judge_reloads(evidence: &Evidence<'_>) -> Vec<Violation> {
    let acknowledged: HashMap<(&str, &str), &Record> = evidence
        .records
        .iter()
        .filter(|record| record.fate == Fate::Done && matches!(record.deed, Deed::Write { .. }))
        .map(|record| ((record.key.as_str(), record.id.as_str()), record))
        .collect();
    let mut violations = Vec::new();
    for (server, keyspace) in evidence.servers.iter().enumerate() {
        for (key, content) in keyspace {
            let Content::Ids(ids) = content else { continue };
            let mut returned = 0;
            for id in ids {
                if let Some(generation) = marked_by(id) {
                    returned = returned.max(generation);
                } else if let Some(record) = acknowledged.get(&(key.as_str(), id.as_str()))
                    && record.window.from < returned
                {
                    let window = Window {
                        from: returned,
                        to: record.window.to.max(returned),
                    };
                    let late = Record {
                        window,
                        ..(*record).clone()
                    };
                    let allowed = allowed(evidence, &late);
                    if !allowed.contains(&server) {
                        let expected = format!(
                            "after reload {returned} has returned, on server {}",
                            names(&allowed)
                        );
                        let seen = format!(
                            "on server {}, after the mark of that reload",
                            name_of(server)
                        );
                        violations.push(violation(Kind::WrongServer, record, expected, seen));
                    }
                }
            }
        }
    }
    violations
}

/// A pushed id is in its queue or was taken, once. It may be missing only if somebody may have
/// taken it without a reply.
fn judge_queues(evidence: &Evidence<'_>, found: &Found<'_>) -> Vec<Violation> {
    let mut taken: HashMap<(&str, &str), Vec<&Record>> = HashMap::new();
    let mut perhaps_taken: HashMap<&str, usize> = HashMap::new();
    for record in evidence.records {
        match &record.deed {
            Deed::Take { taken: Some(id) } => {
                taken.entry((&record.key, id)).or_default().push(record)
            }
            Deed::Take { .. } if record.fate == Fate::Perhaps => {
                *perhaps_taken.entry(&record.key).or_default() += 1;
            }
            _ => {}
        }
    }
    let mut violations = Vec::new();
    let mut missing: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in evidence
        .records
        .iter()
        .filter(|record| record.deed == Deed::Push)
    {
        let places = places_of(found, &record.key, &record.id);
        let takers = taken
            .remove(&(record.key.as_str(), record.id.as_str()))
            .unwrap_or_default();
        let times = places.len() + takers.len();
        if times == 0 && record.fate == Fate::Done {
            missing.entry(&record.key).or_default().push(record);
            continue;
        }
        let takers: Vec<&str> = takers.iter().map(|taker| taker.id.as_str()).collect();
        let seen = format!(
            "in the queue: {}; taken by: {}",
            seen(places),
            takers.join(", ")
        );
        violations.extend(judge_number(record, times, &seen));
        violations.extend(judge_servers(evidence, record, places));
    }
    for (key, pushes) in missing {
        let excused = perhaps_taken.get(key).copied().unwrap_or(0);
        if pushes.len() > excused {
            let seen = format!(
                "{} pushes of {key} are neither there nor taken, and {excused} takes have an unknown outcome",
                pushes.len()
            );
            let expected = "each acknowledged push is there, or somebody has taken it".to_owned();
            violations.push(violation(Kind::Lost, pushes[0], expected, seen));
        }
    }
    for ((key, id), takers) in taken {
        let expected = "takes an id that was pushed to this queue, once".to_owned();
        let seen = format!("took {id:?} from {key}, which nobody pushed there");
        violations.push(violation(Kind::WrongReply, takers[0], expected, seen));
    }
    violations
}

/// Each value of a counter was answered once at most, and is of a server of the map; the sum is
/// what was executed.
fn judge_counters(evidence: &Evidence<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut by_key: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in evidence.records {
        if matches!(record.deed, Deed::Count { .. }) {
            by_key.entry(&record.key).or_default().push(record);
        }
    }
    for (key, records) in by_key {
        let mut last = vec![0; evidence.servers.len()];
        for (server, keyspace) in evidence.servers.iter().enumerate() {
            let value = match keyspace.get(key) {
                Some(Content::Text(text)) => text.parse().unwrap_or(0),
                _ => 0,
            };
            if value / COUNTERS_APART == server as i64 + 1 {
                last[server] = value % COUNTERS_APART;
            }
        }
        let mut owners: HashMap<i64, &Record> = HashMap::new();
        for record in records.iter().filter(|record| record.fate == Fate::Done) {
            let Deed::Count { value: Some(value) } = record.deed else {
                continue;
            };
            let (server, count) = split_count(value);
            let allowed = allowed(evidence, record);
            if !server.is_some_and(|server| allowed.contains(&server)) {
                let expected = format!("a value of server {}", names(&allowed));
                violations.push(violation(
                    Kind::WrongServer,
                    record,
                    expected,
                    value.to_string(),
                ));
            } else if server.is_some_and(|server| count > last[server]) {
                let last: Vec<String> = last.iter().map(ToString::to_string).collect();
                let seen = format!(
                    "{value}, and the servers have counted to {}",
                    last.join(", ")
                );
                let expected = "acknowledged: counted".to_owned();
                violations.push(violation(Kind::Lost, record, expected, seen));
            }
            if let Some(other) = owners.insert(value, record) {
                let expected = "a value of this caller alone".to_owned();
                let seen = format!("{value}, and {} of {} has it too", other.call, other.id);
                violations.push(violation(Kind::WrongReply, record, expected, seen));
            }
        }
        let number = |fate| records.iter().filter(|record| record.fate == fate).count() as i64;
        let (done, perhaps) = (number(Fate::Done), number(Fate::Perhaps));
        let executed: i64 = last.iter().sum();
        if !(done..=done + perhaps).contains(&executed) {
            let kind = if executed < done {
                Kind::Lost
            } else {
                Kind::Doubled
            };
            violations.push(Violation {
                kind,
                operation: format!("all that count {key}"),
                expected: format!("{done} acknowledged and at most {perhaps} of unknown outcome"),
                seen: format!("executed {executed} times"),
                at_ms: None,
            });
        }
    }
    violations
}

fn judge_names(evidence: &Evidence<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (server, keyspace) in evidence.servers.iter().enumerate() {
        for tag in 0..TAGS {
            let key = key("name", tag);
            let name = keyspace.get(&key);
            if name != Some(&Content::Text(name_of(server))) {
                violations.push(Violation {
                    kind: Kind::Foreign,
                    operation: format!("{key} on {}", name_of(server)),
                    expected: "the server's own name, which nobody writes".to_owned(),
                    seen: format!("{name:?}"),
                    at_ms: None,
                });
            }
        }
    }
    violations
}

/// Ids that no record accounts for.
fn judge_foreign(evidence: &Evidence<'_>, found: &Found<'_>) -> Vec<Violation> {
    let mut unexplained: HashMap<(&str, &str), &Vec<Place>> =
        found.iter().map(|(at, places)| (*at, places)).collect();
    for record in evidence.records {
        unexplained.remove(&(record.key.as_str(), record.id.as_str()));
    }
    unexplained
        .into_iter()
        .filter(|((_, id), _)| marked_by(id).is_none())
        .map(|((key, id), places)| Violation {
            kind: Kind::Foreign,
            operation: format!("{id:?} in {key}"),
            expected: "written by one of the workers to this key".to_owned(),
            seen: format!("nobody wrote it; it is {}", seen(places)),
            at_ms: None,
        })
        .collect()
}

fn places_of<'f>(found: &'f Found<'_>, key: &'f str, id: &'f str) -> &'f [Place] {
    found.get(&(key, id)).map_or(&[], Vec::as_slice)
}

fn allowed(evidence: &Evidence<'_>, record: &Record) -> Vec<usize> {
    let node = tag_of(&record.key).map_or(0, |tag| evidence.nodes[tag as usize]);
    evidence.maps.allowed(node, record.window)
}

fn seen(places: &[Place]) -> String {
    if places.is_empty() {
        return "nowhere".to_owned();
    }
    let list: Vec<String> = places
        .iter()
        .map(|place| format!("{} at position {}", name_of(place.server), place.position))
        .collect();
    list.join(", ")
}

fn names(servers: &[usize]) -> String {
    let names: Vec<String> = servers.iter().map(|server| name_of(*server)).collect();
    names.join(" or ")
}

fn violation(kind: Kind, record: &Record, expected: String, seen: String) -> Violation {
    let Record {
        id,
        key,
        call,
        window,
        ..
    } = record;
    Violation {
        kind,
        operation: format!(
            "{call} of {id} with {key}, by the maps {} to {}",
            window.from, window.to
        ),
        expected,
        seen,
        at_ms: Some(record.at_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::nodes_of_tags;

    /// A round with these records in which the first server of the map holds these ids, and the
    /// second one those.
    fn kinds(records: &[Record], here: &[(&str, &[&str])], there: &[(&str, &[&str])]) -> Vec<Kind> {
        let nodes = nodes_of_tags();
        let maps = Maps {
            seed: 1,
            servers: 2,
        };
        let home = maps.homes(0)[nodes[0]];
        let mut servers = Vec::new();
        for server in 0..2 {
            let mut keyspace: Keyspace = (0..TAGS)
                .map(|tag| (key("name", tag), Content::Text(name_of(server))))
                .collect();
            let held = if server == home { here } else { there };
            for (name, ids) in held {
                let ids = ids.iter().map(ToString::to_string).collect();
                keyspace.insert((*name).to_owned(), Content::Ids(ids));
            }
            let count = COUNTERS_APART * (server as i64 + 1) + if server == home { 2 } else { 0 };
            keyspace.insert(key("count", 0), Content::Text(count.to_string()));
            servers.push(keyspace);
        }
        let evidence = Evidence {
            maps,
            nodes: &nodes,
            servers,
            records,
        };
        let mut kinds: Vec<Kind> = judge(&evidence)
            .iter()
            .map(|violation| violation.kind)
            .collect();
        kinds.sort_unstable();
        kinds
    }

    fn record(id: &str, key: &str, deed: Deed, fate: Fate) -> Record {
        Record {
            id: id.to_owned(),
            key: key.to_owned(),
            deed,
            fate,
            window: Window { from: 0, to: 0 },
            at_ms: 5,
            call: "call".to_owned(),
        }
    }

    fn write(id: &str, fate: Fate) -> Record {
        let deed = Deed::Write {
            place: None,
            part: Part::Alone,
        };
        record(id, "list:{0}", deed, fate)
    }

    /// The value that the server at home answers when it counts to `count`.
    fn count(id: &str, count: i64) -> Record {
        let nodes = nodes_of_tags();
        let home = Maps {
            seed: 1,
            servers: 2,
        }
        .homes(0)[nodes[0]] as i64;
        let value = Some(COUNTERS_APART * (home + 1) + count);
        record(id, "count:{0}", Deed::Count { value }, Fate::Done)
    }

    #[test]
    fn what_is_right_is_no_violation() {
        let records = [
            write("a", Fate::Done),
            write("b", Fate::Never),
            write("c", Fate::Perhaps),
            write("d", Fate::Perhaps),
            count("e", 1),
            count("f", 2),
        ];
        assert_eq!(kinds(&records, &[("list:{0}", &["a", "d"])], &[]), []);
    }

    #[test]
    fn each_broken_promise_of_a_write_has_its_kind() {
        let list = |ids: &'static [&'static str]| [("list:{0}", ids)];
        let counts = [count("x", 1), count("y", 2)];
        let with = |record: Record| [counts.to_vec(), vec![record]].concat();
        let one = |fate, here: &'static [&'static str], there: &'static [&'static str]| {
            kinds(&with(write("a", fate)), &list(here), &list(there))
        };
        assert_eq!(one(Fate::Done, &[], &[]), [Kind::Lost]);
        assert_eq!(one(Fate::Done, &["a", "a"], &[]), [Kind::Doubled]);
        assert_eq!(one(Fate::Perhaps, &["a", "a"], &[]), [Kind::Doubled]);
        assert_eq!(one(Fate::Never, &["a"], &[]), [Kind::RanAnyway]);
        assert_eq!(one(Fate::Done, &[], &["a"]), [Kind::WrongServer]);
        assert_eq!(one(Fate::Done, &["a", "z"], &[]), [Kind::Foreign]);
        let second = Deed::Write {
            place: Some(1),
            part: Part::Alone,
        };
        let second = record("a", "list:{0}", second, Fate::Done);
        assert_eq!(kinds(&with(second), &list(&["a"]), &[]), [Kind::WrongReply]);
    }

    #[test]
    fn a_transaction_of_unknown_outcome_may_lack_its_script_and_nothing_else() {
        let part = |key: &str, part| {
            let deed = Deed::Write { place: None, part };
            record("a", key, deed, Fate::Perhaps)
        };
        let records = [
            part("one:{0}", Part::Plain),
            part("two:{0}", Part::Plain),
            part("three:{0}", Part::Script),
            count("x", 1),
            count("y", 2),
        ];
        let held = |keys: &[&'static str]| -> Vec<Kind> {
            let held: Vec<(&str, &[&str])> = keys.iter().map(|key| (*key, &["a"][..])).collect();
            kinds(&records, &held, &[])
        };
        assert_eq!(held(&[]), []);
        assert_eq!(held(&["one:{0}", "two:{0}"]), []);
        assert_eq!(held(&["one:{0}", "two:{0}", "three:{0}"]), []);
        assert_eq!(held(&["one:{0}", "three:{0}"]), [Kind::Torn]);
        assert_eq!(held(&["three:{0}"]), [Kind::Torn]);
    }

    #[test]
    fn after_the_mark_of_a_reload_the_older_map_counts_no_more() {
        let maps = Maps {
            seed: 1,
            servers: 2,
        };
        let nodes = nodes_of_tags();
        let moved = (0..TAGS).find(|tag| {
            let node = nodes[*tag as usize];
            maps.homes(0)[node] != maps.homes(1)[node]
                && maps.homes(0)[node] == maps.homes(0)[nodes[0]]
        });
        let list = key("list", moved.unwrap());
        let during = |fate| Record {
            window: Window { from: 0, to: 1 },
            key: list.clone(),
            ..write("a", fate)
        };
        let found = |fate, ids: &[&str]| kinds(&[during(fate)], &[(&list, ids)], &[]);
        assert_eq!(found(Fate::Done, &["a", "reload.1"]), []);
        assert_eq!(found(Fate::Perhaps, &["reload.1", "a"]), []);
        assert_eq!(found(Fate::Done, &["reload.1", "a"]), [Kind::WrongServer]);
    }

    #[test]
    fn a_counter_has_each_value_once() {
        assert_eq!(
            kinds(&[count("a", 1), count("b", 1)], &[], &[]),
            [Kind::WrongReply]
        );
        assert_eq!(kinds(&[count("a", 1)], &[], &[]), [Kind::Doubled]);
        let all = [count("a", 1), count("b", 2), count("c", 3)];
        assert_eq!(kinds(&all, &[], &[]), [Kind::Lost, Kind::Lost]);
    }

    #[test]
    fn a_pushed_id_is_there_or_taken_once_or_taken_without_a_word() {
        let push = record("p", "queue:{0}", Deed::Push, Fate::Done);
        let take = |id: &str, taken: Option<&str>, fate| {
            let taken = taken.map(str::to_owned);
            record(id, "queue:{0}", Deed::Take { taken }, fate)
        };
        let counts = [count("x", 1), count("y", 2)];
        let found = |takes: &[Record], here: &'static [&'static str]| {
            let records = [&counts[..], std::slice::from_ref(&push), takes].concat();
            kinds(&records, &[("queue:{0}", here)], &[])
        };
        assert_eq!(found(&[], &["p"]), []);
        assert_eq!(found(&[take("t", Some("p"), Fate::Done)], &[]), []);
        assert_eq!(found(&[take("t", None, Fate::Perhaps)], &[]), []);
        assert_eq!(found(&[take("t", None, Fate::Done)], &[]), [Kind::Lost]);
        assert_eq!(
            found(&[take("t", Some("p"), Fate::Done)], &["p"]),
            [Kind::Doubled]
        );
        let both = [
            take("t", Some("p"), Fate::Done),
            take("u", Some("p"), Fate::Done),
        ];
        assert_eq!(found(&both, &[]), [Kind::Doubled]);
        assert_eq!(
            found(&[take("t", Some("q"), Fate::Done)], &["p"]),
            [Kind::WrongReply]
        );
    }
}
