/**
 * One connection over all its sockets: attempts, pauses, and moving to another gateway before the old one
 * closes.
 */
import { CarillonError, UnauthorizedError } from './errors.js'
import { openLink } from './link.js'
import { pause, subprotocols, verdict } from './protocol.js'
import { quietly } from './quietly.js'
import { createTimer } from './timer.js'

/** For the token and the handshake together. */
const OPEN_WITHIN = 15_000
/** A connection that lasted so long was a good one: pauses begin anew. */
const STABLE = 5_000
/** An attempt that began before the network came back may wait for an answer to the old one. */
const STALE = 3_000
/** Between a wake-up and the attempt, at most: many pages wake together. */
const WAKE = 300

/** @typedef {import('./types.js').State} State */
/** @typedef {import('./types.js').TokenReason} TokenReason */
/** @typedef {import('./link.js').Link} Link */
/** @typedef {{ code?: number, reason?: string, retryInMs?: number, willRetry?: boolean }} Why */

/**
 * @param {import('./types.js').Scope} scope
 * @param {import('./types.js').Options & { backoff: Required<import('./types.js').Backoff> }} options
 * @param {ReturnType<typeof import('./tokens.js').createTokens>} tokens
 * @param {(type: string, value: unknown) => void} emit
 * @param {(token: string) => string} address Where to, with this token.
 * @param {(frame: any) => void} onWelcome
 * @param {(frame: any) => void} onFrame
 * @param {() => unknown} rename Takes another session, if it may.
 */
export function createConnection(scope, { WebSocket, getToken, backoff, shouldReconnect, log }, tokens, emit, address, onWelcome, onFrame, rename) {
  /** @type {State} */
  let state = 'idle'
  /** The socket that is in use. @type {Link | undefined} */
  let current
  /** The one that is to follow. @type {Link | undefined} */
  let next
  /** Of the attempt that is under way; one that was overtaken sees another. */
  let turn = 0
  let isOpening = false
  let openedAt = 0
  let welcomedAt = 0
  let attempt = 0
  /** Why the next attempt may need another token. @type {TokenReason} */
  let reason = 'connect'
  /** The last token that was shown, and the one that was refused until one is accepted. */
  let shown = ''
  let refused = ''
  /** The next attempt, or the end of the patience with this one. */
  const timer = createTimer(scope)
  const now = () => scope.Date.now()
  const { random } = scope.Math

  /**
   * @param {State} to
   * @param {Why} [why]
   */
  const become = (to, why) => {
    const previous = state
    state = to
    emit('state', { willRetry: to !== 'failed' && to !== 'closed', ...why, state, previous, attempt })
  }

  /** Whatever is under way counts no more. */
  const abandon = () => {
    turn++
    isOpening = false
    next?.end()
    next = undefined
    timer()
  }

  /**
   * Ends all of it.
   * @param {State} to
   * @param {Why} [why]
   */
  const stop = (to, why) => {
    abandon()
    current?.end()
    current = undefined
    if (state !== to) become(to, why)
  }

  /**
   * @param {number} ms
   * @param {Why} [why]
   */
  const again = (ms, why) => {
    abandon()
    const isOffline = scope.navigator?.onLine === false
    const retryInMs = Math.round(isOffline ? backoff.maxMs : ms)
    timer(retryInMs, open)
    if (!current) become(isOffline ? 'offline' : 'waiting', { ...why, retryInMs })
  }

  /**
   * What a close code asks for, with what can be done here.
   * @param {number} code
   */
  const judge = (code) => {
    const what = verdict(code)
    if (what === 'fresh') return rename() ? 'pause' : 'stop'
    if (what !== 'refresh' && what !== 'renew') return what
    if (!getToken || refused) return 'stop'
    if (what === 'refresh') refused = shown
    reason = refused ? 'unauthorized' : 'expiring'
    return 'now'
  }

  /**
   * An attempt failed, or a connection ended.
   * @param {number} code
   * @param {string} text
   */
  const lost = (code, text) => {
    abandon()
    const what = judge(code)
    let willRetry = what !== 'stop' && attempt < backoff.maxAttempts
    willRetry = quietly(() => shouldReconnect?.({ code, reason: text, willRetry })) ?? willRetry
    const why = { code, reason: text }
    if (willRetry) {
      const ms = what === 'now' && !attempt ? 0 : pause(attempt, backoff, random())
      attempt++
      again(what === 'later' ? Math.max(1000, ms) : ms, why)
    } else if (!current) {
      // An old socket still serves while a gateway drains; its own end decides.
      stop('failed', why)
    }
  }

  /**
   * Tells an error. Whether to try again.
   * @param {any} cause
   */
  const report = (cause) => {
    const isFinal = cause instanceof UnauthorizedError
    const reason = isFinal ? 'unauthorized' : 'connect_failed'
    emit('error', cause instanceof CarillonError ? cause : new CarillonError(reason, `${cause}`, { cause }))
    if (isFinal) stop('failed', { reason })
    return !isFinal
  }

  const open = async () => {
    abandon()
    const mine = turn
    isOpening = true
    openedAt = now()
    timer(OPEN_WITHIN, () => {
      tokens.giveUp()
      lost(1006, 'timeout')
    })
    if (!current) become('connecting')
    try {
      const token = await tokens.get(reason)
      if (mine !== turn) return
      if (token === refused) return stop('failed', { code: 4001, reason: 'unauthorized' })
      shown = token
      const Socket = WebSocket ?? scope.WebSocket
      next = follow(new Socket(address(token), subprotocols(token)))
    } catch (error) {
      if (mine === turn && report(error)) lost(1006, 'connect_failed')
    }
  }

  /** @param {any} socket */
  const follow = (socket) => {
    /** @type {Link} */
    const link = openLink(scope, socket, log, timer, (frame) => {
      if (link === current) onFrame(frame)
      else if (frame.type === 'welcome') welcome(link, frame)
    }, (code, reason) => {
      if (link === next) return lost(code, reason)
      current = undefined
      if (now() - welcomedAt >= STABLE) attempt = 0
      // The next one may be on its way already; where it took the session over, its welcome is, too.
      if (!isOpening) lost(code, reason)
      else if (code !== 4009) become('connecting', { code, reason })
    })
    return link
  }

  /**
   * The next connection stands: it takes the place of the one before.
   * @param {Link} link
   * @param {any} frame
   */
  const welcome = (link, frame) => {
    current?.end()
    current = link
    next = undefined
    isOpening = false
    welcomedAt = now()
    reason = 'connect'
    refused = ''
    tokens.endsAt(frame.token_expires_at)
    link.live(frame.ping_interval_ms)
    if (state !== 'connected') become('recovering')
    if (link === current) onWelcome(frame)
  }

  /** @param {import('./types.js').Frame} frame */
  const send = (frame) => current?.send(frame)
  const isRunning = () => !/idle|closed|failed/.test(state)

  return {
    stop,
    send,
    isRunning,
    state: () => state,

    /** Begins; does nothing while it runs. */
    start() {
      if (isRunning()) return
      attempt = 0
      refused = ''
      open()
    },

    /**
     * Another token, given or to be asked for, for this connection and the next.
     * @param {string} [token]
     */
    async renew(token) {
      reason = 'connect'
      try {
        send({ type: 'auth', token: token ?? await tokens.get('expiring') })
      } catch (error) {
        report(error)
      }
    },

    /** The network, or a reader, is back. */
    awake() {
      if (current) return current.probe()
      const isStuck = isOpening && now() - openedAt > STALE
      if (!isStuck && !/waiting|offline/.test(state)) return
      attempt = 0
      again(WAKE * random())
    },

    /** The network is gone, says the browser; it may be wrong. */
    offline() {
      current?.probe()
      if (state === 'waiting') again(0)
    },

    /** What was missed has come. */
    caughtUp() {
      if (state === 'recovering') become('connected')
    },

    /**
     * The gateway will close. The next connection is opened before that, at a time of its own.
     * @param {any} frame
     */
    move(frame) {
      if (!isOpening) timer(frame.after_ms + random() * frame.spread_ms, open)
    },
  }
}
