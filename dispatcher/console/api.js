/**
 * Every call that the console makes, to the port that served it and no other. So whatever it shows or does, a curl does:
 * each call is told to whoever listens, to be copied as one.
 */

/** Where the key is kept if its owner wants that: in this tab, until it is closed. */
const KEPT = 'carillon.console.key'
/** A call that takes longer is given up. */
const PATIENCE = 20_000

let key = sessionStorage.getItem(KEPT) ?? ''

/** @typedef {{ method: string, path: string, body?: string, idempotencyKey?: string, open?: boolean, status: number | string, ms: number }} Call */

/** @type {((call: Call) => void)[]} */
const listeners = []
/** @param {(call: Call) => void} listener */
export const onCall = (listener) => { listeners.push(listener) }

export const hasKey = () => key !== ''

/** @param {string} text @param {boolean} keep Over a reload. */
export function takeKey(text, keep) {
  key = text
  if (keep) sessionStorage.setItem(KEPT, text)
  else sessionStorage.removeItem(KEPT)
}

/** A call that was refused, with the problem (RFC 9457) that says why. */
export class Refusal extends Error {
  /** @param {any} problem */
  constructor(problem) {
    super(problem.detail ?? problem.title)
    this.problem = problem
  }
}

/**
 * A path with its names filled in, each encoded, and its parameters, without those that are empty.
 * @param {string} pattern
 * @param {Record<string, string>} [names]
 * @param {Record<string, unknown>} [query]
 */
export function path(pattern, names = {}, query = {}) {
  const filled = pattern.replaceAll(/\{(\w+)\}/g, (_, name) => encodeURIComponent(names[name]))
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== '')
  const parameters = new URLSearchParams(given.map(([name, value]) => [name, `${value}`]))
  return given.length ? `${filled}?${parameters}` : filled
}

/**
 * What was answered. A refusal is thrown.
 * @param {string} method
 * @param {string} path
 * @param {{ body?: unknown, once?: boolean, open?: boolean, withKey?: string, any?: boolean }} [how] `once`: under an
 *   idempotency key; `open`: without the API key; `withKey`: with this one; `any`: whatever the status is.
 */
export async function call(method, path, { body, once, open, withKey, any } = {}) {
  /** @type {Call} */
  const it = { method, path, open, status: '–', ms: 0 }
  /** @type {Record<string, string>} */
  const headers = {}
  if (!open) headers.Authorization = `Bearer ${withKey ?? key}`
  if (body !== undefined) {
    it.body = JSON.stringify(body)
    headers['Content-Type'] = 'application/json'
  }
  if (once) headers['Idempotency-Key'] = it.idempotencyKey = crypto.randomUUID()
  const begun = performance.now()
  try {
    const answer = await fetch(path, { method, headers, body: it.body, cache: 'no-store', signal: AbortSignal.timeout(PATIENCE) })
    const text = await answer.text()
    it.status = answer.status
    if (!answer.ok && !any) throw new Refusal(problemOf(answer, text))
    return { call: it, answer: answer.headers.get('content-type')?.includes('json') ? JSON.parse(text) : text }
  } catch (error) {
    if (error instanceof Refusal) throw Object.assign(error, { call: it })
    it.status = 'no answer'
    const problem = { title: 'No answer', retryable: true,
      detail: `${method} ${path} was not answered; see whether the dispatcher runs and the port is still forwarded` }
    throw Object.assign(new Refusal(problem), { call: it })
  } finally {
    it.ms = performance.now() - begun
    for (const listener of listeners) listener(it)
  }
}

/** @param {Response} answer @param {string} text */
function problemOf(answer, text) {
  try {
    const problem = JSON.parse(text)
    return { ...problem, after: answer.headers.get('retry-after') }
  } catch {
    return { title: `${answer.status}`, status: answer.status, detail: text.slice(0, 500) }
  }
}

/** A call as a line for a shell, with the key in $CARILLON_KEY. @param {Call} it */
export function asCurl({ method, path, body, idempotencyKey, open }) {
  const quoted = (/** @type {string} */ text) => `'${text.replaceAll("'", "'\\''")}'`
  const parts = ['curl -sS', ...method === 'GET' ? [] : [`-X ${method}`], quoted(location.origin + path)]
  if (!open) parts.push('-H "Authorization: Bearer $CARILLON_KEY"')
  if (idempotencyKey) parts.push(`-H ${quoted(`Idempotency-Key: ${idempotencyKey}`)}`)
  if (body !== undefined) parts.push(`-H 'Content-Type: application/json'`, `-d ${quoted(body)}`)
  return parts.join(' ')
}
