/** carillon-client/inbox: a notification centre. What a user was sent, what of it was read, and a badge, on all devices alike. */
import { CarillonError } from 'carillon-client'

/** Between the first sign that something may have changed and asking for it. */
const SETTLE_MS = 100

/**
 * A notification of one's own. Whether it was read is the user's, on whichever device.
 * @typedef {import('./types.js').Notification & { cursor: string, read: boolean }} Item
 */

/**
 * @typedef {object} InboxState
 * @property {Item[]} items The newest first. What was taken back or has expired leaves.
 * @property {number} unread How many are not read, of all, whether they are loaded or not.
 * @property {'loading' | 'ready' | 'failed'} status `failed`: what is here is as of the last time.
 * @property {CarillonError | undefined} error Why the last request failed.
 * @property {boolean} hasMore Whether there are older ones: `more()`.
 */

/**
 * @typedef {object} Inbox
 * @property {() => InboxState} get The same until something happens.
 * @property {(changed: () => void) => () => void} subscribe While somebody does, it follows the client.
 * @property {() => Promise<void>} refresh
 * @property {() => Promise<void>} more
 * @property {(item: Item | string) => Promise<void>} markRead One, by itself or by its `cursor`.
 * @property {() => Promise<void>} markAllRead What there is now.
 */

/**
 * @typedef {object} InboxOptions
 * @property {{ on: any }} client Connected or not, shared or not.
 * @property {(why: { reason: string }) => string | Promise<string>} getToken As the client's.
 * @property {string} [api] Where the REST service is; absent: the page's own origin.
 * @property {number} [limit] Of a page.
 * @property {typeof fetch} [fetch]
 */

/** @type {InboxState} */
export const EMPTY = { items: [], unread: 0, status: 'loading', error: undefined, hasMore: false }

/**
 * The inbox of a client's user.
 * @param {InboxOptions} options
 * @returns {Inbox}
 */
export function createInbox({ client, getToken, api, limit = 50, fetch = globalThis.fetch }) {
  let state = EMPTY
  /** @type {string | null} */
  let next = null
  /** @type {Set<() => void>} */
  const followers = new Set()
  /** @type {(() => void)[]} */
  let offs = []
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let settling
  /** What is asked then. @type {(() => void) | undefined} */
  let pending
  /** A newer question's answer counts. */
  let asked = 0
  /** What came while a page was on its way. @type {Item[]} */
  let meanwhile = []

  /** @param {Partial<InboxState>} change */
  const set = (change) => {
    state = { ...state, ...change }
    followers.forEach((changed) => changed())
  }

  /**
   * @param {string} path
   * @param {object} [body]
   * @param {string} [reason] For a new token: the one before was refused.
   * @returns {Promise<any>}
   */
  const ask = async (path, body, reason = 'inbox') => {
    const headers = { authorization: `Bearer ${await getToken({ reason })}`, ...body && { 'content-type': 'application/json' } }
    const url = new URL(`/api/me/${path}`, api ?? globalThis.location?.href)
    const answer = await fetch(url, { headers, ...body && { method: 'POST', body: JSON.stringify(body) } })
    if (answer.ok) return answer.json()
    if (answer.status === 401 && reason !== 'unauthorized') return ask(path, body, 'unauthorized')
    const problem = await answer.json().catch(() => ({}))
    throw new CarillonError(problem.code ?? 'unavailable', problem.detail ?? `${answer.status} of ${url.pathname}`, problem)
  }

  /** Runs a request; what is wrong with it is in the state, and changes nothing else. @param {() => Promise<void>} request */
  const attempt = async (request) => {
    try {
      await request()
    } catch (cause) {
      const error = cause instanceof CarillonError ? cause : new CarillonError('unavailable', `${cause}`, { cause, retryable: true })
      set({ status: 'failed', error })
    }
  }

  /** Of those that came by both ways, once. @param {Item[]} items */
  const distinct = (items) => {
    const seen = new Set()
    return items.filter(({ id }) => !seen.has(id) && seen.add(id))
  }

  const refresh = () => attempt(async () => {
    const turn = ++asked
    meanwhile = []
    const [page, { unread }] = await Promise.all([ask(`notifications?order=newest&limit=${limit}`), ask('unread')])
    if (turn !== asked) return
    next = page.next
    const fresh = meanwhile.filter(({ id }) => !page.notifications.some((/** @type {Item} */ it) => it.id === id))
    set({ items: distinct([...fresh, ...page.notifications]), unread, status: 'ready', error: undefined, hasMore: !!next })
    // It may have been counted on either side of the question.
    if (fresh.length) recount()
  })

  const more = () => attempt(async () => {
    if (!next) return
    const turn = asked
    const page = await ask(`notifications?order=newest&limit=${limit}&after=${next}`)
    if (turn !== asked) return
    next = page.next
    set({ items: distinct([...state.items, ...page.notifications]), hasMore: !!next, status: 'ready', error: undefined })
  })

  const count = () => attempt(async () => {
    const { unread } = await ask('unread')
    set({ unread, error: undefined })
  })

  /** Soon, and once for all that happens until then: whoever is to ask for all is not held to counting. @param {() => void} run */
  const soon = (run) => {
    clearTimeout(settling)
    if (pending !== refresh) pending = run
    settling = setTimeout(() => {
      const due = pending
      pending = undefined
      due?.()
    }, SETTLE_MS)
  }
  const recount = () => soon(count)

  /** @param {any} notification */
  const came = (notification) => {
    // Of the user's own inbox alone, and nothing that is stored nowhere. What waited may be older than what is here: after
    // it, all is asked for.
    if (!notification.target_user || !notification.cursor || notification.replayed) return
    if (state.items.some(({ id }) => id === notification.id)) return
    const item = { ...notification, read: false }
    meanwhile.unshift(item)
    set({ items: [item, ...state.items], unread: state.unread + 1 })
  }

  /** @param {{ cursor?: string, up_to?: string }} change */
  const changed = ({ cursor, up_to: upTo }) => {
    const at = state.items.findIndex((it) => it.cursor === (cursor ?? upTo))
    const isRead = (/** @type {number} */ index) => at >= 0 && (cursor ? index === at : index >= at)
    set({ items: state.items.map((it, index) => isRead(index) ? { ...it, read: true } : it) })
    // Of a position that is not loaded it is not known what is before it.
    if (at < 0 && upTo) soon(refresh)
    else recount()
  }

  /** @param {{ ids: string[] }} frame */
  const retracted = ({ ids }) => {
    set({ items: state.items.filter(({ id }) => !ids.includes(id)) })
    recount()
  }

  /** @param {object} body @param {(item: Item) => boolean} isMeant */
  const mark = (body, isMeant) => attempt(async () => {
    const before = new Set(state.items.filter((it) => isMeant(it) && !it.read).map(({ id }) => id))
    const show = (/** @type {boolean} */ read) =>
      set({ items: state.items.map((it) => before.has(it.id) ? { ...it, read } : it) })
    // Shown at once, and as it was where that fails.
    show(true)
    try {
      const { unread } = await ask('read', body)
      set({ unread, error: undefined, status: 'ready' })
    } catch (error) {
      show(false)
      throw error
    }
  })

  return {
    get: () => state,
    refresh,
    more,
    markRead(item) {
      const cursor = typeof item === 'string' ? item : item.cursor
      return mark({ cursor }, (it) => it.cursor === cursor)
    },
    markAllRead() {
      const [newest] = state.items
      // What comes meanwhile was not seen.
      return newest ? mark({ up_to: newest.cursor }, () => true) : Promise.resolve()
    },
    subscribe(follower) {
      if (!followers.size) {
        // Whoever was away may have missed anything.
        offs = [client.on('notification', came), client.on('changed', changed), client.on('retracted', retracted),
          client.on('replayed', () => soon(refresh))]
        refresh()
      }
      followers.add(follower)
      return () => {
        followers.delete(follower)
        if (followers.size) return
        clearTimeout(settling)
        pending = undefined
        offs.forEach((off) => off())
      }
    },
  }
}
