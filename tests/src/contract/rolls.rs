//! Asking gateways who is on a channel.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use carillon_common::backend::{BusEvent, Control, Member, Roll, RollCall};
use tokio::time::Instant;

use super::{
    DEADLINE, Stores,
    gateway::Gateway,
    world::{World, channel, limits},
};

/// As long as every gateway answers, nobody waits for it.
const LONG: Duration = DEADLINE;

fn question(name: &str) -> Result<RollCall> {
    Ok(RollCall {
        channel: channel(name)?,
        after: Some("a|{b}\n".parse()?),
        most: 7,
    })
}

/// Waits for a question and answers it with one member, and so often.
async fn answers(gateway: &Gateway, call: &RollCall, times: usize) -> Result<Roll> {
    let asked = |event: &BusEvent| match event {
        BusEvent::Control(Control::RollCall {
            answer_to,
            call: heard,
        }) if heard == call => Some(answer_to.clone()),
        _ => None,
    };
    let asked = gateway.heard.heard(1, asked).await?;
    let roll = Roll {
        gateway: gateway.name.clone(),
        connections: 3,
        members: vec![Member {
            user: "bob|\"{}\n".parse()?,
            session: "s1".parse()?,
            device: Some("phone".parse()?),
        }],
        more: true,
    };
    let answer_to = asked.last().context("no question")?;
    for _ in 0..times {
        gateway.answer(answer_to, &roll).await?;
    }
    Ok(roll)
}

pub(super) async fn every_gateway_is_asked_and_its_answer_is_told(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let one = world.gateway("one").await?;
    let two = world.other_gateway("two").await?;
    let call = question("orders")?;
    let (rolls, of_one, of_two) = tokio::join!(
        world.other.roll_call(&call, LONG),
        answers(&one, &call, 1),
        answers(&two, &call, 1)
    );
    let mut rolls = rolls?;
    rolls.answers.sort_by(|a, b| a.gateway.cmp(&b.gateway));
    assert_eq!((rolls.asked, rolls.answers), (2, vec![of_one?, of_two?]));
    Ok(())
}

pub(super) async fn who_does_not_answer_is_not_waited_for(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let one = world.gateway("one").await?;
    let silent = world.other_gateway("silent").await?;
    let call = question("orders")?;
    let within = Duration::from_millis(1_500);
    let began = Instant::now();
    let (rolls, answer) = tokio::join!(
        world.backend.roll_call(&call, within),
        answers(&one, &call, 1)
    );
    let rolls = rolls?;
    assert_eq!((rolls.asked, rolls.answers), (2, vec![answer?]));
    assert!(began.elapsed() < within + Duration::from_secs(5));
    // One that comes late harms nobody, and answers nothing else.
    answers(&silent, &call, 2).await?;
    let other = question("others")?;
    let rolls = world
        .backend
        .roll_call(&other, Duration::from_millis(50))
        .await?;
    assert_eq!((rolls.asked, rolls.answers.len()), (2, 0));
    Ok(())
}

pub(super) async fn without_gateways_nobody_is_there(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let rolls = world.backend.roll_call(&question("orders")?, LONG).await?;
    assert_eq!((rolls.asked, rolls.answers.len()), (0, 0));
    Ok(())
}
