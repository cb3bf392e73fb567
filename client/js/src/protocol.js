/** `carillon.v1` as pure functions: addresses, tokens, close codes, positions' logs. */
import { CarillonError } from './errors.js'
import { quietly } from './quietly.js'

/** The name of the broadcasts' log. */
export const EVERYONE = '*'

/** The name of the inbox's log; no channel is called so. */
export const INBOX = ''

/**
 * The socket's address.
 * @param {string | undefined} url
 * @param {string | undefined} page Where the page is, if there is one.
 * @returns {URL}
 */
export function socketUrl(url, page) {
  const at = quietly(() => new URL(url ?? '/', page))
  if (at) at.protocol = at.protocol.replace('http', 'ws')
  if (!at?.protocol.startsWith('ws')) {
    throw new CarillonError('invalid_url', 'options.url: give one such as wss://push.example')
  }
  if (at.pathname === '/') at.pathname = '/ws/notifications'
  return at
}

/**
 * What a handshake offers. The token is in a header, where no log of addresses shows it.
 * @param {string} token
 */
export function subprotocols(token) {
  return ['carillon.v1', 'bearer.' + btoa(token).replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '')]
}

/**
 * The user of a token, unverified; undefined where it cannot be read. So one user's position is never shown
 * for another's inbox.
 * @param {string} token
 * @returns {string | undefined}
 */
export function subject(token) {
  return quietly(() => JSON.parse(atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/'))).sub)
}

/**
 * Which log a notification is of: each has a chain of cursors of its own. On personal ones the channel is
 * only a label.
 * @param {Pick<import('./types.js').Notification, 'target_user' | 'channel'>} notification
 */
export function logOf({ target_user: user, channel }) {
  return user != null ? INBOX : channel ?? EVERYONE
}

/**
 * What a close code asks for. `refresh`: once with another token. `renew`: at once with another token.
 * `fresh`: under another session. `now`: at once. `later`: with a pause of a second at least. `pause`: with a
 * pause. `stop`: the same again is of no use.
 * @param {number} code
 * @returns {'stop' | 'refresh' | 'renew' | 'fresh' | 'now' | 'later' | 'pause'}
 */
export function verdict(code) {
  /** @type {Record<number, any>} */
  const special = { 4001: 'refresh', 4201: 'renew', 4009: 'fresh', 4008: 'pause' }
  /** @type {Record<number, any>} */
  const hundreds = { 40: 'stop', 41: 'later', 42: 'now' }
  return special[code] ?? hundreds[Math.floor(code / 100)] ?? 'pause'
}

/**
 * The pause before an attempt, in milliseconds.
 * @param {number} attempt The first is 0.
 * @param {{ baseMs: number, maxMs: number, jitter: boolean }} backoff
 * @param {number} random From 0 to 1.
 */
export function pause(attempt, { baseMs, maxMs, jitter }, random) {
  return Math.min(maxMs, baseMs * 2 ** attempt) * (jitter ? random : 1)
}
