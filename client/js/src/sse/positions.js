/**
 * With which id a stream is followed by another. Pure: no socket, no clock.
 *
 * Coming back with an event's id acks everything before it, in every log. So it is the id of the last event up to
 * which all notifications are handled.
 */

/**
 * @typedef {object} Came
 * @property {string} id
 * @property {string} [log]
 * @property {string} [cursor] Of a notification that is not handled yet.
 */

/** @typedef {ReturnType<typeof createPositions>} Positions */

export function createPositions() {
  /** In the order in which they came. @type {Came[]} */
  let open = []
  /** @type {string | undefined} */
  let handled
  /** @type {string | undefined} */
  let newest

  const settle = () => {
    while (open.length && !open[0].cursor) handled = open.shift()?.id
    return handled
  }

  return {
    /** Whether everything that came is handled. */
    isSettled: () => !open.length,

    /** The last id that came, whatever is handled. */
    newest: () => newest,

    /**
     * An event that moves its reader came. Where the reader is.
     * @param {string} id
     * @param {string} [log]
     * @param {string} [cursor] None, if nothing has to be handled.
     */
    came(id, log, cursor) {
      newest = id
      open.push({ id, log, cursor })
      return settle()
    },

    /**
     * Everything of this cursor's log up to it is handled. Where the reader is.
     * @param {string} cursor
     */
    acked(cursor) {
      const last = open.findLastIndex((it) => it.cursor === cursor)
      const log = open[last]?.log
      open.slice(0, last + 1).forEach((it) => {
        if (it.log === log) it.cursor = undefined
      })
      return settle()
    },
  }
}

/**
 * Names a channel within an id: FNV-1a of 32 bits.
 * @param {string} channel
 */
export function keyOf(channel) {
  let hash = 0x811c9dc5
  // Names are ASCII.
  for (const letter of channel) hash = Math.imul(hash ^ letter.charCodeAt(0), 0x01000193)
  return (hash >>> 0).toString(16)
}

/**
 * An id without the positions on these channels.
 * @param {string} id
 * @param {string[]} channels
 */
export function without(id, channels) {
  const keys = channels.map(keyOf)
  return id.split('.').filter((part) => !keys.some((key) => part.startsWith(`${key}:`))).join('.')
}
