//! The transfer against a hub on loopback on which everything goes wrong that goes wrong on the real ones.

#![allow(clippy::unwrap_used)]

mod child;
mod disk;
mod faults;
mod fidelity;
mod kill;
mod network;
mod resume;
mod setting;
mod storm;
mod together;
