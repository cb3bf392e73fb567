//! Event streams through nginx.

use anyhow::{Result, ensure};
use carillon_tests::client::{Ask, EventStream, Heard, notification};
use tokio::time::timeout;

use super::{Edge, PATIENCE};

#[tokio::test(flavor = "multi_thread")]
async fn events_pass_at_once_and_go_on_at_another_gateway() -> Result<()> {
    let edge = Edge::start().await?;
    let token = edge.deployment.token("alice");
    let ask = Ask::of(&edge.nginx.http())
        .query("token", &*token)
        .query("device", "tab");
    let mut stream = EventStream::open(&ask).await?;
    stream.until("replayed", PATIENCE).await?;
    let send = async |content: &str| {
        edge.api
            .send(&notification("alice", "t", content), None)
            .await
    };
    let first = send("one").await?;
    let event = stream.event(PATIENCE).await?;
    ensure!(event.data["id"] == first.id, "{event:?}");

    // Of the gateway that has it, or of the other one.
    edge.deployment.gateways()[0].kill().await?;
    let second = send("two").await?;
    let event = loop {
        match timeout(PATIENCE, stream.next()).await? {
            Heard::Event(event) if event.name == "message" => break event,
            Heard::Event(_) | Heard::Comment => {}
            Heard::Ended(_) => {
                let again = ask.clone().after(stream.last_id.as_deref());
                stream = EventStream::open(&again).await?;
            }
        }
    };
    ensure!(event.data["id"] == second.id, "{event:?}");
    drop(stream);

    let logs = edge.nginx.stop().await?;
    ensure!(
        logs.access.contains("/sse/notifications"),
        "{}",
        logs.access
    );
    let secret = token.rsplit('.').next().unwrap_or_default();
    ensure!(!logs.access.contains(secret), "a token is in the log");
    Ok(())
}
