/**
 * Handlers, and the notifications that wait for one.
 *
 * A notification is given to every handler that takes it, once. One that none takes waits, so that a handler
 * which is attached late misses nothing.
 */
import { CarillonError } from './errors.js'

/** Events of the client's own. A notification with such a type is given to `notification` and `*` alone. */
const LOCAL = /^(state|notification|drain|\*)$/

/** Notifications that wait for a handler. */
const WAITING = 1000

/** @typedef {import('./types.js').Notification} Notification */
/** @typedef {(value: any) => unknown} Handler */

/**
 * @param {(notification: Notification) => void} handled All its handlers are done.
 */
export function createDelivery(handled) {
  /** @type {Map<string, Set<Handler>>} */
  const all = new Map()
  /** @type {Notification[]} */
  let waiting = []
  let dropped = 0
  let isFlushing = false

  /** @param {string[]} types @returns {Handler[]} */
  const handlersOf = (...types) => types.flatMap((type) => [...all.get(type) ?? []])

  /**
   * Calls each; what they throw is reported and disturbs nobody.
   * @param {Handler[]} handlers
   * @param {unknown} value
   * @returns {Promise<void>[]} Of those that take their time.
   */
  const call = (handlers, value) => {
    /** @param {unknown} cause */
    const failed = (cause) => {
      const error = new CarillonError('handler_failed', `${cause}`, { cause })
      // One for errors that fails itself is not told of that.
      if (value instanceof Error) console.error(error)
      else emit('error', error)
    }
    return handlers.flatMap((handler) => {
      try {
        const result = /** @type {any} */ (handler(value))
        return result?.then ? [result.then(() => {}, failed)] : []
      } catch (cause) {
        failed(cause)
        return []
      }
    })
  }

  /**
   * Tells an event of the client's own.
   * @param {string} type
   * @param {unknown} value
   */
  const emit = (type, value) => {
    const handlers = handlersOf(type)
    if (type === 'error' && !handlers.length) console.error(value)
    call(handlers, value)
  }

  /**
   * Whether somebody took it.
   * @param {Notification} notification
   */
  const offer = (notification) => {
    const { type } = notification
    const takers = handlersOf(LOCAL.test(type) ? '' : type, 'notification', '*')
    if (!takers.length) return false
    const pending = call(takers, notification)
    if (pending.length) Promise.all(pending).then(() => handled(notification))
    else handled(notification)
    return true
  }

  const flush = () => {
    isFlushing = false
    const before = waiting
    waiting = []
    waiting = before.filter((notification) => !offer(notification)).concat(waiting)
  }

  /**
   * @param {string} type
   * @param {Handler} handler
   */
  const off = (type, handler) => {
    all.get(type)?.delete(handler)
  }

  return {
    emit,
    off,
    /** What was taken back waits for nobody any more. @param {string[]} ids */
    takeBack(ids) {
      waiting = waiting.filter((it) => !ids.includes(it.id) || handled(it))
    },

    counts: () => ({ waiting: waiting.length, dropped }),

    /**
     * @param {string} type
     * @param {Handler} handler
     * @returns {() => void} Takes the handler off.
     */
    on(type, handler) {
      if (typeof handler !== 'function') throw new TypeError('on(type, handler): handler is no function')
      all.set(type, (all.get(type) ?? new Set()).add(handler))
      // Later, so that all handlers that are attached together get what waits.
      if (!isFlushing) queueMicrotask(flush)
      isFlushing = true
      return () => off(type, handler)
    },

    /**
     * Gives a notification to its handlers, or lets it wait.
     * @param {Notification} notification
     */
    give(notification) {
      // In order: what waits for a handler that is there now is given before.
      if (isFlushing) flush()
      if (offer(notification)) return
      waiting.push(notification)
      if (waiting.length <= WAITING) return
      // It is never acked: another page may have a handler.
      const { type } = /** @type {Notification} */ (waiting.shift())
      dropped++
      emit('error', new CarillonError('too_many_waiting', `no handler for ${type}`))
    },
  }
}
