/** Event streams between a client and the fake server: what `fetch` gives for one. */
import { FakeSocket } from './network.js'

/** When a client is told to come back: at once, later, or not soon. */
const RETRY = { now: 100, later: 3_000, never: 3_600_000 }

/** @typedef {{ status: number, headers: { get(name: string): string }, text(): Promise<string>, body?: any }} Answer */

/** The answer to one request, as far as a client reads it. */
export class FakeStream extends FakeSocket {
  /** @override */
  isStream = true
  /** @type {(answer: Answer) => void} */
  #respond = () => {}
  /** @type {(error: Error) => void} */
  #fail = () => {}
  #hasBegun = false
  /** What was not read yet: texts, an error, nothing for the end. @type {(string | Error | undefined)[]} */
  #parts = []
  /** @type {{ resolve: (part: any) => void, reject: (error: Error) => void } | undefined} */
  #reading

  /**
   * @param {import('./network.js').Network} network
   * @param {string} url
   * @param {{ headers: Record<string, string>, signal: AbortSignal }} init
   */
  constructor(network, url, { headers, signal }) {
    super(network, url, ['carillon.v1', `bearer.${btoa(headers.authorization.slice('Bearer '.length))}`])
    /** Where the client says that it is. */
    this.lastId = headers['last-event-id'] ?? ''
    /** @type {Promise<Answer>} */
    this.response = new Promise((respond, fail) => {
      this.#respond = respond
      this.#fail = fail
    })
    signal.addEventListener('abort', () => {
      this.close()
      this.#part(new DOMException('aborted', 'AbortError'))
    })
  }

  /** @param {string} text @param {string} [id] @override */
  deliver(text, id) {
    const { type, id: isNotification } = JSON.parse(text)
    this.#event(`${id ? `id: ${id}\n` : ''}${isNotification ? '' : `event: ${type}\n`}data: ${text}\n\n`)
  }

  /** What shows that it goes on. */
  comment() {
    this.#event(':\n\n')
  }

  /** @param {number} code @param {string} reason @override */
  closeFrom(code, reason) {
    this.network.carry(this, 'down', () => {
      if (!this.#hasBegun && code === 4001) {
        this.#answer(401, 'application/problem+json', JSON.stringify({ code: reason }))
      } else {
        const retry_ms = code === 4009 ? RETRY.never : code >= 4200 ? RETRY.now : RETRY.later
        const frame = JSON.stringify({ type: 'disconnect', code, reason, retry_ms })
        this.turn(() => this.#part(`retry: ${retry_ms}\nevent: disconnect\ndata: ${frame}\n\n`))
        this.turn(() => this.#part(undefined))
      }
      super.ended(code, reason)
    })
  }

  /** @param {number} code @param {string} reason @override */
  ended(code, reason) {
    super.ended(code, reason)
    this.turn(() => this.#part(new TypeError('network error')))
  }

  /** @param {string} text */
  #event(text) {
    this.network.carry(this, 'down', () => this.turn(() => this.#part(text)))
  }

  /**
   * @param {number} status
   * @param {string} type
   * @param {string} [text]
   */
  #answer(status, type, text = '') {
    this.#hasBegun = true
    const read = () => new Promise((resolve, reject) => {
      this.#reading = { resolve, reject }
      this.#hand()
    })
    this.#respond({ status, headers: { get: () => type }, text: async () => text, body: { getReader: () => ({ read }) } })
  }

  /** @param {string | Error | undefined} part */
  #part(part) {
    if (part instanceof Error) this.#fail(part)
    else if (!this.#hasBegun) this.#answer(200, 'text/event-stream')
    this.#parts.push(part)
    this.#hand()
  }

  #hand() {
    if (!this.#reading || !this.#parts.length) return
    const { resolve, reject } = this.#reading
    this.#reading = undefined
    const part = this.#parts.shift()
    if (part instanceof Error) reject(part)
    else resolve(part === undefined ? { done: true } : { done: false, value: new TextEncoder().encode(part) })
  }
}

/** Where a stream's client is, in each log: what its events' ids say. */
export class Place {
  /** By the key of a channel. @type {Map<string, string>} */
  channels = new Map()

  /** @param {string} id That the client came with; of the inbox alone, a cursor. */
  constructor(id) {
    const [inbox, everyone, ...channels] = id.split('.')
    this.inbox = inbox
    this.everyone = everyone ?? ''
    for (const channel of channels) {
      const [key, cursor] = channel.split(':')
      if (!this.channels.has(key)) this.channels.set(key, cursor)
    }
  }

  toString() {
    return [this.inbox, this.everyone, ...[...this.channels].map((it) => it.join(':'))].join('.')
  }
}
