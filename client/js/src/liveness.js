/**
 * Whether a socket that is silent still lives. Pure: it is told the time.
 *
 * A timer that fires late proves nothing: the page was hidden, or the machine asleep, and what came meanwhile
 * may not be read yet. So the server is asked once more, with a short patience, before a socket is given up.
 */

/** For the answer to a ping. */
const PATIENCE = 10_000
/** For the first one after a pause in which nobody looked. */
const AWAKE_PATIENCE = 5_000
/** A timer that is later than this was held up. */
const LATE = 2_000

/**
 * @param {number} every How often to ask, in milliseconds.
 * @param {number} begin Now.
 */
export function createLiveness(every, begin) {
  let due = begin + every
  /** And it has not answered. */
  let isAsked = false
  let isExcused = false

  /** @param {number} now @param {number} patience @param {boolean} excused */
  const ask = (now, patience, excused) => {
    isAsked = true
    due = now + patience
    isExcused = excused
  }

  return {
    /**
     * How long nothing is to be done; at most an interval, also after a clock went back.
     * @param {number} now
     */
    wait: (now) => Math.max(0, Math.min(due - now, every)),

    /**
     * Something came. Whether it was asked for.
     * @param {number} now
     */
    heard(now) {
      if (!isAsked) return false
      isAsked = false
      due = now + every
      return true
    },

    /**
     * Somebody comes back to the page, or the network does: it is asked now.
     * @param {number} now
     */
    probe: (now) => ask(now, AWAKE_PATIENCE, false),

    /**
     * The wait is over.
     * @param {number} now
     * @returns {'dead' | 'ping' | undefined}
     */
    check(now) {
      const early = due - now
      const isBack = early > every
      if (early > 0 && !isBack) return
      const isLate = isBack || -early > LATE
      if (isAsked && (!isLate || isExcused)) return 'dead'
      ask(now, isLate ? AWAKE_PATIENCE : PATIENCE, isAsked)
      return 'ping'
    },
  }
}
