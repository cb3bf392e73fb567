/**
 * What was heard, what was handled, and where each log stands. Pure: no socket, no clock.
 *
 * Positions move only over what is handled, so nothing that waits is ever passed over by an ack. The inbox,
 * the broadcasts and each channel are logs of their own.
 */

/**
 * @typedef {object} Log
 * @property {string} [at] Everything up to here is handled.
 * @property {string} [before] The position before that.
 * @property {Map<string, string>} order What came on this connection and is not passed yet: cursor → id.
 * @property {Set<string>} seen The newest ids, oldest first.
 */

/** @param {Set<string> | Map<string, string>} values */
const first = (values) => /** @type {string} */ (values.values().next().value)

export function createLedger() {
  /** @type {Map<string, Log>} */
  const logs = new Map()
  /** Ids that were heard and are not handled. @type {Set<string>} */
  const open = new Set()
  /** Ids that are remembered of each log: as many as an inbox holds, or more. */
  let capacity = 1000

  /** @param {string} name @returns {Log} */
  const logOf = (name) => {
    let log = logs.get(name)
    if (!log) logs.set(name, log = { order: new Map(), seen: new Set() })
    return log
  }

  /**
   * Passes over what is handled, in the order in which it came. The position to ack, if there is one.
   * @param {string} name
   * @returns {string | undefined}
   */
  const settle = (name) => {
    const log = logOf(name)
    let passed
    for (const [cursor, id] of log.order) {
      if (open.has(id)) break
      log.order.delete(cursor)
      if (cursor !== log.at) log.before = log.at ?? cursor
      passed = log.at = cursor
    }
    return passed
  }

  return {
    settle,

    /**
     * Another user, or another page: begins with what `save` gave there.
     * @param {[string, { before?: string, at?: string, seen: string[] }][]} [saved]
     */
    reset(saved = []) {
      logs.clear()
      for (const [name, log] of saved) logs.set(name, { ...log, order: new Map(), seen: new Set(log.seen) })
    },

    /**
     * Another connection begins: only what comes on it can be acked on it.
     * @param {number} inbox How many an inbox may hold.
     */
    begin(inbox) {
      capacity = Math.max(capacity, inbox)
      for (const log of logs.values()) log.order.clear()
    },

    /**
     * The server says where a log stands.
     * @param {string} name
     * @param {string} cursor
     */
    start(name, cursor) {
      const log = logOf(name)
      log.at = log.before = cursor
      log.order.clear()
    },

    /**
     * Where to go on: one before the last that was handled. It comes again, is known, and is acked again; the
     * ack that was given for it may have died with the socket, or with the gateway.
     * @param {string} name
     */
    since: (name) => logs.get(name)?.before,

    /**
     * A notification came. Whether it is new.
     * @param {string} name
     * @param {string} id
     * @param {string} [cursor]
     */
    arrive(name, id, cursor) {
      const { seen, order } = logOf(name)
      // Moved to the end: what comes again is not the oldest any more.
      const isNew = !seen.delete(id)
      seen.add(id)
      if (isNew) open.add(id)
      if (seen.size > capacity) seen.delete(first(seen))
      if (cursor) order.set(cursor, id)
      // Somebody never finishes with one of them; the others are not to pile up behind it.
      if (order.size > 2 * capacity) open.delete(first(order))
      return isNew
    },

    /**
     * A notification is handled. The position to ack, if it moved.
     * @param {string} name
     * @param {string} id
     */
    handled(name, id) {
      open.delete(id)
      return settle(name)
    },

    /** @param {string} name */
    forget: (name) => logs.delete(name),

    /** What another page can go on from: what waits is left out, so that it comes again there. */
    save: () => [...logs].map(([name, { before, at, seen }]) =>
      [name, { before, at, seen: [...seen].filter((id) => !open.has(id)) }]),
  }
}
