//! The watch over gateway pods, against an API server that says what the test wants.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
    routing::get,
};
use carillon_common::{backend::BackendError, http::listen};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    service::{Service, answer},
    store::{Answer, ToldStore},
};

const SOON: Duration = Duration::from_secs(10);
const NAMESPACE: &str = "shop";

/// An API server with pods and nothing else.
#[derive(Clone, Default)]
struct ApiServer(Arc<Mutex<Cluster>>);

#[derive(Default)]
struct Cluster {
    version: u64,
    pods: Vec<Value>,
    watches: Vec<mpsc::UnboundedSender<Value>>,
    /// Answers everything with this status.
    refuses: Option<u16>,
    /// Selectors that were asked for.
    selectors: Vec<String>,
}

impl ApiServer {
    /// Its address.
    async fn start(&self) -> kube::Config {
        let listener = listen(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let pods = Router::new()
            .route("/api/v1/namespaces/{namespace}/pods", get(pods))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, pods).await });
        kube::Config::new(format!("http://{address}").parse().unwrap())
    }

    fn refuse(&self, status: Option<u16>) {
        self.0.lock().unwrap().refuses = status;
    }

    /// Forgets a pod without telling of it, and then tells every watch that it is too far behind.
    fn lose(&self, uid: &str) {
        let mut cluster = self.0.lock().unwrap();
        cluster.version += 1;
        cluster.pods.retain(|pod| pod["metadata"]["uid"] != uid);
        let gone = json!({"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1",
            "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"}});
        for watch in cluster.watches.drain(..) {
            watch.send(gone.clone()).unwrap();
        }
    }

    fn add(&self, pod: Value) {
        self.tell("ADDED", pod);
    }

    fn change(&self, pod: Value) {
        self.tell("MODIFIED", pod);
    }

    fn delete(&self, name: &str) {
        let pod = {
            let cluster = self.0.lock().unwrap();
            let found = cluster
                .pods
                .iter()
                .find(|pod| pod["metadata"]["name"] == name);
            found.unwrap().clone()
        };
        self.tell("DELETED", pod);
    }

    fn tell(&self, kind: &str, mut pod: Value) {
        let mut cluster = self.0.lock().unwrap();
        cluster.version += 1;
        pod["metadata"]["resourceVersion"] = cluster.version.to_string().into();
        let uid = pod["metadata"]["uid"].clone();
        cluster.pods.retain(|other| other["metadata"]["uid"] != uid);
        if kind != "DELETED" {
            cluster.pods.push(pod.clone());
        }
        let event = json!({"type": kind, "object": pod});
        cluster
            .watches
            .retain(|watch| watch.send(event.clone()).is_ok());
    }
}

async fn pods(
    State(server): State<ApiServer>,
    Path(namespace): Path<String>,
    Query(query): Query<std::collections::HashMap<String, String>>,
) -> Response {
    assert_eq!(namespace, NAMESPACE);
    let mut cluster = server.0.lock().unwrap();
    if let Some(status) = cluster.refuses {
        let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status,
            "reason": "Forbidden", "message": "pods is forbidden"});
        let status = axum::http::StatusCode::from_u16(status).unwrap();
        return (status, axum::Json(body)).into_response();
    }
    cluster
        .selectors
        .extend(query.get("labelSelector").cloned());
    if query.get("watch").is_some_and(|watch| watch == "true") {
        let since: u64 = query["resourceVersion"].parse().unwrap();
        let (sender, receiver) = mpsc::unbounded_channel();
        let version = |pod: &Value| pod["metadata"]["resourceVersion"].as_str().unwrap().parse();
        for pod in &cluster.pods {
            if version(pod).is_ok_and(|version: u64| version > since) {
                sender
                    .send(json!({"type": "ADDED", "object": pod}))
                    .unwrap();
            }
        }
        cluster.watches.push(sender);
        let lines =
            tokio_stream(receiver).map(|event| Ok::<_, std::io::Error>(format!("{event}\n")));
        return Body::from_stream(lines).into_response();
    }
    axum::Json(json!({
        "kind": "PodList", "apiVersion": "v1", "items": cluster.pods,
        "metadata": {"resourceVersion": cluster.version.to_string()},
    }))
    .into_response()
}

fn tokio_stream<T>(receiver: mpsc::UnboundedReceiver<T>) -> impl futures_util::Stream<Item = T> {
    futures_util::stream::unfold(receiver, async |mut receiver| {
        let item = receiver.recv().await?;
        Some((item, receiver))
    })
}

/// A gateway pod that runs.
fn pod(name: &str, uid: &str) -> Value {
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": format!("carillon-gateway-{name}"), "uid": uid, "namespace": NAMESPACE},
        "spec": {"containers": [{"name": "gateway"}]},
        "status": {"phase": "Running", "containerStatuses": [{
            "name": "gateway", "ready": true, "restartCount": 0, "image": "", "imageID": "",
            "state": {"running": {"startedAt": "2026-09-04T11:00:00Z"}},
        }]},
    })
}

async fn started(server: &ApiServer) -> (Arc<ToldStore>, Service) {
    let config = server.start().await;
    let store = Arc::new(ToldStore::default());
    let service = Service::start_watching(store.clone(), config, |settings| {
        settings.kubernetes.watch = true;
        settings.kubernetes.namespace = Some(NAMESPACE.to_owned());
    })
    .await;
    (store, service)
}

/// Waits until this holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits for so many reaped gateways, and names them all.
async fn reaped(store: &ToldStore, count: usize) -> Vec<String> {
    until("a gateway is reaped", async || store.reaps().len() >= count).await;
    let reaps = store.reaps().into_iter();
    reaps.map(|(gateway, _)| gateway.to_string()).collect()
}

async fn readiness(service: &Service) -> (u16, Value) {
    let url = format!("http://{}/readyz?verbose", service.admin);
    let answer = answer(service.http.get(url)).await;
    (answer.status, answer.json())
}

async fn metric(service: &Service, line: &str) -> bool {
    let url = format!("http://{}/metrics", service.admin);
    let text = answer(service.http.get(url)).await.text;
    text.lines().any(|it| it == line)
}

async fn watches(service: &Service) {
    until("the pods are watched", async || {
        metric(service, "carillon_dispatcher_pod_watch 1").await
    })
    .await;
}

#[tokio::test]
async fn a_deleted_pods_gateway_is_reaped_once() {
    let server = ApiServer::default();
    server.add(pod("1-a", "u1"));
    let (store, service) = started(&server).await;
    watches(&service).await;
    assert!(store.reaps().is_empty(), "it lives");
    let now = carillon_common::backend::clock::local_now();
    server.add(pod("1-b", "u2"));
    server.delete("carillon-gateway-1-a");
    assert_eq!(reaped(&store, 1).await, ["1-a"]);
    let (_, until_ms) = store.reaps()[0];
    assert!((now..now + 10_000).contains(&until_ms), "{until_ms}");
    let counted = r#"carillon_dispatcher_reaped_gateways_total{cause="deleted"} 1"#;
    until("it is counted", async || metric(&service, counted).await).await;
    let selectors = server.0.lock().unwrap().selectors.clone();
    let expected = "app.kubernetes.io/name=carillon,app.kubernetes.io/component=gateway";
    assert!(selectors.iter().all(|it| it == expected), "{selectors:?}");
}

#[tokio::test]
async fn a_killed_container_is_reaped_and_its_successor_is_not() {
    let server = ApiServer::default();
    server.add(pod("1-a", "u1"));
    let (store, service) = started(&server).await;
    watches(&service).await;
    let mut dead = pod("1-a", "u1");
    let killed = json!({"terminated": {"exitCode": 137, "finishedAt": "2026-09-04T12:00:00Z"}});
    dead["status"]["containerStatuses"][0]["state"] = killed.clone();
    server.change(dead.clone());
    assert_eq!(reaped(&store, 1).await, ["1-a"]);
    assert_eq!(
        store.reaps()[0].1,
        1_788_523_200_999,
        "up to the end of that second"
    );

    let status = &mut dead["status"]["containerStatuses"][0];
    status["state"] = json!({"running": {"startedAt": "2026-09-04T12:00:05Z"}});
    status["lastState"] = killed;
    server.change(dead);
    server.delete("carillon-gateway-1-a");
    assert_eq!(
        reaped(&store, 2).await,
        ["1-a", "1-a"],
        "not for the restart"
    );
}

#[tokio::test]
async fn a_pod_that_is_being_deleted_is_not_dead() {
    let server = ApiServer::default();
    server.add(pod("1-a", "u1"));
    server.add(pod("1-b", "u2"));
    let (store, service) = started(&server).await;
    watches(&service).await;
    let mut leaving = pod("1-a", "u1");
    leaving["metadata"]["deletionTimestamp"] = "2026-09-04T12:00:00Z".into();
    server.change(leaving);
    server.delete("carillon-gateway-1-b");
    assert_eq!(reaped(&store, 1).await, ["1-b"], "told after it");
}

#[tokio::test]
async fn what_a_broken_watch_missed_is_found_in_the_next_list() {
    let server = ApiServer::default();
    server.add(pod("1-a", "u1"));
    server.add(pod("1-b", "u2"));
    let (store, service) = started(&server).await;
    watches(&service).await;
    server.lose("u1");
    assert_eq!(reaped(&store, 1).await, ["1-a"]);
    // That is how every long watch ends; nothing has failed.
    watches(&service).await;
}

#[tokio::test]
async fn a_refusal_is_shown_and_harms_nothing() {
    let server = ApiServer::default();
    server.refuse(Some(403));
    let (store, service) = started(&server).await;
    until("it is shown", async || {
        let (status, readiness) = readiness(&service).await;
        assert_eq!(status, 200, "never a reason not to be ready");
        let part = &readiness["degraded"][0];
        let why = part["detail"].as_str().unwrap_or_default();
        part["what"] == "kubernetes" && why.contains("list and watch pods in the namespace shop")
    })
    .await;
    assert_eq!(readiness(&service).await.1["status"], "degraded");
    let body = r#"{"target_user":"a","notification_type":"t","content":""}"#;
    assert_eq!(
        answer(service.post("/api/notifications/send", body))
            .await
            .status,
        200
    );

    server.add(pod("1-a", "u1"));
    server.refuse(None);
    watches(&service).await;
    let (_, healthy) = readiness(&service).await;
    assert_eq!(healthy["status"], "ready", "{healthy}");
    server.delete("carillon-gateway-1-a");
    assert_eq!(reaped(&store, 1).await, ["1-a"]);
}

#[tokio::test]
async fn a_store_that_is_away_is_told_again() {
    let server = ApiServer::default();
    server.add(pod("1-a", "u1"));
    let (store, service) = started(&server).await;
    watches(&service).await;
    store.answer([Answer::Fails(BackendError::Unavailable("away".to_owned()))]);
    server.delete("carillon-gateway-1-a");
    assert_eq!(reaped(&store, 2).await, ["1-a", "1-a"]);
}

#[tokio::test]
async fn gateways_are_listed_with_their_pods() {
    let server = ApiServer::default();
    server.add(pod("1-a", "u1"));
    let (store, service) = started(&server).await;
    store.has_gateways(&[("1-a", 1, 0), ("elsewhere", 1, 0)]);
    watches(&service).await;
    let listed = answer(service.request("GET", "/api/gateways")).await.json();
    assert_eq!(listed["gateways"][0]["pod"], "carillon-gateway-1-a");
    assert_eq!(listed["gateways"][1]["pod"], Value::Null);
}
