/**
 * The tabs of one browser and user: they hear each other, and one of them leads. A lock says which: it is given
 * on by itself when that tab closes or crashes. Where there are no locks, every tab leads itself.
 */
import { newName } from '../page.js'
import { createTimer } from '../timer.js'

/** A leader that does not answer within this is stopped by its system, with the lock in its hands. */
const PATIENCE = 5_000

/**
 * @param {any} scope
 * @param {string} name
 * @param {() => void} lead
 * @param {() => void} follow It leads no more.
 * @param {(message: any) => void} heard
 */
export function joinTabs(scope, name, lead, follow, heard) {
  const me = newName(scope)
  const { locks } = scope.navigator ?? {}
  if (!locks || !scope.BroadcastChannel) {
    lead()
    return { me, tell() {}, ask() {}, leave: follow, whenGone() {} }
  }
  const channel = new scope.BroadcastChannel(name)
  const silence = createTimer(scope)
  const leaving = new AbortController()
  /** @type {(() => void) | undefined} */
  let resign

  /** @param {{ signal?: AbortSignal, steal?: boolean }} how */
  const request = (how) => {
    /** @type {(() => void) | undefined} */
    let mine
    locks.request(name, how, () => new Promise((resolve) => {
      if (leaving.signal.aborted) return resolve(undefined)
      // Taken and given back while this one was stopped: what it led with is of before.
      if (resign) follow()
      mine = resign = () => resolve(undefined)
      silence()
      lead()
    })).catch(() => {
      // Taken by another tab, while this one was stopped; or it only waited, and leaves.
      if (!mine || resign !== mine) return
      resign = undefined
      follow()
      request({ signal: leaving.signal })
      ask()
    })
  }

  /** Is there a leader that lives? Else this tab is to lead. */
  const ask = () => {
    if (resign) return
    channel.postMessage({ kind: 'hello', tab: me })
    silence(PATIENCE, () => resign || request({ steal: true }))
  }

  channel.onmessage = (/** @type {any} */ { data }) => {
    if (data.kind === 'here') silence()
    if (!data.to || data.to === me) heard(data)
  }
  locks.request(`${name} ${me}`, { signal: leaving.signal }, () => new Promise((resolve) => {
    leaving.signal.addEventListener('abort', resolve)
  })).catch(() => {})
  request({ signal: leaving.signal })

  return {
    me,
    ask,

    /** To the other tabs. @param {any} message */
    tell: (message) => channel.postMessage(message),

    leave() {
      leaving.abort()
      silence()
      channel.onmessage = null
      channel.close()
      const release = resign
      resign = undefined
      if (release) follow()
      release?.()
    },

    /**
     * @param {string} tab
     * @param {() => void} gone
     */
    whenGone(tab, gone) {
      if (tab !== me) locks.request(`${name} ${tab}`, { signal: leaving.signal }, gone).catch(() => {})
    },
  }
}
