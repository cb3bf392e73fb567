//! Which pod a gateway runs in, as far as the watch has told.

use std::{collections::HashMap, sync::Arc};

use carillon_common::ids::GatewayId;
use parking_lot::RwLock;

/// Pods' names by gateway; clones share them. Empty without a watch.
#[derive(Clone, Default)]
pub(crate) struct Names(Arc<RwLock<HashMap<GatewayId, String>>>);

impl Names {
    /// The pod of a gateway.
    pub(crate) fn of(&self, gateway: &GatewayId) -> Option<String> {
        self.0.read().get(gateway).cloned()
    }

    pub(super) fn set(&self, names: HashMap<GatewayId, String>) {
        *self.0.write() = names;
    }
}
