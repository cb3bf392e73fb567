//! What the API server says.

use carillon_common::settings::Settings;
use k8s_openapi::{
    api::{
        authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
        core::v1::{Pod, Service},
        discovery::v1::EndpointSlice,
        policy::v1::PodDisruptionBudget,
    },
    serde::de::DeserializeOwned,
};
use kube::{
    Api, Client, Config, Resource,
    api::{ListParams, PostParams},
    core::NamespaceResourceScope,
};

use crate::failure::Failure;

/// What a watching dispatcher does with pods.
pub(super) const VERBS: [&str; 3] = ["get", "list", "watch"];
/// The label that tells the dispatchers' pods from the gateways'.
const COMPONENT: &str = "app.kubernetes.io/component";

/// What was asked, or why it was refused.
pub(super) type Asked<T> = Result<T, String>;

/// The cluster as far as Carillon is in it.
pub(super) struct ClusterFacts {
    pub(super) namespace: String,
    /// Major and minor.
    pub(super) version: (u32, u32),
    pub(super) gateways: Asked<Vec<Pod>>,
    pub(super) dispatchers: Asked<Vec<Pod>>,
    /// The dispatchers' service account, and what of [`VERBS`] it may not do with pods. None
    /// without a dispatcher.
    pub(super) denied: Asked<Option<(String, Vec<&'static str>)>>,
    pub(super) budgets: Asked<Vec<PodDisruptionBudget>>,
    pub(super) services: Asked<Vec<Service>>,
    pub(super) endpoints: Asked<Vec<EndpointSlice>>,
}

/// Connects as this pod's service account, or the kubeconfig's user, may; and says in which namespace.
async fn connect(
    settings: &Settings,
    namespace: Option<&str>,
) -> Result<(Client, String), Failure> {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let config = Config::infer()
        .await
        .map_err(|error| away(&error.to_string()))?;
    let named = namespace.or(settings.kubernetes.namespace.as_deref());
    let namespace = named.unwrap_or(&config.default_namespace).to_owned();
    let client = Client::try_from(config).map_err(|error| away(&error.to_string()))?;
    Ok((client, namespace))
}

fn away(why: &str) -> Failure {
    Failure::Connection(format!(
        "the Kubernetes API cannot be reached: {why}; run it where kubectl works, or in a pod with a service \
         account"
    ))
}

/// The labels of gateways, and of dispatchers.
fn selectors(settings: &Settings) -> [String; 2] {
    let gateways = settings.kubernetes.gateway_selector.clone();
    let dispatchers = gateways.replace(
        &format!("{COMPONENT}=gateway"),
        &format!("{COMPONENT}=dispatcher"),
    );
    [gateways, dispatchers]
}

/// The pods of both services, gateways first.
pub(super) async fn pods(
    settings: &Settings,
    namespace: Option<&str>,
) -> Result<(Client, Vec<Pod>), Failure> {
    let (client, namespace) = connect(settings, namespace).await?;
    let mut pods = Vec::new();
    for selector in selectors(settings) {
        let listed = list::<Pod>(&client, &namespace, Some(&selector)).await;
        pods.extend(listed.map_err(|why| away(&why))?);
    }
    Ok((client, pods))
}

/// Asks everything, on the first try: whatever is refused is a finding.
pub(super) async fn gather(
    settings: &Settings,
    namespace: Option<&str>,
) -> Result<ClusterFacts, Failure> {
    let (client, namespace) = connect(settings, namespace).await?;
    let version = client.apiserver_version().await;
    let version = version.map_err(|error| away(&innermost(&error)))?;

    let [gateways, dispatchers] = selectors(settings);
    let gateways = list(&client, &namespace, Some(&gateways)).await;
    let dispatchers = list::<Pod>(&client, &namespace, Some(&dispatchers)).await;
    let denied = match &dispatchers {
        Ok(pods) => denied(&client, &namespace, pods.first()).await,
        Err(why) => Err(why.clone()),
    };
    Ok(ClusterFacts {
        version: (digits(&version.major), digits(&version.minor)),
        gateways,
        dispatchers,
        denied,
        budgets: list(&client, &namespace, None).await,
        services: list(&client, &namespace, None).await,
        endpoints: list(&client, &namespace, None).await,
        namespace,
    })
}

async fn list<T>(client: &Client, namespace: &str, labels: Option<&str>) -> Asked<Vec<T>>
where
    T: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let parameters = ListParams {
        label_selector: labels.map(str::to_owned),
        ..ListParams::default()
    };
    let listed = Api::<T>::namespaced(client.clone(), namespace)
        .list(&parameters)
        .await;
    listed.map(|list| list.items).map_err(|error| said(&error))
}

/// What the service account of a pod may not do with pods.
async fn denied(
    client: &Client,
    namespace: &str,
    pod: Option<&Pod>,
) -> Asked<Option<(String, Vec<&'static str>)>> {
    let Some(pod) = pod else { return Ok(None) };
    let account = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.service_account_name.as_deref());
    let account = account.unwrap_or("default");
    let mut denied = Vec::new();
    for verb in VERBS {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(format!("system:serviceaccount:{namespace}:{account}")),
                groups: Some(vec![
                    "system:serviceaccounts".to_owned(),
                    format!("system:serviceaccounts:{namespace}"),
                    "system:authenticated".to_owned(),
                ]),
                resource_attributes: Some(ResourceAttributes {
                    namespace: Some(namespace.to_owned()),
                    resource: Some("pods".to_owned()),
                    verb: Some(verb.to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let answer = Api::all(client.clone())
            .create(&PostParams::default(), &review)
            .await
            .map_err(|error| said(&error))?;
        if !answer.status.is_some_and(|status| status.allowed) {
            denied.push(verb);
        }
    }
    Ok(Some((account.to_owned(), denied)))
}

/// `30+` is 30.
fn digits(text: &str) -> u32 {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_default()
}

fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => innermost(error),
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}
