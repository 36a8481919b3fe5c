//! Only its test targets are used.
