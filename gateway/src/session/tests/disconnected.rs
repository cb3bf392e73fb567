//! What an operator or a service has closed.

use super::*;

/// The effects of being disconnected with a code and a reason.
fn ended(dialect: Dialect, code: CloseCode, reason: Option<&str>) -> Vec<Effect> {
    let mut desk = Desk::live(dialect);
    let event = Event::Disconnect(code, reason.map(Into::into));
    desk.session.on_event(event, desk.now, &mut desk.out);
    std::mem::take(&mut desk.out).into_iter().collect()
}

#[test]
fn a_connection_is_ended_with_the_code_that_was_asked_for() {
    for code in CloseCode::FOR_DISCONNECT {
        let effects = ended(Dialect::V1, *code, None);
        assert!(
            matches!(&effects[..], [Effect::Close(with)] if with == code),
            "{effects:?}"
        );
    }
    // In the words of its protocol.
    let effects = ended(Dialect::Simple, CloseCode::Draining, None);
    assert!(
        matches!(&effects[..], [Effect::Close(CloseCode::Restart)]),
        "{effects:?}"
    );
}

#[test]
fn another_reason_goes_before_the_close() {
    let effects = ended(Dialect::V1, CloseCode::Unauthenticated, Some("logged_out"));
    let [
        Effect::Reason(reason),
        Effect::Close(CloseCode::Unauthenticated),
    ] = &effects[..]
    else {
        panic!("{effects:?}");
    };
    assert_eq!(&**reason, "logged_out");
}
