/** What a client is made with: read once, refused with the name of the option and the remedy. */

const NAMES = /^(url|token|getToken|device|session|ack|backoff|shouldReconnect|log|WebSocket|storage|scope)$/

/** @typedef {import('./types.js').Options} Options */

/**
 * `(token)`, `(url, token)`, `(url, token, options)` or `(options)`.
 * @param {string | Options} first
 * @param {string} [second]
 * @param {Options} [third]
 * @returns {Options & { backoff: Required<import('./types.js').Backoff> }}
 */
export function readOptions(first, second, third) {
  /** @type {any} */
  const options = typeof first !== 'string' ? { ...first }
    : { ...third, ...second === undefined ? { token: first } : { url: first, token: second } }
  for (const name in options) {
    if (!NAMES.test(name)) throw new TypeError(`options.${name} is unknown`)
  }
  options.backoff = { baseMs: 1000, maxMs: 30_000, jitter: true, maxAttempts: Infinity, ...options.backoff }
  return options
}
