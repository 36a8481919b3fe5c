//! A [`Report`](super::report::Report) as people and programs read it.
//!
//! | for | call |
//! |---|---|
//! | the answers in a sentence each | [`headlines`] |
//! | tables, for a terminal or a page | [`tables`] |
//! | spreadsheets and scripts | [`csv`], a file per table |
//! | programs | the report's own JSON, described by [`JSON_SCHEMA`] |
//! | pictures | `plots`, each an SVG of its own (feature `plots`) |
//! | everything on one page that needs nothing else | `page` (feature `plots`) |
//!
//! All of it is a function of the report alone: the same report gives the same bytes on every machine. Names and keys come from outside: they
//! are escaped for where they go, and control characters are shown, not sent.

mod csv;
mod headline;
#[cfg(feature = "plots")]
mod page;
#[cfg(feature = "plots")]
mod plot;
mod schema;
mod table;
mod words;

pub use csv::{CsvFile, csv};
pub use headline::{Headline, headlines};
#[cfg(feature = "plots")]
pub use page::page;
#[cfg(feature = "plots")]
pub use plot::{Plot, plots};
pub use schema::JSON_SCHEMA;
pub use table::{Column, Table, tables};

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
