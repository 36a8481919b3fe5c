//! The names of all settings, and which one a misspelt name was meant to be.

/// Every table with its settings. `servers` has names of its own in between.
pub(super) const ROOT: &[&str] = &[
    "name",
    "mode",
    "protocol",
    "multi_key",
    "startup",
    "placement",
    "defaults",
    "servers",
    "timeouts",
    "retry",
    "pool",
    "limits",
    "tcp",
];
pub(super) const PLACEMENT: &[&str] = &[
    "algorithm",
    "nodes",
    "names",
    "weights",
    "labels",
    "hash",
    "hash_tag",
    "ring_points_min",
    "ring_points_max",
    "table_entries",
    "custom",
    "version",
];
pub(super) const DEFAULTS: &[&str] = &["username", "password", "password_file", "database", "tls"];
pub(super) const SERVER: &[&str] = &[
    "url",
    "nodes",
    "username",
    "password",
    "password_file",
    "database",
    "tls",
];
pub(super) const TLS: &[&str] = &[
    "ca_file",
    "client_cert_file",
    "client_key_file",
    "server_name",
    "danger_accept_invalid_certificates",
];
pub(super) const TIMEOUTS: &[&str] = &[
    "connect",
    "response",
    "dead",
    "silence_max",
    "idle_ping",
    "close",
];
pub(super) const RETRY: &[&str] = &[
    "attempts_max",
    "backoff_min",
    "backoff_max",
    "budget_percent",
];
pub(super) const POOL: &[&str] = &[
    "connections",
    "bulk_connections",
    "dedicated_max",
    "dedicated_idle_max",
];
pub(super) const LIMITS: &[&str] = &[
    "in_flight_max",
    "request_bytes_max",
    "reply_bytes_max",
    "gather_bytes_max",
    "scripts_max",
    "pubsub_buffer",
    "pubsub_bytes",
];
pub(super) const TCP: &[&str] = &[
    "nodelay",
    "keepalive",
    "keepalive_idle",
    "keepalive_interval",
    "keepalive_retries",
    "bulk_receive_buffer",
];

pub(super) const TABLES: &[(&str, &[&str])] = &[
    ("the top of the file", ROOT),
    ("[placement]", PLACEMENT),
    ("[defaults]", DEFAULTS),
    ("a [servers.NAME]", SERVER),
    ("a tls table", TLS),
    ("[timeouts]", TIMEOUTS),
    ("[retry]", RETRY),
    ("[pool]", POOL),
    ("[limits]", LIMITS),
    ("[tcp]", TCP),
];

/// For the test that the reference file leaves none out.
#[cfg(test)]
pub(super) fn all_settings() -> impl Iterator<Item = &'static str> {
    TABLES.iter().flat_map(|(_, settings)| *settings).copied()
}

/// What people call a setting in other programs.
const ALIASES: &[(&str, &str)] = &[
    ("user", "username"),
    ("pass", "password"),
    ("passwd", "password"),
    ("pwd", "password"),
    ("auth", "password"),
    ("requirepass", "password"),
    ("secret", "password"),
    ("token", "password"),
    ("db", "database"),
    ("uri", "url"),
    ("address", "url"),
    ("addr", "url"),
    ("host", "url"),
    ("hosts", "servers"),
    ("timeout", "response"),
    ("read_timeout", "response"),
    ("connect_timeout", "connect"),
    ("pool_size", "connections"),
    ("retries", "attempts_max"),
    ("slots", "nodes"),
    ("distribution", "algorithm"),
    ("minimum_ring_size", "ring_points_min"),
    ("maximum_ring_size", "ring_points_max"),
    ("table_size", "table_entries"),
    ("maglev_table_size", "table_entries"),
    ("insecure", "danger_accept_invalid_certificates"),
    (
        "accept_invalid_certificates",
        "danger_accept_invalid_certificates",
    ),
];

/// The setting that a key is, or was meant to be.
pub(super) fn closest_setting(key: &str) -> Option<&'static str> {
    // An exact match in any table before a near one: `nodes` is not a misspelt `names`.
    let exact = TABLES
        .iter()
        .flat_map(|(_, settings)| *settings)
        .find(|setting| **setting == key);
    exact.copied().or_else(|| {
        let all: Vec<&'static str> = TABLES
            .iter()
            .flat_map(|(_, settings)| settings.iter().copied())
            .collect();
        closest(key, &all)
    })
}

pub(crate) fn closest<'s>(word: &str, candidates: &[&'s str]) -> Option<&'s str> {
    let lower = word.to_lowercase().replace('-', "_");
    if let Some((_, meant)) = ALIASES.iter().find(|(alias, _)| *alias == lower)
        && let Some(candidate) = candidates.iter().find(|candidate| *candidate == meant)
    {
        return Some(candidate);
    }
    let allowed = (lower.chars().count() / 3).max(1);
    candidates
        .iter()
        .map(|candidate| (edits(&lower, &candidate.replace('-', "_")), *candidate))
        .filter(|(edits, _)| *edits <= allowed)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Insertions, removals and replacements between two words (Levenshtein).
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
