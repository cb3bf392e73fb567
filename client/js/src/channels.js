/** The channels that are wanted, over every reconnect, and the requests that are not answered yet. */
import { CarillonError } from './errors.js'

/**
 * @typedef {object} Wanted
 * @property {number} count How many asked for it.
 * @property {boolean} [durable]
 * @property {string} [since]
 * @property {number} [ref] Of the newest request.
 * @property {Promise<any>} joined
 * @property {(frame: any) => void} resolve
 * @property {(error: CarillonError) => void} reject
 */

/**
 * @param {(frame: import('./types.js').Frame) => void} request Sends if there is a connection.
 * @param {ReturnType<typeof import('./ledger.js').createLedger>} ledger
 * @param {(run: () => void) => void} later Runs it in a while.
 * @param {(channel: string) => void} [left] Whatever was known of it is over.
 */
export function createChannels(request, ledger, later, left) {
  /** @type {Map<string, Wanted>} */
  const all = new Map()
  let refs = 0

  /** @param {string} channel */
  const ask = (channel) => {
    const wanted = all.get(channel)
    if (!wanted) return
    const ref = wanted.ref = ++refs
    request({ type: 'subscribe', channel, ref, since: ledger.since(channel) ?? wanted.since, durable: wanted.durable })
  }

  /**
   * @param {string} channel
   * @param {CarillonError} error
   */
  const end = (channel, error) => {
    all.get(channel)?.reject(error)
    all.delete(channel)
    ledger.forget(channel)
    left?.(channel)
  }

  return {
    end,

    /**
     * @param {string} channel
     * @param {{ durable?: boolean, since?: string }} [wish]
     * @returns {Promise<any>} The answer.
     */
    subscribe(channel, { durable, since } = {}) {
      let wanted = all.get(channel)
      if (!wanted) {
        wanted = /** @type {Wanted} */ ({ count: 0, durable, since })
        wanted.joined = new Promise((resolve, reject) => Object.assign(/** @type {Wanted} */ (wanted), { resolve, reject }))
        // Whoever does not look at the promise hears of it by `error`.
        wanted.joined.catch(() => {})
        all.set(channel, wanted)
        ask(channel)
      }
      wanted.count++
      return wanted.joined
    },

    /** @param {string} channel */
    unsubscribe(channel) {
      const wanted = all.get(channel)
      if (!wanted || --wanted.count) return
      end(channel, new CarillonError('unsubscribed', 'unsubscribed', { channel }))
      request({ type: 'unsubscribe', channel })
    },

    /** A connection began: all are asked for anew. */
    begin: () => [...all.keys()].forEach(ask),

    /** @param {any} frame */
    onSubscribed(frame) {
      if (!ledger.since(frame.channel)) ledger.start(frame.channel, frame.cursor)
      const wanted = all.get(frame.channel)
      if (wanted?.ref === frame.ref) wanted?.resolve(frame)
    },

    /**
     * A request was refused.
     * @param {number} ref
     * @param {CarillonError} error
     */
    onError(ref, error) {
      for (const [channel, wanted] of all) {
        if (wanted.ref !== ref) continue
        if (error.retryable) later(() => wanted.ref === ref && ask(channel))
        else end(channel, error)
      }
    },
  }
}
