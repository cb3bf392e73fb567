// A server that follows a script: what a client under test connects to.
import { once } from 'node:events'
import { createServer } from 'node:http'
import { acceptOf, Socket, SOON } from './socket.js'

const LIMITS = { frame_bytes: 65_536, channels: 100, frames_per_second: 20, inbox: 1_000 }
export const USER = 'alice'

/** Signed by nobody: this server takes it as it is. */
export const TOKEN = [{ alg: 'HS256', typ: 'JWT' }, { sub: USER, exp: 4_102_444_800 }, 'signature']
  .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')

/** The nth notification of the user; the first is 1. */
export const notification = (n, more = {}) => ({ id: `n${n}`, type: 'test', content: String(n), data: {}, timestamp: '2026-01-01T00:00:00.000Z',
  target_user: USER, channel: null, cursor: cursor(n), expires_at: '2099-01-01T00:00:00.000Z', ...more })

/** Where a client is that has handled n notifications. */
export const cursor = (n) => `${1000 + n}-7`

/** One connection of the client. */
class Connection {
  /** Cursors that it acked. */
  acks = []
  /** Its subscribe frames. */
  subscribed = []
  /** While it lives, JSON pings are answered. */
  isFrozen = false

  constructor(socket, { query, protocols, token }) {
    Object.assign(this, { socket, query, protocols, token, at: Date.now() })
    this.#listen()
  }

  async #listen() {
    for (;;) {
      const { frame, end } = await this.socket.next((it) => it.frame || it.end, 600_000).catch((error) => ({ end: error }))
      if (end) return
      if (frame.type === 'ack') this.acks.push(frame.cursor)
      if (frame.type === 'subscribe') this.subscribed.push(frame)
      if (frame.type === 'ping' && !this.isFrozen) this.send({ type: 'pong', timestamp: '2026-01-01T00:00:00.000Z', ref: frame.ref })
    }
  }

  send(frame) {
    this.socket.send(frame)
  }

  /** It begins: with what it missed after its own position, of `count` notifications in all. */
  begin(count = 0, more = {}) {
    const { since } = this.query
    const from = since === undefined ? 0 : Number(since.split('-')[0]) - 1000
    this.send({ type: 'welcome', protocol: 'carillon.v1', session: this.query.session ?? 's1', user: USER, device: this.query.device ?? null,
      cursor: cursor(from), recovered: true, ping_interval_ms: 25_000, token_expires_at: '2099-01-01T00:00:00.000Z', limits: LIMITS, ...more })
    for (let n = from + 1; n <= count; n++) this.send(notification(n, { replayed: true, stored_at: '2026-01-01T00:00:00.000Z' }))
    this.send({ type: 'replayed', cursor: cursor(count), count: count - from })
    return this
  }
}

export class Peer {
  #server = createServer((_, response) => response.writeHead(426).end())
  #wake = () => {}
  #came = []
  /** Every connection, and the time of each attempt. */
  connections = []
  attempts = []
  /** Handshakes that are answered 503 before the next is taken. */
  refusals = 0

  static async start() {
    const peer = new Peer()
    peer.#server.on('upgrade', (request, stream, head) => peer.#upgrade(request, stream, head))
    peer.#server.listen(0, '127.0.0.1')
    await once(peer.#server, 'listening')
    peer.url = `ws://127.0.0.1:${peer.#server.address().port}/ws/notifications`
    return peer
  }

  #upgrade({ url, headers }, stream, head) {
    this.attempts.push(Date.now())
    stream.on('error', () => {})
    if (this.refusals > 0) {
      this.refusals--
      return stream.end('HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
    }
    const protocols = (headers['sec-websocket-protocol'] ?? '').split(',').map((it) => it.trim()).filter(Boolean)
    const query = Object.fromEntries(new URL(url, 'http://x').searchParams)
    const item = protocols.find((it) => it.startsWith('bearer.'))
    const token = /^Bearer (.*)$/i.exec(headers.authorization ?? '')?.[1] ?? (item ? Buffer.from(item.slice(7), 'base64url').toString() : query.token)
    const isV1 = protocols.includes('carillon.v1')
    stream.write(['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade',
      `Sec-WebSocket-Accept: ${acceptOf(headers['sec-websocket-key'])}`, ...isV1 ? ['Sec-WebSocket-Protocol: carillon.v1'] : [], '', ''].join('\r\n'))
    const connection = new Connection(new Socket(stream, { isClient: false, head }), { query, protocols, token })
    this.connections.push(connection)
    this.#came.push(connection)
    this.#wake()
    return undefined
  }

  /** The next connection that is made; whoever waits sees it before its client has the answer to its handshake. */
  async next(patience = SOON) {
    if (!this.#came.length) await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`the client did not connect within ${patience} ms`)), patience)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    return this.#came.shift()
  }

  stop() {
    for (const { socket } of this.connections) socket.stream.destroy()
    this.#server.close()
  }
}
