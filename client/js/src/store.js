/** What a client tells, as values that user interfaces follow: shared by all who look, and kept while none does. */

/** @typedef {import('./types.js').Notification} Notification */

/** A client, shared or not. @typedef {{ state: import('./types.js').State, on: any }} Followed */

/**
 * @template T
 * @typedef {object} Store
 * @property {() => T} get The same until something happens.
 * @property {(changed: () => void) => () => void} subscribe
 */

/** Of a client, by what is followed. @type {WeakMap<Followed, Map<string, Store<any>>>} */
const stores = new WeakMap()

/**
 * @template T
 * @param {Followed} client
 * @param {string} name
 * @param {T} first
 * @param {string} event
 * @param {(before: T, value: any) => T} next
 * @returns {Store<T>}
 */
function storeOf(client, name, first, event, next) {
  let all = stores.get(client)
  if (!all) stores.set(client, all = new Map())
  const known = all.get(name)
  if (known) return known
  let value = first
  /** @type {Set<() => void>} */
  const followers = new Set()
  /** @type {(() => void) | undefined} */
  let off
  const store = {
    get: () => value,
    /** @param {() => void} changed */
    subscribe(changed) {
      // A handler takes notifications: there is one as long as somebody looks, and else they wait.
      off ??= client.on(event, (/** @type {any} */ given) => {
        value = next(value, given)
        followers.forEach((follower) => follower())
      })
      followers.add(changed)
      return () => {
        followers.delete(changed)
        if (followers.size) return
        off?.()
        off = undefined
      }
    },
  }
  all.set(name, store)
  return store
}

/** @type {Notification[]} */
export const NONE = []

/**
 * The newest notifications of a type, the oldest first.
 * @param {Followed} client
 * @param {string} type
 * @param {number} limit
 */
export function notificationsOf(client, type, limit) {
  return storeOf(client, `${limit} ${type}`, NONE, type, (before, notification) => [...before, notification].slice(-limit))
}

/**
 * How the connection is.
 * @param {Followed} client
 */
export function stateOf(client) {
  const { subscribe } = storeOf(client, '', 0, 'state', (n) => n + 1)
  return { get: () => client.state, subscribe }
}
