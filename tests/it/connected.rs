//! Whoever can see that it is connected, or subscribed, is owed everything accepted from then on: shown
//! by a store that stands still at each point where that is decided, on both stores and both protocols.

mod gate;
mod scene;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use carillon_tests::redis::{Options, Standalone};
use tokio::time::timeout;

use self::gate::{Call, When};
use self::scene::{HOUR, Raw, Scene, everywhere, token};
use crate::world::{SOON, token_of};

#[tokio::test]
async fn the_101_comes_after_the_registration() -> Result<()> {
    everywhere(async |scene, protocol| {
        for when in [When::Asked, When::Answered] {
            let user = format!("alice-{when:?}");
            let held = scene.gate.hold(Call::Register, when);
            let client = Raw::ask(scene, protocol, &token(&user)).await?;
            let release = held.arrived().await;
            client.heard_nothing()?;
            release.send(()).unwrap();
            let mut client = client.connected().await?;
            let owed = scene.all_kinds(&user).await?;
            client.owed(&owed).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_token_in_a_frame_is_answered_after_the_registration() -> Result<()> {
    for redis in [None, Some(Standalone::start(&Options::default()).await?)] {
        let scene = Scene::over(redis).await?;
        let held = scene.gate.hold(Call::Register, When::Answered);
        let raw = Raw::ask(&scene, Some("carillon.v1"), "").await?;
        let mut client = raw.connected().await?;
        let auth = serde_json::json!({ "type": "auth", "token": token_of("alice"), "ref": 7 });
        client.say(auth).await?;
        let release = held.arrived().await;
        let mut some = [0; 256];
        let heard = client.0.get_ref().try_read(&mut some);
        ensure!(heard.is_err(), "heard {heard:?} bytes");
        release.send(()).unwrap();
        let answer = client.frame().await?;
        assert_eq!(
            (&answer["type"], &answer["ref"]),
            (&"authenticated".into(), &7.into())
        );
        let owed = scene.all_kinds("alice").await?;
        client.owed(&owed).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_handshake_that_fails_leaves_nothing_behind() -> Result<()> {
    everywhere(async |scene, protocol| {
        let held = scene.gate.hold(Call::Register, When::Answered);
        let client = Raw::ask(scene, protocol, &token("alice")).await?;
        let release = held.arrived().await;
        let alice = "alice".parse()?;
        assert_eq!(scene.store.presence(&alice).await?.len(), 1);
        // Reset: the 101 meets a socket that is gone.
        client.0.set_zero_linger()?;
        drop(client);
        release.send(()).unwrap();
        let gone = timeout(SOON, async {
            while !scene.store.presence(&alice).await?.is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            anyhow::Ok(())
        });
        gone.await.context("it is registered still")?
    })
    .await
}

#[tokio::test]
async fn subscribed_comes_after_the_channel_is_followed() -> Result<()> {
    everywhere(async |scene, protocol| {
        for when in [When::Asked, When::Answered] {
            let raw = Raw::ask(scene, protocol, &token("alice")).await?;
            let mut client = raw.connected().await?;
            let channel = format!("news-{when:?}");
            let held = scene.gate.hold(Call::Follow, when);
            let subscribe = serde_json::json!({ "type": "subscribe", "channel": channel });
            client.say(subscribe).await?;
            let release = held.arrived().await;
            scene.publish(&channel, "between").await?;
            release.send(()).unwrap();
            // Whether what was accepted in between comes is nobody's promise; nothing before says
            // that the client is subscribed.
            client.until("subscribed").await?;
            scene.publish(&channel, "owed").await?;
            client.owed(&["owed"]).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_comes_during_a_resume_follows_it() -> Result<()> {
    everywhere(async |scene, protocol| {
        let query = format!("{}&device=phone", token("alice"));
        let raw = Raw::ask(scene, protocol, &query).await?;
        let mut client = raw.connected().await?;
        scene.publish("*", "seen").await?;
        client.owed(&["seen"]).await?;
        for when in [When::Asked, When::Answered] {
            drop(client);
            let missed = format!("missed-{when:?}");
            scene.publish("*", &missed).await?;
            let held = scene.gate.hold(Call::History, when);
            let raw = Raw::ask(scene, protocol, &query).await?;
            client = raw.connected().await?;
            let release = held.arrived().await;
            scene.publish("*", "meanwhile").await?;
            scene.send("alice", "hers", HOUR).await?;
            release.send(()).unwrap();
            client.owed(&[&missed, "meanwhile", "hers"]).await?;
            scene.publish("*", "afterwards").await?;
            client.owed(&["afterwards"]).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn whoever_takes_a_session_over_goes_on_where_it_stood() -> Result<()> {
    everywhere(async |scene, protocol| {
        for when in [When::Asked, When::Answered] {
            let user = format!("alice-{when:?}");
            let query = format!("{}&session=tab&device=phone", token(&user));
            let mut first = Raw::ask(scene, protocol, &query).await?.connected().await?;
            scene.send(&user, "before", HOUR).await?;
            first.owed(&["before"]).await?;
            let held = scene.gate.hold(Call::Register, when);
            let second = Raw::ask(scene, protocol, &query).await?;
            let release = held.arrived().await;
            scene.send(&user, "between", HOUR).await?;
            second.heard_nothing()?;
            release.send(()).unwrap();
            let mut second = second.connected().await?;
            let mut owed = vec!["between"];
            owed.extend(scene.all_kinds(&user).await?);
            second.owed(&owed).await?;
            let end = loop {
                match first.frame().await {
                    Ok(_) => {}
                    Err(error) => break error.to_string(),
                }
            };
            ensure!(end.contains("4009"), "the first one ended with {end}");
        }
        Ok(())
    })
    .await
}
