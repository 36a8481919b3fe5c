//! In place of sockets while instructions are counted: every dial gets one end of an in-memory pipe, and the counter serves the other.

use std::sync::OnceLock;
use tokio::io::DuplexStream;

static LISTENER: OnceLock<fn() -> DuplexStream> = OnceLock::new();

/// From now on every dial of this process takes its stream from `accept`, whatever its address. The first listener stays.
pub fn listen(accept: fn() -> DuplexStream) {
    // A second listener is as good as the first: the counter has only one.
    let _ = LISTENER.set(accept);
}

pub(super) fn dial() -> Option<DuplexStream> {
    LISTENER.get().map(|accept| accept())
}
