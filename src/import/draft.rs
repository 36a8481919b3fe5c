//! A cluster file before it is text.

use super::error::Place;
use super::remark::{Kind, Remark};
use crate::config::Address;
use crate::placement::{Algorithm, Options};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// What the reader of a format has understood. [`write`](super::write) makes a file of it.
pub(super) struct Draft {
    /// What the original calls it: `pool "alpha"`.
    pub(super) origin: String,
    pub(super) place: Place,
    /// A name for the cluster, as the original has it; made fit for a file later.
    pub(super) name: String,
    pub(super) algorithm: Algorithm,
    pub(super) options: Options,
    pub(super) nodes: Nodes,
    servers: Vec<Server>,
    by_keyspace: HashMap<(String, u32), usize>,
    /// Variable of the password that servers have if they do not say otherwise.
    pub(super) password: Option<String>,
    pub(super) username: Option<String>,
    pub(super) response: Option<Duration>,
    pub(super) connect: Option<Duration>,
    pub(super) keepalive: Option<bool>,
    pub(super) remarks: Vec<Remark>,
    /// Variables of the environment, each with a value to check the file with.
    pub(super) variables: BTreeMap<String, String>,
}

pub(super) enum Nodes {
    /// Named "0", "1" and so on.
    Numbered(u16),
    Named(Vec<Node>),
}

pub(super) struct Node {
    pub(super) name: String,
    pub(super) weight: u32,
    pub(super) label: Option<Template>,
}

/// A text in which variables of the environment stand for what must not be shown.
pub(super) struct Template(pub(super) Vec<Piece>);

pub(super) enum Piece {
    Text(String),
    Variable(String),
}

pub(super) struct Server {
    /// A name, as the original has it; made fit for a file later.
    pub(super) name: String,
    pub(super) address: Address,
    pub(super) database: u32,
    pub(super) username: Option<String>,
    /// Variable of its own password.
    pub(super) password: Option<String>,
    pub(super) tls: Option<Tls>,
    /// Indices into the draft's nodes.
    pub(super) nodes: Vec<u16>,
    /// Where it stands in the original, in words.
    pub(super) notes: Vec<String>,
}

#[derive(Default)]
pub(super) struct Tls {
    pub(super) ca_file: Option<String>,
    pub(super) client_cert_file: Option<String>,
    pub(super) client_key_file: Option<String>,
}

impl Server {
    pub(super) fn new(name: impl Into<String>, address: Address, database: u32) -> Server {
        Server {
            name: name.into(),
            address,
            database,
            username: None,
            password: None,
            tls: None,
            nodes: Vec::new(),
            notes: Vec::new(),
        }
    }
}

impl Draft {
    pub(super) fn new(origin: String, name: &str, place: Place, algorithm: Algorithm) -> Draft {
        Draft {
            origin,
            place,
            name: name.to_owned(),
            algorithm,
            options: Options::default(),
            nodes: Nodes::Numbered(0),
            servers: Vec::new(),
            by_keyspace: HashMap::new(),
            password: None,
            username: None,
            response: None,
            connect: None,
            keepalive: None,
            remarks: Vec::new(),
            variables: BTreeMap::new(),
        }
    }

    /// Two servers of the original that are one database are one server here, which has the nodes of both. Says whether it was there.
    pub(super) fn add(&mut self, server: Server) -> bool {
        let keyspace = (
            server.address.to_string().to_ascii_lowercase(),
            server.database,
        );
        match self.by_keyspace.get(&keyspace) {
            Some(&index) => {
                let first = &mut self.servers[index];
                first.nodes.extend(server.nodes);
                first.notes.extend(server.notes);
                true
            }
            None => {
                self.by_keyspace.insert(keyspace, self.servers.len());
                self.servers.push(server);
                false
            }
        }
    }

    pub(super) fn servers(&self) -> &[Server] {
        &self.servers
    }

    pub(super) fn remark(&mut self, kind: Kind, setting: &str, text: impl Into<String>) {
        self.remarks.push(Remark::new(kind, setting, text));
    }

    pub(super) fn remark_at(
        &mut self,
        kind: Kind,
        (setting, line): (&str, usize),
        text: impl Into<String>,
    ) {
        self.remarks
            .push(Remark::new(kind, setting, text).line(line));
    }

    /// A variable for a secret of the original: `ALPHA_PASSWORD`. `value` is what the file is checked with, and shown nowhere.
    pub(super) fn variable(&mut self, suffix: &str, value: &str) -> String {
        let fit = |text: &str| -> String {
            let upper = text.chars().map(|c| match c.is_ascii_alphanumeric() {
                true => c.to_ascii_uppercase(),
                false => '_',
            });
            upper.take(40).collect()
        };
        let stem = fit(&self.name);
        let stem = match stem.starts_with(|c: char| c.is_ascii_digit()) {
            true => format!("CLUSTER_{stem}"),
            false => stem,
        };
        let stem = format!("{stem}_{}", fit(suffix));
        let mut name = stem.clone();
        let mut number = 1;
        while self
            .variables
            .get(&name)
            .is_some_and(|other| other != value)
        {
            number += 1;
            name = format!("{stem}_{number}");
        }
        self.variables.insert(name.clone(), value.to_owned());
        name
    }
}

impl Template {
    pub(super) fn text(text: impl Into<String>) -> Template {
        Template(vec![Piece::Text(text.into())])
    }

    pub(super) fn variable(name: impl Into<String>) -> Template {
        Template(vec![Piece::Variable(name.into())])
    }

    /// With the variables' values in it.
    pub(super) fn expanded(&self, variables: &BTreeMap<String, String>) -> String {
        let pieces = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            Piece::Variable(name) => variables.get(name).map_or("", String::as_str),
        });
        pieces.collect()
    }
}
