//! One event stream, read as the HTML standard says (section 9.2.6).

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::header::{ACCEPT, HeaderName};
use reqwest::{Client, Response};
use serde_json::Value;
use tokio::time::timeout;
use url::Url;

use super::schemas::{self, Dialect};

const PATH: &str = "/sse/notifications";
const OPEN_WITHIN: Duration = Duration::from_secs(30);

/// What a client asks for when it opens a stream.
#[derive(Clone, Debug)]
pub struct Ask {
    gateway: String,
    query: Vec<(&'static str, String)>,
    headers: Vec<(HeaderName, String)>,
}

impl Ask {
    /// A stream of `http://host:port`, as a browser asks for it.
    #[must_use]
    pub fn of(gateway: &str) -> Self {
        let asked = Self {
            gateway: gateway.to_owned(),
            query: Vec::new(),
            headers: Vec::new(),
        };
        asked.header(ACCEPT, "text/event-stream")
    }

    /// Adds a query parameter.
    #[must_use]
    pub fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// Sets a header, in the place of one of the same name.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.into()));
        self
    }

    /// As one that has read up to the event of this id.
    #[must_use]
    pub fn after(self, id: Option<&str>) -> Self {
        match id {
            Some(id) => self.header(HeaderName::from_static("last-event-id"), id),
            None => self,
        }
    }

    /// Asks, and waits for the answer's head.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn answer(&self) -> Result<Response> {
        // A connection of its own, as another client has it.
        let client = Client::builder().no_proxy().build()?;
        let mut url = Url::parse(&self.gateway)?.join(PATH)?;
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        let mut request = client.get(url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let answer = timeout(OPEN_WITHIN, request.send()).await;
        Ok(answer.context("no answer came")??)
    }
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its name; `message` where it has none.
    pub name: String,
    /// Its data as JSON.
    pub data: Value,
    /// The id that it has itself.
    pub id: Option<String>,
}

/// What comes on a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// An event.
    Event(Event),
    /// A comment.
    Comment,
    /// The response has ended; false where it broke.
    Ended(bool),
}

/// An open stream.
#[derive(Debug)]
pub struct EventStream {
    response: Response,
    lines: Lines,
    heard: VecDeque<Heard>,
    reading: Reading,
    /// What the client would ask with next.
    pub last_id: Option<String>,
    /// When it would ask, as it was told.
    pub retry: Option<Duration>,
}

#[derive(Debug, Default)]
struct Reading {
    name: String,
    data: Option<String>,
    id: Option<String>,
}

impl EventStream {
    /// Opens one.
    ///
    /// # Errors
    /// When it is not answered with a stream.
    pub async fn open(ask: &Ask) -> Result<Self> {
        let response = ask.answer().await?;
        let status = response.status();
        if status != 200 {
            bail!("{status}: {}", response.text().await?);
        }
        let kind = &response.headers()["content-type"];
        ensure!(kind == "text/event-stream", "not a stream: {kind:?}");
        Ok(Self {
            response,
            lines: Lines::default(),
            heard: VecDeque::new(),
            reading: Reading::default(),
            last_id: None,
            retry: None,
        })
    }

    /// The next of what comes; safe to cancel.
    pub async fn next(&mut self) -> Heard {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return heard;
            }
            match self.response.chunk().await {
                Ok(Some(bytes)) => {
                    for line in self.lines.after(&bytes) {
                        self.line(&line);
                    }
                }
                Ok(None) => return Heard::Ended(true),
                Err(_) => return Heard::Ended(false),
            }
        }
    }

    /// The next event.
    ///
    /// # Errors
    /// When the stream ends or nothing comes `within` this time.
    pub async fn event(&mut self, within: Duration) -> Result<Event> {
        let next = async {
            loop {
                match self.next().await {
                    Heard::Event(event) => return Ok(event),
                    Heard::Comment => {}
                    Heard::Ended(whole) => bail!("the stream has ended (whole: {whole})"),
                }
            }
        };
        timeout(within, next).await.context("no event came")?
    }

    /// Events up to the first of this name, that included.
    ///
    /// # Errors
    /// As above.
    pub async fn until(&mut self, name: &str, within: Duration) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        loop {
            let event = self
                .event(within)
                .await
                .with_context(|| format!("waiting for {name} after {events:?}"))?;
            let found = event.name == name;
            events.push(event);
            if found {
                return Ok(events);
            }
        }
    }

    /// Events up to the end of the response, and whether it is whole.
    ///
    /// # Errors
    /// When it has not ended `within` this time.
    pub async fn to_the_end(&mut self, within: Duration) -> Result<(Vec<Event>, bool)> {
        let reading = async {
            let mut events = Vec::new();
            loop {
                match self.next().await {
                    Heard::Event(event) => events.push(event),
                    Heard::Comment => {}
                    Heard::Ended(whole) => return (events, whole),
                }
            }
        };
        timeout(within, reading).await.context("it has not ended")
    }

    fn line(&mut self, line: &str) {
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => self.heard.push_back(Heard::Comment),
            "event" => value.clone_into(&mut self.reading.name),
            "id" => self.reading.id = Some(value.to_owned()),
            "retry" => self.retry = value.parse().ok().map(Duration::from_millis),
            "data" => match &mut self.reading.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.reading.data = Some(value.to_owned()),
            },
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        let Reading { name, data, id } = std::mem::take(&mut self.reading);
        if id.is_some() {
            self.last_id.clone_from(&id);
        }
        let Some(data) = data else { return };
        let name = if name.is_empty() {
            "message".to_owned()
        } else {
            name
        };
        let data = schemas::answered(Dialect::Events, &data);
        self.heard.push_back(Heard::Event(Event { name, data, id }));
    }
}

/// Whole lines of what comes in pieces; they end with CR, LF or both.
#[derive(Debug, Default)]
struct Lines {
    unread: Vec<u8>,
    after_cr: bool,
}

impl Lines {
    fn after(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for byte in bytes {
            let follows_cr = std::mem::replace(&mut self.after_cr, *byte == b'\r');
            match byte {
                b'\n' if follows_cr => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.unread);
                    lines.push(String::from_utf8_lossy(&line).into_owned());
                }
                byte => self.unread.push(*byte),
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_in_three_ways_and_come_in_pieces() {
        let mut lines = Lines::default();
        let mut all = Vec::new();
        for piece in ["a\nb\r", "\nc\r\r", "d", "\n\n"] {
            all.extend(lines.after(piece.as_bytes()));
        }
        assert_eq!(all, ["a", "b", "c", "", "d", ""]);
    }
}
