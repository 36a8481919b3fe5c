//! From drafts to files, each checked before it is handed out.

use super::draft::{Draft, Node, Nodes, Piece, Server, Template};
use super::error::{Problem, shown};
use super::remark::Kind;
use super::{Format, Found, Import, Imported, Options, Remark, host};
use crate::config::Config;
use crate::placement::{Label, NodeSpec, Placement};
use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// Longest name of a cluster or a server in a cluster file.
const NAME_BYTES_MAX: usize = 40;

/// A line of comments has at most so many characters, where words allow.
const COMMENT_CHARS: usize = 100;

pub(super) fn write(
    found: Vec<Found>,
    format: Format,
    origin: &Path,
    options: &Options,
) -> Result<Import, Problem> {
    let mut import = Import {
        format,
        clusters: Vec::new(),
        skipped: Vec::new(),
    };
    let found = match &options.only {
        Some(only) => chosen(found, only)?,
        None => found,
    };
    let cluster_count = found
        .iter()
        .filter(|found| matches!(found, Found::Cluster(_)))
        .count();
    if let Some(name) = &options.name {
        check_name(name)?;
        if cluster_count > 1 {
            return Err(
                Problem::new(format!("one name for {cluster_count} clusters"))
                    .expected("a name for a text with one cluster")
                    .help("leave the name out, or choose a cluster first"),
            );
        }
    }
    let mut names = HashMap::new();
    for found in found {
        match found {
            Found::Skipped(skipped) => import.skipped.push(skipped),
            Found::Cluster(mut draft) => {
                let wanted = draft.name.clone();
                let name = match &options.name {
                    Some(name) => name.clone(),
                    None => unique(fit(&wanted, "cluster"), &mut names),
                };
                if options.name.is_none() && name != wanted {
                    let text = format!(
                        "{:?} is no name for a cluster, or another cluster has it: it is called {name:?} here, which is part of the names of connections only",
                        shown(&wanted)
                    );
                    let line = draft.place.line;
                    draft.remark_at(Kind::Different, ("name", line), text);
                }
                import.clusters.push(cluster(&draft, name, origin)?);
            }
        }
    }
    Ok(import)
}

fn chosen(mut found: Vec<Found>, only: &str) -> Result<Vec<Found>, Problem> {
    let names: Vec<&str> = found.iter().map(Found::name).collect();
    let listed = names.join(", ");
    if !names.contains(&only) {
        return Err(Problem::new("no cluster of this name in the text")
            .read(format!("{only:?}"))
            .expected(format!("one of {}", shown(&listed)))
            .help("names are those of the original"));
    }
    found.retain(|found| found.name() == only);
    Ok(found)
}

fn cluster(draft: &Draft, name: String, origin: &Path) -> Result<Imported, Problem> {
    let mut remarks = draft.remarks.clone();
    remarks.sort_by_key(|remark| remark.kind);
    let variables: Vec<String> = draft.variables.keys().cloned().collect();
    let toml = toml(draft, &name, origin, &remarks);
    check(draft, &toml).map_err(|problem| problem.at(draft.place))?;
    Ok(Imported {
        origin: draft.name.clone(),
        line: draft.place.line,
        name,
        toml,
        variables,
        remarks,
    })
}

/// The placement that was meant can be made, and it is the one that the file gives.
fn check(draft: &Draft, toml: &str) -> Result<(), Problem> {
    let specs: Vec<NodeSpec> = match &draft.nodes {
        Nodes::Numbered(count) => (0..*count)
            .map(|node| NodeSpec::new(node.to_string()))
            .collect(),
        Nodes::Named(nodes) => nodes
            .iter()
            .map(|node| NodeSpec {
                label: node
                    .label
                    .as_ref()
                    .map(|label| Label::new(label.expanded(&draft.variables))),
                ..NodeSpec::weighted(&node.name, node.weight)
            })
            .collect(),
    };
    let meant =
        Placement::with_options(draft.algorithm, draft.options, specs).map_err(|error| {
            Problem::new(format!("no placement can be made of {}", draft.origin))
                .read(String::new())
                .expected("servers that the preset can place keys by, exactly as the original does")
                .help(error.to_string())
        })?;
    let variable = |name: &str| draft.variables.get(name).cloned();
    let config = Config::parse(toml, "cluster.toml".as_ref(), &variable).map_err(|error| {
        let text = error.to_string();
        let what = text.lines().next().unwrap_or_default();
        let what = what.splitn(4, ':').last().unwrap_or(what).trim();
        Problem::new(format!(
            "the cluster file of {} would be refused: {what}",
            draft.origin
        ))
        .expected("what a cluster file can say")
        .help(format!(
            "change the original, or report this as a fault of keyway's import; setting {}",
            error.setting()
        ))
    })?;
    if *config.placement() != meant {
        return Err(Problem::new(format!(
            "the cluster file of {} would place keys in another way than the original",
            draft.origin
        ))
        .help("this is a fault of keyway's import: please report it"));
    }
    Ok(())
}

fn toml(draft: &Draft, name: &str, origin: &Path, remarks: &[Remark]) -> String {
    let mut text = String::new();
    let from = format!(
        "Made by `keyway import` from {}, {}, line {}.",
        shown(&origin.display().to_string()),
        draft.origin,
        draft.place.line
    );
    comment(&mut text, "# ", &from);
    comment(
        &mut text,
        "# ",
        "Before it is used, `keyway check` this file: it samples the keys of every server and must find none misplaced.",
    );
    for kind in Kind::ALL {
        let of_kind: Vec<_> = remarks
            .iter()
            .filter(|remark| remark.kind == kind)
            .collect();
        if of_kind.is_empty() {
            continue;
        }
        text.push_str("#\n");
        comment(&mut text, "# ", &format!("{}:", capitalized(kind.title())));
        for remark in of_kind {
            bullet(&mut text, &remark.without_kind());
        }
    }
    let _ = writeln!(text, "\nname = {}\n", quoted(name));
    placement(&mut text, draft);
    settings(&mut text, draft);
    let mut names = HashMap::new();
    for server in draft.servers() {
        let fallback = host::server_name(&server.address, server.database);
        let name = unique(fit(&server.name, &fit(&fallback, "server")), &mut names);
        self::server(&mut text, draft, server, &name);
    }
    text
}

fn placement(text: &mut String, draft: &Draft) {
    comment(
        text,
        "# ",
        "Fixed for the life of the data: another algorithm, name, weight or order looks for keys where they are not.",
    );
    let _ = writeln!(text, "[placement]\nalgorithm = \"{}\"", draft.algorithm);
    if let Some(hash) = draft.options.hash {
        let _ = writeln!(text, "hash = \"{}\"", hash.name());
    }
    if let Some([open, close]) = draft.options.hash_tag {
        let tag: String = [open, close].map(char::from).iter().collect();
        let _ = writeln!(text, "hash_tag = {}", quoted(&tag));
    }
    match &draft.nodes {
        Nodes::Numbered(count) => {
            let _ = writeln!(text, "nodes = {count}");
        }
        Nodes::Named(nodes) => named(text, nodes),
    }
}

fn named(text: &mut String, nodes: &[Node]) {
    list(text, "names", nodes.iter().map(|node| quoted(&node.name)));
    if nodes.iter().any(|node| node.weight != 1) {
        list(
            text,
            "weights",
            nodes.iter().map(|node| node.weight.to_string()),
        );
    }
    if nodes.iter().any(|node| node.label.is_some()) {
        let label = |node: &Node| match &node.label {
            Some(label) => template(label),
            None => quoted(&node.name),
        };
        list(text, "labels", nodes.iter().map(label));
    }
}

/// On one line if it fits.
fn list(text: &mut String, key: &str, items: impl Iterator<Item = String>) {
    let items: Vec<String> = items.collect();
    let one_line = format!("{key} = [{}]", items.join(", "));
    if one_line.chars().count() <= COMMENT_CHARS {
        text.push_str(&one_line);
        text.push('\n');
        return;
    }
    let _ = writeln!(text, "{key} = [");
    let mut line = String::from(" ");
    for item in &items {
        if line.len() > 1 && line.chars().count() + item.chars().count() + 2 > COMMENT_CHARS {
            let _ = writeln!(text, "{line}");
            line = String::from(" ");
        }
        let _ = write!(line, " {item},");
    }
    let _ = writeln!(text, "{line}\n]");
}

fn settings(text: &mut String, draft: &Draft) {
    let database = common_database(draft);
    if draft.password.is_some() || draft.username.is_some() || database != 0 {
        text.push_str("\n[defaults]\n");
        if database != 0 {
            let _ = writeln!(text, "database = {database}");
        }
        if let Some(username) = &draft.username {
            let _ = writeln!(text, "username = {}", quoted(username));
        }
        if let Some(variable) = &draft.password {
            let _ = writeln!(text, "password = \"${{{variable}}}\"");
        }
    }
    if draft.response.is_some() || draft.connect.is_some() {
        text.push_str("\n[timeouts]\n");
        for (key, duration) in [("connect", draft.connect), ("response", draft.response)] {
            if let Some(duration) = duration {
                let _ = match duration.as_millis() {
                    whole if whole.is_multiple_of(1_000) => {
                        writeln!(text, "{key} = \"{}s\"", whole / 1_000)
                    }
                    milliseconds => writeln!(text, "{key} = \"{milliseconds}ms\""),
                };
            }
        }
    }
    if let Some(keepalive) = draft.keepalive {
        let _ = writeln!(text, "\n[tcp]\nkeepalive = {keepalive}");
    }
}

/// The database of all servers, if it is one.
fn common_database(draft: &Draft) -> u32 {
    let mut databases = draft.servers().iter().map(|server| server.database);
    let first = databases.next().unwrap_or(0);
    match databases.all(|database| database == first) {
        true => first,
        false => 0,
    }
}

fn server(text: &mut String, draft: &Draft, server: &Server, name: &str) {
    text.push('\n');
    for note in &server.notes {
        comment(text, "# ", note);
    }
    let key = match name.contains('.') {
        true => format!("\"{name}\""),
        false => name.to_owned(),
    };
    let url = host::url(&server.address, server.tls.is_some()).replace('$', "$$");
    let _ = writeln!(text, "[servers.{key}]\nurl = {}", basic(&url));
    match &draft.nodes {
        Nodes::Named(nodes) => {
            let names = server
                .nodes
                .iter()
                .map(|node| &nodes[usize::from(*node)].name);
            list(text, "nodes", names.map(|name| quoted(name)));
        }
        Nodes::Numbered(_) => {
            let _ = writeln!(text, "nodes = {}", ranges(&server.nodes));
        }
    }
    if server.database != 0 && common_database(draft) == 0 {
        let _ = writeln!(text, "database = {}", server.database);
    }
    if let Some(username) = &server.username {
        let _ = writeln!(text, "username = {}", quoted(username));
    }
    if let Some(variable) = &server.password {
        let _ = writeln!(text, "password = \"${{{variable}}}\"");
    }
    if let Some(tls) = &server.tls {
        for (key, file) in [
            ("ca_file", &tls.ca_file),
            ("client_cert_file", &tls.client_cert_file),
            ("client_key_file", &tls.client_key_file),
        ] {
            if let Some(file) = file {
                let _ = writeln!(text, "tls.{key} = {}", quoted(file));
            }
        }
    }
}

/// `"0-3,7"`; `[]` for none.
pub(super) fn ranges(nodes: &[u16]) -> String {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    let mut nodes = nodes.to_vec();
    nodes.sort_unstable();
    for node in nodes {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(node) => *last = node,
            _ => runs.push((node, node)),
        }
    }
    if runs.is_empty() {
        return "[]".to_owned();
    }
    let runs: Vec<String> = runs
        .iter()
        .map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        })
        .collect();
    format!("\"{}\"", runs.join(","))
}

fn template(template: &Template) -> String {
    let mut text = String::new();
    for piece in &template.0 {
        match piece {
            Piece::Text(piece) => text.push_str(&piece.replace('$', "$$")),
            Piece::Variable(name) => {
                let _ = write!(text, "${{{name}}}");
            }
        }
    }
    basic(&text)
}

/// A TOML string that says this text, and no variable.
pub(super) fn quoted(text: &str) -> String {
    basic(&text.replace('$', "$$"))
}

fn basic(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\U{:08X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A comment in lines that are not too long. Nothing in the text can end it.
pub(super) fn comment(text: &mut String, prefix: &str, what: &str) {
    wrapped(text, prefix, prefix, what);
}

fn bullet(text: &mut String, what: &str) {
    wrapped(text, "# - ", "#   ", what);
}

fn wrapped(text: &mut String, first: &str, others: &str, what: &str) {
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in what.split(|c: char| c.is_whitespace() || c.is_control()) {
        if word.is_empty() {
            continue;
        }
        if !is_empty && line.chars().count() + 1 + word.chars().count() > COMMENT_CHARS {
            text.push_str(&line);
            text.push('\n');
            line = others.to_owned();
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}

/// A name that a cluster file may have: other characters become `-`.
pub(super) fn fit(text: &str, fallback: &str) -> String {
    let fit: String = text
        .chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '.' | '-' => c,
            _ => '-',
        })
        .take(NAME_BYTES_MAX)
        .collect();
    let fit = fit.trim_matches('-');
    match fit.bytes().any(|byte| byte.is_ascii_alphanumeric()) {
        true => fit.to_owned(),
        false => fallback.to_owned(),
    }
}

/// `name`, or `name-2` and so on if that is taken. `taken` has the last number of each name.
pub(super) fn unique(name: String, taken: &mut HashMap<String, usize>) -> String {
    if !taken.contains_key(&name) {
        taken.insert(name.clone(), 1);
        return name;
    }
    let mut number = taken.get(&name).copied().unwrap_or(1);
    loop {
        number += 1;
        let ending = format!("-{number}");
        let kept = name.len().min(NAME_BYTES_MAX - ending.len());
        let candidate = format!("{}{ending}", &name[..kept]);
        if !taken.contains_key(&candidate) {
            taken.insert(name, number);
            taken.insert(candidate.clone(), 1);
            return candidate;
        }
    }
}

pub(super) fn check_name(name: &str) -> Result<(), Problem> {
    if fit(name, "") == name {
        return Ok(());
    }
    Err(Problem::new("this is no name for a cluster")
        .read(format!("{name:?}"))
        .expected("1 to 40 letters, digits, _ . or -")
        .help("it is part of the names of connections"))
}

/// A time of the original, within the bounds that a cluster file has, and whether that changed it.
pub(super) fn bounded(duration: Duration) -> (Duration, bool) {
    let bounded = duration.clamp(Duration::from_millis(1), Duration::from_secs(24 * 60 * 60));
    let bounded = Duration::from_millis(bounded.as_millis() as u64);
    (bounded, bounded != duration)
}
