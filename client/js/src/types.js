/** The shapes that people meet: notifications, events, options. Types only, no code. */

/**
 * A notification as handlers get it.
 * @template [Data=unknown]
 * @template {string} [Type=string]
 * @typedef {object} Notification
 * @property {string} id What it is known by, wherever it is seen.
 * @property {Type} type
 * @property {string} content
 * @property {Data} data
 * @property {string} timestamp When it was accepted, RFC 3339.
 * @property {string | null} target_user Whose it is; null: a channel's, or everyone's.
 * @property {string | null} channel
 * @property {string} [cursor] Its position; none on fleeting ones.
 * @property {string} [expires_at]
 * @property {string} [stored_at] On replayed ones: when it was stored.
 * @property {boolean} [replayed] It had been missed, and came again.
 */

/**
 * A control frame, or a notification, as it came.
 * @typedef {{ type: string, [field: string]: unknown }} Frame
 */

/**
 * @typedef {'idle' | 'connecting' | 'recovering' | 'connected' | 'waiting' | 'offline' | 'closed' | 'failed'} State
 * idle: `connect()` was not called. connecting: a socket is being opened. recovering: what was missed is
 * coming. connected: live. waiting: a pause before the next attempt. offline: the same, and the browser says
 * that there is no network. closed: by `disconnect()`. failed: trying again is of no use; `setToken()` or
 * `connect()` begin anew.
 */

/**
 * @typedef {object} StateEvent
 * @property {State} state
 * @property {State} previous
 * @property {number} [code] The close code that led here.
 * @property {string} [reason] Its reason, or what else led here.
 * @property {number} attempt Attempts since the last connection that lasted.
 * @property {number} [retryInMs] When the next attempt follows.
 * @property {boolean} willRetry
 */

/**
 * Something cannot be had any more.
 * @typedef {object} GapEvent
 * @property {'gap'} type
 * @property {string | null} channel null: the inbox; `*`: broadcasts.
 * @property {'expired' | 'too_many' | 'rewound'} reason
 * @property {string} resume
 */

/**
 * @typedef {object} Welcome
 * @property {'welcome'} type
 * @property {string} protocol
 * @property {string} session
 * @property {string} user
 * @property {string | null} device
 * @property {string} cursor
 * @property {boolean} recovered
 * @property {number} ping_interval_ms
 * @property {string} token_expires_at
 * @property {{ frame_bytes: number, channels: number, frames_per_second: number, inbox: number }} limits
 */

/**
 * What `on` gives for the names that are not types of notifications.
 * @typedef {object} Known
 * @property {StateEvent} state
 * @property {import('./errors.js').CarillonError} error
 * @property {GapEvent} gap
 * @property {Frame & { reason: string, deadline_ms: number }} drain
 * @property {Welcome} welcome
 * @property {Frame & { cursor: string, count: number }} replayed
 * @property {Frame & { channel: string, cursor: string, recovered: boolean }} subscribed
 * @property {Frame & { channel: string, code?: string }} unsubscribed
 * @property {Frame & { timestamp: string }} pong
 * @property {Frame & { expires_at: string }} token_expiring
 * @property {Frame & { expires_at: string }} authenticated
 * @property {Frame & { ids: string[] }} retracted
 * @property {Frame & { what: string, cursor?: string, notification?: string, up_to?: string }} changed
 */

/**
 * Any of the notifications that `Events` names: type → type of `data`.
 * @template {object} Events
 * @typedef {{ [T in keyof Events & string]: Notification<Events[T], T> }[keyof Events & string]} AnyNotification
 */

/**
 * What a handler of this name gets.
 * @template {object} Events
 * @template {string} Name
 * @typedef {Name extends 'notification' ? AnyNotification<Events>
 *   : Name extends '*' ? Frame
 *   : Name extends '*' ? Frame
 *   : Name extends keyof Known ? Known[Name]
 *   : Name extends keyof Events ? Notification<Events[Name], Name>
 *   : never} Given
 */

/**
 * @template {object} Events
 * @typedef {'notification' | '*' | (keyof Known & string) | (keyof Events & string)} Name
 */

/**
 * @template {object} Events
 * @typedef {<Type extends Name<Events>>(type: Type, handler: (value: Given<Events, Type>) => unknown) => () => void} Attach
 */

/**
 * What hooks and composables need of a client, shared or not.
 * @template {object} Events
 * @typedef {object} Followed
 * @property {State} state
 * @property {Attach<Events>} on
 */

/**
 * @template {object} Events
 * @typedef {object} Client
 * @property {() => void} connect Connects, and stays so. Once is enough; after `failed` or `disconnect()` it
 *   begins anew.
 * @property {() => void} disconnect Ends it, and all that was started for it.
 * @property {Attach<Events>} on Calls the handler for each notification of a type; for `notification`, for each
 *   of any type; for `*`, for every frame as well; and for what the client tells: `state`, `error`, `gap`,
 *   `drain`. What it gives takes the handler off again.
 * @property {Attach<Events>} once The same for the next one only.
 * @property {(type: Name<Events>, handler: (value: any) => unknown) => void} off Takes a handler off that was
 *   given to `on`.
 * @property {(channel: string, wish?: { durable?: boolean, since?: string }) => Promise<Known['subscribed']>} subscribe
 *   Joins a channel, and joins it again after every reconnect, where it left off. As often as it is called,
 *   `unsubscribe` has to be. durable: kept for this device's later connections. since: what followed this
 *   cursor comes, too.
 * @property {(channel: string) => void} unsubscribe Leaves it, when everybody who joined it has.
 * @property {(frame: Frame) => boolean} send Sends a frame of your own. Whether there is a connection that
 *   takes it.
 * @property {(notification: Pick<Notification, 'id' | 'target_user' | 'channel'>) => void} ack With
 *   `ack: 'manual'`: it is handled. The server hears of it once everything before it is, too.
 * @property {(token: string) => void} setToken Another token of the same user, for this connection and the
 *   next. A client that failed begins anew.
 * @property {State} state
 * @property {Stats} stats
 */

/** @typedef {'connect' | 'expiring' | 'unauthorized'} TokenReason */

/**
 * How long to pause before an attempt.
 * @typedef {object} Backoff
 * @property {number} [baseMs] The first pause, at most (1000).
 * @property {number} [maxMs] No pause is longer (30000).
 * @property {boolean} [jitter] Anywhere between nothing and the pause (true), so that clients that were cut
 *   together do not come back together.
 * @property {number} [maxAttempts] Then `failed`; Infinity.
 */

/**
 * @typedef {object} Options
 * @property {string} [url] The gateway; else the page's host. `http(s)` is read as `ws(s)`, and without a path
 *   it is `/ws/notifications`.
 * @property {string} [token] A JWT whose `sub` is the user.
 * @property {(ask: { reason: TokenReason }) => string | Promise<string>} [getToken] Asked when there is no
 *   token, when it ends, and once when it is refused. Throw `UnauthorizedError` where nobody is signed in.
 * @property {string} [device] The lasting name of this browser or app; browsers keep one by themselves.
 * @property {string} [session] The name of this tab over its reconnects; by itself a new one.
 * @property {'auto' | 'manual'} [ack] auto: when the handlers have returned, or their promises have settled.
 *   manual: by `ack(notification)`.
 * @property {Backoff} [backoff]
 * @property {(close: { code: number, reason: string, willRetry: boolean }) => boolean} [shouldReconnect]
 * @property {(direction: 'in' | 'out', frame: Frame) => void} [log] Sees every frame and takes none; tokens
 *   are left out.
 * @property {any} [WebSocket] Where there is none of its own, such as Node below 22: the class of `ws`. Or what
 *   `carillon-client/sse` makes.
 * @property {Pick<Storage, 'getItem' | 'setItem' | 'removeItem'> | null} [storage] Holds a tab's position over
 *   a reload; `sessionStorage`. null: none.
 * @property {Scope} [scope] The world, for tests.
 */

/**
 * What is used of the world. `globalThis` is one.
 * @typedef {object} Scope
 * @property {{ now(): number }} Date
 * @property {{ random(): number }} Math
 * @property {(run: () => void, ms: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 * @property {any} [WebSocket]
 * @property {any} [location]
 * @property {any} [document]
 * @property {any} [navigator]
 * @property {any} [BroadcastChannel]
 * @property {any} [localStorage]
 * @property {any} [sessionStorage]
 * @property {(type: string, listener: (event: any) => void) => void} [addEventListener]
 * @property {(type: string, listener: (event: any) => void) => void} [removeEventListener]
 */

/**
 * @typedef {object} Stats
 * @property {number} received Notifications that came, repetitions included.
 * @property {number} duplicates Repetitions that no handler was given.
 * @property {number} dropped Given up because too many waited for a handler.
 * @property {number} waiting Those that wait for a handler.
 */

export {}
