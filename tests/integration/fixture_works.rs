//! The fixture itself: each fault really happens.
