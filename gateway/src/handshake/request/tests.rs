//! One row a rule.

use carillon_common::settings::Settings;

use super::*;

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
/// All that a handshake needs, below its request line.
const GOOD: [&str; 5] = [
    "Host: example.com",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    KEY,
];

fn judge(head: &str) -> (u16, String) {
    let settings = Settings::default().gateway;
    match read(head.as_bytes(), &settings) {
        Ok(Some(upgrade)) => {
            let answer = String::from_utf8(upgrade.answer(None)).unwrap();
            assert!(
                answer.contains("Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
                "{answer}"
            );
            (101, String::new())
        }
        Ok(None) => (0, String::new()),
        Err(refusal) => {
            let problem = refusal.problem;
            (problem.status, problem.detail.unwrap())
        }
    }
}

/// With the lines of a good handshake, but for those that a change begins like; `!` leaves one away.
fn changed(line: &str, changes: &[&str]) -> String {
    let name = |line: &str| line.split(':').next().unwrap().to_ascii_lowercase();
    let replaced = |line: &&&str| {
        !changes
            .iter()
            .any(|change| name(change.trim_start_matches('!')) == name(line))
    };
    let mut head = format!("{line}\r\n");
    let kept = GOOD.iter().filter(replaced);
    for line in kept.chain(changes.iter().filter(|change| !change.starts_with('!'))) {
        head.push_str(line);
        head.push_str("\r\n");
    }
    head + "\r\n"
}

#[test]
fn every_legal_spelling_is_answered_101() {
    let get = "GET /ws/notifications HTTP/1.1";
    for changes in [
        &[][..],
        &["host:example.com:8080"],
        &["Host: [::1]:8080"],
        &["Host:"],
        &["CONNECTION: uPgRaDe"],
        &["Connection: keep-alive, Upgrade"],
        &["Connection: keep-alive", "Connection: Upgrade"],
        &["Connection: Upgrade", "Connection: keep-alive"],
        &["Connection: ,Upgrade ,, close"],
        &["Upgrade: WebSocket"],
        &["Upgrade: h2c, websocket"],
        &["Upgrade: h2c", "Upgrade: websocket"],
        &["Upgrade:   websocket\t"],
        &[
            "Sec-WebSocket-Protocol: a, b",
            "Sec-WebSocket-Protocol: carillon.v1",
        ],
        &[
            "Sec-WebSocket-Extensions: permessage-deflate",
            "Sec-WebSocket-Extensions: x; y=\"z\"",
        ],
        &["Content-Length: 0"],
        &["Origin: null"],
        &["Expect: nothing"],
        &["X-Empty:"],
        &["X-Latin: caf\u{e9}"],
    ] {
        assert_eq!(judge(&changed(get, changes)).0, 101, "{changes:?}");
    }
    for line in [
        "GET /ws/notifications?token=a.b&device=phone HTTP/1.1",
        "GET http://example.com/ws/notifications HTTP/1.1",
    ] {
        assert_eq!(judge(&changed(line, &[])).0, 101, "{line}");
    }
    // A server should pass over an empty line before a request (RFC 9112, section 2.2).
    assert_eq!(judge(&format!("\r\n{}", changed(get, &[]))).0, 101);
}

#[test]
fn every_other_is_told_what_is_wrong() {
    let get = "GET /ws/notifications HTTP/1.1";
    for (changes, status, names) in [
        (&["!Host"][..], 400, "Host"),
        (&["Host: a", "Host: a"], 400, "Host"),
        (&["Host: a b"], 400, "Host"),
        (&["Host: user@a"], 400, "Host"),
        (&["!Connection"], 426, "Connection"),
        (&["Connection: close"], 426, "Connection"),
        (&["Connection: Upgraded"], 426, "Connection"),
        (&["!Upgrade"], 426, "Upgrade"),
        (&["Upgrade: h2c"], 426, "Upgrade"),
        (&["Upgrade: websocket2"], 426, "Upgrade"),
        (&["!Sec-WebSocket-Version"], 426, "Sec-WebSocket-Version"),
        (&["Sec-WebSocket-Version: 8"], 426, "Sec-WebSocket-Version"),
        (
            &["Sec-WebSocket-Version: 13, 8"],
            400,
            "Sec-WebSocket-Version",
        ),
        (
            &["Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13"],
            400,
            "sec-websocket-version",
        ),
        (
            &["Sec-WebSocket-Version: 8", "Sec-WebSocket-Version: 13"],
            400,
            "sec-websocket-version",
        ),
        (
            &["Sec-WebSocket-Version: v13"],
            400,
            "Sec-WebSocket-Version",
        ),
        (&["!Sec-WebSocket-Key"], 400, "Sec-WebSocket-Key"),
        (
            &["Sec-WebSocket-Key: dGhlIHNhbXBsZQ=="],
            400,
            "Sec-WebSocket-Key",
        ),
        (
            &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"],
            400,
            "Sec-WebSocket-Key",
        ),
        (
            &["Sec-WebSocket-Key: not base64 at all!!="],
            400,
            "Sec-WebSocket-Key",
        ),
        (&[KEY, KEY], 400, "sec-websocket-key"),
        (&["Content-Length: 5"], 400, "Content-Length"),
        (
            &["Content-Length: 0", "Content-Length: 5"],
            400,
            "Content-Length",
        ),
        (&["Content-Length: -1"], 400, "Content-Length"),
        (&["Transfer-Encoding: chunked"], 400, "Transfer-Encoding"),
        (
            &["Authorization: Bearer a", "Authorization: Bearer a"],
            400,
            "authorization",
        ),
        (&["Origin: https://a", "Origin: https://b"], 400, "origin"),
        (
            &["Sec-WebSocket-Protocol: a, a"],
            400,
            "Sec-WebSocket-Protocol",
        ),
        (
            &["Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: a"],
            400,
            "Sec-WebSocket-Protocol",
        ),
        (&["X Y: z"], 400, "name"),
        (&["X : z"], 400, "name"),
        (&["X: a\u{1}b"], 400, "value"),
        (&["X: a\r\n b"], 400, ""),
        (&["X: a\nY: b"], 400, "LF"),
    ] {
        let (got, detail) = judge(&changed(get, changes));
        assert!(
            got == status && detail.contains(names),
            "{changes:?}: {got} {detail}"
        );
    }
}

#[test]
fn so_is_every_other_request_line() {
    for (line, status, names) in [
        ("POST /ws/notifications HTTP/1.1", 405, "GET"),
        ("HEAD /ws/notifications HTTP/1.1", 405, "GET"),
        ("get /ws/notifications HTTP/1.1", 405, "GET"),
        ("GET /ws/notifications HTTP/1.0", 400, "HTTP/1.1"),
        ("GET /ws/notifications HTTP/2.0", 400, "HTTP/1.1"),
        ("GET /ws/notifications HTTP/9", 400, "HTTP/1.1"),
        ("GET  /ws/notifications HTTP/1.1", 400, ""),
        ("GET /ws/notifications", 400, "HTTP/1.1"),
        (
            "GET /ws/notifications?token=a&token=b HTTP/1.1",
            400,
            "token",
        ),
        (
            "GET /ws/notifications?token=a&%74oken=a HTTP/1.1",
            400,
            "token",
        ),
        (
            "GET /ws/notifications?since=1-1&since=1-1 HTTP/1.1",
            400,
            "since",
        ),
        ("PRI * HTTP/2.0", 400, "HTTP/2"),
        ("GET /elsewhere HTTP/1.1", 0, ""),
        ("GET /ws/notifications/ HTTP/1.1", 0, ""),
        ("POST /api/notifications/send HTTP/1.1", 0, ""),
    ] {
        let (got, detail) = judge(&changed(line, &[]));
        assert!(
            got == status && detail.contains(names),
            "{line}: {got} {detail}"
        );
    }
    let lf = changed("GET /ws/notifications HTTP/1.1", &[]).replace("\r\n", "\n");
    assert_eq!(judge(&lf).0, 400, "bare LF");
}
