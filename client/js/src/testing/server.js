/** A server that speaks `carillon.v1`, in memory and in virtual time: for tests of applications. */
import { keyOf } from '../sse/positions.js'
import { Chain } from './log.js'
import { Network } from './network.js'
import { FakeStream, Place } from './streams.js'

/** As the server has them by default. */
const LIMITS = { frame_bytes: 65_536, channels: 100, frames_per_second: 20, inbox: 1000 }
/** Sockets are pinged, which no page sees; event streams get a comment. */
const PING_MS = 25_000

/**
 * @typedef {object} Connection
 * @property {string} user
 * @property {string} device
 * @property {string} session
 * @property {Set<string>} channels
 * @property {Set<string>} written Cursors that it may ack.
 * @property {Place} [place] Of an event stream: where its client is.
 * @property {number} unacked Personal notifications that an event stream has brought.
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
  /** Personal notifications after which an event stream ends. */
  unacked = 64
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
    // A stream that is full may have ended meanwhile.
    if (!this.#connections.has(socket)) return
    const { place, written } = connection
    const { cursor, channel, target_user: user } = notification
    written.add(cursor)
    if (place && user) place.inbox = cursor
    else if (place && channel) place.channels.set(keyOf(channel), cursor)
    else if (place) place.everyone = cursor
    this.#write(socket, notification, place)
    if (!place || !user) return
    connection.unacked++
    if (connection.unacked >= this.unacked) this.close(4204, 'unacked', (it) => it === connection)
  }

  /**
   * @param {import('./network.js').FakeSocket} socket
   * @param {Record<string, any>} frame
   * @param {Place} [place] Where it brings an event stream's client.
   */
  #write(socket, frame, place) {
    socket.deliver(JSON.stringify(frame), place?.toString())
  }

  /** @param {import('./network.js').FakeSocket} socket */
  #open(socket) {
    const token = atob((socket.protocols[1] ?? '').slice('bearer.'.length).replace(/-/g, '+').replace(/_/g, '/'))
    if (this.refused.has(token)) return socket.closeFrom(4001, 'token_signature')
    const claims = JSON.parse(atob(token.split('.')[1]))
    if (claims.exp * 1000 < this.#clock.now()) return socket.closeFrom(4001, 'token_expired')
    const query = new URL(socket.url).searchParams
    const session = query.get('session') ?? `s${++this.#ids}`
    /** @type {Connection} */
    const connection = { user: claims.sub, device: query.get('device') ?? '', session, channels: new Set(), written: new Set(), unacked: 0 }
    this.close(4009, 'session_replaced', (it) => it.user === claims.sub && it.session === session)
    this.#connections.set(socket, connection)
    const end = this.#time(claims.exp * 1000 - this.#clock.now())
    if (socket instanceof FakeStream) this.#stream(socket, connection, query, end)
    else this.#begin(socket, connection, query.get('since'), end)
  }

  /**
   * @param {FakeStream} socket
   * @param {Connection} connection
   * @param {URLSearchParams} query
   * @param {string} end Of the token.
   */
  #stream(socket, connection, query, end) {
    const { user, device } = connection
    const came = new Place(socket.lastId || (query.get('since') ?? ''))
    // Coming back is the ack.
    if (came.inbox) this.#move(`${user} ${device} inbox of ${user}`, came.inbox)
    if (came.everyone) this.#move(`${user} ${device} *`, came.everyone)
    const wanted = query.getAll('channel')
    const place = connection.place = new Place(came.toString())
    const keys = wanted.map(keyOf)
    for (const key of came.channels.keys()) if (!keys.includes(key)) place.channels.delete(key)
    this.#begin(socket, connection, came.inbox || null, end)
    for (const channel of wanted) {
      if (this.#connections.has(socket)) this.#join(socket, connection, { channel, since: place.channels.get(keyOf(channel)) })
    }
    const beat = () => {
      if (!this.#connections.has(socket)) return
      socket.comment()
      this.#clock.setTimeout(beat, PING_MS)
    }
    this.#clock.setTimeout(beat, PING_MS)
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
    const everyone = this.#log('*')
    const missed = everyone.after(this.acked(user, device, '*') ?? everyone.end)
    this.#positions.set(`${user} ${device} *`, missed.start)
    const { place } = connection
    if (place) Object.assign(place, { inbox: page.start, everyone: missed.start })
    this.#write(socket, { type: 'welcome', protocol: 'carillon.v1', session, user, device: device || null, cursor: page.start,
      recovered: !page.gap, ping_interval_ms: PING_MS, token_expires_at: end, limits: LIMITS }, place)
    this.#replay(socket, connection, null, page)
    this.#replay(socket, connection, '*', missed)
    if (!this.#connections.has(socket)) return
    this.#write(socket, { type: 'replayed', cursor: inbox.end, count: page.entries.length }, place)
  }

  /**
   * @param {import('./network.js').FakeSocket} socket
   * @param {Connection} connection
   * @param {string | null} channel
   * @param {ReturnType<Chain['after']>} page
   */
  #replay(socket, connection, channel, page) {
    if (page.gap) this.#write(socket, { type: 'gap', channel, reason: page.gap, resume: page.start }, connection.place)
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
    if (type === 'subscribe') this.#join(socket, connection, frame)
  }

  /**
   * @param {import('./network.js').FakeSocket} socket
   * @param {Connection} connection
   * @param {{ channel: string, ref?: unknown, since?: string }} wish
   */
  #join(socket, connection, { channel, ref, since }) {
    if (this.forbidden.has(channel)) {
      this.#write(socket, { type: 'error', code: 'channel_forbidden', message: 'not this one', retryable: false, channel, ref })
      return
    }
    connection.channels.add(channel)
    const log = this.#log(channel)
    const page = log.after(since ?? log.end)
    connection.place?.channels.set(keyOf(channel), page.start)
    this.#write(socket, { type: 'subscribed', channel, ref, cursor: page.start, recovered: !page.gap }, connection.place)
    this.#replay(socket, connection, channel, page)
  }

  /**
   * @param {Connection} connection
   * @param {string} cursor
   */
  #ack({ user, device, written }, cursor) {
    if (!written.has(cursor)) return
    for (const [name, log] of this.#logs) {
      if (log.entries.some((it) => it.cursor === cursor)) this.#move(`${user} ${device} ${name}`, cursor)
    }
  }

  /**
   * @param {string} position
   * @param {string} cursor
   */
  #move(position, cursor) {
    const before = this.#positions.get(position)
    if (!before || Chain.isAfter(cursor, before)) this.#positions.set(position, cursor)
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
