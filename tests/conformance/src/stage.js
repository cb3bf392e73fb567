// What a case has to do with a server: users of its own, their tokens, connections, and a service's calls.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHmac, randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import { isToEveryone, open } from './socket.js'

export { assert }

const V1 = ['carillon.v1']
const RUN = randomBytes(4).toString('hex')
let users = 0

const base64url = (text) => Buffer.from(text).toString('base64url')

/** Tokens of HS256, for a server whose issuer has this secret. */
export const signedWith = (secret) => (user, { lifetime = 3_600, ...claims } = {}) => {
  const exp = Math.floor(Date.now() / 1000) + lifetime
  const signed = `${base64url(JSON.stringify({ alg: 'HS256', typ: 'JWT' }))}.${base64url(JSON.stringify({ sub: user, exp, jti: randomBytes(8).toString('hex'), ...claims }))}`
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`
}

/** Tokens that a command prints; it is given the user, the lifetime in seconds, and the channels as a list with commas. */
export const printedBy = (command) => async (user, { lifetime = 3_600, channels = [] } = {}) => {
  const { stdout } = await promisify(execFile)('sh', ['-c', `${command} "$@"`, command, user, String(lifetime), channels.join()])
  return stdout.trim()
}

export class Stage {
  #sockets = []
  #server

  /** @param server `{ ws, sse, api, key, token, isSlow, leeway }` */
  constructor(server) {
    this.#server = server
    this.user = `u${++users}-${RUN}`
  }

  get server() {
    return this.#server
  }

  /** Another user. */
  another() {
    return `u${++users}-${RUN}`
  }

  /** A name that nobody else has. */
  name(kind) {
    return `${kind}-${++users}-${RUN}`
  }

  token(claims, user = this.user) {
    return this.#server.token(user, claims)
  }

  /** The socket's address with these parameters. */
  address(query = {}) {
    const url = new URL(this.#server.ws)
    for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, value)
    return url.href
  }

  /** Closed when the case is over. */
  keep(socket) {
    this.#sockets.push(socket)
    return socket
  }

  /** A connection, with a token in the header unless there is one elsewhere; `protocols: []` is the simple protocol. */
  async open({ token, protocols = V1, answersPings, headers, ...query } = {}) {
    const authorization = `Bearer ${token ?? await this.token()}`
    return this.keep(await open(this.address(query), { protocols, answersPings, headers: headers ?? { authorization } }))
  }

  /**
   * A connection that has caught up: with its `welcome`, the notifications that it `missed`, those `toEveryone` apart, for they
   * may be another case's.
   */
  async begin(wish) {
    const socket = await this.open(wish)
    const welcome = await socket.frame()
    assert.equal(welcome.type, 'welcome', 'the first frame')
    const [missed, toEveryone, others] = [[], [], []]
    for (;;) {
      const frame = await socket.frame()
      if (!frame.id && frame.type === 'replayed') return { socket, welcome, missed, toEveryone, others, replayed: frame }
      if (!frame.id) others.push(frame)
      else if (isToEveryone(frame)) toEveryone.push(frame)
      else missed.push(frame)
    }
  }

  async call(path, body, method = 'POST') {
    const headers = { authorization: `Bearer ${this.#server.key}`, 'content-type': 'application/json' }
    const answer = await fetch(new URL(path, this.#server.api), { method, headers, body: body && JSON.stringify(body) })
    const text = await answer.text()
    return { status: answer.status, body: text ? JSON.parse(text) : undefined }
  }

  async #accepted(path, body) {
    const answer = await this.call(path, body)
    assert.equal(Math.floor(answer.status / 100), 2, `${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return answer.body.id
  }

  /** Sends the user one; its id. */
  send(more = {}) {
    return this.#accepted('/api/notifications/send', { target_user: this.user, notification_type: 'test', content: '', ...more })
  }

  /** So many, in order; their ids. */
  async sendMany(count) {
    const ids = []
    for (let n = 0; n < count; n++) ids.push(await this.send({ content: String(n) }))
    return ids
  }

  /** To a channel, or to everyone; its id. */
  publish(channel, more = {}) {
    return this.#accepted('/api/notifications/broadcast', { notification_type: 'test', content: '', ...channel && { channel }, ...more })
  }

  stop() {
    for (const socket of this.#sockets) socket.stream.destroy()
  }
}

/** Frames without what is of no matter here. */
export const ids = (frames) => frames.map(({ id }) => id)

/** `count` notifications of a connection. */
export async function take(socket, count) {
  const taken = []
  while (taken.length < count) taken.push(await socket.notification())
  return taken
}

/** Fails if notifications of the user or a channel come within a time. */
export async function nothing(socket, ms, isMeant = (frame) => !isToEveryone(frame)) {
  const came = (await socket.quiet(ms)).filter((frame) => frame.id && isMeant(frame))
  assert.deepEqual(came, [], 'nothing comes')
}
