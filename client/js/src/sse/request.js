/** One request for an event stream, from its begin to its end. Whoever ends it hears nothing of it any more. */
import { quietly } from '../quietly.js'
import { createParser } from './parser.js'

/** What a socket would be closed with. */
const CODES = /** @type {Record<number, number>} */ ({ 400: 4003, 401: 4001, 403: 4003, 409: 4009 })

/** @typedef {ReturnType<typeof request>} Request */

/**
 * The token is in a header, where no log of addresses shows it; that is what `EventSource` has none of.
 * @param {any} scope
 * @param {URL} to
 * @param {string} token
 * @param {string | undefined} lastId Where the reader is.
 * @param {() => void} onBytes
 * @param {(event: import('./parser.js').StreamEvent) => void} onEvent
 * @param {(code: number, reason: string) => void} onEnd
 */
export function request(scope, to, token, lastId, onBytes, onEvent, onEnd) {
  const leaving = new AbortController()
  const { signal } = leaving
  const end = () => leaving.abort()

  /** @param {number} code @param {string} reason */
  const ended = (code, reason) => {
    if (signal.aborted) return
    end()
    onEnd(code, reason)
  }

  const read = async () => {
    /** @type {Record<string, string>} */
    const headers = { accept: 'text/event-stream', authorization: `Bearer ${token}` }
    if (lastId) headers['last-event-id'] = lastId
    const response = await scope.fetch(to.href, { headers, cache: 'no-store', signal })
    const { status } = response
    // A page to sign in with, in the place of the stream, is 200 as well.
    if (status !== 200 || !/^text\/event-stream/.test(response.headers.get('content-type'))) {
      const problem = await response.text()
      return ended(CODES[status] ?? 1006, quietly(() => JSON.parse(problem).code) ?? `HTTP ${status}`)
    }
    const reader = response.body.getReader()
    const decoder = new TextDecoder()
    const parse = createParser((event) => signal.aborted || onEvent(event))
    for (;;) {
      const { done, value } = await reader.read()
      if (signal.aborted) return
      if (done) return ended(1006, '')
      onBytes()
      parse(decoder.decode(value, { stream: true }))
    }
  }

  read().catch((error) => ended(1006, `${error}`))
  return { end, ended }
}
