//! Sharded Pub/Sub.
