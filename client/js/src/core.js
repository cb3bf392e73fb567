/** How the parts of a client are joined: what comes in, what is kept, what goes out. */
import { createChannels } from './channels.js'
import { createConnection } from './connection.js'
import { createDelivery } from './delivery.js'
import { CarillonError } from './errors.js'
import { createLedger } from './ledger.js'
import { createOutbox } from './outbox.js'
import { createTabMemory, keptDevice, newName, watchPage } from './page.js'
import { INBOX, logOf, socketUrl, subject } from './protocol.js'
import { createTokens } from './tokens.js'

/** Before a request whose refusal may be over is made again. */
const AGAIN_MS = 2000

/** @typedef {import('./types.js').Frame} Frame */
/** @typedef {import('./types.js').Notification} Notification */

/** @param {ReturnType<typeof import('./options.js').readOptions>} options */
export function createCore(options) {
  const scope = options.scope ?? globalThis
  let received = 0
  let duplicates = 0
  const ledger = createLedger()
  /** Of a frame. */
  let mostBytes = Infinity
  /** Whose positions these are. @type {string | undefined} */
  let user
  let session = ''
  /** The position that the newest attempt named. @type {string | undefined} */
  let since
  /** @type {URL} */
  let url
  /** @type {ReturnType<typeof createTabMemory>} */
  let tab
  /** @type {(() => void) | undefined} */
  let unwatch

  /** @param {Pick<Notification, 'id' | 'target_user' | 'channel'>} notification */
  const ack = (notification) => {
    const log = logOf(notification)
    outbox.ack(log, ledger.handled(log, notification.id))
  }

  const delivery = createDelivery((notification) => options.ack !== 'manual' && ack(notification))
  const { emit } = delivery

  /** @param {Frame} frame */
  const tell = (frame) => {
    // Of those, the error itself is told.
    if (frame.type !== 'error') emit(frame.type, frame)
    emit('*', frame)
  }

  /** @param {string} token */
  const address = (token) => {
    const kept = tab.take()
    const owner = subject(token)
    if (owner !== user || !session) {
      user = owner
      const mine = user && kept?.user === user && kept
      session = options.session ?? mine?.session ?? newName(scope)
      ledger.reset(mine?.logs)
    }
    since = ledger.since(INBOX)
    const at = new URL(url)
    const device = options.device ?? keptDevice(scope)
    for (const [name, value] of Object.entries({ device, session, since })) {
      if (value) at.searchParams.set(name, value)
    }
    return at.href
  }

  /** For a page that comes after this one in its tab. */
  const keep = () => {
    outbox.flushAcks()
    if (user) tab.put({ user, session, logs: ledger.save() })
  }

  /** @param {import('./types.js').Welcome} frame */
  const welcomed = (frame) => {
    mostBytes = frame.limits.frame_bytes
    outbox.begin(frame.limits.frames_per_second)
    ledger.begin(frame.limits.inbox)
    if (frame.cursor !== since) ledger.start(INBOX, frame.cursor)
    channels.begin()
    tell(frame)
  }

  /** What the control frames do, besides being told. @type {Record<string, (frame: any) => void>} */
  const control = {
    replayed: () => connection.caughtUp(),
    authenticated: (frame) => tokens.endsAt(frame.expires_at),
    token_expiring: () => options.getToken && connection.renew(),
    gap({ channel, reason, resume }) {
      ledger.start(channel ?? INBOX, resume)
      // Kept subscriptions may be among what the store lost.
      if (channel === null && reason === 'rewound') channels.begin()
    },
    retracted: ({ ids }) => delivery.takeBack(ids),
    subscribed: (frame) => channels.onSubscribed(frame),
    unsubscribed({ channel, code }) {
      if (!code) return
      const error = new CarillonError(code, `left ${channel}`, { channel })
      channels.end(channel, error)
      emit('error', error)
    },
    error(frame) {
      const error = new CarillonError(frame.code, frame.message, frame)
      channels.onError(frame.ref, error)
      emit('error', error)
    },
    reconnect(frame) {
      connection.move(frame)
      emit('drain', frame)
    },
  }

  /** @param {any} frame */
  const onFrame = (frame) => {
    if (frame.id) {
      const log = logOf(frame)
      received++
      if (ledger.arrive(log, frame.id, frame.cursor)) return delivery.give(frame)
      duplicates++
      outbox.ack(log, ledger.settle(log))
    } else {
      control[frame.type]?.(frame)
      tell(frame)
    }
  }

  const tokens = createTokens(options, () => scope.Date.now())
  const rename = () => !options.session && (session = newName(scope))
  const connection = createConnection(scope, options, tokens, emit, address, welcomed, onFrame, rename)
  const outbox = createOutbox(scope, connection.send)
  const channels = createChannels(outbox.push, ledger, (run) => scope.setTimeout(run, AGAIN_MS),
    // Event streams know which channels were joined, also between two of them.
    (channel) => options.WebSocket?.leave?.(channel))

  const connect = () => {
    url = socketUrl(options.url, scope.location?.href)
    if (!options.WebSocket && !scope.WebSocket) {
      throw new CarillonError('no_websocket', 'options.WebSocket: give one such as that of ws')
    }
    tab = createTabMemory(() => options.storage === undefined ? scope.sessionStorage : options.storage, `carillon.tab:${url}`)
    const awake = () => {
      // Not before this page has taken what it goes on from: a page that is loaded is shown, too.
      if (user) tab.take()
      connection.awake()
    }
    const leave = () => {
      keep()
      if (connection.isRunning()) connection.stop('waiting', { reason: 'page_hidden' })
    }
    unwatch ??= watchPage(scope, awake, connection.offline, leave, keep)
    connection.start()
  }

  return {
    connect,
    ack,
    on: delivery.on,
    off: delivery.off,
    subscribe: channels.subscribe,
    unsubscribe: channels.unsubscribe,

    get state() {
      return connection.state()
    },

    get stats() {
      return { received, duplicates, ...delivery.counts() }
    },

    disconnect() {
      if (!unwatch) return
      keep()
      unwatch()
      unwatch = undefined
      tokens.forget()
      connection.stop('closed')
      outbox.begin()
    },

    /**
     * @param {string} type
     * @param {(value: any) => unknown} handler
     */
    once(type, handler) {
      const off = delivery.on(type, (value) => {
        off()
        return handler(value)
      })
      return off
    },

    /** @param {Frame} frame */
    send: (frame) => JSON.stringify(frame).length <= mostBytes && outbox.push(frame),

    /** @param {string} token */
    setToken(token) {
      tokens.set(token)
      connection.renew(token)
      if (connection.state() === 'failed') connect()
    },
  }
}
