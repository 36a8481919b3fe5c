//! The JSON of a report, described.

/// A JSON Schema (draft 2020-12) of what a [`Report`](crate::simulation::report::Report) is as JSON. Fields may be added to a report within
/// a version, so it allows more than it lists.
pub const JSON_SCHEMA: &str = include_str!("report.schema.json");
