//! `keyway simulate`.

mod files;
mod table;
