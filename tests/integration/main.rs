//! One integration binary; each module tests one subject against real servers.

mod command_table;
