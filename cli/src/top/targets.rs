//! Where the admin ports are, and how they are read.

use std::{error::Error, time::Duration};

use carillon_client::{is_local, tls};
use carillon_common::settings::Settings;
use http::Request;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use url::Url;

use super::Exposition;
use crate::{doctor::service_pods, failure::Failure};

/// A process that does not answer in this time does not answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// More than any of ours writes.
const MOST_BYTES: usize = 4 << 20;

/// One admin port.
pub(crate) struct Target {
    /// For people.
    pub(crate) name: String,
    way: Way,
}

enum Way {
    Address(reqwest::Client, Url),
    /// Through the API server.
    Pod(Client, String),
}

/// Those at these addresses: `host:9090`, or a URL where something stands before them.
pub(crate) fn addresses(given: &[String]) -> Result<Vec<Target>, Failure> {
    let urls: Result<Vec<_>, _> = given.iter().map(|text| address(text)).collect();
    let urls = urls?;
    let mut http = reqwest::Client::builder()
        .tls_backend_preconfigured((*tls::client()).clone())
        .user_agent(concat!("carillon/", env!("CARGO_PKG_VERSION")))
        .timeout(PATIENCE);
    if urls.iter().all(is_local) {
        http = http.no_proxy();
    }
    let http = http
        .build()
        .map_err(|error| Failure::Failed(innermost(&error)))?;
    let targets = given.iter().zip(urls).map(|(name, url)| Target {
        name: name.clone(),
        way: Way::Address(http.clone(), url),
    });
    Ok(targets.collect())
}

/// Those of the pods that `carillon doctor --kubernetes` finds, by the API server's own way to them.
pub(crate) async fn pods(
    settings: &Settings,
    namespace: Option<&str>,
) -> Result<Vec<Target>, Failure> {
    let (client, pods) = service_pods(settings, namespace).await?;
    let targets = pods.iter().filter_map(|pod| {
        let name = pod.metadata.name.clone()?;
        let namespace = pod.metadata.namespace.as_deref()?;
        let port = admin_port(pod).unwrap_or(settings.admin.listen.port());
        Some(Target {
            way: Way::Pod(client.clone(), proxied(namespace, &name, port)),
            name,
        })
    });
    Ok(targets.collect())
}

impl Target {
    /// What it says now, or why nothing could be read.
    pub(crate) async fn read(&self) -> Result<Exposition, String> {
        let text = match &self.way {
            Way::Address(http, url) => over_http(http, url).await?,
            Way::Pod(client, path) => through(client, path).await?,
        };
        let read = Exposition::parse(&text);
        if read.has("carillon_build_info") {
            Ok(read)
        } else {
            Err("answers, but not as an admin port of Carillon (admin.listen, 9090)".to_owned())
        }
    }
}

async fn over_http(http: &reqwest::Client, url: &Url) -> Result<String, String> {
    let answer = http.get(url.clone()).send().await;
    let mut answer = answer.map_err(|error| {
        let why = if error.is_timeout() {
            format!("gave no answer in {PATIENCE:?}")
        } else {
            format!("cannot be reached: {}", innermost(&error))
        };
        format!("{why}; on Kubernetes: kubectl port-forward POD 9090")
    })?;
    if !answer.status().is_success() {
        return Err(format!("answered {}", answer.status()));
    }
    let mut text = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| innermost(&error))? {
        text.extend_from_slice(&piece);
        if text.len() > MOST_BYTES {
            return Err("answers with more than any admin port of Carillon".to_owned());
        }
    }
    String::from_utf8(text).map_err(|_| "does not answer with text".to_owned())
}

async fn through(client: &Client, path: &str) -> Result<String, String> {
    let request = Request::get(path).body(Vec::new());
    let request = request.map_err(|error| error.to_string())?;
    let asked = tokio::time::timeout(PATIENCE, client.request_text(request)).await;
    let remedy = "the API server's way to it may be closed (pods/proxy, the network policy): kubectl \
                  port-forward POD 9090, and give the addresses";
    match asked {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => Err(format!("{}; {remedy}", innermost(&error))),
        Err(_) => Err(format!("gave no answer in {PATIENCE:?}; {remedy}")),
    }
}

fn address(given: &str) -> Result<Url, Failure> {
    let wrong = |why: &str| {
        Failure::Usage(format!(
            "{given}: {why}; write the host and port of an admin port, such as 127.0.0.1:9090"
        ))
    };
    let whole = match given.contains("://") {
        true => given.to_owned(),
        false => format!("http://{given}"),
    };
    let mut url = Url::parse(&whole).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("must start with http:// or https://"));
    }
    if !given.contains("://") && url.port().is_none() {
        return Err(wrong("has no port"));
    }
    if url.path() == "/" {
        url.set_path("/metrics");
    }
    Ok(url)
}

/// The port that the pod calls `admin`.
fn admin_port(pod: &Pod) -> Option<u16> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
    let admin = ports.find(|port| port.name.as_deref() == Some("admin"))?;
    u16::try_from(admin.container_port).ok()
}

/// Names of pods and namespaces need no escaping (RFC 1123).
fn proxied(namespace: &str, pod: &str, port: u16) -> String {
    format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/metrics")
}

fn innermost(error: &dyn Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use axum::{Router, routing::get};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port_or_a_url() {
        for (given, url) in [
            ("127.0.0.1:9090", "http://127.0.0.1:9090/metrics"),
            ("gw:1", "http://gw:1/metrics"),
            ("[::1]:9090", "http://[::1]:9090/metrics"),
            (
                "https://ops.example/gw/metrics",
                "https://ops.example/gw/metrics",
            ),
            ("http://gw:9090/", "http://gw:9090/metrics"),
        ] {
            assert_eq!(address(given).unwrap().as_str(), url);
        }
        for (given, why) in [
            ("gw", "has no port"),
            ("redis://gw:1", "must start with http"),
            ("http://", "empty host"),
            ("gw:x", "invalid port"),
        ] {
            let failure = address(given).unwrap_err();
            let told = failure.to_string();
            assert!(
                matches!(failure, Failure::Usage(_)) && told.contains(why),
                "{told}"
            );
            assert!(told.contains("127.0.0.1:9090"), "{told}");
        }
    }

    #[test]
    fn a_pod_is_asked_at_the_port_that_it_calls_admin() {
        let pod = serde_json::json!({
            "metadata": {"name": "gw-1", "namespace": "rt"},
            "spec": {"containers": [
                {"name": "sidecar"},
                {"name": "gateway", "ports": [
                    {"name": "ws", "containerPort": 8080},
                    {"name": "admin", "containerPort": 9191},
                ]},
            ]},
        });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        assert_eq!(admin_port(&pod), Some(9191));
        assert_eq!(admin_port(&Pod::default()), None);
        assert_eq!(
            proxied("rt", "gw-1", 9191),
            "/api/v1/namespaces/rt/pods/gw-1:9191/proxy/metrics"
        );
    }

    /// A server that answers every path with this text.
    async fn server(text: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = Router::new().fallback(get(move || async move { text }));
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    #[tokio::test]
    async fn what_is_no_admin_port_is_told() {
        let other = server("<html>").await;
        let own = server("carillon_build_info{version=\"1\"} 1\n").await;
        let nobody = "127.0.0.1:1".to_owned();
        let targets = addresses(&[other, own, nobody]).unwrap();
        let told = targets[0].read().await.unwrap_err();
        assert!(told.contains("not as an admin port"), "{told}");
        assert!(targets[1].read().await.is_ok());
        let told = targets[2].read().await.unwrap_err();
        assert!(
            told.contains("cannot be reached") && told.contains("port-forward"),
            "{told}"
        );
    }
}
