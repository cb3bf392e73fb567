/**
 * Whether what was accepted for a user has arrived. Pure. An answer of the service may come later than the
 * notification itself.
 */

/** Ids that are remembered of each kind, at most. */
const MOST = 1000

export function createAccount() {
  /** Accepted, and not here yet. @type {Set<string>} */
  const waiting = new Set()
  /** Here, and not known to be accepted: the answer is on its way, or somebody else sent it. @type {Set<string>} */
  const early = new Set()
  let arrived = 0
  let replayed = 0

  /** @param {Set<string>} ids @param {string} id */
  const keep = (ids, id) => {
    ids.add(id)
    if (ids.size > MOST) ids.delete(ids.values().next().value)
  }

  return {
    /** @param {string} id */
    accepted(id) {
      if (!early.delete(id)) keep(waiting, id)
    },

    /** @param {{ id: string, replayed?: boolean }} notification */
    arrives({ id, replayed: again }) {
      arrived++
      if (again) replayed++
      if (!waiting.delete(id)) keep(early, id)
    },

    counts: () => ({ arrived, replayed, waiting: waiting.size }),
  }
}
