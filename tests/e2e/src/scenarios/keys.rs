//! Issuers and API keys that come, change, break and go in the Secret that pods mount, under traffic.

use std::{fs::File, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use carillon_client::Error;
use carillon_tests::{child::Child, figures::Figures, poll::eventually};
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use super::{redis::nothing_closed, traffic};
use crate::{
    deployment::{Deployment, RELEASE},
    entrance::Entrance,
    guest::Guest,
    load::Load,
    mounted::{Took, patch, publish, said},
    stage::Stage,
};

/// As README promises: sockets whose key went are closed within this of the reload.
const CLOSED_WITHIN: SignedDuration = SignedDuration::from_secs(2);
/// So that each dispatcher has some of them.
const CALLS: usize = 20;
const SOON: Duration = Duration::from_secs(30);
const CHANGED: &str = "credentials have changed";

pub(super) async fn come_and_go(stage: &Stage) -> Result<Figures> {
    let deployment = stage.deployment().await?;
    let mut guests = Vec::new();
    for name in ["old", "new", "late"] {
        guests.push(Guest::of(deployment, name).await?);
    }
    let result = under_traffic(stage, deployment, &guests).await;
    let left: Vec<_> = guests.iter().flat_map(Guest::nothing).collect();
    patch(deployment, &left).await?;
    result
}

async fn under_traffic(
    stage: &Stage,
    deployment: &Deployment,
    guests: &[Guest],
) -> Result<Figures> {
    let [old, new, late] = guests else {
        anyhow::bail!("{} guests", guests.len());
    };
    let few = stage.sizes.part(10);
    let title = "keys that come and go in a mounted Secret";
    let sizes = stage.sizes.part(2);
    let (mut figures, report) = traffic(&deployment.entrance, sizes, title, async |figures| {
        let churn = Load::churn(&deployment.entrance, few.sockets, few.rate).await?;

        // A key that is added, and an issuer: at the kubelet's own pace.
        refuses(&old.entrance).await?;
        let words = [CHANGED, "API key old", "issuer old"];
        let took = publish(deployment, &old.all(), &words, false).await?;
        shown(figures, "added", &took);
        answers(&old.entrance).await?;
        let before = Load::start(&old.entrance, few.sockets, few.rate).await?;

        // The next one beside it: from now on the login signs with that.
        let files = [new.all(), vec![late.key()]].concat();
        let words = [CHANGED, "API key new", "issuer new", "API key late"];
        let took = publish(deployment, &files, &words, true).await?;
        shown(figures, "next one added", &took);
        answers(&late.entrance).await?;
        let after = Load::start(&new.entrance, few.sockets, few.rate).await?;

        broken(deployment, late, figures).await?;

        // The last token of the old one has ended, but for one.
        let report = before.finish().await?;
        report.keeps_the_promise()?;
        nothing_closed(&report)?;
        let straggler = Straggler::connect(deployment, old).await?;
        let files = [old.nothing(), vec![(late.key_file(), None)]].concat();
        let words = [CHANGED, "API key old", "issuer old"];
        let (took, closed) = tokio::try_join!(
            publish(deployment, &files, &words, true),
            straggler.closed()
        )?;
        shown(figures, "revoked", &took);
        let closed = closed.duration_since(took.in_force);
        ensure!(
            closed < CLOSED_WITHIN,
            "closed {closed:#} after the last reload"
        );
        figures.row("the old token's socket closed", "4201");
        refuses(&old.entrance).await?;
        refuses(&late.entrance).await?;
        straggler.is_refused().await?;
        tested(deployment, figures).await?;

        for load in [after, churn] {
            let report = load.finish().await?;
            figures.row("lost by the others", report.lost.count);
            report.keeps_the_promise()?;
            nothing_closed(&report)?;
        }
        Ok(())
    })
    .await?;
    nothing_closed(&report)?;
    report.no_call_failed()?;
    figures.row("sockets closed", 0);
    Ok(figures)
}

/// A file that is not in order: what it held stays in force, a pod that starts does without it, and `helm
/// test` refuses it.
async fn broken(deployment: &Deployment, late: &Guest, figures: &mut Figures) -> Result<()> {
    let file = late.key_file();
    let kept = [
        "ERROR",
        &file,
        "until then what the file held before stays in force",
    ];
    let took = publish(deployment, &[late.broken_key()], &kept, true).await?;
    shown(figures, "broken", &took);
    answers(&late.entrance).await?;

    let test = ["test", RELEASE, "--timeout", "120s"];
    let tested = deployment.helm(&test).await;
    ensure!(tested.is_err(), "helm test did not mind: {tested:?}");
    let of_test = ["-l", "app.kubernetes.io/component=test"];
    let log = deployment
        .kubectl(&[&["logs", "--tail=-1"], &of_test[..]].concat())
        .await?;
    ensure!(log.contains(&file), "helm test names no {file}: {log}");
    deployment
        .kubectl(&[&["delete", "pods"], &of_test[..]].concat())
        .await?;
    figures.row("helm test", "refused it");

    let since = Timestamp::now();
    let before = deployment.pods.identities("dispatcher").await?;
    let one = before.keys().next().context("no dispatcher")?;
    deployment.pods.delete(one).await?;
    eventually("another one starts", 3 * SOON, async || {
        deployment.pods.settled(SOON).await?;
        let pods = deployment.pods.list("dispatcher").await?;
        let new = pods.iter().find(|pod| !before.contains_key(&pod.name));
        let left_out = ["ERROR", &file, "until then the file is left out"];
        said(deployment, &new.context("none")?.name, since, &left_out).await
    })
    .await?;
    figures.row("a dispatcher that starts then", "is ready without the file");
    Ok(())
}

fn shown(figures: &mut Figures, what: &str, took: &Took) {
    let Took {
        mounting, reading, ..
    } = took;
    figures.row(
        &format!("{what}: mounted, in force after"),
        format!("{mounting:.1?}, {:.1} s", reading.as_secs_f64()),
    );
}

/// That every call is.
async fn answers(entrance: &Entrance) -> Result<()> {
    for _ in 0..CALLS {
        entrance.online().await?;
    }
    Ok(())
}

/// That every call is refused.
async fn refuses(entrance: &Entrance) -> Result<()> {
    for _ in 0..CALLS {
        let answer = entrance.api.online_count().await;
        let error = answer.err().context("a key that is not known")?;
        let refused = matches!(&error, Error::Refused(problem) if problem.status == 401);
        ensure!(refused, "{error}");
    }
    Ok(())
}

/// `helm test` with everything in order again.
async fn tested(deployment: &Deployment, figures: &mut Figures) -> Result<()> {
    // That of the release may have ended meanwhile.
    let token = deployment.access.token("helm-test")?;
    let patch = serde_json::json!({ "stringData": { "token": token } }).to_string();
    deployment
        .kubectl(&["patch", "secret", "carillon-test", "--patch", &patch])
        .await?;
    let said = deployment
        .helm(&["test", RELEASE, "--timeout", "120s"])
        .await?;
    ensure!(said.contains("Succeeded"), "helm test: {said}");
    figures.row("helm test then", "green");
    Ok(())
}

/// A client that keeps a token whose key goes.
struct Straggler {
    child: Child,
    dir: TempDir,
}

impl Straggler {
    async fn connect(deployment: &Deployment, of: &Guest) -> Result<Self> {
        let dir = TempDir::new()?;
        let token = dir.path().join("token");
        std::fs::write(&token, of.token("straggler")?)?;
        let mut command = Command::new(crate::program("carillon")?);
        command
            .args(["subscribe", "--device", "phone"])
            .args(["--url", &deployment.socket()])
            .arg("--token-file")
            .arg(token)
            .envs(of.entrance.trusted())
            .stdout(File::create(dir.path().join("notifications"))?)
            .stderr(File::create(dir.path().join("events"))?);
        let child = Child::spawn(command)?;
        let straggler = Self { child, dir };
        straggler.says("connected as", SOON).await?;
        Ok(straggler)
    }

    /// When it was closed for its token; a change takes as long as a mount.
    async fn closed(&self) -> Result<Timestamp> {
        self.says("closed with 4201", 6 * SOON).await
    }

    /// That it came back with the same token, and was refused.
    async fn is_refused(&self) -> Result<()> {
        self.says("the gateway refused the token", 2 * SOON).await?;
        let status = self.child.wait(SOON).await?;
        ensure!(!status.success(), "{status}");
        Ok(())
    }

    async fn says(&self, what: &str, within: Duration) -> Result<Timestamp> {
        eventually(what, within, async || {
            let said = std::fs::read_to_string(self.dir.path().join("events"))?;
            ensure!(said.contains(what), "{said}");
            Ok(Timestamp::now())
        })
        .await
    }
}
