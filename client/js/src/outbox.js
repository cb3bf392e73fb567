/** What waits to be sent: frames, not faster than the server takes them, and acks, gathered. */
import { createTimer } from './timer.js'

/** Frames that may wait. */
const FRAMES = 1000
/** Acks are gathered for so long. */
const ACK_MS = 250

/** @typedef {import('./types.js').Frame} Frame */

/**
 * @param {import('./types.js').Scope} scope
 * @param {(frame: Frame) => unknown} send
 */
export function createOutbox(scope, send) {
  const pumping = createTimer(scope)
  const acking = createTimer(scope)
  /** @type {Frame[]} */
  let frames = []
  /** Between two frames, on average. 0: there is no connection. */
  let gap = 0
  /** Up to when the rate is used up. */
  let used = 0
  /** The newest position to tell of each log. @type {Map<string, string>} */
  const acks = new Map()
  let ackedAt = 0

  const pump = () => {
    const now = scope.Date.now()
    // A second's worth is always allowed, less one for the ping that leaves by itself; and after a clock
    // went back no more than that is owed.
    used = Math.min(Math.max(used, now), now + 1000)
    while (frames.length && used - now <= 1000 - 2 * gap) {
      used += gap
      send(/** @type {Frame} */ (frames.shift()))
    }
    if (frames.length) pumping(gap, pump)
  }

  const flushAcks = () => {
    acking()
    ackedAt = scope.Date.now()
    for (const cursor of acks.values()) send({ type: 'ack', cursor })
    acks.clear()
  }

  return {
    flushAcks,

    /**
     * What was meant for the connection before is not for this one.
     * @param {number} [perSecond] What this one takes; nothing where there is none.
     */
    begin(perSecond) {
      pumping()
      acking()
      frames = []
      acks.clear()
      gap = perSecond ? 1000 / perSecond : 0
    },

    /**
     * Whether it will be sent.
     * @param {Frame} frame
     */
    push(frame) {
      if (!gap || frames.length >= FRAMES) return false
      frames.push(frame)
      if (frames.length < 2) pump()
      return true
    },

    /**
     * Everything in this log up to the cursor is handled.
     * @param {string} log
     * @param {string} [cursor]
     */
    ack(log, cursor) {
      if (!cursor) return
      const isFirst = !acks.size
      acks.set(log, cursor)
      const wait = ackedAt + ACK_MS - scope.Date.now()
      if (wait <= 0 || wait > ACK_MS) flushAcks()
      else if (isFirst) acking(wait, flushAcks)
    },
  }
}
