/**
 * carillon-client/diagnose: why a page cannot connect. Browsers keep from scripts what a handshake was answered. So
 * one is tried, the same address is asked over HTTP, and what both say together is put into words.
 */
import { newName } from './page.js'
import { socketUrl, subprotocols } from './protocol.js'
import { quietly } from './quietly.js'
import { createTimer } from './timer.js'

/** For the handshake up to the first frame, and for the answer over HTTP. */
const PATIENCE = 15_000

/**
 * @typedef {'ok' | 'invalid_url' | 'mixed_content' | 'no_websocket' | 'no_token' | 'token_refused' | 'refused' | 'silent'
 *   | 'offline' | 'blocked_by_policy' | 'unreachable' | 'not_a_gateway' | 'unavailable' | 'handshake_failed'} Code
 *
 * @typedef {object} Finding
 * @property {boolean} ok Whether a client with these options connects.
 * @property {Code} code What to branch on.
 * @property {string} message For people: what it is, and the remedy.
 * @property {number} [ms] From the handshake's begin to `welcome`.
 *
 * @typedef {{ ms?: number, isOpen?: boolean, code?: number, reason?: string }} Tried
 * @typedef {Pick<import('./types.js').Options, 'url' | 'token' | 'getToken' | 'WebSocket'>
 *   & { scope?: import('./types.js').Scope & { fetch?: any } }} Options
 */

/**
 * Tries to connect once, as a client with these options does, and says what came of it. It opens a connection of
 * its own, takes nothing from it, and closes it.
 * @param {Options} options
 * @returns {Promise<Finding>}
 */
export async function diagnose({ url, token, getToken, WebSocket, scope = globalThis }) {
  const { location } = scope
  const at = quietly(() => socketUrl(url, location?.href))
  if (!at) return finding('invalid_url', 'options.url: give one such as wss://push.example')
  if (location?.protocol === 'https:' && at.protocol === 'ws:') {
    return finding('mixed_content', `a page over https may not open ${at.origin}: give its address with wss`)
  }
  const Socket = WebSocket ?? scope.WebSocket
  if (!Socket) return finding('no_websocket', 'options.WebSocket: give one such as that of ws')
  /** @type {any} */
  let shown
  try {
    shown = token ?? await getToken?.({ reason: 'connect' })
  } catch (error) {
    return finding('no_token', `getToken failed: ${error}`)
  }
  if (!shown || typeof shown !== 'string') return finding('no_token', 'give a token by options.token or getToken')

  const policy = { isBlocked: false, stop() {} }
  const onViolation = () => {
    policy.isBlocked = true
    policy.stop()
  }
  scope.addEventListener?.('securitypolicyviolation', onViolation)
  try {
    const tried = await shake(scope, Socket, at, shown, policy)
    const told = tried.ms === undefined && !tried.isOpen ? await ask(scope, at) : undefined
    return judge(at, tried, told, policy.isBlocked, scope.navigator?.onLine === false)
  } finally {
    scope.removeEventListener?.('securitypolicyviolation', onViolation)
  }
}

/**
 * @param {Code} code
 * @param {string} message
 * @param {number} [ms]
 * @returns {Finding}
 */
const finding = (code, message, ms) => ({ ok: code === 'ok', code, message, ...ms === undefined ? {} : { ms } })

/**
 * One handshake, up to the first frame.
 * @param {import('./types.js').Scope} scope
 * @param {any} Socket
 * @param {URL} at
 * @param {string} token
 * @param {{ stop(): void }} policy Stops it: a socket that the page's policy forbids never ends in Chromium.
 * @returns {Promise<Tried>}
 */
function shake(scope, Socket, at, token, policy) {
  return new Promise((resolve) => {
    const timer = createTimer(scope)
    const began = scope.Date.now()
    let isOpen = false
    const to = new URL(at)
    to.searchParams.set('session', newName(scope))
    const socket = quietly(() => new Socket(to.href, subprotocols(token)))
    if (!socket) return resolve({})
    /** @param {Tried} tried */
    const done = (tried) => {
      timer()
      socket.onopen = socket.onmessage = socket.onclose = null
      if (socket.readyState < 2) socket.close(1000)
      resolve({ isOpen, ...tried })
    }
    policy.stop = () => done({})
    timer(PATIENCE, policy.stop)
    socket.onopen = () => { isOpen = true }
    socket.onerror = () => {}
    socket.onclose = (/** @type {any} */ { code, reason }) => done({ code, reason: `${reason}` })
    socket.onmessage = (/** @type {any} */ { data }) => {
      if (quietly(() => JSON.parse(data).type) === 'welcome') done({ ms: scope.Date.now() - began })
    }
  })
}

/**
 * The same address over HTTP: the status, 0 where it may not be read, undefined where nothing answers.
 * @param {import('./types.js').Scope & { fetch?: any }} scope
 * @param {URL} at
 * @returns {Promise<number | undefined>}
 */
function ask(scope, at) {
  return new Promise((resolve) => {
    const timer = createTimer(scope)
    timer(PATIENCE, () => resolve(undefined))
    // Without a token: a plain request is refused before one is looked at.
    const asked = Promise.resolve(scope.fetch?.(at.href.replace('ws', 'http'), { mode: 'no-cors', cache: 'no-store', credentials: 'omit' }))
    asked.then((answer) => answer?.status, () => undefined).then((status) => {
      timer()
      resolve(status)
    })
  })
}

/**
 * What it all says.
 * @param {URL} at
 * @param {Tried} tried
 * @param {number | undefined} status
 * @param {boolean} isBlocked
 * @param {boolean} isOffline
 * @returns {Finding}
 */
function judge({ host, origin, pathname }, { ms, isOpen, code, reason }, status, isBlocked, isOffline) {
  if (ms !== undefined) return finding('ok', `connected to ${origin} in ${ms} ms`, ms)
  if (isOpen) {
    if (code === 4001) return finding('token_refused', `the gateway refuses the token: ${reason}`)
    if (code) return finding('refused', `the gateway closed the connection with ${code} ${reason}`)
    return finding('silent', 'the socket opened and nothing came: a token that was just refused is held for up to 40 s, or a proxy keeps back what it should pass on')
  }
  if (isBlocked) return finding('blocked_by_policy', `the page's Content-Security-Policy does not let it connect: add ${origin} to connect-src`)
  if (status === undefined) {
    return isOffline ? finding('offline', 'the browser has no network')
      : finding('unreachable', `nothing answers at ${host}: no such name, no route, nothing that listens, a certificate that is not accepted, or a local address that a public page may not reach; opened in a tab, the browser says which`)
  }
  if (status === 404) return finding('not_a_gateway', `${host} answers, and has no gateway at ${pathname}`)
  if (status >= 500) return finding('unavailable', `${host} answers ${status}: the gateway behind it is away or cannot be reached from there`)
  return finding('handshake_failed', `${host} answers over HTTP and lets no WebSocket through: a proxy that does not pass on upgrades, or a gateway that drains, is at a limit or has no store (503)`)
}
