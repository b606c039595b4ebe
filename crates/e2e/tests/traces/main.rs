//! Traces of the real services, as a collector receives them, and what their logs say of requests.

mod collector;
mod logs;
mod outages;
mod sampling;
mod settlement;
mod stream;
