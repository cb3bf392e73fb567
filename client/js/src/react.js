/** carillon-client/react: hooks. Safe in StrictMode, and where pages are rendered by a server. */
import { useEffect, useMemo, useSyncExternalStore } from 'react'
import { EMPTY } from './inbox.js'
import { NONE, notificationsOf, stateOf } from './store.js'

/**
 * The newest notifications of a type, the oldest first. All components see the same; while none looks, they
 * wait in the client.
 * @template {object} [Events=Record<string, unknown>]
 * @template {'notification' | (keyof Events & string)} [Name='notification']
 * @param {import('./types.js').Followed<Events>} client
 * @param {Name} [type] `notification`: of any type.
 * @param {number} [limit] How many are kept.
 * @returns {import('./types.js').Given<Events, Name>[]}
 */
export function useNotifications(client, type, limit = 100) {
  const name = type ?? 'notification'
  const store = useMemo(() => notificationsOf(client, name, limit), [client, name, limit])
  return /** @type {any} */ (useSyncExternalStore(store.subscribe, store.get, () => NONE))
}

/**
 * `connected`, `waiting`, `offline`, …
 * @param {{ state: import('./types.js').State, on: any }} client
 * @returns {import('./types.js').State}
 */
export function useConnectionState(client) {
  const store = useMemo(() => stateOf(client), [client])
  return useSyncExternalStore(store.subscribe, store.get, () => 'idle')
}

/**
 * Connects while the component is there.
 * @param {{ connect(): void, disconnect(): void }} client
 */
export function useConnection(client) {
  useEffect(() => {
    client.connect()
    return () => client.disconnect()
  }, [client])
}

/**
 * On the channel while the component is there; as often as it is used, it is one subscription.
 * @param {{ subscribe(channel: string): Promise<unknown>, unsubscribe(channel: string): void }} client
 * @param {string} channel
 */
export function useChannel(client, channel) {
  useEffect(() => {
    client.subscribe(channel)
    return () => client.unsubscribe(channel)
  }, [client, channel])
}

/**
 * A notification centre: what `createInbox` of carillon-client/inbox made, and what is in it now.
 * @param {import('./inbox.js').Inbox} inbox
 * @returns {import('./inbox.js').InboxState & Pick<import('./inbox.js').Inbox, 'markRead' | 'markAllRead' | 'more' | 'refresh'>}
 */
export function useInbox(inbox) {
  const state = useSyncExternalStore(inbox.subscribe, inbox.get, () => EMPTY)
  const { markRead, markAllRead, more, refresh } = inbox
  return { ...state, markRead, markAllRead, more, refresh }
}
