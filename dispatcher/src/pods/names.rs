//! Which pod a gateway runs in, as far as the watch has told.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use carillon_common::ids::GatewayId;

/// Pods' names by gateway; clones share them. Empty without a watch.
#[derive(Clone, Default)]
pub(crate) struct Names(Arc<RwLock<HashMap<GatewayId, String>>>);

impl Names {
    /// The pod of a gateway.
    pub(crate) fn of(&self, gateway: &GatewayId) -> Option<String> {
        let names = self.0.read().unwrap_or_else(PoisonError::into_inner);
        names.get(gateway).cloned()
    }

    pub(super) fn set(&self, names: HashMap<GatewayId, String>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = names;
    }
}
