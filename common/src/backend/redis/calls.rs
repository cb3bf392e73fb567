//! What the library's functions are given. The order of each one's keys and arguments stands here once; the
//! function names them in the same order on its first lines.

use bytes::Bytes;

/// A call of one function.
pub(super) trait Call<'a> {
    /// Its name, without the version before it.
    const FUNCTION: &'static str;

    /// Its keys and its arguments.
    fn parts(self) -> (Vec<&'a str>, Vec<Bytes>);
}

/// Declares calls: name, function, keys and arguments, each with what may follow after a `;` (of keys one
/// or none, of arguments any number).
macro_rules! calls {
    ($($(#[$meta:meta])* $call:ident = $function:literal
        ($($key:ident),* $(; $more_keys:ident)?)
        [$($arg:ident),* $(; $more_args:ident)?];
    )*) => {
        $(
            $(#[$meta])*
            pub(super) struct $call<'a> {
                $(pub(super) $key: &'a str,)*
                $(pub(super) $more_keys: Option<&'a str>,)?
                $(pub(super) $arg: Bytes,)*
                $(pub(super) $more_args: Vec<Bytes>,)?
            }

            impl<'a> Call<'a> for $call<'a> {
                const FUNCTION: &'static str = $function;

                fn parts(self) -> (Vec<&'a str>, Vec<Bytes>) {
                    let keys = [$(self.$key),*].into_iter();
                    let args = [$(self.$arg),*].into_iter();
                    (
                        keys$(.chain(self.$more_keys))?.collect(),
                        args$(.chain(self.$more_args))?.collect(),
                    )
                }
            }
        )*

        /// Each function, its keys, those that may follow, its arguments, those that may follow.
        #[cfg(test)]
        const ORDER: &[(&str, [&[&str]; 4])] = &[$((
            $function,
            [
                &[$(stringify!($key)),*],
                &[$(stringify!($more_keys))?],
                &[$(stringify!($arg)),*],
                &[$(stringify!($more_args))?],
            ],
        )),*];
    };
}

calls! {
    /// Appends to an inbox and hints.
    Send = "send"
        (inbox, user, left, presence, buried, collapse, dedup; former)
        [user_name, max, keep, most_devices, device_ttl_s, life_s, gateway_channel, nonce, id, ttl_ms,
         hash, dedup_s, collapse_key, body; span];
    /// Reads a page of an inbox.
    ReadInbox = "read" (user, inbox) [device, after, limit, bytes, life_s];
    /// Moves a device's cursor on.
    Ack = "ack"
        (user, inbox, left, presence, buried, marks)
        [device, cursor, broadcast, keep, most_devices, device_ttl_s, life_s; undelivered];
    /// Reads a page of an inbox for whoever only looks.
    Look = "look" (inbox, user, also) [after, backwards, limit, bytes];
    /// Asks what is known of a position.
    Receipt = "receipt" (inbox, user, left, marks) [cursor];
    /// Takes a notification back.
    Retract = "retract" (inbox, user, left, presence, buried) [user_name, cursor, gateway_channel, life_s];
    /// Forgets a user.
    Erase = "erase"
        (inbox, user, left, buried, subs, marks, collapse, also, assigned, scheduled, waiting, due) [user_name];
    /// Marks notifications as read.
    MarkRead = "mark_read" (inbox, user, presence, also) [user_name, what, cursor, gateway_channel, life_s];
    /// Counts what was not read, in a piece of the inbox.
    Unread = "unread" (inbox, user, also) [from, limit, bytes];
    /// Keeps a notification until it is due.
    Schedule = "schedule"
        (user, presence, dedup, scheduled, waiting, due)
        [user_name, id, due_ms, ttl_ms, most, late_ms, ahead_ms, hash, dedup_s, collapse_key, body;
         span];
    /// Takes up users for whom something is due.
    TakeDue = "due" (due) [most, for_ms];
    /// Gives an inbox what is due first.
    Fire = "fire"
        (inbox, user, left, presence, buried, collapse, scheduled, waiting, due)
        [user_name, max, keep, most_devices, device_ttl_s, life_s, gateway_channel, nonce, again_ms];
    /// Takes back what waits.
    Cancel = "cancel" (left, scheduled, waiting, due) [user_name, id, life_s];
    /// Asks for what waits by its id.
    Awaited = "awaited" (left, scheduled) [id];
    /// Reads a page of what waits.
    ReadAgenda = "agenda" (scheduled, waiting) [after_ms, after_id, limit, bytes];
    /// Registers a connection and reads the first page of its inbox.
    Connect = "connect"
        (presence, online, user, inbox, left, sessions, subs, marks, assigned)
        [user_name, field, device, session, gateway, generation, fence, since, broadcast, limit, life_s,
         gateway_channel, bytes, opened, together_ms, most_connections, most_devices];
    /// Ends the registration of a connection.
    Disconnect = "disconnect"
        (presence, online, user, sessions, subs)
        [user_name, field, fence, broadcast, clean, place; kept];
    /// Ends what a gateway's generation has registered of a user.
    Reap = "reap"
        (presence, online, user, sessions, subs)
        [user_name, gateway, generation, most; held];
    /// Keeps a subscription.
    Keep = "keep" (subs) [field, value, channel, asked, most, restore_ms, life_s];
    /// Takes over subscriptions of sessions that ended.
    Claim = "claim" (subs) [session, restore_ms, life_s];
    /// Puts a user on a channel.
    Assign = "assign" (assigned, subs, presence) [user_name, channel, cursor, most, gateway_channel];
    /// Takes a user off a channel.
    Unassign = "unassign" (assigned, subs, presence) [user_name, channel, gateway_channel];
    /// Appends to a channel's log and hints.
    Publish = "publish"
        (log, dedup, ending; former)
        [channel, id, nonce, ttl_ms, most, retention_s, hint_channel, hash, dedup_s, life_s, body; span];
    /// Asks where a log stands.
    Follow = "follow" (log, ending) [life_s, begins];
    /// Reads a page of a log.
    ReadLog = "history" (log, ending) [after, limit, bytes, life_s];
    /// Asks which history a partition serves.
    Settle = "settle" (history) [known, known_accepted, known_lost, fresh];
    /// Takes a lease of a new generation.
    LeaseTake = "lease_take" (lease, gateways, generations) [gateway, ttl_ms];
    /// Makes a lease last longer.
    LeaseRenew = "lease_renew" (lease, gateways) [gateway, generation, ttl_ms];
    /// Gives a lease up.
    LeaseDrop = "lease_drop" (lease, gateways) [gateway, generation];
    /// Ends the lease of a gateway that is dead.
    LeaseEnd = "lease_end" (lease, gateways) [gateway, generation];
    /// Asks whose lease holds, and whose has ended.
    LeaseList = "lease_list" (gateways) [];
}

/// A number as an argument.
pub(super) fn number(value: impl std::fmt::Display) -> Bytes {
    value.to_string().into()
}

/// A text as an argument.
pub(super) fn word(value: &str) -> Bytes {
    Bytes::copy_from_slice(value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::{super::version, *};

    /// What `statement` gives names to in a function.
    fn names<'a>(body: &'a str, statement: &str) -> Vec<&'a str> {
        let before = body.split(statement).next().unwrap();
        assert_ne!(before, body, "{statement} in{body}");
        let names = before.rsplit("local ").next().unwrap();
        names.split(',').map(str::trim).collect()
    }

    #[test]
    fn the_library_has_the_same_names_in_the_same_order() {
        let source = version::library().source;
        for (function, [keys, more_keys, args, more_args]) in ORDER {
            let registered = format!("('c{}_{function}', ", version::PROTOCOL);
            let (_, callback) = source.split_once(&registered).unwrap();
            let callback = callback.split(')').next().unwrap();
            let callback = callback.trim_start_matches("believed(");
            let (_, body) = source
                .split_once(&format!("local function {callback}("))
                .unwrap();
            let body = body.split("\nend\n").next().unwrap();
            assert_eq!(
                names(body, " = unpack(K)"),
                [*keys, *more_keys].concat(),
                "{function}"
            );
            if body.contains("rest(A") {
                let count = args.len();
                let first = names(body, &format!(" = unpack(A, 1, {count})"));
                assert_eq!(first, *args, "{function}");
                let others = names(body, &format!(" = rest(A, {count})"));
                assert_eq!(others, *more_args, "{function}");
            } else if !args.is_empty() {
                let all = [*args, *more_args].concat();
                assert_eq!(names(body, " = unpack(A)"), all, "{function}");
            }
        }
        assert_eq!(source.matches("register_function(").count(), ORDER.len());
        assert!(!source.contains("K[") && !source.contains("A["));
    }

    #[test]
    fn what_may_follow_comes_last() {
        let publish = |former| Publish {
            log: "log",
            dedup: "dedup",
            ending: "end",
            former,
            channel: word("news"),
            id: number(1),
            nonce: number(2),
            ttl_ms: number(3),
            most: number(4),
            retention_s: number(5),
            hint_channel: word("hints"),
            hash: word("hash"),
            dedup_s: number(6),
            life_s: number(7),
            body: word("{}"),
            span: former.map(word).into_iter().collect(),
        };
        let (keys, args) = publish(None).parts();
        assert_eq!(keys, ["log", "dedup", "end"]);
        assert_eq!((args.len(), &args[10][..]), (11, &b"{}"[..]));
        let (keys, args) = publish(Some("former")).parts();
        assert_eq!((keys[3], &args[11][..]), ("former", &b"former"[..]));
    }
}
