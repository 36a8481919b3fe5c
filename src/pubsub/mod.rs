//! Pub/sub over the cluster: a channel lives on the server of its node, a pattern on all of them.
//!
//! One [`Hub`] per cluster has one connection per server that a subscriber of this cluster needs, whoever that is. It keeps apart what is wanted,
//! asked, granted and refused, for each subscription and server. A switch of the topology comes to it from whoever makes the switch,
//! so that none is missed.
//!
//! What moves a subscription on, and what its subscriber hears:
//!
//! | the server has it as | what happens | then | the subscriber hears |
//! |---|---|---|---|
//! | wanted | the connection is there | asked | |
//! | wanted | a dial fails | wanted | its call: `ServerDown`; later calls at once |
//! | asked | the server confirms | granted | its call: Ok. If the call has ended: `Subscribed` |
//! | asked, with others in one command | an error | asked again in halves | |
//! | asked, alone | an error | refused | its call: the error. If the call has ended, or it heard before: `Refused`, once |
//! | asked, alone | LOADING, BUSY and the like | refused | nothing: it is asked again with growing pauses |
//! | refused | a pause passes, or a call asks | asked | |
//! | refused before, now asked | the server confirms | granted | `Subscribed` |
//! | granted | a message | granted | the message |
//! | granted | the connection is lost | wanted, with a gap | |
//! | asked, with a gap | the server confirms | granted | `Resubscribed`, before the first message |
//! | granted | the channel moves to another server | there: wanted, with a gap. Here: leaving | what still comes from here |
//! | granted there, leaving here | this server confirms UNSUBSCRIBE, is lost, or `timeouts.dead` passes | | `Resubscribed`, then the messages from there that had to wait |
//! | granted | the last subscriber leaves | leaving | |
//! | leaving | the server confirms | gone | its call: Ok |
//! | leaving | somebody subscribes | leaving, then wanted | |
//! | any | a confirmation of what was not asked, or a reply to nothing | the connection is closed | as when it is lost |

mod board;
mod call;
mod event;
mod hub;
mod inbox;
mod session;
mod topic;

#[cfg(test)]
mod tests;

pub(crate) use board::{Manner, SubscriberId};
pub(crate) use call::{Answer, Call, Slot};
pub use event::{Message, PubSubEvent, Subscription};
pub(crate) use hub::Hub;
pub(crate) use inbox::Inbox;
pub(crate) use topic::{Kind, Topic};
