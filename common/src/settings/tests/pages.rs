//! Which pages may come, and the cookie that counts for them.

use super::*;

#[test]
fn origins_that_would_never_fit_are_mistakes() {
    let told = errors(
        "[gateway]\norigins = ['https://app.example.com/', 'app.example.com', 'https://*.com', 'https://ok.example.com']\n",
        &[],
    );
    assert_eq!(told.len(), 3, "{told:#?}");
    assert_error(&told, &["gateway.origins", "app.example.com/\" has a path"]);
    assert_error(
        &told,
        &["gateway.origins", "has no scheme", "begin it with https://"],
    );
    assert_error(&told, &["gateway.origins", "every host"]);
    let settings = load("[gateway]\norigins = ['https://*.example.com']\n", &[]).unwrap();
    assert!(settings.gateway.allows_origin("https://app.example.com"));
    assert!(!settings.gateway.allows_origin("https://example.com"));
    assert!(settings.gateway.lists_origin("https://app.example.com"));
    let any = load("", &[]).unwrap().gateway;
    assert!(any.allows_origin("https://anywhere.example"));
    assert!(
        !any.lists_origin("https://anywhere.example"),
        "nobody is listed"
    );
}

#[test]
fn a_cookie_needs_a_list_of_origins() {
    let list = "[gateway]\norigins = ['https://app.example.com']\n";
    let settings = load(&format!("[auth]\ncookie = '__Host-carillon'\n{list}"), &[]).unwrap();
    assert_eq!(settings.auth.cookie.as_deref(), Some("__Host-carillon"));
    assert_eq!(load("", &[]).unwrap().auth.cookie, None);
    let told = errors("[auth]\ncookie = 'c'\n", &[]);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_error(
        &told,
        &[
            "auth.cookie",
            "gateway.origins is empty",
            "any page could connect",
        ],
    );
    let null = "[auth]\ncookie = 'c'\n[gateway]\norigins = ['null', 'https://app.example.com']\n";
    assert_error(
        &errors(null, &[]),
        &["gateway.origins", "beside auth.cookie"],
    );
    for name in ["a b", "a=b", "a;b", "ü", "\\\"a\\\""] {
        let told = errors(&format!("[auth]\ncookie = \"{name}\"\n{list}"), &[]);
        assert_error(&told, &["auth.cookie", "is not a cookie's name"]);
    }
}

#[test]
fn revocations_and_tickets_have_their_bounds() {
    let told = errors(
        "[auth]\nrevocation_ttl = '1s'\nmax_revocations = 0\nticket_ttl = '1h'\ntickets_per_user = 1001\nticket_session = '0s'\n",
        &[],
    );
    for path in [
        "auth.revocation_ttl",
        "auth.max_revocations",
        "auth.ticket_ttl",
        "auth.tickets_per_user",
        "auth.ticket_session",
    ] {
        assert_error(&told, &[path]);
    }
    assert_eq!(told.len(), 5, "{told:#?}");
}
