//! What can be done from here: one operation each, behind the API and behind the guide's routes alike.

pub(crate) mod bulk;
pub(crate) mod consumers;
mod dead;
mod find;
pub(crate) mod group;
pub(crate) mod produce;
pub(crate) mod reset;
pub(crate) mod trim;

pub(crate) use find::peer;
use find::pending_of;
