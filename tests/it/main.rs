//! The whole-system tests, in one binary.

mod contract;
