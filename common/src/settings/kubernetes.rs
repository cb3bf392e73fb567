//! `[kubernetes]`: what a process in a pod knows of the cluster.

use super::Settings;
use super::read::settings;
use crate::ids::{GatewayId, InvalidName};

settings! {
    /// `[kubernetes]`: the pod, and whether to watch the others.
    pub struct KubernetesSettings {
        /// This pod's name; none outside of Kubernetes.
        pub pod_name: Option<String>,
        /// This pod's namespace.
        pub namespace: Option<String>,
        /// Whether the dispatcher watches gateway pods.
        pub watch: bool,
        /// Labels of gateway pods.
        pub gateway_selector: String,
    }
}

impl Settings {
    /// The gateway's name in the deployment, where the configuration or the pod gives one.
    ///
    /// # Errors
    /// It is no name for a gateway.
    pub fn gateway_name(&self) -> Result<Option<GatewayId>, InvalidName> {
        match (&self.gateway.name, &self.kubernetes.pod_name) {
            (Some(name), _) => GatewayId::new(name).map(Some),
            (None, Some(pod)) => GatewayId::of_pod(pod).map(Some),
            (None, None) => Ok(None),
        }
    }
}
