//! The problems of HTTP.

use super::{Explained, Retry};

/// Who answers with a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// A dispatcher, on its port.
    Rest,
    /// A gateway, to what asks for a WebSocket.
    Handshake,
    /// The admin port of either.
    Admin,
}

macro_rules! rows {
    ($($at:ident { $($(#[$doc:meta])* $variant:ident: $status:literal, $code:literal, $title:literal, $retry:expr,
        $meaning:literal, $remedy:literal;)* })*) => {
        /// A kind of problem. Kinds that callers treat alike share a code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ProblemKind {
            $($(#[doc = $title] $variant,)*)*
        }

        impl ProblemKind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$($(Self::$variant),*),*];

            /// What a caller has to know of it.
            pub const fn explained(self) -> Explained {
                let (status, code, title, retry, meaning, remedy) = match self {
                    $($(Self::$variant => ($status, $code, $title, $retry, $meaning, $remedy),)*)*
                };
                Explained { code, number: Some(status), title, retry, meaning, remedy }
            }

            /// HTTP status.
            pub const fn status(self) -> u16 {
                match self {
                    $($(Self::$variant => $status,)*)*
                }
            }

            /// Stable; what programs branch on.
            pub const fn code(self) -> &'static str {
                self.explained().code
            }

            /// Who answers with it.
            pub const fn at(self) -> At {
                match self {
                    $($(Self::$variant => At::$at,)*)*
                }
            }
        }
    };
}

rows! {
    Rest {
        MalformedJson: 400, "malformed_json", "Not JSON", Retry::Never,
            "the body is not JSON; `detail` has line and column",
            "mend it";
        MalformedQuery: 400, "malformed_query", "Undecodable query string", Retry::Never,
            "the query string cannot be decoded",
            "percent-encode it, as UTF-8";
        UnexpectedQuery: 400, "unexpected_query", "Unexpected query parameters", Retry::Never,
            "query parameters on a route without any, or beside a body",
            "put the fields into one place";
        InvalidIdempotencyKey: 400, "invalid_idempotency_key", "Invalid idempotency key", Retry::Never,
            "`Idempotency-Key` is not 1 to 255 printable ASCII characters, given twice, or given with a batch",
            "choose another key; in a batch, give each notification an `idempotency_key`";
        BodyIncomplete: 400, "body_incomplete", "Incomplete body", Retry::Never,
            "the connection failed within the body",
            "send the whole body; under an `Idempotency-Key`, again is safe";
        NoApiKeys: 401, "no_api_keys", "No API key is configured", Retry::Never,
            "no key is configured at all, so every call is refused",
            "`carillon apikey new`, and `[[auth.api_keys]]` or `auth.dir`";
        Unauthenticated: 401, "unauthenticated", "API key needed", Retry::Never,
            "no key, one that is not known, two headers, or something else in its place (a client's token, a key's hash)",
            "send `Authorization: Bearer <key>`";
        TokenRefused: 401, "unauthenticated", "Token refused", Retry::Never,
            "the token of a service is refused; `detail` says why",
            "get a new one from its issuer";
        UserTokenMissing: 401, "unauthenticated", "User's token needed", Retry::Never,
            "no token on a route of `/api/me`, which is about the user whose token it is",
            "send `Authorization: Bearer <the user's token>`";
        UserTokenNeeded: 403, "user_token_needed", "User's token needed", Retry::Never,
            "an API key or a service's token on a route of `/api/me`, which is about the user whose token it is",
            "send the user's token; services have `/api/users/{user}/…`";
        OriginNotAllowed: 403, "origin_not_allowed", "Origin not allowed", Retry::Never,
            "the page's origin is not listed in `gateway.origins`",
            "let the operator allow it";
        UserForbidden: 403, "user_forbidden", "The API key may not reach this user", Retry::Never,
            "the `users` of the key or token do not include the user",
            "use another key, or add the user or a glob";
        ChannelForbidden: 403, "channel_forbidden", "The API key may not reach this channel", Retry::Never,
            "its `channels` do not include the channel, or it may not send to everyone",
            "use another key, or add the channel or a glob";
        InsufficientScope: 403, "insufficient_scope", "The API key may not do this", Retry::Never,
            "the key lacks the scope that `WWW-Authenticate` names",
            "use another key, or give it the scope";
        NotFound: 404, "not_found", "No such route", Retry::Never,
            "there is no such route",
            "see the routes in docs/api.md, or at `/docs`";
        InvalidPath: 400, "invalid_path", "Invalid path", Retry::Never,
            "a part of the path is not a name of what it stands for",
            "percent-encode names; `detail` says which rule they have";
        ReceiptGone: 404, "receipt_gone", "Nothing is known of it", Retry::Never,
            "no notification of that id is in the user's inbox, or none was ever at that position: acked ones leave \
             it after `inbox.keep`, and one with a `ttl` of 0 was never there",
            "ask by the `cursor` that the send answered, which is known for longer";
        ScheduledGone: 404, "scheduled_gone", "Nothing is scheduled", Retry::Never,
            "nothing of that id waits for its time, and nothing is known of it: it was delivered and has left the inbox \
             since, or was never accepted",
            "`GET /api/users/{user}/scheduled` lists what waits";
        DeliveredAlready: 404, "delivered_already", "It was delivered", Retry::Never,
            "its time came before it could be cancelled: it is in the inbox",
            "take it back there, by the cursor that `detail` names";
        CursorForeign: 410, "cursor_gone", "No such position", Retry::Never,
            "`after` is the position of nothing that is listed here: it was mistyped, or the store has lost it",
            "begin anew without `after`";
        GatewayUnknown: 404, "gateway_unknown", "No such gateway", Retry::Never,
            "no gateway of that name has a lease",
            "`GET /api/gateways` lists those that are there";
        RevocationUnknown: 404, "revocation_unknown", "No such revocation", Retry::Never,
            "no revocation of that id is in force",
            "`GET /api/tokens/revocations` lists those that are";
        MethodNotAllowed: 405, "method_not_allowed", "No such method here", Retry::Never,
            "the route has other methods, which `Allow` lists",
            "use one of them";
        Preflight: 405, "preflight_refused", "Not for pages", Retry::Never,
            "a browser asks whether a page may call this (CORS), and it may not",
            "call it from a service: a page must not hold a key, it connects to a gateway";
        BodyTimeout: 408, "body_timeout", "The body came too slowly", Retry::After(1),
            "the body did not arrive in time: it has a second, and one more for each 16 KiB, at most \
             `dispatcher.body_timeout`",
            "try again";
        InboxFull: 409, "inbox_full", "The inbox is full", Retry::Never,
            "the user has `inbox.max` unread notifications, and no device that could be passed over",
            "wait until the user reads or some expire; raise `inbox.max`; shorten `ttl`";
        TooManyScheduled: 409, "too_many_scheduled", "Too many are scheduled", Retry::Never,
            "`inbox.scheduled` notifications wait for their time for the user",
            "cancel some, or wait until some were delivered; raise the setting";
        TooManyRevocations: 409, "too_many_revocations", "Too many revocations", Retry::Never,
            "`auth.max_revocations` are in force",
            "take some back, raise the setting, or replace the key that signed the tokens";
        TooManyChannels: 409, "too_many_channels", "Too many channels", Retry::Never,
            "services have put the user on `socket.channels` channels",
            "take the user off one, or raise the setting";
        BodyTooLarge: 413, "body_too_large", "Body too large", Retry::Never,
            "the body has more than `dispatcher.body_bytes`, or that of a batch than `dispatcher.batch_bytes`",
            "send a reference instead of the thing; fewer in a batch";
        UnsupportedMediaType: 415, "unsupported_media_type", "Not application/json", Retry::Never,
            "the body is not `application/json`, of another charset than UTF-8, or compressed",
            "set `Content-Type`, and send the body as it is";
        InvalidField: 422, "invalid_field", "Invalid fields", Retry::Never,
            "a field of the wrong type or value, given twice, or several kinds of mistake",
            "`errors` lists all of them";
        MissingField: 422, "missing_field", "Invalid fields", Retry::Never,
            "a required field is missing",
            "add it";
        UnknownField: 422, "unknown_field", "Invalid fields", Retry::Never,
            "a field that does not exist",
            "mind the spelling; your own values go into `data`";
        ReservedType: 422, "reserved_type", "Invalid fields", Retry::Never,
            "`notification_type` is one of the protocol's own",
            "choose another, such as `order.error`";
        InvalidChannel: 422, "invalid_channel", "Invalid fields", Retry::Never,
            "not a channel's name, `*`, or covered by no namespace",
            "1 to 255 characters of `A-Z a-z 0-9 _ . : -`; see `[[namespaces]]`";
        TtlTooLong: 422, "ttl_too_long", "Invalid fields", Retry::Never,
            "`ttl` is more than the limit that `detail` names",
            "shorten it, or raise the setting";
        NotThen: 422, "invalid_deliver_at", "Invalid fields", Retry::Never,
            "`deliver_at` is in the past (by more than a minute), or more than 30 days ahead",
            "mind time zones and clocks; leave it out to send now";
        IdempotencyMismatch: 422, "idempotency_mismatch", "Idempotency key used before", Retry::Never,
            "the key was used for another request",
            "take a new key for a new notification, and repeat a request byte for byte";
        TooManyBodies: 429, "too_many_bodies", "Too many bodies", Retry::After(1),
            "`dispatcher.bodies_per_key` bodies under this API key are on their way",
            "send each in one go, or fewer at once";
        TooManyRequests: 429, "too_many_requests", "Too many requests", Retry::After(1),
            "this user's pages make more requests than `dispatcher.requests_per_user`",
            "ask less often: what changes is told to connected clients by `changed` and by the notifications themselves";
        RateLimited: 429, "rate_limited", "Too many notifications", Retry::After(1),
            "more notifications than `dispatcher.sends_per_key` (or the key's own `sends_per_second`) of this service, or \
             than `dispatcher.sends_per_user` for this user, over all dispatchers; `detail` says which, nothing was \
             accepted",
            "send more slowly: `RateLimit` says what is left, `Retry-After` when to come back";
        TooManyTickets: 429, "too_many_tickets", "Too many tickets", Retry::After(30),
            "the user has `auth.tickets_per_user` tickets that are not used yet",
            "use them, or wait until they lapse";
        Internal: 500, "internal", "Internal error", Retry::Never,
            "a defect",
            "report it, with the log's lines of this `request_id`";
        Unavailable: 503, "unavailable", "The store is away", Retry::After(1),
            "the store cannot be reached; nothing was accepted",
            "try again";
        StoreRefuses: 503, "unavailable", "The store refuses", Retry::After(10),
            "the store is there and refuses: its memory is full, a wrong password …; `detail` says which; nothing was \
             accepted",
            "try again, and tell its operator";
        OutcomeUnknown: 503, "outcome_unknown", "The store did not confirm", Retry::After(1),
            "the store did not confirm in time; it may have been accepted",
            "try again with the same `Idempotency-Key`";
        StoredInPart: 503, "outcome_unknown", "The store refuses a part", Retry::After(10),
            "the store does not allow all that this needs: it is stored, and may reach connected devices late or not \
             at all",
            "correct the rights (`carillon doctor` names them), then try again with the same `Idempotency-Key`";
        KeysAwaited: 503, "token_keys_awaited", "Keys are being fetched", Retry::After(5),
            "the keys of the token's issuer are being fetched; nothing was accepted",
            "try again";
        Overloaded: 503, "overloaded", "Too many requests", Retry::After(1),
            "as many requests, or bytes of bodies, as the service holds at once are under way",
            "try again; add dispatchers";
        StoreFull: 507, "store_full", "The store is full", Retry::After(10),
            "the bound of the in-memory store is reached; nothing was accepted",
            "let it drain; use Redis";
    }
    Handshake {
        BadHandshake: 400, "bad_handshake", "Bad handshake", Retry::Never,
            "the request is no handshake by the letter (RFC 6455 section 4.2.1, RFC 9112); `detail` names what is wrong",
            "mend the client, or what stands between";
        NotAWebSocket: 404, "not_found", "No such route", Retry::Never,
            "a gateway serves WebSockets at one path and nothing else",
            "connect to the path that `detail` names; REST is the dispatchers'";
        NotGet: 405, "method_not_allowed", "Method not allowed", Retry::Never,
            "a WebSocket is opened with GET",
            "use GET";
        HeadTimeout: 408, "head_timeout", "Too slow", Retry::Never,
            "the request's head did not arrive within `gateway.handshake_timeout`",
            "send it in one go";
        UpgradeRequired: 426, "upgrade_required", "Upgrade Required", Retry::Never,
            "`Upgrade`, `Connection` or `Sec-WebSocket-Version` ask for something else",
            "open a WebSocket of version 13; let proxies pass these headers";
        HeadTooLarge: 431, "head_too_large", "Head too large", Retry::Never,
            "the request's head has more than 16 KiB",
            "send fewer headers and a shorter token";
        Draining: 503, "draining", "Draining", Retry::After(1),
            "the gateway takes no new connections",
            "try again: another gateway is there";
        NotPromised: 503, "unavailable", "Unavailable", Retry::After(1),
            "the gateway cannot reach its store, so it could promise nothing",
            "try again";
        GatewayFull: 503, "overloaded", "Overloaded", Retry::After(1),
            "the gateway is at its limit of connections, or of handshakes a second: of all, of one user or of one \
             address",
            "try again";
    }
    Admin {
        InvalidQuery: 400, "invalid_query", "Invalid query", Retry::Never,
            "the query parameters are not those of the route; `detail` shows them",
            "ask as `detail` shows";
        ConnectionUnknown: 404, "connection_unknown", "No such connection", Retry::Never,
            "no connection of this session is on this gateway",
            "`carillon presence` says where a user's connections are";
        NotThePage: 403, "not_the_page", "Only for the page itself", Retry::Never,
            "what the page of `carillon standalone --dev` is given is asked for by something else",
            "open the page as `http://127.0.0.1` or `http://localhost`";
        NotInThisBuild: 501, "not_in_this_build", "Not in this build", Retry::Never,
            "the runtime tells of its tasks only in a special build",
            "`detail` names what there is instead";
        LogUnchangeable: 503, "log_unchangeable", "Log cannot be changed", Retry::Never,
            "the log of this process cannot be changed while it runs",
            "set `log.level` and start it again";
    }
}
