//! Many notifications in one call.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{Scene, post, v1};
use crate::world::{Opened, SOON, content, next_contents};

const BATCH: &str = "/api/notifications/batch";

fn to(user: &str, content: &str, key: &str) -> Value {
    json!({ "target_user": user, "notification_type": "t", "content": content, "idempotency_key": key })
}

fn statuses(answer: &Value) -> Vec<&str> {
    let results = answer["results"].as_array().into_iter().flatten();
    results
        .map(|it| it["status"].as_str().unwrap_or(""))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_each_is_accepted_or_not_by_itself() -> Result<()> {
    let scene = Scene::new(&[("inbox.max", "40"), ("inbox.keep", "1")]).await?;
    let deployment = &scene.deployment;
    let gateway = &deployment.gateways()[0];
    let mut alice = Opened::by(&v1(deployment, gateway, "alice", "phone"))
        .await?
        .socket;
    // Nobody has ever read this one's.
    for number in 0..40 {
        let body = json!({ "target_user": "full", "notification_type": "t", "content": number.to_string() });
        deployment.api().send(&body, None).await?;
    }

    let mut all: Vec<_> = (0..96)
        .map(|number| {
            let user = ["alice", "bob", "carol"][number % 3];
            to(user, &number.to_string(), &format!("k{number}"))
        })
        .collect();
    all.push(to("full", "no room", "k"));
    all.push(json!({ "target_user": "bob", "notification_type": "ping", "content": "" }));
    // The same notification once more, and another one under its key.
    all.push(all[0].clone());
    all.push(to("alice", "something else", "k0"));
    ensure!(all.len() == 100);

    let (status, answer) = post(deployment, BATCH, &json!({ "notifications": all })).await?;
    ensure!(status == 200, "{status} {answer}");
    let mut expected = vec!["ok"; 96];
    expected.extend(["failed", "failed", "ok", "failed"]);
    ensure!(statuses(&answer) == expected, "{answer}");
    let results = &answer["results"];
    let code = |at: usize| results[at]["problem"]["code"].as_str();
    ensure!(code(96) == Some("inbox_full"), "{answer}");
    ensure!(code(97) == Some("reserved_type"), "{answer}");
    ensure!(code(99) == Some("idempotency_mismatch"), "{answer}");
    ensure!(results[98]["idempotent_replayed"] == true, "{answer}");
    ensure!(results[98]["id"] == results[0]["id"]);
    ensure!(results[0]["outcome"] == "routed" && results[1]["outcome"] == "queued");
    ensure!((answer["accepted"].as_u64(), answer["failed"].as_u64()) == (Some(97), Some(3)));

    // In the order of the batch, each once.
    let mine: Vec<_> = (0..96)
        .step_by(3)
        .map(|number| number.to_string())
        .collect();
    ensure!(next_contents(&mut alice, mine.len()).await == mine);
    let bob = Opened::by(&v1(deployment, gateway, "bob", "phone")).await?;
    let theirs: Vec<_> = (1..96)
        .step_by(3)
        .map(|number| number.to_string())
        .collect();
    ensure!(bob.contents() == theirs, "{:?}", bob.contents());

    // All of it again: nothing is sent twice.
    let (_, again) = post(deployment, BATCH, &json!({ "notifications": all })).await?;
    let replayed = again["results"].as_array().into_iter().flatten();
    let replayed = replayed
        .filter(|it| it["idempotent_replayed"] == true)
        .count();
    ensure!(replayed == 97, "{again}");
    deployment
        .api()
        .send(
            &json!({ "target_user": "alice", "notification_type": "t", "content": "end" }),
            None,
        )
        .await?;
    ensure!(next_contents(&mut alice, 1).await == ["end"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_users_are_sent_the_same_once() -> Result<()> {
    let scene = Scene::new(&[]).await?;
    let deployment = &scene.deployment;
    let gateway = &deployment.gateways()[1];
    let mut last = Opened::by(&v1(deployment, gateway, "user999", "phone"))
        .await?
        .socket;
    let users: Vec<_> = (0..1_000).map(|number| format!("user{number}")).collect();
    let body = |users: &[String]| json!({ "target_users": users, "notification_type": "t", "content": "all" });
    let send = async |users: &[String]| -> Result<Value> {
        let path = "/api/notifications/send";
        let request = deployment.api().request(reqwest::Method::POST, path);
        let request = request
            .header("Idempotency-Key", "to all")
            .json(&body(users));
        Ok(request.send().await?.error_for_status()?.json().await?)
    };
    let first = send(&users).await?;
    ensure!(statuses(&first) == vec!["ok"; 1_000], "{first}");
    let frame = last.frame(SOON).await?;
    ensure!(
        content(&frame) == "all" && frame["id"] == first["results"][999]["id"],
        "{frame}"
    );
    // To some of them, and one more, under the same key.
    let mut some = users[..9].to_vec();
    some.push("another".to_owned());
    let again = send(&some).await?;
    let replayed = |at: usize| &again["results"][at]["idempotent_replayed"];
    ensure!((0..9).all(|at| *replayed(at) == true), "{again}");
    ensure!(*replayed(9) == false, "{again}");
    let one = Opened::by(&v1(deployment, gateway, "user0", "phone")).await?;
    ensure!(one.contents() == ["all"], "{:?}", one.contents());
    Ok(())
}
