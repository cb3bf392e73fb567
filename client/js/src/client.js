/** The client as applications see it. */
import { createCore } from './core.js'
import { readOptions } from './options.js'

/**
 * A user's notifications: each once, in order, over every kind of broken connection. Its methods may be
 * taken off it and passed around.
 * @template {object} [Events=Record<string, unknown>] type → type of `data`
 */
export class NotificationClient {
  #core

  /**
   * `(token)` at the page's own host, `(url, token)`, or all options as one object.
   * @param {string | import('./types.js').Options} first
   * @param {string} [second]
   * @param {import('./types.js').Options} [third]
   */
  constructor(first, second, third) {
    const core = this.#core = createCore(readOptions(first, second, third))

    /** Connects, and stays so. Once is enough; after `failed` or `disconnect()` it begins anew. */
    this.connect = core.connect

    /** Ends it, and all that was started for it. */
    this.disconnect = core.disconnect

    /**
     * Calls the handler for each notification of a type; for `notification`, for each of any type; for `*`,
     * for every frame as well; and for what the client tells: `state`, `error`, `gap`, `drain`. What it
     * gives takes the handler off again.
     * @type {import('./types.js').Attach<Events>}
     */
    this.on = core.on

    /**
     * The same for the next one only.
     * @type {import('./types.js').Attach<Events>}
     */
    this.once = core.once

    /**
     * Takes a handler off that was given to `on`.
     * @type {(type: import('./types.js').Name<Events>, handler: (value: any) => unknown) => void}
     */
    this.off = core.off

    /**
     * Joins a channel, and joins it again after every reconnect, where it left off. As often as it is
     * called, `unsubscribe` has to be. durable: kept for this device's later connections. since: what
     * followed this cursor comes, too.
     * @type {(channel: string, wish?: { durable?: boolean, since?: string }) =>
     *   Promise<import('./types.js').Known['subscribed']>}
     */
    this.subscribe = core.subscribe

    /** Leaves it, when everybody who joined it has. */
    this.unsubscribe = core.unsubscribe

    /** Sends a frame of your own. Whether there is a connection that takes it. */
    this.send = core.send

    /** With `ack: 'manual'`: it is handled. The server hears of it once everything before it is, too. */
    this.ack = core.ack

    /** Another token of the same user, for this connection and the next. A client that failed begins anew. */
    this.setToken = core.setToken
  }

  get state() {
    return this.#core.state()
  }

  /** @returns {import('./types.js').Stats} */
  get stats() {
    return this.#core.stats()
  }
}
