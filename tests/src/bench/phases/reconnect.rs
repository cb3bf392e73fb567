//! A gateway is killed: how long until everyone is back, and whether anything is lost.

use super::*;

/// Sends during the outage, per second.
const RATE: f64 = 400.0;
const LASTING: Duration = Duration::from_secs(5);

pub(super) async fn run(scale: &Scale) -> Result<Vec<Figure>> {
    let rig = std::sync::Arc::new(Rig::start(2, scale.keeps).await?);
    let manners = Manners {
        acks: true,
        returns: true,
        times: None,
    };
    let crowd = Crowd::start(manners)?;
    let count = scale.orphans as u64;
    progress(&format!(
        "{count} clients connect to a gateway that will be killed"
    ));
    crowd.join(seats(0..scale.orphans, true), rig.gateways[0].public());
    crowd.tally().until(WELCOMED, count, SOON).await?;

    progress("killed; sends go on");
    crowd.move_to(rig.gateways[1].public());
    let killed = Instant::now();
    rig.gateways[0].kill().await?;
    let (maker, users) = (rig.clone(), scale.orphans);
    // A prime step spreads the sends over everyone.
    let request = move |number: u64, _| {
        maker.send(
            &rig::name((number as usize * 7_919) % users),
            "during the outage",
        )
    };
    let pace = Pace::Open {
        rate: RATE,
        lasting: LASTING,
    };
    let sends = load(&rig.dispatcher, 32, pace, killed, request);
    let recovered = async {
        crowd.tally().until(WELCOMED, 2 * count, SOON).await?;
        anyhow::Ok(killed.elapsed())
    };
    let (outcome, recovered) = tokio::try_join!(sends, recovered)?;
    let arrived = crowd
        .tally()
        .until(NOTIFICATIONS, outcome.accepted, Duration::from_secs(15))
        .await;
    if let Err(error) = arrived {
        progress(&format!("not everything arrived: {error:#}"));
    }
    let heard = crowd.tally().notifications.load(Ordering::Relaxed);
    let lost = outcome.accepted.saturating_sub(heard) as f64;
    let repeated = crowd.tally().repeated.load(Ordering::Relaxed) as f64;
    Ok(vec![
        Figure::new(
            format!("reconnect of {count}, all back"),
            "s",
            vec![recovered.as_secs_f64()],
        ),
        Figure::new(
            format!("reconnect, lost of {}", outcome.accepted),
            "sends",
            vec![lost],
        )
        .target(0.0),
        Figure::new(
            "reconnect, sends refused",
            "sends",
            vec![outcome.refused as f64],
        )
        .target(0.0),
        Figure::new(
            "reconnect, repeated or out of order",
            "sends",
            vec![repeated],
        ),
    ])
}
