/** What the one tab does that holds the socket: it tells all tabs what comes, and does what they ask. */
import { NotificationClient } from 'carillon-client'
import { createTimer } from '../timer.js'

/** After so long, what was told has left this tab. */
const LEFT_MS = 1000

/** Notifications that are remembered for tabs which come later: as many as wait in a client. */
const UNACKED = 1000

/** @typedef {import('../types.js').Notification} Notification */

/**
 * @param {import('../types.js').Options} options
 * @param {string} me
 * @param {(message: any) => void} tellAll To every tab, this one included.
 * @param {(tab: string, gone: () => void) => void} whenGone Watches over a tab.
 */
export function createLeading(options, me, tellAll, whenGone) {
  const client = new NotificationClient({ ...options, ack: 'manual', storage: null })
  let isOver = false
  /** @param {any} message */
  const tell = (message) => {
    if (!isOver) tellAll(message)
  }
  /** @type {Map<string, Notification>} */
  const unacked = new Map()
  /** What each tab has joined. @type {Map<string, Set<string>>} */
  const tabs = new Map()
  /** What only this tab is known to have taken. @type {Map<string, Notification>} */
  const own = new Map()
  const soon = createTimer(options.scope ?? globalThis)

  /** @param {string} [to] One tab; else all. */
  const hereIAm = (to) => tell({ kind: 'here', to, state: client.state, unacked: to ? [...unacked.values()] : [] })

  client.on('*', (/** @type {any} */ frame) => {
    // Told as the error that it is.
    if (frame.type === 'error') return
    if (frame.id) unacked.set(frame.id, frame)
    if (unacked.size > UNACKED) unacked.delete(unacked.keys().next().value ?? '')
    // The answers that tabs wait for are given to each by its own request.
    if (frame.type !== 'subscribed') tell({ kind: 'frame', frame })
  })
  client.on('state', (event) => tell({ kind: 'state', event }))
  client.on('drain', (frame) => tell({ kind: 'drain', frame }))
  client.on('error', ({ code, message, channel, retryable }) =>
    tell({ kind: 'frame', frame: { type: 'error', code, message, channel, retryable } }))

  /** @param {string} tab @returns {Set<string>} */
  const joinedBy = (tab) => {
    let joined = tabs.get(tab)
    if (joined) return joined
    tabs.set(tab, joined = new Set())
    whenGone(tab, () => {
      for (const channel of tabs.get(tab) ?? []) client.unsubscribe(channel)
      tabs.delete(tab)
    })
    return joined
  }

  /**
   * @param {string} tab
   * @param {any} frame
   */
  const request = (tab, frame) => {
    const { type, channel, ref, durable, since } = frame
    if (type === 'subscribe') {
      const joined = joinedBy(tab)
      const answer = client.subscribe(channel, { durable, since })
      // Each tab counts for one, however often it asks.
      if (joined.has(channel)) client.unsubscribe(channel)
      joined.add(channel)
      answer.then((subscribed) => tell({ kind: 'frame', to: tab, frame: { ...subscribed, ref } }), ({ code, message }) => {
        joined.delete(channel)
        tell({ kind: 'refused', to: tab, frame: { type: 'error', code, message, channel, ref } })
      })
    } else if (type === 'unsubscribe') {
      if (joinedBy(tab).delete(channel)) client.unsubscribe(channel)
    } else {
      client.send(frame)
    }
  }

  const ackOwn = () => {
    soon()
    own.forEach(client.ack)
    own.clear()
  }

  /**
   * A tab has handled one. If this one crashes, what it told the others may be lost with it; so its own word is
   * not enough for an ack, until another tab has heard, or had the time to.
   * @param {string} tab
   * @param {Notification} notification
   */
  const took = (tab, notification) => {
    const { id } = notification
    unacked.delete(id)
    if (tab === me) {
      if (!own.size) soon(LEFT_MS, ackOwn)
      own.set(id, notification)
    } else {
      own.delete(id)
      client.ack(notification)
    }
  }

  client.connect()
  hereIAm()

  return {
    stop() {
      ackOwn()
      // How it ends is nobody's matter: another one leads.
      isOver = true
      client.disconnect()
    },

    /** @param {any} message */
    on({ kind, tab, frame, notification, token }) {
      if (kind === 'hello') hereIAm(tab)
      if (kind === 'request') request(tab, frame)
      if (kind === 'token') client.setToken(token)
      if (kind === 'took') took(tab, notification)
    },
  }
}
