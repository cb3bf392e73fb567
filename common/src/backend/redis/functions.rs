//! Function libraries.
