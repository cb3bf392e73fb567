//! Who is there: tokens of clients, keys of services, and values that must not be seen.

mod secret;

pub use self::secret::Secret;
