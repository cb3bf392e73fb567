/** A server that speaks `carillon.v1`, in memory and in virtual time: for tests of applications. */
import { Chain } from './log.js'
import { Network } from './network.js'

/** As the server has them by default. */
const LIMITS = { frame_bytes: 65_536, channels: 100, frames_per_second: 20, inbox: 1000 }

/**
 * @typedef {object} Connection
 * @property {string} user
 * @property {string} device
 * @property {string} session
 * @property {Set<string>} channels
 * @property {Set<string>} written Cursors that it may ack.
 */

export class FakeServer {
  /** @type {Map<string, Chain>} */
  #logs = new Map()
  /** Where each device stands: user, device and log → cursor. @type {Map<string, string>} */
  #positions = new Map()
  /** @type {Map<import('./network.js').FakeSocket, Connection>} */
  #connections = new Map()
  #clock
  #ids = 0
  #histories = 1
  /** Tokens that are refused, each with 4001. @type {Set<string>} */
  refused = new Set()
  /** Channels that nobody may join. @type {Set<string>} */
  forbidden = new Set()
  /** Every frame that clients sent. @type {any[]} */
  heard = []
  /** The most that one connection sent within a second. */
  fastest = 0
  #sent = new WeakMap()

  /** @param {import('./clock.js').VirtualClock} clock */
  constructor(clock) {
    this.#clock = clock
    this.network = new Network(clock, {
      open: (socket) => this.#open(socket),
      text: (socket, text) => this.#read(socket, JSON.parse(text)),
      closed: (socket) => this.#connections.delete(socket),
    })
  }

  /** Who is connected. */
  get connections() {
    return [...this.#connections.values()]
  }

  /**
   * Sends a user a notification. Its id.
   * @param {string} user
   * @param {{ type: string, content?: string, data?: unknown, channel?: string | null, id?: string }} notification
   */
  send(user, notification) {
    return this.#publish(`inbox of ${user}`, { ...notification, target_user: user }, (it) => it.user === user)
  }

  /**
   * Publishes to a channel, or to everyone.
   * @param {string | null} channel
   * @param {{ type: string, content?: string, data?: unknown, id?: string }} notification
   */
  publish(channel, notification) {
    const isMember = (/** @type {Connection} */ it) => channel === null || it.channels.has(channel)
    return this.#publish(channel ?? '*', { ...notification, channel, target_user: null }, isMember)
  }

  /**
   * The position up to which a device has acked its inbox, or a log.
   * @param {string} user
   * @param {string} device
   * @param {string} [log]
   */
  acked(user, device, log = `inbox of ${user}`) {
    return this.#positions.get(`${user} ${device} ${log}`)
  }

  /** @param {string} user */
  inbox(user) {
    return this.#log(`inbox of ${user}`)
  }

  /** Forgets all that was sent, as a store that comes back empty. */
  lose() {
    this.#logs.clear()
    this.#histories++
  }

  /**
   * Closes sockets with a code.
   * @param {number} code
   * @param {string} [reason]
   * @param {(connection: Connection) => boolean} [which]
   */
  close(code, reason = '', which = () => true) {
    for (const [socket, connection] of [...this.#connections]) {
      if (!which(connection)) continue
      this.#connections.delete(socket)
      socket.closeFrom(code, reason)
    }
  }

  /**
   * Sends every client a frame.
   * @param {Record<string, unknown>} frame
   */
  tell(frame) {
    for (const socket of this.#connections.keys()) this.#write(socket, frame)
  }

  /**
   * Announces a drain, and closes what has not left in time.
   * @param {number} [window]
   */
  drain(window = 10_000) {
    const leaving = new Set(this.#connections.values())
    this.tell({ type: 'reconnect', reason: 'draining', after_ms: window / 2, spread_ms: window * 0.4, deadline_ms: window })
    this.#clock.setTimeout(() => this.close(4200, 'draining', (it) => leaving.has(it)), window)
  }

  /** @param {string} name */
  #log(name) {
    let log = this.#logs.get(name)
    if (!log) this.#logs.set(name, log = new Chain(this.#histories * 1000 + this.#logs.size))
    return log
  }

  /**
   * @param {string} name
   * @param {Record<string, any>} notification
   * @param {(connection: Connection) => boolean} isMeant
   */
  #publish(name, notification, isMeant) {
    const id = notification.id ?? `n${++this.#ids}`
    const body = { content: '', data: {}, channel: null, ...notification, id, timestamp: this.#time(0) }
    const { cursor } = this.#log(name).append(body)
    for (const [socket, connection] of this.#connections) {
      if (isMeant(connection)) this.#notify(socket, connection, { ...body, cursor, expires_at: this.#time(86_400_000) })
    }
    return id
  }

  /**
   * @param {import('./network.js').FakeSocket} socket
   * @param {Connection} connection
   * @param {Record<string, any>} notification
   */
  #notify(socket, connection, notification) {
    connection.written.add(notification.cursor)
    this.#write(socket, notification)
  }

  /**
   * @param {import('./network.js').FakeSocket} socket
   * @param {Record<string, any>} frame
   */
  #write(socket, frame) {
    socket.deliver(JSON.stringify(frame))
  }

  /** @param {import('./network.js').FakeSocket} socket */
  #open(socket) {
    const token = atob((socket.protocols[1] ?? '').slice('bearer.'.length).replace(/-/g, '+').replace(/_/g, '/'))
    if (this.refused.has(token)) return socket.closeFrom(4001, 'token_signature')
    const claims = JSON.parse(atob(token.split('.')[1]))
    if (claims.exp * 1000 < this.#clock.now()) return socket.closeFrom(4001, 'token_expired')
    const query = new URL(socket.url).searchParams
    const session = query.get('session') ?? `s${++this.#ids}`
    const connection = { user: claims.sub, device: query.get('device') ?? '', session, channels: new Set(), written: new Set() }
    this.close(4009, 'session_replaced', (it) => it.user === claims.sub && it.session === session)
    this.#connections.set(socket, connection)
    this.#begin(socket, connection, query.get('since'), this.#time(claims.exp * 1000 - this.#clock.now()))
  }

  /**
   * @param {import('./network.js').FakeSocket} socket
   * @param {Connection} connection
   * @param {string | null} since
   * @param {string} end Of the token.
   */
  #begin(socket, connection, since, end) {
    const { user, device, session } = connection
    const inbox = this.inbox(user)
    const page = inbox.after(since ?? this.acked(user, device) ?? inbox.base)
    this.#write(socket, { type: 'welcome', protocol: 'carillon.v1', session, user, device: device || null, cursor: page.start,
      recovered: !page.gap, ping_interval_ms: 25_000, token_expires_at: end, limits: LIMITS })
    this.#replay(socket, connection, null, page)
    const everyone = this.#log('*')
    const missed = everyone.after(this.acked(user, device, '*') ?? everyone.end)
    this.#positions.set(`${user} ${device} *`, missed.start)
    this.#replay(socket, connection, '*', missed)
    this.#write(socket, { type: 'replayed', cursor: inbox.end, count: page.entries.length })
  }

  /**
   * @param {import('./network.js').FakeSocket} socket
   * @param {Connection} connection
   * @param {string | null} channel
   * @param {ReturnType<Chain['after']>} page
   */
  #replay(socket, connection, channel, page) {
    if (page.gap) this.#write(socket, { type: 'gap', channel, reason: page.gap, resume: page.start })
    for (const { cursor, body } of page.entries) {
      this.#notify(socket, connection, { ...body, cursor, replayed: true, stored_at: body.timestamp })
    }
  }

  /**
   * @param {import('./network.js').FakeSocket} socket
   * @param {any} frame
   */
  #read(socket, frame) {
    const connection = this.#connections.get(socket)
    if (!connection) return
    this.heard.push(frame)
    const { type, ref, channel } = frame
    if (type === 'ack') return this.#ack(connection, frame.cursor)
    this.#count(socket)
    if (type === 'ping') this.#write(socket, { type: 'pong', timestamp: this.#time(0), ref })
    if (type === 'auth') this.#write(socket, { type: 'authenticated', expires_at: this.#time(3_600_000), ref })
    if (type === 'unsubscribe') {
      connection.channels.delete(channel)
      this.#write(socket, { type: 'unsubscribed', channel, ref })
    }
    if (type !== 'subscribe') return
    if (this.forbidden.has(channel)) {
      this.#write(socket, { type: 'error', code: 'channel_forbidden', message: 'not this one', retryable: false, channel, ref })
      return
    }
    connection.channels.add(channel)
    const log = this.#log(channel)
    const page = log.after(frame.since ?? log.end)
    this.#write(socket, { type: 'subscribed', channel, ref, cursor: page.start, recovered: !page.gap })
    this.#replay(socket, connection, channel, page)
  }

  /**
   * @param {Connection} connection
   * @param {string} cursor
   */
  #ack({ user, device, written }, cursor) {
    if (!written.has(cursor)) return
    for (const [name, log] of this.#logs) {
      const entry = log.entries.find((it) => it.cursor === cursor)
      if (!entry) continue
      const position = this.acked(user, device, name)
      if (!position || Chain.isAfter(cursor, position)) this.#positions.set(`${user} ${device} ${name}`, cursor)
    }
  }

  /** @param {import('./network.js').FakeSocket} socket */
  #count(socket) {
    const now = this.#clock.now()
    const times = [...this.#sent.get(socket) ?? [], now].filter((time) => now - time < 1000)
    this.#sent.set(socket, times)
    this.fastest = Math.max(this.fastest, times.length)
  }

  /** @param {number} ms From now. */
  #time(ms) {
    return new Date(this.#clock.now() + ms).toISOString()
  }
}
