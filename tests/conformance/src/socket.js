// One WebSocket, of either side: what comes is kept until it is asked for.
import { createHash, randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { encode, OPCODE, Reader } from './wire.js'

/** For what should come at once. A server under test may be busy, and far away. */
export const SOON = 5_000

export const isToEveryone = ({ target_user, channel }) => target_user === null && channel === null

export const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms) })

/** What a message says; undefined where it is no frame, but something else than one object of JSON. */
function frameOf(payload) {
  try {
    const value = JSON.parse(payload)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** A handshake that was answered with something else. */
export class Refused extends Error {
  constructor({ status, headers, body }) {
    super(`the handshake was answered ${status}`)
    Object.assign(this, { status, headers, body })
  }
}

export class Socket {
  /** What has come and was not asked for yet: `{ text, frame }`, `{ ping }`, `{ pong }`, `{ odd }`, and last `{ end }`. */
  #came = []
  #wanted = new Set()
  #reader = new Reader()
  #isClient
  /** Everything that came, in order, for who looks back. */
  all = []
  /** How it ended: `{ code, reason }`; without a close frame 1006. */
  end = undefined
  /** Whether pings are answered. */
  answersPings

  constructor(stream, { isClient, head = Buffer.alloc(0), protocol, answersPings = true }) {
    Object.assign(this, { stream, protocol, answersPings })
    this.#isClient = isClient
    stream.on('data', (bytes) => this.#read(bytes))
    stream.on('error', () => {})
    stream.on('close', () => this.#ended(1006, ''))
    if (head.length) this.#read(head)
  }

  #read(bytes) {
    for (const { opcode, payload } of this.#reader.read(bytes)) {
      if (this.end) return
      if (opcode === OPCODE.text) this.#take({ text: payload.toString(), frame: frameOf(payload), at: Date.now() })
      else if (opcode === OPCODE.ping) {
        if (this.answersPings) this.raw(OPCODE.pong, payload)
        this.#take({ ping: payload.toString() })
      } else if (opcode === OPCODE.pong) this.#take({ pong: payload.toString() })
      else if (opcode === OPCODE.close) {
        const code = payload.length < 2 ? 1005 : payload.readUInt16BE(0)
        // Answered, as RFC 6455 section 5.5.1 has it.
        this.raw(OPCODE.close, payload.subarray(0, 2))
        this.stream.end()
        this.#ended(code, payload.subarray(2).toString())
      } else this.#take({ odd: opcode })
    }
  }

  #ended(code, reason) {
    if (this.end) return
    this.end = { code, reason }
    this.#take({ end: this.end })
  }

  #take(what) {
    this.all.push(what)
    this.#came.push(what)
    for (const look of [...this.#wanted]) look()
  }

  /** The next that is wanted; what comes before it is passed over, or refused by `is` with an error. */
  next(is, patience = SOON, told = 'nothing of what was expected') {
    return new Promise((resolve, reject) => {
      const done = (settle, value) => {
        clearTimeout(timer)
        this.#wanted.delete(look)
        settle(value)
      }
      const look = () => {
        while (this.#came.length) {
          const what = this.#came[0]
          let isIt
          try {
            isIt = is(what)
          } catch (error) {
            return done(reject, error)
          }
          if (what.text !== undefined && !what.frame && !isIt) return done(reject, new Error(`${told}: not one object of JSON, but ${what.text.slice(0, 100)}`))
          if (what.end && !isIt) return done(reject, new Error(`${told}: the connection ended with ${what.end.code} ${what.end.reason}`))
          this.#came.shift()
          if (isIt) return done(resolve, what)
        }
        return undefined
      }
      const timer = setTimeout(() => done(reject, new Error(`${told}, within ${patience} ms`)), patience)
      this.#wanted.add(look)
      look()
    })
  }

  /** The next frame, whatever it is. */
  async frame(patience) {
    return (await this.next((it) => it.frame, patience, 'no frame')).frame
  }

  /** The next control frame of a type; notifications before it are passed over. */
  async control(type, patience) {
    return (await this.next(({ frame }) => frame && !frame.id && frame.type === type, patience, `no ${type}`)).frame
  }

  /** The next notification, of a user or a channel: what is sent to everyone may be another case's. */
  async notification(patience) {
    return (await this.next(({ frame }) => frame?.id && !isToEveryone(frame), patience, 'no notification')).frame
  }

  /** How it ends. */
  async ended(patience) {
    return (await this.next((it) => it.end, patience, 'it did not end')).end
  }

  /** What comes within a time, frames only. */
  async quiet(ms) {
    await sleep(ms)
    return this.#came.splice(0, this.end ? this.#came.length - 1 : this.#came.length).flatMap(({ frame }) => frame ? [frame] : [])
  }

  /** A frame of JSON. */
  send(value) {
    this.raw(OPCODE.text, typeof value === 'string' ? value : JSON.stringify(value))
  }

  /** Whatever else. */
  raw(opcode, payload = '', more = {}) {
    if (!this.stream.destroyed) this.stream.write(encode(opcode, payload, { isMasked: this.#isClient, ...more }))
  }

  close(code = 1000, reason = '') {
    const payload = Buffer.alloc(2 + Buffer.byteLength(reason))
    payload.writeUInt16BE(code)
    payload.write(reason, 2)
    this.raw(OPCODE.close, payload)
  }

  /** Ends it without a word, as a network does. */
  cut() {
    if (this.stream.resetAndDestroy) this.stream.resetAndDestroy()
    else this.stream.destroy()
  }
}

/** Sends a request as it is, and gives the answer's head and what follows it. */
export function exchange(url, lines, patience = SOON) {
  const { protocol, hostname, port } = new URL(url)
  const isTls = /^(wss|https):$/.test(protocol)
  const to = { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) || (isTls ? 443 : 80), servername: hostname }
  const stream = isTls ? connectTls(to) : connect(to)
  return new Promise((resolve, reject) => {
    let text = Buffer.alloc(0)
    const timer = setTimeout(() => reject(new Error(`no answer within ${patience} ms`)), patience)
    const done = (settle, value) => {
      clearTimeout(timer)
      stream.off('data', onData)
      settle(value)
    }
    const onData = (bytes) => {
      text = Buffer.concat([text, bytes])
      const end = text.indexOf('\r\n\r\n')
      if (end < 0) return
      const [first, ...fields] = text.subarray(0, end).toString().split('\r\n')
      const headers = Object.fromEntries(fields.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]))
      const status = Number(first.split(' ')[1])
      const rest = text.subarray(end + 4)
      if (status !== 101 && rest.length < Number(headers['content-length'] ?? 0)) return
      done(resolve, { status, headers, rest, stream })
    }
    stream.on('data', onData)
    stream.on('error', (error) => done(reject, error))
    stream.on('close', () => done(reject, new Error('the connection was closed before an answer')))
    stream.write(`${lines.join('\r\n')}\r\n\r\n`)
  })
}

/** The handshake of section 4.1; throws `Refused` where it is answered with something else. */
export async function open(url, { protocols = [], headers = {}, answersPings = true } = {}) {
  const { host, pathname, search } = new URL(url)
  const key = randomBytes(16).toString('base64')
  const lines = [`GET ${pathname}${search} HTTP/1.1`, `Host: ${host}`, 'Connection: Upgrade', 'Upgrade: websocket',
    'Sec-WebSocket-Version: 13', `Sec-WebSocket-Key: ${key}`,
    ...protocols.length ? [`Sec-WebSocket-Protocol: ${protocols.join(', ')}`] : [],
    ...Object.entries(headers).map((it) => it.join(': '))]
  const answer = await exchange(url, lines)
  if (answer.status !== 101) {
    answer.stream.destroy()
    throw new Refused({ ...answer, body: answer.rest.toString() })
  }
  if (answer.headers['sec-websocket-accept'] !== acceptOf(key)) throw new Error('Sec-WebSocket-Accept is not that of the key')
  return new Socket(answer.stream, { isClient: true, head: answer.rest, protocol: answer.headers['sec-websocket-protocol'], answersPings })
}

/** What a handshake is answered with (section 4.2.2). */
export const acceptOf = (key) => createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
